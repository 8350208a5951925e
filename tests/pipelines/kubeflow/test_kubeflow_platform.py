"""The platform document against kfp-kubernetes: its messages, and what it writes itself."""

# kfp reads annotations as objects: they are not postponed here.
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig

from kfp import dsl, kubernetes
from pipelines.config import load_config
from pipelines.kubeflow.compile import compile_pipeline
from tests.pipelines.kubeflow.kubeflow_server import upload

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "configs" / "kubeflow.toml"
EVERYTHING = [
    'kubeflow.nodes={Trainer = {node_selector = {pool = "gpu", zone = "a"}, timeout_s = 3600}}',
    'kubeflow.secrets=[{variable = "TOKEN", secret = "registry", key = "token"}, '
    '{variable = "KEY", secret = "store", key = "key"}]',
    'kubeflow.image_pull_secret="pull"',
    'kubeflow.volume_claim="claim"',
    'kubeflow.output="/mnt/volume"',
]


def parsed(document: dict[str, Any]) -> KubernetesExecutorConfig:
    """Strictly: a field that the message does not have, or of another type, is an error."""
    return json_format.ParseDict(document, KubernetesExecutorConfig())


@pytest.mark.parametrize("text", [None, EVERYTHING], ids=["committed", "everything"])
def test_every_nodes_settings_are_fields_of_the_message(text: list[str] | None) -> None:
    committed = (ROOT / "kfp" / "pipeline.yaml").read_text(encoding="utf-8")
    pipeline = upload(
        committed if text is None else compile_pipeline(load_config(CONFIG, text))
    )
    assert len(pipeline.platform) == 17
    for config in pipeline.platform.values():
        assert parsed(config).field_path_as_env[0].name == "KFP_RUN_ID"


@pytest.mark.parametrize(
    "mistake",
    [
        {"nodeSelectr": {"labels": {"pool": "gpu"}}},
        {"pvcMount": {"constant": "claim"}},
        {"activeDeadlineSeconds": "an hour"},
        {"secretAsEnv": [{"secretName": "s", "keysToEnv": []}]},
    ],
)
def test_the_parse_finds_what_is_no_such_field(mistake: dict[str, Any]) -> None:
    pipeline = upload(compile_pipeline(load_config(CONFIG)))
    with pytest.raises(json_format.ParseError):
        parsed({**pipeline.platform["Trainer_executor"], **mistake})


def test_they_are_what_kfp_kubernetes_writes_for_the_same() -> None:
    # Given a task that is configured by the library's own functions
    @dsl.container_component
    def trainer() -> dsl.ContainerSpec:
        return dsl.ContainerSpec(image="image")

    @dsl.pipeline(name="library")
    def library() -> None:
        task = trainer()
        kubernetes.use_field_path_as_env(
            task, "KFP_RUN_ID", "metadata.labels['pipeline/runid']"
        )
        kubernetes.add_node_selector(task, "pool", "gpu")
        kubernetes.add_node_selector(task, "zone", "a")
        kubernetes.set_timeout(task, 3600)
        kubernetes.use_secret_as_env(task, "registry", {"token": "TOKEN"})
        kubernetes.use_secret_as_env(task, "store", {"key": "KEY"})
        kubernetes.mount_pvc(task, "claim", "/mnt/volume")
        kubernetes.set_image_pull_secrets(task, ["pull"])

    executors = json_format.MessageToDict(library.platform_spec)["platforms"]["kubernetes"]
    (theirs,) = executors["deploymentSpec"]["executors"].values()

    # When the settings say the same
    pipeline = upload(compile_pipeline(load_config(CONFIG, EVERYTHING)))

    # Then so does the compiled pipeline
    assert parsed(pipeline.platform["Trainer_executor"]) == parsed(theirs)
