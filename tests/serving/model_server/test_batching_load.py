"""Many clients, texts of every length, a version swapped meanwhile: each row is its own."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.engines import RunningServer, ServerSpec
from serving.model_server.saved_model import LoadedModel, LoadOptions
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

PREDICT = "/v1/models/summarizer:predict"
CLIENTS = 32
DEADLINE_S = 120.0
SEED = 32
BATCHING = """
    max_batch_size { value: 64 }
    batch_timeout_micros { value: 10000 }
    max_enqueued_batches { value: 100 }
    allowed_batch_sizes: 1
    allowed_batch_sizes: 8
    allowed_batch_sizes: 64
"""
WORDS = ["one", "zwei", "\u56db", "\U0001f600", "a" * 200, "\u00e9", "\\n", '"']
COUNTS = ("input_tokens", "output_tokens", "total_tokens", "truncated_tokens")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Version 1, and next to it, ready to be moved in, 2."""
    from tests.support.metered_model import export_metered_model

    base = tmp_path_factory.mktemp("load") / "summarizer"
    export_metered_model(base / "1")
    export_metered_model(base.parent / "ready" / "2")
    return base


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[RunningServer]:
    folder = base.parent
    (folder / "batching").write_text(BATCHING)
    (folder / "monitoring").write_text('prometheus_config { enable: true path: "/m" }')
    flags = {
        "enable_batching": "true",
        "batching_parameters_file": str(folder / "batching"),
        "monitoring_config_file": str(folder / "monitoring"),
    }
    with WarmEngine().start(ServerSpec.single("summarizer", base, flags)) as server:
        server.wait_until_available(120)
        yield server


@pytest.fixture(scope="module")
def alone(base: Path) -> dict[str, dict[str, Any]]:
    """What each text gives by itself."""
    generator = random.Random(SEED)
    texts = [" ".join(generator.choices(WORDS, k=generator.randrange(14))) for _ in range(60)]
    model = LoadedModel(base / "1", LoadOptions())
    answers = {}
    for text in texts:
        array = np.empty(1, dtype=object)
        array[0] = text.encode()
        outputs = model.run("", {"text": array})
        answers[text] = {
            "summary": outputs["summary"][0].decode(),
            "finish_reason": outputs["finish_reason"][0].decode(),
            **{name: int(outputs[name][0]) for name in COUNTS},
        }
    model.close()
    return answers


class Client(threading.Thread):
    """Asks for a few texts at a time until it is told to stop."""

    def __init__(
        self, server: RunningServer, number: int, expected: dict[str, dict[str, Any]]
    ) -> None:
        super().__init__(name=f"client-{number}")
        self._server = server
        self._random = random.Random(number)
        self._expected = expected
        self._ask_all = self._by_rest if number % 2 else self._by_grpc
        self.stopping = threading.Event()
        self.answered = 0
        self.problems: list[str] = []

    def run(self) -> None:
        try:
            self._ask_all()
        except (httpx.HTTPError, grpc.RpcError) as error:
            self.problems.append(repr(error))

    def _texts(self) -> list[str]:
        return self._random.choices(list(self._expected), k=self._random.randrange(1, 5))

    def _check(self, texts: list[str], rows: list[dict[str, Any]]) -> None:
        if rows != [self._expected[text] for text in texts]:
            self.problems.append(f"{texts} gave {rows}")
        self.answered += 1

    def _by_rest(self) -> None:
        with httpx.Client(
            base_url=self._server.rest_url, timeout=DEADLINE_S, trust_env=False
        ) as http:
            while not self.stopping.is_set():
                texts = self._texts()
                answer = http.post(PREDICT, json={"instances": texts})
                answer.raise_for_status()
                self._check(texts, answer.json()["predictions"])

    def _by_grpc(self) -> None:
        with grpc.insecure_channel(self._server.grpc_address) as channel:
            stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
            while not self.stopping.is_set():
                texts = self._texts()
                request = predict_pb2.PredictRequest()
                request.model_spec.name = "summarizer"
                request.inputs["text"].CopyFrom(tf.make_tensor_proto(texts, dtype=tf.string))
                outputs = stub.Predict(request, timeout=DEADLINE_S).outputs
                values = {
                    name: [value.decode() for value in outputs[name].string_val]
                    for name in ("summary", "finish_reason")
                } | {name: list(outputs[name].int_val) for name in COUNTS}
                names = list(values)
                rows = zip(*values.values(), strict=True)
                self._check(texts, [dict(zip(names, row, strict=True)) for row in rows])


def states(http: httpx.Client) -> dict[str, str]:
    document = http.get("/v1/models/summarizer").json()
    return {each["version"]: each["state"] for each in document["model_version_status"]}


def histogram(http: httpx.Client, name: str) -> tuple[float, float]:
    """How many values it has seen, and their sum."""
    prefix = f":tensorflow:serving:batching_session:{name}"
    lines = dict(line.rsplit(" ", 1) for line in http.get("/m").text.splitlines())
    return float(lines[f"{prefix}_count{{}}"]), float(lines[f"{prefix}_sum{{}}"])


@pytest.mark.long
def test_every_row_is_its_own_while_a_version_is_swapped(
    server: RunningServer, base: Path, alone: dict[str, dict[str, Any]]
) -> None:
    clients = [Client(server, number, alone) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    with httpx.Client(base_url=server.rest_url, timeout=DEADLINE_S, trust_env=False) as http:
        try:
            wait_for_answers(clients, 10)
            (base.parent / "ready" / "2").rename(base / "2")
            wait_until(lambda: states(http) == {"1": "END", "2": "AVAILABLE"}, "the swap")
            wait_for_answers(clients, 10)
        finally:
            for client in clients:
                client.stopping.set()
            for client in clients:
                client.join(DEADLINE_S)
        assert [client.problems for client in clients] == [[]] * CLIENTS
        requests, rows = histogram(http, "input_batch_size")
        batches, _ = histogram(http, "processed_batch_size")
        assert requests == sum(client.answered for client in clients)
        assert requests <= rows
        assert batches < requests  # they were computed together


def wait_for_answers(clients: list[Client], each: int) -> None:
    """Return when every client has had so many more answers."""
    wanted = {client: client.answered + each for client in clients}

    def all_have() -> bool:
        assert not any(client.problems for client in clients), [c.problems for c in clients]
        return all(client.answered >= number for client, number in wanted.items())

    wait_until(all_have, "answers of every client")
