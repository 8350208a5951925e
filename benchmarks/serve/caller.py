"""The clients, as a worker: a separate process that calls servers over REST or gRPC."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import grpc
import numpy as np
import orjson
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from benchmarks.serve.closed_loop import Load, run_tasks
from benchmarks.serve.http_connection import HttpConnection
from benchmarks.serve.turn import report
from benchmarks.worker_loop import serve

_TIMEOUT_S = 120.0


class Connection(Protocol):
    """One client's connection to a server."""

    async def predict(self, texts: Sequence[str]) -> Mapping[str, Any]:
        """Every output, by name."""

    async def close(self) -> None: ...


class RestConnection:
    """REST, row format."""

    def __init__(self, address: str, model: str) -> None:
        host, port = address.split(":")
        self._http = HttpConnection(host, int(port))
        self._path = f"/v1/models/{model}:predict"

    async def predict(self, texts: Sequence[str]) -> dict[str, list[Any]]:
        body = orjson.dumps({"instances": texts})
        async with asyncio.timeout(_TIMEOUT_S):
            rows = orjson.loads(await self._http.post(self._path, body))["predictions"]
        return {name: [row[name] for row in rows] for name in rows[0]}

    async def close(self) -> None:
        await self._http.close()


class GrpcConnection:
    """gRPC, on a channel that shares no connection with another."""

    def __init__(self, address: str, model: str) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.aio.insecure_channel(address, options=options)
        stub = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._predict = stub.Predict
        self._model = model

    async def predict(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = self._model
        request.inputs["text"].CopyFrom(tf.make_tensor_proto(list(texts), dtype=tf.string))
        response = await self._predict(request, timeout=_TIMEOUT_S)
        return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}

    async def close(self) -> None:
        await self._channel.close()


PROTOCOLS: dict[str, Callable[[str, str], Connection]] = {
    "REST": RestConnection,
    "gRPC": GrpcConnection,
}


async def ask(
    connect: Callable[[], Connection], load: Load, texts: Sequence[str]
) -> dict[str, Any]:
    """Run a turn of clients that each have their own connection."""
    connections = [connect() for _ in range(load.clients)]
    calls = [connection.predict for connection in connections]
    # All have connected before the turn begins.
    firsts = await asyncio.gather(*(call(next(load.batches(texts))) for call in calls))
    before = time.process_time()
    spans = await run_tasks(calls, load, texts)
    processor_s = time.process_time() - before
    for connection in connections:
        await connection.close()
    return report(spans, load, processor_s, firsts[0])


def prepare() -> tuple[dict[str, Any], Callable[[Any], dict[str, Any]]]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--texts", type=Path, required=True)
    texts = json.loads(parser.parse_args().texts.read_text(encoding="utf-8"))
    runner = asyncio.Runner()

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        protocol, where = PROTOCOLS[request["protocol"]], (request["address"], request["model"])
        return runner.run(ask(lambda: protocol(*where), Load(**request["load"]), texts))

    return {}, answer


if __name__ == "__main__":
    serve(prepare)
