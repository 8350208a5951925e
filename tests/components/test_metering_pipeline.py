"""TokenizerTrainer, Meter and MeterValidator wired together and run by TFX."""

from __future__ import annotations

from pathlib import Path

import ml_metadata
import pytest
from tfx.dsl.components.common.importer import Importer
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.types import artifact_utils
from tfx.types.standard_artifacts import Examples, Model

from components.meter.component import Meter
from components.meter_validator.component import MeterValidator
from components.tokenizer_trainer.component import TokenizerTrainer
from tests.components.fixture_artifacts import model_artifact_in
from tests.components.fixture_base_model import FixtureBaseModel, save_base_model
from tests.components.fixture_examples import SPLITS
from tokenizer.contract import MeteringRecord
from tokenizer.training import train_sentencepiece


@pytest.fixture
def base_of_train_split(tmp_path: Path) -> Model:
    """A base model with the tokenizer that TokenizerTrainer will train."""
    tokenizer = train_sentencepiece((t for row in SPLITS["train"] for t in row), 400)
    artifact = model_artifact_in(tmp_path / "base")
    save_base_model(FixtureBaseModel(tokenizer), tokenizer, tmp_path / "base/Format-Serving")
    return artifact


def run(tmp_path: Path, examples: Examples, base: Model) -> ml_metadata.MetadataStore:
    """Run the pipeline once; returns its metadata."""
    import_examples = Importer(
        source_uri=examples.uri,
        artifact_type=Examples,
        properties={"split_names": artifact_utils.encode_split_names(["train", "eval"])},
    ).with_id("examples")
    import_model = Importer(source_uri=base.uri, artifact_type=Model).with_id("model")
    examples_channel = import_examples.outputs["result"]
    trainer = TokenizerTrainer(examples=examples_channel, vocab_size=400)
    meter = Meter(import_model.outputs["result"], examples_channel, "summarizer")
    validator = MeterValidator(
        model=meter.outputs["metered_model"],
        tokenizer=trainer.outputs["tokenizer"],
        examples=examples_channel,
        documents=5,
        generated_strings=100,
    )
    config = sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))
    LocalDagRunner().run(
        Pipeline(
            pipeline_name="metering",
            pipeline_root=str(tmp_path / "root"),
            components=[import_examples, import_model, trainer, meter, validator],
            enable_cache=True,
            metadata_connection_config=config,
        )
    )
    return ml_metadata.MetadataStore(config)


def states(store: ml_metadata.MetadataStore, node: str) -> list[str]:
    """States of a node's executions, in order."""
    state = ml_metadata.proto.Execution.State
    executions = store.get_executions_by_type(node)
    return [state.Name(execution.last_known_state) for execution in executions]


def test_they_run_together_and_are_cached(
    tmp_path: Path, examples: Examples, base_of_train_split: Model
) -> None:
    store = run(tmp_path, examples, base_of_train_split)
    (blessing,) = store.get_artifacts_by_type("MeterBlessing")
    report = Path(blessing.uri, "report.md").read_text()
    assert blessing.properties["blessed"].int_value == 1, report
    (tokenizer,) = store.get_artifacts_by_type("Tokenizer")
    assert tokenizer.properties["kind"].string_value == "sentencepiece"
    assert len(tokenizer.properties["fingerprint"].string_value) == 64
    (metered,) = (a for a in store.get_artifacts_by_type("Model") if "Meter" in a.uri)
    record = MeteringRecord.load(Path(metered.uri) / "Format-Serving")
    assert record.tokenizer_fingerprint == tokenizer.properties["fingerprint"].string_value
    (run_context,) = store.get_contexts_by_type("pipeline_run")
    assert record.pipeline_run == run_context.name

    store = run(tmp_path, examples, base_of_train_split)
    for node in ("TokenizerTrainer", "Meter", "MeterValidator"):
        nodes = [t.name for t in store.get_execution_types() if t.name.endswith(f".{node}")]
        assert states(store, nodes[0]) == ["COMPLETE", "CACHED"]
