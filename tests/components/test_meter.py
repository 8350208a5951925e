from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2
from tfx import types
from tfx.dsl.components.base.base_executor import BaseExecutor
from tfx.types.standard_artifacts import Examples, Model

from components.example_records import ExampleError
from components.meter.component import Meter
from components.meter.executor import Executor, MeterError
from tests.components.fixture_artifacts import meter, model_artifact_in
from tests.components.fixture_base_model import FixtureBaseModel, base_spec, save_base_model
from tests.components.fixture_examples import ROWS, SPLITS, make_examples
from tokenizer.contract import BaseModelSpec, ContractError, MeteredSummary, MeteringRecord
from tokenizer.hard_texts import FIXED_HARD_TEXTS
from tokenizer.sentencepiece_tokenizer import SentencePieceTokenizer

# Answers to two documents, to no text and to a short one.
GOLDEN = [
    MeteredSummary("\ufffd" * 9, 24, 9, 33, 42, "length"),
    MeteredSummary("\ufffd" * 4, 24, 4, 28, 42, "stop"),
    MeteredSummary("", 0, 0, 0, 0, "stop"),
    MeteredSummary("7>ELSZaho", 4, 9, 13, 0, "length"),
]
PROPERTIES = {
    "model_name": "summarizer",
    "warmup_documents": 2,
    "warmup_ids": 2_000,
    "spans": "[]",
}


def directory_of(model: Model) -> Path:
    return Path(model.uri) / "Format-Serving"


@pytest.fixture(scope="module")
def signatures(metered_model: Model) -> Iterator[Any]:
    loaded = tf.saved_model.load(str(directory_of(metered_model)))
    yield loaded.signatures
    del loaded  # signatures hold their model by a weak reference only


def rows_of(answer: dict[str, tf.Tensor]) -> list[MeteredSummary]:
    columns = {name: value.numpy().tolist() for name, value in answer.items()}
    for name in ("summary", "finish_reason"):
        columns[name] = [value.decode("utf-8") for value in columns[name]]
    return [
        MeteredSummary.from_row(dict(zip(columns, row, strict=True)))
        for row in zip(*columns.values(), strict=True)
    ]


def test_the_signatures_are_those_of_the_contract(signatures: Any) -> None:
    text = tf.TensorSpec([None], tf.string, "text")
    limit = tf.TensorSpec([None], tf.int32, "max_output_tokens")
    six = {
        "summary": tf.string,
        "input_tokens": tf.int32,
        "output_tokens": tf.int32,
        "total_tokens": tf.int32,
        "truncated_tokens": tf.int32,
        "finish_reason": tf.string,
    }
    two = {name: six[name] for name in ("input_tokens", "truncated_tokens")}
    for name, inputs, outputs in (
        ("serving_default", {"text": text}, six),
        ("summarize", {"text": text, "max_output_tokens": limit}, six),
        ("count_tokens", {"text": text}, two),
    ):
        assert signatures[name].structured_input_signature == ((), inputs)
        assert {
            key: (value.dtype, value.shape.as_list())
            for key, value in signatures[name].structured_outputs.items()
        } == {key: (dtype, [None]) for key, dtype in outputs.items()}
    assert set(signatures) == {"serving_default", "summarize", "count_tokens"}


def test_golden_answer(signatures: Any) -> None:
    text = tf.constant([ROWS[0][0], ROWS[9][0], "", "This call"])
    assert rows_of(signatures["serving_default"](text)) == GOLDEN


def test_the_summary_is_the_base_models(signatures: Any, base_model: Model) -> None:
    base = tf.saved_model.load(str(directory_of(base_model)))
    text = tf.constant([row[0] for row in ROWS])
    expected = base.signatures["serving_default"](text=text)
    rows = rows_of(signatures["serving_default"](text=text))
    assert [row.summary.encode() for row in rows] == expected["summary"].numpy().tolist()
    assert [row.input_tokens for row in rows] == expected["input_length"].numpy().tolist()
    assert {row.finish_reason for row in rows} == {"stop", "length"}


def test_each_row_has_a_limit_of_its_own(signatures: Any) -> None:
    texts = [document for document, _ in ROWS[:10]]
    free = rows_of(signatures["serving_default"](tf.constant(texts)))
    limits = [0, 1, 2, 3, 4, 5, 8, 9, 10, 2**31 - 1]
    rows = rows_of(
        signatures["summarize"](
            text=tf.constant(texts), max_output_tokens=tf.constant(limits, tf.int32)
        )
    )
    for row, unlimited, limit in zip(rows, free, limits, strict=True):
        assert row.output_tokens == min(unlimited.output_tokens, limit or 9)
        # EOS is itself a step: a row stops only if its limit leaves room for that step.
        has_room = not limit or unlimited.output_tokens < limit
        stops = unlimited.finish_reason == "stop" and has_room
        assert row.finish_reason == ("stop" if stops else "length")
        assert row.input_tokens == unlimited.input_tokens


def test_hard_texts_have_the_tokenizers_counts(
    signatures: Any, tokenizer: SentencePieceTokenizer
) -> None:
    texts = list(FIXED_HARD_TEXTS.values())
    rows = rows_of(signatures["serving_default"](tf.constant(texts)))
    counts = [row.input_tokens + row.truncated_tokens for row in rows]
    assert counts == [tokenizer.count(text) for text in texts]


def test_the_record_says_how_counts_came_about(
    metered_model: Model, tokenizer: SentencePieceTokenizer
) -> None:
    assert MeteringRecord.load(directory_of(metered_model)) == MeteringRecord(
        contract_version=1,
        model_family="t5",
        tokenizer_kind="sentencepiece",
        tokenizer_fingerprint=tokenizer.fingerprint,
        vocabulary_size=tokenizer.vocabulary_size,
        max_input_tokens=24,
        max_output_tokens=9,
        task_prefix="",
        pipeline_run="",
        spans=(3,),
        code_version="0123456789abcdef",
    )


def test_what_the_base_model_keeps_beside_its_graph_is_kept(
    metered_model: Model, base_model: Model
) -> None:
    extra = directory_of(metered_model) / "assets.extra"
    assert (extra / "notes.txt").read_text() == "kept"
    expected = (directory_of(base_model) / "assets.extra" / "base.json").read_bytes()
    assert (extra / "base.json").read_bytes() == expected


def test_the_warm_up_requests_are_real_texts_for_every_signature(
    metered_model: Model, signatures: Any
) -> None:
    path = directory_of(metered_model) / "assets.extra" / "tf_serving_warmup_requests"
    sizes: dict[str, list[int]] = {}
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        assert request.model_spec.name == "summarizer"
        signature = request.model_spec.signature_name
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        expected = [document.encode() for document, _ in SPLITS["eval"]]
        assert inputs["text"].tolist() == expected[: len(inputs["text"])]
        sizes.setdefault(signature, []).append(len(inputs["text"]))
        signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
    assert sizes == {
        "serving_default": [1, 2, 4, 5],
        "summarize": [1, 2, 4, 5],
        "count_tokens": [1, 2, 4, 5],
    }


def test_a_compiled_model_is_warmed_up_in_every_shape(
    base_model: Model, examples: Examples, signatures: Any, tmp_path: Path
) -> None:
    compiled = model_artifact_in(tmp_path / "base")
    shutil.copytree(base_model.uri, compiled.uri)
    rows, widths, added = (1, 3), (8, 16, 27), 3
    spec = BaseModelSpec.load(directory_of(compiled))
    assert widths[-1] == spec.max_input_tokens + added
    replace(spec, xla_rows=rows, xla_widths=widths).save(directory_of(compiled))
    metered = directory_of(meter(compiled, examples, tmp_path / "metered"))
    record = MeteringRecord.load(metered)
    assert (record.xla_rows, record.xla_widths) == (rows, widths)
    warmed = set()
    path = metered / "assets.extra" / "tf_serving_warmup_requests"
    for written in tf.data.TFRecordDataset(str(path)).take(6).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(written).predict_log.request
        assert request.model_spec.signature_name == "summarize"
        texts = tf.make_ndarray(request.inputs["text"])
        assert set(tf.make_ndarray(request.inputs["max_output_tokens"])) == {1}
        read = int(signatures["count_tokens"](tf.constant(texts))["input_tokens"][0])
        warmed.add((len(texts), next(width for width in widths if read + added <= width)))
    assert warmed == {(count, width) for count in rows for width in widths}


def test_a_fresh_process_needs_tensorflow_and_tf_text_only(metered_model: Model) -> None:
    code = (
        "import sys, tensorflow as tf, tensorflow_text\n"
        f"model = tf.saved_model.load({str(directory_of(metered_model))!r})\n"
        "answer = model.signatures['serving_default'](tf.constant(['This call']))\n"
        "print(answer['total_tokens'].numpy().tolist())\n"
        "names = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(names & {'tfx', 'tokenizer', 'components', 'sentencepiece'}))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert answer.stdout.splitlines() == [f"[{GOLDEN[3].total_tokens}]", "[]"]


def test_the_same_inputs_give_the_same_record_and_warm_up(
    base_model: Model, metered_model: Model, examples: Examples, tmp_path: Path
) -> None:
    again = meter(base_model, examples, tmp_path)
    for name in ("metering.json", "tf_serving_warmup_requests"):
        first, second = (
            (directory_of(model) / "assets.extra" / name).read_bytes()
            for model in (metered_model, again)
        )
        assert first == second


def test_the_run_is_recorded_but_is_no_parameter(
    base_model: Model, examples: Examples, tmp_path: Path
) -> None:
    context = BaseExecutor.Context(pipeline_run_id="2026-01-02T03:04")
    output = model_artifact_in(tmp_path)
    Executor(context).Do(
        {"model": [base_model], "examples": [examples]},
        {"metered_model": [output]},
        {**PROPERTIES, "spans": "[7, 8]"},
    )
    record = MeteringRecord.load(directory_of(output))
    assert (record.pipeline_run, record.spans) == ("2026-01-02T03:04", (7, 8))
    component = Meter(
        types.Channel(type=Model), types.Channel(type=Examples), "summarizer", spans=(7, 8)
    )
    assert component.exec_properties == {
        "model_name": "summarizer",
        "warmup_documents": 4,
        "warmup_ids": 2_000,
        "spans": "[7, 8]",
        "code_version": "",
    }


def test_a_model_without_base_functions_is_refused(
    tokenizer: SentencePieceTokenizer, examples: Examples, tmp_path: Path
) -> None:
    class NoGenerate(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
            return text

        serving_default = tokenize

    save_base_model(NoGenerate(), tokenizer, tmp_path / "base" / "Format-Serving")
    with pytest.raises(MeterError, match=r"lacks generate, detokenize\. Expected: a base"):
        meter(model_artifact_in(tmp_path / "base"), examples, tmp_path / "out")


def test_a_model_that_does_not_describe_itself_is_refused(
    tokenizer: SentencePieceTokenizer, examples: Examples, tmp_path: Path
) -> None:
    directory = tmp_path / "base" / "Format-Serving"
    save_base_model(FixtureBaseModel(tokenizer), tokenizer, directory)
    (directory / "assets.extra" / "base.json").unlink()
    with pytest.raises(ContractError, match=r"base\.json does not exist"):
        meter(model_artifact_in(tmp_path / "base"), examples, tmp_path / "out")


@pytest.mark.parametrize(
    ("splits", "error", "message"),
    [
        ({"train": ROWS}, ExampleError, "no split 'eval'"),
        ({"train": ROWS, "eval": []}, MeterError, "no texts for warm-up requests"),
    ],
)
def test_examples_without_a_warm_up_text_are_an_error(
    base_model: Model,
    tmp_path: Path,
    splits: dict[str, list[tuple[str, str]]],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        meter(base_model, make_examples(tmp_path / "examples", splits), tmp_path / "out")


def test_the_fixture_keeps_the_base_contract(
    base_model: Model, tokenizer: SentencePieceTokenizer
) -> None:
    loaded = tf.saved_model.load(str(directory_of(base_model)))
    assert loaded.generate(
        tf.zeros([0, 0], tf.int32), tf.zeros([0], tf.int32), tf.zeros([0], tf.int32)
    ).shape == (0, 0)
    written = (directory_of(base_model) / "assets.extra" / "base.json").read_text()
    assert json.loads(written) == json.loads(json.dumps(asdict(base_spec(tokenizer))))
