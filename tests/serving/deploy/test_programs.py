"""What the chart starts and asks is what the programs have: options, flags, files, paths."""

from __future__ import annotations

import inspect
import shlex
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
import typer
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from pipelines.cli import _ALL, _app
from scripts.manifests import EXAMPLES, PRICES, Rendering
from serving.billing import PriceBook
from serving.config_protos import BatchingParameters, MonitoringConfig
from serving.engines import RunningServer
from serving.engines.server_files import METRICS_PATH, Batching, ServerFiles
from serving.gateway import running
from serving.gateway.backends import ServedModel
from serving.gateway.backends.server import connect
from serving.gateway.ledger_outages import SETTLE_FOR_S
from serving.model_server.flags import parse_flags
from tests.serving.deploy.rendered import VARIANTS, Document, of_kind, pods, refusal, the
from tests.support.running_gateway import RunningGateway


def container(variant: str, kind: str) -> Document:
    (found,) = the(variant, kind)["spec"]["template"]["spec"]["containers"]
    return dict(found)


def read_command_line(arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """The command's name and its options, as the command line itself reads them.

    Raises:
      Exception: of Typer; the command line does not take them.
    """
    command: Any = typer.main.get_command(_app(_ALL))
    context = command.make_context("tallygraph", list(arguments))
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, rest, parent=context)
    return str(context.command_path), dict(context.params)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_gateway_takes_its_options(variant: str) -> None:
    rendered = container(variant, "Deployment")
    _, options = read_command_line(["gateway", *rendered["args"]])
    mounts = {each["name"]: each["mountPath"] for each in rendered["volumeMounts"]}
    assert str(options["prices"]) == f"{mounts['prices']}/prices.toml"
    assert str(options["model_dir"]) == f"{mounts['models']}/summarizer"
    ports = {each["name"]: each["containerPort"] for each in rendered["ports"]}
    assert ports == {"http": options["port"], "admin": options["admin_port"]}
    assert options["host"] == options["admin_host"] == "0.0.0.0"
    # What stands in $(…) is an environment variable of the container.
    given = {each["name"] for each in rendered["env"]}
    for argument in rendered["args"]:
        if "$(" in argument:
            assert argument.partition("$(")[2].rstrip(")") in given
    assert {"TALLYGRAPH_DATABASE", "POD_NAME"} <= given


def test_the_gateway_gets_what_the_values_say() -> None:
    _, options = read_command_line(["gateway", *container("production", "Deployment")["args"]])
    assert options["label"] == "stable"
    assert options["keep_alive_s"] == running.GatewaySettings.keep_alive_s
    assert (options["canary_label"], options["canary_percent"]) == ("canary", 5)
    assert options["rates"] == options["cache"] == "$(TALLYGRAPH_REDIS)"
    name = "tallygraph-models"
    assert options["model_url"] == [
        f"grpc://{name}-{number}.{name}.summaries.svc.cluster.local:8500" for number in range(6)
    ]
    _, options = read_command_line(["gateway", *container("minimal", "Deployment")["args"]])
    assert options["label"] == options["cache"] == ""
    assert options["rates"] == "async+memory://"


def test_the_gateway_reads_tokens_from_secrets() -> None:
    pod = the("production", "Deployment")["spec"]["template"]["spec"]
    (only,) = pod["containers"]
    _, options = read_command_line(["gateway", *only["args"]])
    assert options["events_to"] == "https://meter.example.com/events"
    mounts = {each["name"]: each for each in only["volumeMounts"]}
    secrets = {each["name"]: each.get("secret", {}) for each in pod["volumes"]}
    for name, option, secret in (
        ("admin", "admin_token_file", "tallygraph-admin"),
        ("events", "events_token_file", "tallygraph-events"),
    ):
        assert secrets[name] == {"secretName": secret}
        assert mounts[name]["readOnly"] is True
        assert str(options[option].parent) == mounts[name]["mountPath"]
    _, options = read_command_line(["gateway", *container("minimal", "Deployment")["args"]])
    assert (options["admin_token_file"], options["events_to"]) == (None, "")


def test_anchors_go_with_the_events_of_the_gateways() -> None:
    assert Rendering([EXAMPLES / "production.yaml"], {"jobs.anchor.enabled": "true"}).render()


@pytest.mark.parametrize("variant", ["production", "rest"])
def test_addresses_are_those_of_pods_that_there_may_be(variant: str) -> None:
    _, options = read_command_line(["gateway", *container(variant, "Deployment")["args"]])
    servers = the(variant, "StatefulSet")
    most = the(variant, "ScaledObject")["spec"]["maxReplicaCount"]
    (service,) = [
        each
        for each in of_kind(variant, "Service")
        if each["metadata"]["name"] == servers["spec"]["serviceName"]
    ]
    assert service["spec"]["clusterIP"] == "None"  # each pod has a name of its own only so
    ports = {each["targetPort"]: each["port"] for each in service["spec"]["ports"]}
    scheme, port = ("http", ports["rest"]) if variant == "rest" else ("grpc", ports["grpc"])
    name, namespace = servers["metadata"]["name"], servers["metadata"]["namespace"]
    assert options["model_url"] == [
        f"{scheme}://{name}-{number}.{name}.{namespace}.svc.cluster.local:{port}"
        for number in range(most)
    ]
    for url in options["model_url"]:
        connect(url)


@pytest.mark.parametrize("variant", VARIANTS)
def test_jobs_are_commands(variant: str) -> None:
    for pod in pods(variant):
        if pod.kind in ("Job", "CronJob"):
            (only,) = pod.spec["containers"]
            assert only["command"] == ["tallygraph"]
            read_command_line(only["args"])
            assert [each["name"] for each in only["env"]] == ["TALLYGRAPH_DATABASE"]


def test_which_jobs_there_are() -> None:
    found = {
        pod.owner["metadata"]["name"]: read_command_line(pod.spec["containers"][0]["args"])
        for pod in pods("deliveries")
        if pod.kind in ("Job", "CronJob")
    }
    assert {name: path for name, (path, _) in found.items()} == {
        "tallygraph-migrate": "tallygraph ledger upgrade",
        "tallygraph-ledger-verify": "tallygraph ledger verify",
        "tallygraph-ledger-anchor": "tallygraph ledger anchor",
        "tallygraph-ledger-deliver": "tallygraph ledger deliver",
    }
    assert found["tallygraph-ledger-anchor"][1]["by_outbox"]
    options = found["tallygraph-ledger-deliver"][1]
    assert options["to"] == "https://meter.example.com/events"
    assert str(options["token_file"]) == "/etc/tallygraph-token/token"


def test_an_option_that_there_is_not_is_found() -> None:
    with pytest.raises(Exception, match="--drain-minutes"):
        read_command_line(["gateway", "--prices=a.toml", "--drain-minutes=1"])


@pytest.mark.parametrize("variant", ["minimal", "production", "without batching"])
def test_a_model_server_has_the_flags_that_serve_starts_it_with(
    tmp_path: Path, variant: str
) -> None:
    (tmp_path / "summarizer").mkdir()
    batching = None if variant == "without batching" else Batching()
    files = ServerFiles.write(
        tmp_path / "models.config", "summarizer", tmp_path / "summarizer", batching
    )
    given = dict(
        argument.removeprefix("--").split("=", 1)
        for argument in container(variant, "StatefulSet")["args"]
    )
    folder = "/etc/model-server"
    expected = {
        name: value.replace(str(tmp_path), folder) for name, value in files.flags.items()
    }
    assert given == {
        **expected,
        "port": "8500",
        "rest_api_port": "8501",
        "model_config_file": f"{folder}/models.config",
        "model_config_file_poll_wait_seconds": "30",
    }


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_model_server_takes_its_flags(variant: str) -> None:
    """The project's own server refuses flags that TensorFlow Serving has not."""
    arguments = container(variant, "StatefulSet")["args"]
    flags = parse_flags(arguments)
    assert (flags.port, flags.rest_api_port) == (8500, 8501)
    own = the(variant, "StatefulSet")["spec"]["template"]["spec"]
    stock = own["containers"][0]["command"] == ["tensorflow_model_server"]
    # Ours handles SIGTERM and listens on one address; the other does neither.
    assert own.get("shareProcessNamespace", False) == stock
    assert any(argument.startswith("--bind_address=") for argument in arguments) != stock
    assert flags.xla_cpu_compilation_enabled == (variant == "gpu")


def test_a_gpu_is_asked_for() -> None:
    resources = container("gpu", "StatefulSet")["resources"]
    assert resources["limits"]["nvidia.com/gpu"] == "1"
    assert container("gpu", "StatefulSet")["image"] == "tensorflow/serving:2.20.0-gpu"


def config_files(variant: str) -> dict[str, str]:
    return dict(the(variant, "ConfigMap", "-models")["data"])


def test_the_model_config_has_versions_and_labels() -> None:
    config = text_format.Parse(config_files("production")["models.config"], ModelServerConfig())
    (model,) = config.model_config_list.config
    assert (model.name, model.base_path) == ("summarizer", "/models/summarizer")
    assert model.model_platform == "tensorflow"
    assert list(model.model_version_policy.specific.versions) == [1795582584, 1795669011]
    assert dict(model.version_labels) == {"stable": 1795582584, "canary": 1795669011}
    config = text_format.Parse(config_files("minimal")["models.config"], ModelServerConfig())
    (model,) = config.model_config_list.config
    assert not model.HasField("model_version_policy") and not model.version_labels


def test_the_other_files_are_those_of_serve() -> None:
    for variant, batching in (
        ("minimal", Batching()),
        ("gpu", Batching(max_batch_size=8, allowed_batch_sizes=(1, 8))),
    ):
        text = config_files(variant)["batching_parameters.txt"]
        assert text_format.Parse(text, BatchingParameters()) == batching.proto()
    assert "batching_parameters.txt" not in config_files("without batching")
    text = config_files("minimal")["monitoring.config"]
    monitoring = text_format.Parse(text, MonitoringConfig())
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == METRICS_PATH
    (monitor,) = of_kind("production", "ServiceMonitor", "-models")
    assert monitor["spec"]["endpoints"][0]["path"] == METRICS_PATH


def test_the_price_book_is_one(tmp_path: Path) -> None:
    text = the("production", "ConfigMap", "-prices")["data"]["prices.toml"]
    assert tomllib.loads(text) == tomllib.loads(PRICES.read_text(encoding="utf-8"))
    (tmp_path / "prices.toml").write_text(text, encoding="utf-8")
    PriceBook.load(tmp_path / "prices.toml")


def test_other_prices_start_new_gateways(tmp_path: Path) -> None:
    other = tmp_path / "prices.toml"
    other.write_text(PRICES.read_text(encoding="utf-8") + "\n# another\n", encoding="utf-8")
    first = VARIANTS["minimal"]
    second = Rendering(first.values, prices=other)
    sums = {
        line.strip()
        for each in (first, second)
        for line in each.render().splitlines()
        if "prices-sha256" in line
    }
    assert len(sums) == 2


def test_times_to_end_are_above_those_of_a_request() -> None:
    model_s = inspect.signature(ServedModel).parameters["timeout_s"].default
    pod = the("production", "Deployment")["spec"]["template"]["spec"]
    sleep_s = pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    _, options = read_command_line(["gateway", *container("production", "Deployment")["args"]])
    waits_s = options["drain_s"] + options["model_wait_s"]
    assert (options["drain_s"], options["model_wait_s"]) == (15, 60)
    assert pod["terminationGracePeriodSeconds"] > sleep_s + waits_s + model_s + SETTLE_FOR_S
    pod = the("production", "StatefulSet")["spec"]["template"]["spec"]
    assert pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] >= model_s


@pytest.mark.parametrize(("spare", "refused"), [(0, False), (-1, True)])
def test_gateways_have_as_many_connections_as_the_chart_reckons(
    spare: int, refused: bool
) -> None:
    each = running.GatewaySettings.database_connections + running._CHARGING_CONNECTIONS
    needed = (6 + 1) * each + 15
    most = str(needed + 10 + spare)
    rendering = Rendering(VARIANTS["production"].values, {"database.maxConnections": most})
    if refused:
        assert f"need {needed}; {needed - 1} of" in refusal(rendering)
    else:
        rendering.render()


def path_of(variant: str, kind: str, probe: str) -> str:
    return str(container(variant, kind)[probe]["httpGet"]["path"])


def test_a_model_server_is_ready_with_the_version_that_serves(
    rest: httpx.Client, reference_server: RunningServer
) -> None:
    for probe in ("startupProbe", "readinessProbe"):
        labelled = path_of("production", "StatefulSet", probe)
        assert labelled == "/v1/models/summarizer/labels/stable/metadata"
        fixture = labelled.replace("summarizer", "fixture")
        assert rest.get(fixture).status_code == 200
        assert rest.get(fixture.replace("stable", "nobody")).status_code in (400, 404)
        newest = path_of("minimal", "StatefulSet", probe)
        assert newest == "/v1/models/summarizer/metadata"
        assert rest.get(newest).status_code == 200
        assert rest.get(newest.replace("summarizer", "nobody")).status_code == 404
    monitor = the("production", "ServiceMonitor", "-models")
    assert rest.get(monitor["spec"]["endpoints"][0]["path"]).status_code == 200


def test_the_gateway_answers_its_probes(gateway: RunningGateway) -> None:
    with gateway.client("nobody") as public:
        for probe in ("startupProbe", "livenessProbe"):
            assert public.get(path_of("production", "Deployment", probe)).status_code == 200
        assert public.get("/readyz").status_code == 404
    ready = path_of("production", "Deployment", "readinessProbe")
    assert ready == "/readyz"
    assert container("production", "Deployment")["readinessProbe"]["httpGet"]["port"] == "admin"
    (monitor,) = of_kind("production", "ServiceMonitor", "-gateway")
    assert gateway.admin(monitor["spec"]["endpoints"][0]["path"]).status_code == 200
    # This model has no metering record: no server serves requests, which wait for one.
    assert gateway.admin(ready).status_code == 200
    response = gateway.admin("/model-servers")
    assert (response.status_code, response.json()["status"]) == (503, "down")


def test_the_documented_manifests_command(tmp_path: Path) -> None:
    from scripts import manifests

    given = ["--to", str(tmp_path / "mine"), "--prices", str(PRICES)]
    values = manifests.EXAMPLES / "minimal.yaml"
    assert manifests.main([*given, "--values", str(values), "--namespace", "mine"]) == 0
    text = (tmp_path / "mine/tallygraph.yaml").read_text(encoding="utf-8")
    assert "namespace: mine" in text and "helm.sh/hook" not in text
    assert (tmp_path / "mine/kustomization.yaml").is_file()
    assert manifests.main([*given, "--values", shlex.quote("no-such.yaml")]) == 1
