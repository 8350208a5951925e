"""A loaded model's requests in batches: each gets what its rows alone give."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from serving.model_server.batch_scheduler import BatchScheduler
from serving.model_server.batching import Batching
from serving.model_server.batching_options import BatchingOptions
from serving.model_server.errors import ServingError
from serving.model_server.metrics import Metrics
from serving.model_server.model_batcher import ModelBatcher
from serving.model_server.run_plan import RunPlan
from serving.model_server.saved_model import LoadedModel, LoadOptions
from serving.protocol.statuses import Code

DEADLINE_S = 120.0
LONG_US = 60_000_000


class Odd(tf.Module):
    """Signatures whose outputs are no batch, and one that fails on some rows."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def total(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"total": tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def fixed(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"fixed": tf.zeros([3]) + tf.reduce_sum(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="x")])
    def number(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"number": tf.strings.to_number(x), "x": x}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32, name="x")])
    def width(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"width": tf.fill(tf.shape(x)[:1], tf.shape(x)[1])}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    path = tmp_path_factory.mktemp("odd") / "1"
    module = Odd()
    names = ("total", "fixed", "number", "width")
    tf.saved_model.save(module, str(path), {name: getattr(module, name) for name in names})
    return LoadedModel(path, LoadOptions())


@pytest.fixture(scope="module")
def metered(metered_base: Path) -> LoadedModel:
    return LoadedModel(metered_base / "7", LoadOptions())


class Asker:
    """Puts requests into batches of one model."""

    def __init__(
        self, model: LoadedModel, scheduler: BatchScheduler, options: BatchingOptions
    ) -> None:
        self.metrics = Metrics()
        self.runs: list[tuple[int, int]] = []
        self.may_compute = threading.Event()
        self.may_compute.set()
        self._model = model
        self._batcher = ModelBatcher(self._compute, scheduler, options, self.metrics)

    def _compute(
        self, plan: RunPlan, arrays: Sequence[np.ndarray], timeout_ms: int
    ) -> list[np.ndarray]:
        assert self.may_compute.wait(DEADLINE_S)
        self.runs.append((len(arrays[0]), timeout_ms))
        return self._model.compute(plan, arrays, timeout_ms)

    def ask(
        self,
        signature: str,
        inputs: dict[str, np.ndarray],
        output_filter: Sequence[str] = (),
        timeout_ms: int = 0,
    ) -> Callable[[], dict[str, np.ndarray]]:
        plan = self._model.plan(signature, inputs, output_filter)
        future: Future[Any] = self._batcher.submit(plan, plan.arrays(inputs), timeout_ms)
        return lambda: plan.named(future.result(DEADLINE_S))


@pytest.fixture
def scheduler() -> Iterator[BatchScheduler]:
    scheduler = BatchScheduler(2, "test")
    yield scheduler
    scheduler.stop()


def texts(*values: bytes) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def numbers(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def refusal(answer: Callable[[], object]) -> tuple[Code, str]:
    with pytest.raises(ServingError) as refused:
        answer()
    return refused.value.code, refused.value.message


def test_rows_get_what_they_alone_give(metered: LoadedModel, scheduler: BatchScheduler) -> None:
    sizes = (1, 4, 16, 64)
    asker = Asker(metered, scheduler, BatchingOptions(64, 2000, allowed_batch_sizes=sizes))
    generator = random.Random(20)
    words = ["one", "zwei", "trois", "\u56db", "\U0001f600", "", "a" * 300]
    answers = []
    asker.may_compute.clear()  # so that the others are there when the first are computed
    for _ in range(200):
        rows = [
            " ".join(generator.choices(words, k=generator.randrange(12))).encode()
            for _ in range(generator.randrange(1, 5))
        ]
        limits = np.array([generator.randrange(4) for _ in rows], np.int32)
        inputs = {"text": texts(*rows), "max_output_tokens": limits}
        answers.append((inputs, asker.ask("summarize", inputs)))
    asker.may_compute.set()
    for inputs, answer in answers:
        received = answer()
        for row, text in enumerate(inputs["text"]):
            limit = inputs["max_output_tokens"][row : row + 1]
            alone = metered.run("summarize", {"text": texts(text), "max_output_tokens": limit})
            assert {name: values[row] for name, values in received.items()} == {
                name: values[0] for name, values in alone.items()
            }
    computed = [rows for rows, _ in asker.runs]
    assert set(computed) <= set(sizes)
    assert max(computed) > 4
    page = asker.metrics.page()
    batching = ":tensorflow:serving:batching_session"
    assert f"{batching}:wrapped_run_count{{}} {len(computed)}\n" in page
    assert f"{batching}:processed_batch_size_count{{}} {len(computed)}\n" in page
    assert f"{batching}:processed_batch_size_sum{{}} {sum(computed)}\n" in page
    pool = 'thread_pool_name="model_server_batch_threads"'
    assert f"{batching}:queuing_latency_count{{{pool}}} 200\n" in page
    # TensorFlow Serving counts a request once for each of its inputs.
    assert f"{batching}:input_batch_size_count{{}} 400\n" in page


def test_padding_is_counted(odd: LoadedModel, scheduler: BatchScheduler) -> None:
    asker = Asker(odd, scheduler, BatchingOptions(8, allowed_batch_sizes=(4, 8)))
    assert asker.ask("number", {"x": texts(b"1")})()["number"].tolist() == [1]
    assert asker.runs == [(4, 0)]
    name = ":tensorflow:serving:batching_session:padding_size_sum"
    assert f'{name}{{execution_batch_size="4"}} 3\n' in asker.metrics.page()


def test_a_queue_for_each_set_of_tensors(odd: LoadedModel, scheduler: BatchScheduler) -> None:
    asker = Asker(odd, scheduler, BatchingOptions(2, LONG_US))
    both = [asker.ask("number", {"x": texts(b"1")}) for _ in range(2)]
    one = [asker.ask("number", {"x": texts(b"2")}, ["x"]) for _ in range(2)]
    assert [sorted(answer()) for answer in both] == [["number", "x"]] * 2
    assert [answer()["x"].tolist() for answer in one] == [[b"2"]] * 2
    assert [rows for rows, _ in asker.runs] == [2, 2]


def test_an_error_is_every_requests_of_the_batch(
    odd: LoadedModel, scheduler: BatchScheduler
) -> None:
    asker = Asker(odd, scheduler, BatchingOptions(2, LONG_US))
    good = asker.ask("number", {"x": texts(b"1")})
    bad = asker.ask("number", {"x": texts(b"one")})
    code, message = refusal(bad)
    assert code is Code.INVALID_ARGUMENT
    assert "StringToNumberOp could not correctly convert string: one" in message
    assert refusal(good) == (code, message)
    again = [asker.ask("number", {"x": texts(b"3")}) for _ in range(2)]
    assert [answer()["number"].tolist() for answer in again] == [[3], [3]]


def test_outputs_that_are_no_batch(odd: LoadedModel, scheduler: BatchScheduler) -> None:
    asker = Asker(odd, scheduler, BatchingOptions())
    assert refusal(asker.ask("total", {"x": numbers(1, 2)})) == (
        Code.FAILED_PRECONDITION,
        "Batched output tensor has 0 dimensions",
    )
    assert refusal(asker.ask("fixed", {"x": numbers(1, 2)})) == (
        Code.FAILED_PRECONDITION,
        "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
        "sizes of the input tensors",
    )


def test_inner_dimensions_that_differ(odd: LoadedModel, scheduler: BatchScheduler) -> None:
    inputs = [{"x": np.zeros([1, width], np.float32)} for width in (2, 5)]
    strict = Asker(odd, scheduler, BatchingOptions(2, LONG_US))
    answers = [strict.ask("width", each) for each in inputs]
    for answer in answers:
        code, message = refusal(answer)
        assert code is Code.FAILED_PRECONDITION
        assert "different tasks have different shapes and padding is turned off" in message
    padding = BatchingOptions(2, LONG_US, pad_variable_length_inputs=True)
    padded = Asker(odd, scheduler, padding)
    answers = [padded.ask("width", each) for each in inputs]
    assert [answer()["width"].tolist() for answer in answers] == [[5], [5]]


def test_a_request_that_waited_too_long(odd: LoadedModel, scheduler: BatchScheduler) -> None:
    asker = Asker(odd, scheduler, BatchingOptions(8, 300_000))
    late = asker.ask("number", {"x": texts(b"1")}, timeout_ms=100)
    assert refusal(late) == (
        Code.RESOURCE_EXHAUSTED,
        "Run() timeout exceeded while waiting in batching queue",
    )
    assert asker.runs == []


@pytest.mark.parametrize(
    ("timeouts_ms", "batchs_ms"), [((5000, 30_000), 30_000), ((5000, 0), 0), ((0, 0), 0)]
)
def test_a_batch_may_take_as_long_as_its_most_patient_request(
    odd: LoadedModel,
    scheduler: BatchScheduler,
    timeouts_ms: tuple[int, int],
    batchs_ms: int,
) -> None:
    asker = Asker(odd, scheduler, BatchingOptions(2, LONG_US))
    for answer in [
        asker.ask("number", {"x": texts(b"1")}, timeout_ms=each) for each in timeouts_ms
    ]:
        answer()
    assert asker.runs == [(2, batchs_ms)]


def test_a_model_may_say_how_it_is_batched(metered_base: Path, tmp_path: Path) -> None:
    batching = Batching(BatchingOptions(max_batch_size=3), True, Metrics())
    path = tmp_path / "7"
    path.symlink_to(metered_base / "7")
    model = LoadedModel(path, LoadOptions())
    batching.add(model)
    assert model.batcher is None  # its folder does not say
    own = tmp_path / "8"
    own.mkdir()
    for each in (metered_base / "7").iterdir():
        (own / each.name).symlink_to(each)
    (own / "batching_params.pbtxt").write_text("max_batch_size { value: 2 }")
    model = LoadedModel(own, LoadOptions())
    batching.add(model)
    assert model.batcher is not None
    inputs = {"text": texts(b"a", b"b", b"c")}
    plan = model.plan("", inputs)
    with pytest.raises(ServingError, match="larger than maximum input batch size 2"):
        model.batcher.submit(plan, plan.arrays(inputs), 0)
    (own / "batching_params.pbtxt").write_text("max_batch_size { value: -2 }")
    with pytest.raises(ServingError, match="max_batch_size must be positive; was -2"):
        batching.add(model)
    batching.stop()
