"""The compiled pipeline: what a server asks of it, and what the settings say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from kfp.components import load_component_from_text
from typer.testing import CliRunner

from pipelines.cli import app
from pipelines.config import ConfigError, load_config
from pipelines.kubeflow.compile import compile_pipeline
from tests.pipelines.kubeflow.kubeflow_server import (
    RefusedError,
    UploadedPipeline,
    parameters_of_a_run,
    upload,
)

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "configs" / "kubeflow.toml"


@pytest.fixture(scope="module")
def text() -> str:
    return compile_pipeline(load_config(CONFIG))


@pytest.fixture(scope="module")
def pipeline(text: str) -> UploadedPipeline:
    return upload(text)


def test_the_committed_pipeline_is_what_the_sources_give(text: str) -> None:
    committed = (ROOT / "kfp" / "pipeline.yaml").read_text(encoding="utf-8")
    assert committed == text, (
        "kfp/pipeline.yaml is out of date. Run: "
        "tallygraph kfp compile --config configs/kubeflow.toml -o kfp/pipeline.yaml"
    )


def test_compiling_touches_nothing_of_the_volume(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    compile_pipeline(load_config(CONFIG, [f"kubeflow.output={volume}"]))
    assert not volume.exists()


def test_compiling_twice_gives_the_same_text(text: str) -> None:
    assert compile_pipeline(load_config(CONFIG)) == text


def test_every_node_starts_at_the_entry_point_in_the_image_of_the_run(
    pipeline: UploadedPipeline,
) -> None:
    tasks = pipeline.tasks
    assert len(tasks) == 17
    for name, task in tasks.items():
        container = pipeline.container(name)
        assert list(container.command) == ["python", "-m", "pipelines.kubeflow.entry_point"]
        assert container.image == "{{$.inputs.parameters['container_image']}}"
        source = task.inputs.parameters["container_image"]
        assert source.component_input_parameter == "image"
        assert not container.HasField("lifecycle")


def test_the_clients_own_reader_takes_it(text: str) -> None:
    loaded = load_component_from_text(text)
    assert loaded.name == "tallygraph"
    inputs = loaded.component_spec.inputs
    assert {name: given.optional for name, given in inputs.items()} == {
        "corpus": False,
        "span": True,
        "registry_uri": True,
        "image": True,
    }
    assert set(loaded.platform_spec.platforms) == {"kubernetes"}


def test_what_a_run_may_say_has_its_defaults(pipeline: UploadedPipeline) -> None:
    values = parameters_of_a_run(pipeline, {"corpus": "/mnt/tallygraph/corpus/*.jsonl"})
    assert {name: value.string_value for name, value in values.items()} == {
        "corpus": "/mnt/tallygraph/corpus/*.jsonl",
        "span": "",
        "registry_uri": "sqlite:////mnt/tallygraph/registry.sqlite",
        "image": "tallygraph/pipeline:0.1.0",
    }


def test_a_run_has_to_say_the_corpus_where_the_settings_do_not(
    pipeline: UploadedPipeline,
) -> None:
    with pytest.raises(RefusedError, match="corpus is not optional"):
        parameters_of_a_run(pipeline, {})


def test_resources_retries_timeouts_and_caching_are_each_nodes_own(
    pipeline: UploadedPipeline,
) -> None:
    trainer = pipeline.container("Trainer").resources
    assert (trainer.resource_cpu_request, trainer.resource_memory_limit) == ("8", "32Gi")
    others = pipeline.container("Meter").resources
    assert (others.resource_cpu_request, others.resource_memory_limit) == ("1", "8Gi")
    tasks = pipeline.tasks
    assert tasks["Trainer"].retry_policy.max_retry_count == 3
    assert tasks["Trainer"].caching_options.enable_cache
    assert not tasks["CorpusExampleGen"].caching_options.enable_cache
    assert not tasks["ChampionLookup"].caching_options.enable_cache
    assert not tasks["StartingPoint"].caching_options.enable_cache
    config = pipeline.platform["Trainer_executor"]
    assert config["activeDeadlineSeconds"] == "86400"
    assert config["pvcMount"][0]["mountPath"] == "/mnt/tallygraph"


@pytest.mark.parametrize(
    ("nodes", "cached"),
    [
        ("{}", {"Trainer"}),
        ("{CorpusExampleGen = {retries = 1}}", {"Trainer"}),
        ("{CorpusExampleGen = {cache = true}}", {"Trainer", "CorpusExampleGen"}),
        ("{Trainer = {cache = false}}", set()),
    ],
)
def test_what_looks_outside_is_cached_only_if_that_is_said(
    nodes: str, cached: set[str]
) -> None:
    config = load_config(CONFIG, [f"kubeflow.nodes={nodes}"]).kubeflow
    looked_at = ("Trainer", "CorpusExampleGen", "ChampionLookup")
    assert {name for name in looked_at if config.is_cached(name)} == cached


def test_gpus_machines_and_secrets_come_from_the_settings() -> None:
    config = load_config(
        CONFIG,
        [
            'kubeflow.nodes={Trainer = {gpu_count = 2, node_selector = {pool = "gpu"}}}',
            'kubeflow.secrets=[{variable = "TOKEN", secret = "registry", key = "token"}]',
            'kubeflow.image_pull_secret="pull"',
            'kubeflow.pipeline_root="s3://bucket/runs"',
            'pipeline.beam_args=["--runner=FlinkRunner"]',
        ],
    )

    pipeline = upload(compile_pipeline(config))

    accelerator = pipeline.container("Trainer").resources.accelerator
    assert (accelerator.resource_type, accelerator.resource_count) == ("nvidia.com/gpu", "2")
    assert not pipeline.container("Meter").resources.HasField("accelerator")
    trainer = pipeline.platform["Trainer_executor"]
    assert trainer["nodeSelector"] == {"labels": {"pool": "gpu"}}
    assert trainer["secretAsEnv"][0]["keyToEnv"] == [{"secretKey": "token", "envVar": "TOKEN"}]
    assert trainer["secretAsEnv"][0]["secretName"] == "registry"
    assert trainer["imagePullSecret"][0]["secretName"] == "pull"
    assert pipeline.spec.default_pipeline_root == "s3://bucket/runs"
    assert pipeline.container("StatisticsGen").args[-1] == "--runner=FlinkRunner"


def test_a_node_that_is_not_there_is_refused_by_name() -> None:
    config = load_config(CONFIG, ["kubeflow.nodes={Trainr = {gpu_count = 1}}"])
    with pytest.raises(ConfigError, match=r"no such node.*Trainer.*Received: Trainr"):
        compile_pipeline(config)


def test_the_promoter_keeps_models_on_the_volume(pipeline: UploadedPipeline) -> None:
    parameters = pipeline.tasks["Promoter"].inputs.parameters
    kept = parameters["models_dir"].runtime_value.constant.string_value
    assert kept == "/mnt/tallygraph/models"
    assert parameters["registry"].component_input_parameter == "registry_uri"


def test_training_starts_from_the_version_that_the_gate_names(
    pipeline: UploadedPipeline,
) -> None:
    base = pipeline.tasks["Trainer"].inputs.artifacts["base_model"]
    assert base.task_output_artifact.producer_task == "StartingPoint"
    alias = pipeline.tasks["StartingPoint"].inputs.parameters["alias"]
    assert alias.component_input_parameter == "start_from"
    pinned = pipeline.tasks["TokenizerTrainer"].inputs.artifacts["champion"]
    assert pinned.task_output_artifact.producer_task == "ChampionLookup"


def test_without_a_champion_in_the_settings_training_starts_from_random_weights() -> None:
    pipeline = upload(compile_pipeline(load_config(CONFIG, ["model.init_from="])))
    assert "StartingPoint" not in pipeline.tasks
    assert "base_model" not in pipeline.tasks["Trainer"].inputs.artifacts
    assert set(pipeline.tasks["TokenizerTrainer"].inputs.artifacts) == {"examples"}
    assert "start_from" not in pipeline.dag().tasks["Training"].inputs.parameters


def test_the_tokenizer_alone_may_be_the_champions() -> None:
    settings = ["model.init_from=", "tokenizer.pinned=champion"]
    tasks = upload(compile_pipeline(load_config(CONFIG, settings))).tasks
    assert "StartingPoint" not in tasks
    assert "champion" in tasks["TokenizerTrainer"].inputs.artifacts


def test_what_only_a_later_run_could_train_is_refused() -> None:
    config = load_config(CONFIG, ["model.num_heads=5"])
    with pytest.raises(ConfigError, match="num_heads must divide d_model"):
        compile_pipeline(config)


def test_the_gate_is_not_started_again_for_what_it_has_found(
    pipeline: UploadedPipeline,
) -> None:
    gate = pipeline.tasks["SpanGate"]
    assert not gate.HasField("retry_policy")
    assert not gate.caching_options.enable_cache
    defaults = ["kubeflow.defaults={retries = 2}", "kubeflow.nodes={}"]
    assert load_config(CONFIG, defaults).kubeflow.of_node("SpanGate").retries == 0
    assert load_config(CONFIG, defaults).kubeflow.of_node("Meter").retries == 2


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ('kubeflow.defaults={memory_limit = "much"}', "kubeflow.defaults.memory_limit"),
        ('kubeflow.pipeline_root="/tmp/x"', "kubeflow.pipeline_root"),
        ('kubeflow.secrets=[{variable = "A"}]', "kubeflow.secrets"),
        (
            'kubeflow.secrets=[{variable = "A", secret = "s", key = "k"}, '
            '{variable = "A", secret = "s", key = "l"}]',
            "secrets set an environment variable twice. Received: A",
        ),
    ],
)
def test_settings_that_no_cluster_takes_are_refused(override: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(expected)):
        load_config(CONFIG, [override])


@pytest.mark.parametrize(
    ("line", "broken", "expected"),
    [
        ("schemaVersion: 2.1.0", "schemaVersion: 2.0.0", "only schema version 2.1.0"),
        ("  name: tallygraph\n", "  name: Tally_graph\n", "invalid name"),
        ("- ChampionLookup\n", "- Champion\n", "which are not there"),
        ("== 'train'", "!= 'train'", "cannot evaluate the condition"),
        ("outputParameterKey: todo", "outputParameterKey: tobe", "no such parameter"),
        ("Parameter: registry_uri", "Parameter: nothing", "does not have input parameter"),
        ("schemaVersion:", "schemaVersoin:", "invalid PipelineSpec"),
    ],
)
def test_the_emulated_server_refuses_what_a_real_one_refuses(
    text: str, line: str, broken: str, expected: str
) -> None:
    assert line in text
    with pytest.raises(RefusedError, match=expected):
        upload(text.replace(line, broken, 1))


def test_the_command_writes_the_file(text: str, tmp_path: Path) -> None:
    file = tmp_path / "out" / "pipeline.yaml"
    result = CliRunner().invoke(app, ["kfp", "compile", f"--config={CONFIG}", f"-o{file}"])
    assert result.exit_code == 0, result.output
    assert file.read_text(encoding="utf-8") == text


def test_the_command_refuses_settings_in_plain_words(tmp_path: Path) -> None:
    file = tmp_path / "pipeline.yaml"
    bad = "--set=kubeflow.nodes={Trainr = {gpu_count = 1}}"
    result = CliRunner().invoke(app, ["kfp", "compile", f"--config={CONFIG}", f"-o{file}", bad])
    assert result.exit_code == 2
    assert "Received: Trainr" in result.output
    assert not file.exists()
