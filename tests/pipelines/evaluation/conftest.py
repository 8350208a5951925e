"""Toy summarisers with the counting contract's signature, and TFX runs that evaluate them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.evaluation.config import EvaluationConfig

# 20 words in the first sentence, of which the reference is the first 8: who answers with
# the first 8 words is right, and the first sentence alone is not.
FIRST_SENTENCE_WORDS = 20
REFERENCE_WORDS = 8
INPUT_LIMIT = 40


@pytest.fixture(scope="session")
def toy_model(tmp_path_factory) -> Callable[[str], Path]:
    """Writes a SavedModel that answers in a given manner; each is written once."""
    written: dict[str, Path] = {}

    def make(manner: str) -> Path:
        if manner not in written:
            root = tmp_path_factory.mktemp(manner)
            _save_model(manner, root / "Format-Serving")
            written[manner] = root
        return written[manner]

    return make


def _save_model(manner: str, path: Path) -> None:
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
        words = tf.strings.split(text)
        if manner == "first_words":
            answer = words[:, :REFERENCE_WORDS]
        elif manner == "fewer_words":
            answer = words[:, : REFERENCE_WORDS - 2]
        elif manner == "repeating":
            pair = words[:, :2]
            answer = tf.concat([pair] * 4, axis=1)
        elif manner == "collapsed":
            answer = tf.strings.split(tf.fill(tf.shape(text), "one answer for every text"))
        else:
            raise ValueError(manner)
        read = tf.cast(words.row_lengths(), tf.int32)
        used = tf.minimum(read, INPUT_LIMIT)
        written = tf.cast(answer.row_lengths(), tf.int32)
        return {
            "summary": tf.strings.reduce_join(answer, axis=-1, separator=" "),
            "input_tokens": used,
            "output_tokens": written,
            "total_tokens": used + written,
            "truncated_tokens": read - used,
            "finish_reason": tf.where(written >= REFERENCE_WORDS, "length", "stop"),
        }

    module = tf.Module()
    module.serve = serve
    tf.saved_model.save(module, str(path), signatures={"serving_default": serve})


@pytest.fixture(scope="session")
def toy_examples(tmp_path_factory) -> Path:
    """URI of an Examples artifact: 120 documents of three sources and many lengths."""
    import tensorflow as tf

    uri = tmp_path_factory.mktemp("examples")
    (uri / "Split-eval").mkdir()
    with tf.io.TFRecordWriter(
        str(uri / "Split-eval" / "data_tfrecord-00000-of-00001.gz"), "GZIP"
    ) as writer:
        for row in toy_rows(120):
            features = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
                for name, value in row.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
    return uri


def toy_rows(number: int) -> list[dict[str, str]]:
    """Documents of made-up words; a fixed seed."""
    rng = random.Random(20)
    rows = []
    for index in range(number):
        length = rng.choice([FIRST_SENTENCE_WORDS, 35, 90])
        words = [
            "".join(rng.choices("abcdefghijklmnop", k=rng.randint(3, 9))) for _ in range(length)
        ]
        reference = " ".join(words[:REFERENCE_WORDS])
        words[FIRST_SENTENCE_WORDS - 1] += "."
        source = "alpha" if index % 2 else "beta" if index % 8 else "rare"
        rows.append(
            {
                "document": " ".join(words),
                "summary": reference,
                "id": f"doc-{index}",
                "source": source,
            }
        )
    return rows


@pytest.fixture(scope="session")
def evaluate(tmp_path_factory, toy_model, toy_examples) -> Callable[..., tuple[Path, Path]]:
    """Runs TFX's Evaluator on toy models, one after the other; gives the last one's outputs.

    Each is compared with the latest that was blessed before it. A run is done once only.
    """
    done: dict[tuple[str, ...], tuple[Path, Path]] = {}

    def run(*manners: str) -> tuple[Path, Path]:
        if manners not in done:
            root = tmp_path_factory.mktemp("-".join(manners))
            for manner in manners:
                done[manners] = run_evaluator(
                    root,
                    EvaluationConfig(min_examples_per_slice=20, batch_size=16),
                    toy_examples,
                    toy_model(manner),
                )
        return done[manners]

    return run


def run_evaluator(
    root: Path, config: EvaluationConfig, examples: Path, model: Path
) -> tuple[Path, Path]:
    import tfx.v1 as tfx
    from tfx.orchestration import metadata

    from pipelines.evaluation.eval_config import EXTRACTORS_MODULE, eval_config

    artifacts = tfx.types.standard_artifacts
    imported_examples = tfx.dsl.Importer(
        source_uri=str(examples),
        artifact_type=artifacts.Examples,
        properties={"split_names": '["eval"]'},
    ).with_id("Examples")
    imported_model = tfx.dsl.Importer(
        source_uri=str(model), artifact_type=artifacts.Model
    ).with_id("Model")
    champion = tfx.dsl.Resolver(
        strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
        model=tfx.dsl.Channel(type=artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=artifacts.ModelBlessing),
    ).with_id("Champion")
    evaluator = tfx.components.Evaluator(
        examples=imported_examples.outputs["result"],
        model=imported_model.outputs["result"],
        baseline_model=champion.outputs["model"],
        example_splits=["eval"],
        eval_config=eval_config(config),
        module_path=EXTRACTORS_MODULE,
    )
    requirements = root / "requirements.txt"
    requirements.write_text("")
    tfx.orchestration.LocalDagRunner().run(
        tfx.dsl.Pipeline(
            pipeline_name="evaluation-test",
            pipeline_root=str(root / "artifacts"),
            metadata_connection_config=metadata.sqlite_metadata_connection_config(
                str(root / "metadata.sqlite")
            ),
            components=[imported_examples, imported_model, champion, evaluator],
            beam_pipeline_args=[
                "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
                f"--requirements_file={requirements}",
            ],
            enable_cache=False,
        )
    )
    outputs = root / "artifacts" / "Evaluator"
    evaluation, blessing = (
        max((outputs / key).iterdir(), key=lambda path: int(path.name))
        for key in ("evaluation", "blessing")
    )
    return evaluation, blessing
