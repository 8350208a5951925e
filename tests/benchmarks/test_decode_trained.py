"""The decode benchmark on a trained model: weights for every engine, turns, and the page."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.decode import drafts
from benchmarks.decode.cases import Rows, shape_of
from benchmarks.decode.engine_loop import up_to_eos
from benchmarks.decode.engines import Engine
from benchmarks.decode.hugging_face_folder import t5_config, write_t5
from benchmarks.decode.pages import write_pages
from benchmarks.decode.pushed_version import open_pushed
from benchmarks.decode.results import Results
from benchmarks.decode.subject import load_keras_model
from benchmarks.decode.trained import measure_version
from benchmarks.decode.trained_measuring import batches_of, copied_share, measure_batches
from benchmarks.decode.trained_page import render_trained
from benchmarks.decode.trained_results import Batches, Summarised, TrainedResults
from benchmarks.decode.trained_sections import DEMO, EXTRACTS
from benchmarks.environment import machine
from benchmarks.worker import Worker
from pipelines.checkpoints import hugging_face_t5
from pipelines.checkpoints.safetensors_folder import SafetensorsFolder
from pipelines.models.architecture import Architecture
from pipelines.models.decoding import Decoder
from pipelines.models.families import build_model, serving_graph
from tests.pipelines.edge.versions import plain_version
from tests.pipelines.models.random_models import random_model, small

# Writes a row's first ids back and EOS. It fails with more rows than it is told, and writes
# another id in the call that it is told.
ENGINE = """
import sys
sys.path.insert(0, ".")
from benchmarks.worker_loop import serve
name, seconds, most, changes, log = sys.argv[1:]
calls = 0
def answer(request):
    global calls
    calls += 1
    with open(log, "a") as notes:
        notes.write(name)
    if len(request["rows"]) > int(most):
        raise ValueError("one row only")
    ids = [row[: request["ids_out"] - 1] + [1] for row in request["rows"]]
    if calls == int(changes):
        ids[0][0] = 99
    return {"seconds": float(seconds), "ids": ids}
serve(lambda: ({"about": name}, answer))
"""


def measured(
    tmp_path: Path, batches: list[list[list[int]]], **engines: tuple[float, int, int]
) -> tuple[Batches, str]:
    """Measure engines of (seconds, most rows, call with another answer); and who ran."""
    log = tmp_path / "turns"
    log.unlink(missing_ok=True)
    with ExitStack() as stack:
        workers = {}
        for name, settings in engines.items():
            command = [sys.executable, "-c", ENGINE, name, *map(str, settings), str(log)]
            worker = Worker(name, command, tmp_path / f"{name}.log")
            workers[name] = stack.enter_context(closing(worker))
        return measure_batches(workers, batches, 3), log.read_text()


def test_engines_take_turns_at_every_batch(tmp_path: Path) -> None:
    batches = [[[5, 6, 7, 1]], [[8, 1]], [[9, 9, 9, 9, 9, 1]]]
    engines = {"tallygraph": (0.5, 1, 0), "b": (0.25, 1, 0)}
    found, order = measured(tmp_path, batches, **engines)
    assert order.replace("tallygraph", "t") == "tb" + "bt" + "tb" + "tb" + "bt" + "tb"
    assert (found.rows, found.count, found.ids_in) == (1, 3, 4.0)
    assert found.ids_out == (3 + 3 + 3) / 3
    assert found.copied is None  # no summary of four ids
    assert found.engines == {
        "tallygraph": Summarised((0.5, 0.5, 0.5), 3),
        "b": Summarised((0.25, 0.25, 0.25), 3),
    }


def test_rows_are_compared_as_a_whole_and_failures_are_told(tmp_path: Path) -> None:
    batches = [[[5, 6, 7, 1], [5, 1]]]
    found, _ = measured(tmp_path, batches, tallygraph=(0.5, 2, 0), b=(0.5, 1, 0), c=(1, 2, 2))
    assert found.engines["tallygraph"].equal_rows == 2
    assert found.engines["b"] == Summarised(failure="ValueError: one row only")
    assert found.engines["c"].failure == "gave another answer to the same input"
    found, _ = measured(tmp_path, batches * 2, b=(0.5, 2, 0), tallygraph=(0.5, 1, 0))
    assert found.engines["b"] == Summarised((0.5, 0.5), None)
    assert found.ids_out is None


def test_what_is_copied_is_found_in_the_own_document() -> None:
    documents = [[5, 6, 7, 8, 9, 1], [8, 8, 8, 8, 1]]
    assert copied_share(documents, [[6, 7, 8, 9, 1], [8, 8, 8, 8, 8, 2, 1]]) == 4 / 6
    assert copied_share(documents, [[8, 8, 8, 8, 1], [6, 7, 8, 9]]) == 0
    assert copied_share(documents, [[1], [8, 8, 8]]) is None


def test_only_full_batches_are_measured() -> None:
    rows = [[each] for each in range(7)]
    assert batches_of(rows, 3, 9) == [[[0], [1], [2]], [[3], [4], [5]]]
    assert batches_of(rows, 1, 2) == [[[0]], [[1]]]
    with pytest.raises(SystemExit, match=r"Expected: 8 or more. Received: 7"):
        batches_of(rows, 8, 1)


def test_what_is_behind_eos_does_not_count() -> None:
    assert up_to_eos([4, 1, 0, 1], 1) == [4, 1]
    assert up_to_eos(np.array([4, 5]), 1) == [4, 5]
    assert up_to_eos([], 1) == []
    rows = Rows.of([[4, 1], [5, 6, 1]], 0)
    assert rows.ids.tolist() == [[4, 1, 0], [5, 6, 1]]
    assert rows.length.tolist() == [2, 3]


@pytest.mark.long
@pytest.mark.parametrize(
    "changes",
    [
        {},
        pytest.param(
            {"gated": True, "activation": "gelu_new", "d_kv": 16, "num_decoder_layers": 1},
            marks=pytest.mark.long,
        ),
    ],
    ids=["plain", "gated"],
)
def test_a_hugging_face_folder_holds_the_same_weights(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    architecture = small("t5", **changes)
    model = random_model(architecture)
    write_t5(model, architecture, tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    description, tensors = hugging_face_t5.describe(settings, SafetensorsFolder(tmp_path))
    other = build_model(architecture)
    tensors.start()
    hugging_face_t5.load(other, description, tensors)
    assert not tensors.unused()
    for own, read in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(own.numpy(), read.numpy(), err_msg=own.path)
    for name in ("d_model", "head_dim", "d_ff", "activation", "gated", "tied", "eos_id"):
        assert getattr(description, name) == getattr(architecture, name), name


def test_a_model_that_transformers_would_read_as_another_is_refused() -> None:
    for changes, why in (
        ({"family": "bart"}, "the family bart"),
        ({"tied": False}, "an output layer of its own"),
        ({"gated": True, "activation": "gelu"}, "a feed-forward of gated gelu"),
    ):
        values: dict[str, Any] = {"family": "t5"} | changes
        with pytest.raises(SystemExit, match=f"Received: a model with {why}. Measure another"):
            t5_config(small(**values))


@pytest.mark.long
def test_our_engines_write_the_version_s_greedy_ids(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    version = plain_version("t5", tmp_path_factory)
    texts = ["one", "one two three four five six", "two " * 40, "three two one"]
    lines = "\n".join(json.dumps({"document": text}) for text in texts)
    (tmp_path / "eval.jsonl").write_text(lines, encoding="utf-8")
    engines = [
        Engine("tallygraph", "engine_tallygraph", "default-0"),
        Engine("tallygraph, 2 drafts", "engine_tallygraph", "default-2"),
        Engine("a broken one", "engine_of_nobody"),
    ]
    found = measure_version(
        version,
        tmp_path,
        engines,
        directory=tmp_path / "build",
        peers=Path(sys.executable),
        threads=1,
        batches={1: 4, 2: 2},
    )
    written = greedy_ids(version, texts)
    assert len(set(map(tuple, written))) > 1
    for batches in found.batches:
        assert batches.ids_out == sum(map(len, written)) / len(written)
        for name in ("tallygraph", "tallygraph, 2 drafts"):
            engine = batches.engines[name]
            assert (engine.equal_rows, engine.failure) == (4, "")
            assert len(engine.seconds) == batches.count
        assert "No module named" in batches.engines["a broken one"].failure
    assert found.no_repeat_ngram_size == 3
    assert "no_repeat_ngram_size" not in found.decoding
    assert found.engines["tallygraph, 2 drafts"].startswith(
        "tallygraph, the default export with draft_tokens = 2, in a session of TensorFlow"
    )
    shape = shape_of(str(tmp_path / "build" / "shape.json"))
    assert (shape.name, shape.config) == (f"version {version.name}", found.model)


def greedy_ids(version: Path, texts: list[str]) -> list[list[int]]:
    """What the version's weights write greedily, each text alone."""
    checkpoint, architecture = open_pushed(version)
    assert architecture.prefix_ids
    model = load_keras_model(checkpoint, architecture)
    decoder = Decoder(serving_graph(model, architecture), architecture)
    rows = [
        checkpoint.tokenizer.encode(text)[: architecture.max_input_tokens] for text in texts
    ]
    answers = (
        decoder.generate(np.array([row]), np.array([len(row)]), np.array([0])).numpy()[0]
        for row in rows
    )
    return [up_to_eos(answer, architecture.eos_id) for answer in answers]


def results(architecture: Architecture) -> TrainedResults:
    alone = {
        "tallygraph": Summarised((0.010, 0.020, 0.030), 3),
        "tallygraph, 3 drafts": Summarised((0.005, 0.010, 0.010), 3),
        "tallygraph int8": Summarised((0.005, 0.005, 0.005), 2),
        "tallygraph int8, 3 drafts": Summarised((0.004, 0.004, 0.004), 2),
        "transformers": Summarised((0.020, 0.040, 0.090), 3),
        "CTranslate2 int8": Summarised((0.010, 0.010, 0.010), 1),
        "transformers, prompt lookup": Summarised((0.010, 0.010, 0.010), 3),
    }
    failed = Summarised(failure="ValueError: one row only")
    together = {**alone, "transformers, prompt lookup": failed}
    return TrainedResults(
        name="version 17",
        family="t5",
        model=t5_config(architecture),
        weights=1_234_567,
        max_input_tokens=40,
        max_output_tokens=12,
        no_repeat_ngram_size=3,
        decoding={"num_beams": 2},
        machine=machine(),
        threads=2,
        busy=0.02,
        engines={name: f"{name}, of a release" for name in alone},
        batches=(
            Batches(1, 3, 20.5, 7.25, 0.875, alone),
            Batches(8, 3, 20.5, None, None, together),
        ),
    )


def test_the_page_tells_of_the_model_and_of_all_engines(tmp_path: Path) -> None:
    page = render_trained(results(small("t5")), EXTRACTS)
    joined = page.replace("\n", " ")
    assert "Version 17, a T5 with 2 layers in the encoder and 2 in the decoder" in joined
    assert "width 24 with 3 heads and a feed-forward of 48; 64 ids; 1.2 million" in joined
    assert "and decode greedily, with `no_repeat_ngram_size = 3`." in joined
    assert "decodes with `num_beams = 2`: here nothing of that holds" in joined
    assert "1 row: 20.5 ids in and 7.2 out, 88% of which are copied; 8 rows: " in joined
    assert "8 rows: 20.5 ids in, special ids" in joined
    assert page.startswith("## A trained model that copies\n")
    assert "To measure again, `make bench-extracts`.\n" in page
    assert "| tallygraph | 20.0 (28.0) | 20.0 (28.0) | 100.0% | 12.5% |" in page
    assert "| tallygraph, faster than transformers | 2.00 | 2.00 |" in page
    lookup = "tallygraph, 3 drafts, faster than transformers, prompt lookup"
    assert f"| {lookup} | 1.00 | failed |" in page
    assert "| tallygraph int8, faster than CTranslate2 int8 | 2.00 | 2.00 |" in page
    drafted = "tallygraph int8, 3 drafts, faster than"
    assert f"| {drafted} tallygraph int8 | 1.25 | 1.25 |" in page
    assert f"| {drafted} CTranslate2 int8 | 2.50 | 2.50 |" in page
    assert "- transformers, prompt lookup, 8 rows: ValueError: one row only\n" in page
    many = results(small("t5"))
    seconds = tuple(0.01 + each / 1000 for each in range(9))
    twice = tuple(2 * each for each in seconds)
    engines = {"tallygraph": Summarised(seconds, 9), "transformers": Summarised(twice, 9)}
    one = Batches(1, 9, 4.0, 4.0, None, engines)
    many = replace(many, engines=dict.fromkeys(engines, "it"), batches=(one,))
    assert "than transformers | 2.00 (2.00-2.00) |" in render_trained(many, DEMO)


def test_results_are_kept_and_rendered_again(tmp_path: Path) -> None:
    path = tmp_path / "decode-trained.json"
    assert TrainedResults.load(path) is None
    own = results(small("t5"))
    own.save(path)
    kept = TrainedResults.load(path)
    assert kept == own
    write_pages(tmp_path, Results(), {DEMO: kept, EXTRACTS: None})
    page = (tmp_path / "decode.md").read_text()
    assert page == render_trained(own, DEMO)
    write_pages(tmp_path, Results(), {DEMO: kept, EXTRACTS: kept})
    page = (tmp_path / "decode.md").read_text()
    assert page == f"{render_trained(own, DEMO)}\n{render_trained(own, EXTRACTS)}"
    path.write_text(path.read_text().replace('"busy"', '"idle"'))
    with pytest.raises(ValueError, match="not as this release writes it"):
        TrainedResults.load(path)


@pytest.mark.parametrize("arguments", [[], ["version"], ["--shape", "t5-small", "v", "corpus"]])
def test_drafts_are_measured_on_a_version_or_a_shape(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["drafts", *arguments])
    with pytest.raises(SystemExit, match="2"):
        drafts.main()
    assert "expected: VERSION and CORPUS, or --shape" in capsys.readouterr().err
