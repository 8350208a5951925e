"""run_fn from transformed examples to weights, killed and resumed too, and their export."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  (registers the ops of the SavedModel)

from pipelines.training.checkpoints import training_key
from pipelines.training.run import run_fn
from tests.pipelines.training.training_runs import (
    MODEL,
    TRAINING,
    TransformedCorpus,
    arguments,
    export,
    history,
    weights,
)
from tests.support.waiting import wait_until
from tests.support.warm_process import start_warm
from tokenizer.base import Tokenizer
from tokenizer.contract import BaseModelSpec
from tokenizer.loading import load_tokenizer

T5: Final = ({"dropout": 0.1}, {"steps": 60, "eval_every_steps": 15, "average_decay": 0.9})
BART: Final = ({"family": "bart"}, {"optimizer": "adamw", "learning_rate": 0.005})


@pytest.fixture(scope="module")
def t5(corpus: TransformedCorpus, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The arguments of a training that nothing has broken, of the family T5."""
    args = arguments(corpus, tmp_path_factory.mktemp("t5"), "1", *T5)
    run_fn(args)
    return args


@pytest.fixture(scope="module")
def bart(
    corpus: TransformedCorpus, tmp_path_factory: pytest.TempPathFactory
) -> SimpleNamespace:
    args = arguments(corpus, tmp_path_factory.mktemp("bart"), "1", *BART)
    run_fn(args)
    return args


# A BART is trained by `make test` in the run on the emulated cluster.
@pytest.fixture(scope="module", params=["t5", pytest.param("bart", marks=pytest.mark.long)])
def exported(
    request: pytest.FixtureRequest, corpus: TransformedCorpus
) -> tuple[SimpleNamespace, Tokenizer]:
    """A base model of each family, trained for a few steps."""
    args = request.getfixturevalue(request.param)
    args.base_model_dir = str(export(args, corpus))
    return args, load_tokenizer(corpus.tokenizer_dir)


def test_it_learns_and_leaves_no_checkpoints(
    exported: tuple[SimpleNamespace, Tokenizer],
) -> None:
    args, _ = exported
    rows = history(args)
    training = args.custom_config["training"]
    every, steps = training["eval_every_steps"], training["steps"]
    assert [row["step"] for row in rows] == list(range(every, steps + 1, every))
    assert rows[-1]["val_loss"] < rows[0]["val_loss"] < np.log(340)
    assert rows[-1]["examples"] == steps * training["batch_size"]
    assert all(row["examples_per_s"] > 0 for row in rows)
    assert list(Path(args.model_run_dir).glob("events.out.tfevents.*"))
    assert list(Path(args.custom_config["working_dir"]).iterdir()) == []


def test_the_model_says_what_it_is(exported: tuple[SimpleNamespace, Tokenizer]) -> None:
    args, tokenizer = exported
    assert BaseModelSpec.load(args.base_model_dir) == BaseModelSpec(
        model_family=args.custom_config["model"]["family"],
        tokenizer_kind="sentencepiece",
        tokenizer_fingerprint=tokenizer.fingerprint,
        vocabulary_size=tokenizer.vocabulary_size,
        pad_id=0,
        eos_id=1,
        max_input_tokens=40,
        max_output_tokens=24,
        task_prefix="Return ",
    )


def test_the_functions_of_a_base_model(exported: tuple[SimpleNamespace, Tokenizer]) -> None:
    args, tokenizer = exported
    loaded = tf.saved_model.load(args.base_model_dir)
    texts = ["Then the size of that file is returned.", "", "\u2603 snow " * 30]
    ids = loaded.tokenize(tf.constant(texts))
    assert ids.dtype == tf.int32
    assert ids.to_list() == [tokenizer.encode(text) for text in texts]

    read = ids[:, :40]
    length = tf.cast(read.row_lengths(), tf.int32)
    written = loaded.generate(read.to_tensor(), length, tf.constant([0, 3, 5])).numpy()
    assert written.dtype == np.int32
    assert (written[1] != 0).sum() <= 3
    assert (written[2] != 0).sum() <= 5
    rows = [[i for i in row if i > 1] for row in written.tolist()]
    summaries = loaded.detokenize(tf.ragged.constant(rows, tf.int32)).numpy()
    assert [each.decode() for each in summaries] == [tokenizer.decode(row) for row in rows]


def test_the_signature_answers_text(exported: tuple[SimpleNamespace, Tokenizer]) -> None:
    args, tokenizer = exported
    serve = tf.saved_model.load(args.base_model_dir).signatures["serving_default"]
    texts = ["Then the size of that file is returned.", "file " * 100, ""]
    answer = serve(text=tf.constant(texts))
    assert set(answer) == {"summary", "input_length", "output_ids"}
    lengths = [min(40, len(tokenizer.encode(text))) for text in texts]
    assert answer["input_length"].numpy().tolist() == lengths
    rows = answer["output_ids"].numpy().tolist()
    ended = [row[: row.index(1)] if 1 in row else [i for i in row if i] for row in rows]
    decoded = [tokenizer.decode(row) for row in ended]
    assert [each.decode() for each in answer["summary"].numpy()] == decoded
    none = serve(text=tf.constant([], tf.string))
    assert {name: value.shape[0] for name, value in none.items()} == dict.fromkeys(none, 0)


@pytest.mark.long
def test_a_killed_training_goes_on_where_it_was(
    t5: SimpleNamespace, corpus: TransformedCorpus, tmp_path: Path
) -> None:
    """Killed after its first checkpoint, it ends with the weights of an unbroken run."""
    killed = arguments(corpus, tmp_path, "1", *T5)
    log = tmp_path / "log"
    process = start_warm(
        "tests.pipelines.training.training_runs:run",
        [json.dumps(vars(killed))],
        tmp_path,
        os.environ,
        log,
        log,
    )
    first = Path(killed.model_run_dir) / "history.jsonl"
    wait_until(
        lambda: first.exists() and "\n" in first.read_text(),
        "a validation",
        lambda: process.exitcode,
    )
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not Path(killed.serving_model_dir).exists()

    resumed = arguments(corpus, tmp_path, "2", *T5)
    run_fn(resumed)
    keys = ("step", "examples", "train_loss", "val_loss")
    assert [[row[k] for k in keys] for row in history(resumed)] == [
        [pytest.approx(row[k], rel=1e-3) for k in keys] for row in history(t5)
    ]
    one, other = weights(t5), weights(resumed)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-3, atol=1e-3, err_msg=name)


def test_other_settings_do_not_go_on_with_it(corpus: TransformedCorpus, tmp_path: Path) -> None:
    parts = {"model": MODEL, "training": TRAINING}
    key = training_key(parts, corpus.train_files)
    assert key == training_key(json.loads(json.dumps(parts)), corpus.train_files)
    assert key != training_key(parts | {"training": TRAINING | {"seed": 3}}, corpus.train_files)
    assert key != training_key(parts, corpus.eval_files)
    copy = tmp_path / "elsewhere.gz"
    copy.write_bytes(Path(corpus.train_files[0]).read_bytes())
    assert key == training_key(parts, [str(copy)])


def test_missing_examples_are_named(corpus: TransformedCorpus, tmp_path: Path) -> None:
    args = arguments(corpus, tmp_path, "1")
    args.eval_files = [str(tmp_path / "nothing-*")]
    with pytest.raises(ValueError, match=r"eval split.*nothing-\*"):
        run_fn(args)
