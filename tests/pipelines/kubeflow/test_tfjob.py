"""`kfp/tfjob.yaml`: what the training operator needs of it, and what training needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.training.cluster import Cluster
from scripts.manifests import KUBE_VERSION
from tests.e2e.training_operator import container_of, tf_config

TFJOB: Final = Path(__file__).parents[3] / "kfp" / "tfjob.yaml"


@pytest.fixture
def job() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(TFJOB.read_text())
    return loaded


def test_its_replicas_are_the_cluster_that_its_command_expects(job: dict[str, Any]) -> None:
    (workers,) = {
        int(argument.removeprefix("--set=training.workers="))
        for kind in ("chief", "worker")
        for argument in container_of(job, kind)["command"]
        if argument.startswith("--set=training.workers=")
    }
    for index, kind in enumerate(("chief", "worker")):
        cluster = Cluster.from_environment({"TF_CONFIG": tf_config(job, kind, 0)}, workers)
        assert cluster is not None
        assert cluster.index == index
        assert cluster.addresses == (
            "tallygraph-chief-0.tallygraph.svc:2222",
            "tallygraph-worker-0.tallygraph.svc:2222",
        )


def test_lost_workers_are_restarted_and_replicas_share_the_output(job: dict[str, Any]) -> None:
    """A worker that lost another ends with status 1, which `ExitCode` takes for permanent."""
    for kind, spec in job["spec"]["tfReplicaSpecs"].items():
        assert spec["restartPolicy"] == "OnFailure"
        container = container_of(job, kind)
        (mount,) = container["volumeMounts"]
        assert f"--output={mount['mountPath']}" in container["command"]
        (volume,) = spec["template"]["spec"]["volumes"]
        assert volume["name"] == mount["name"]
    assert job["spec"]["runPolicy"] == {"backoffLimit": 20, "cleanPodPolicy": "Running"}


def test_it_has_only_fields_that_kubernetes_and_the_operator_know(job: dict[str, Any]) -> None:
    """The operator's fields are those of its CustomResourceDefinition, version v1."""
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "TFJob")
    assert job["spec"].keys() == {"runPolicy", "tfReplicaSpecs"}
    for spec in job["spec"]["tfReplicaSpecs"].values():
        assert spec.keys() == {"replicas", "restartPolicy", "template"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "replica"}}
        kubernetes_validate.validate(pod | spec["template"], KUBE_VERSION, strict=True)


def test_a_worker_whose_cluster_is_another_is_refused(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TF_CONFIG", tf_config(job, "worker", 0))

    settings = ["--config=configs/tiny.toml", "--set=training.workers=4"]
    refused = CliRunner().invoke(app, ["run", *settings, f"--output={tmp_path}"])

    assert refused.exit_code == 2
    assert "names 2 workers, but training.workers is 4" in refused.output


def test_a_worker_without_the_output_folder_says_what_it_needs(
    job: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TF_CONFIG", tf_config(job, "worker", 0))
    taken = tmp_path / "file"
    taken.touch()

    settings = ["--config=configs/tiny.toml", "--set=training.workers=2"]
    refused = CliRunner().invoke(app, ["run", *settings, f"--output={taken}"])

    assert refused.exit_code == 2
    assert "Expected: the chief's output folder at the same path" in refused.output
