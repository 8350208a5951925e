"""Manifests beside the chart: they are what Kubernetes takes, and fit what the chart makes."""

from __future__ import annotations

from typing import Any

import yaml

from scripts.manifests import ROOT
from serving.model_server.flags import parse_flags
from tests.serving.deploy.rendered import of_kind, the
from tests.serving.deploy.test_programs import read_command_line
from tests.serving.deploy.test_schemas import check

FOLDER = ROOT / "serving/deploy/manifests"


def documents(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def test_the_job_that_asks_every_server_for_its_versions() -> None:
    job, egress, ingress = documents("versions-job.yaml")
    for each in (job, egress, ingress):
        check(each)
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    path, options = read_command_line(container["args"])
    assert path == "tallygraph versions list"
    # The headless Service of the chart's model servers, whose name means every pod.
    servers = the("production", "StatefulSet")
    (service,) = [
        each
        for each in of_kind("production", "Service")
        if each["metadata"]["name"] == servers["spec"]["serviceName"]
    ]
    assert service["spec"]["clusterIP"] == "None"
    assert options["server"] == [f"{service['metadata']['name']}:8500"]
    assert str(options["model_dir"]) == f"/models/{options['model_dir'].name}"
    (config,) = [each["configMap"]["name"] for each in pod["volumes"] if "configMap" in each]
    assert options["model_config"].name in the("production", "ConfigMap", config)["data"]
    labels = job["spec"]["template"]["metadata"]["labels"]
    assert egress["spec"]["podSelector"]["matchLabels"] == labels
    models = servers["spec"]["template"]["metadata"]["labels"].items()
    assert ingress["spec"]["podSelector"]["matchLabels"].items() <= models
    # No Service of the release takes it for a gateway.
    for each in of_kind("production", "Service"):
        assert not each["spec"]["selector"].items() <= labels.items()


def test_the_example_for_kserve_starts_the_server_as_the_chart_does() -> None:
    (service,) = documents("kserve.yaml")
    predictor = service["spec"]["predictor"]
    (container,) = predictor["containers"]
    flags = parse_flags(container["args"])
    assert (flags.port, flags.rest_api_port) == (8500, 8501)
    (of_chart,) = the("minimal", "StatefulSet")["spec"]["template"]["spec"]["containers"]
    for name in ("image", "command", "lifecycle"):
        assert container[name] == of_chart[name], name
    own, grace = the("minimal", "StatefulSet")["spec"], "terminationGracePeriodSeconds"
    assert predictor[grace] == own["template"]["spec"][grace]
    probe = container["readinessProbe"]["httpGet"]
    assert probe["path"] == of_chart["readinessProbe"]["httpGet"]["path"]
