"""Starts a server on the pushed layout and compares its outputs with the model's own."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from tensorflow_serving.apis import predict_pb2

from components.serving_validator.reference import InProcessModel, columns_of, differences
from components.serving_validator.report import Mismatch, Report
from serving.client import ClientError, GrpcClient, Signature
from serving.engines import (
    XLA_FLAGS,
    CompiledVersions,
    Engine,
    EngineError,
    RunningServer,
    ServerSpec,
)
from serving.model_server.errors import ServingError
from serving.model_server.warmup import read_warmup_requests
from serving.protocol.exchange import Connection, Target
from serving.protocol.grpc_sync import GrpcConnection
from serving.protocol.http_sync import HttpConnection
from tokenizer import contract

_FULL_OUTPUTS = dict(contract.OUTPUT_DTYPES)
_COUNT_OUTPUTS = {name: contract.OUTPUT_DTYPES[name] for name in contract.COUNT_OUTPUTS}
_TEXT = {contract.INPUT_TEXT: "string"}
EXPECTED_SIGNATURES = {
    contract.SIGNATURE_DEFAULT: Signature(_TEXT, _FULL_OUTPUTS),
    contract.SIGNATURE_SUMMARIZE: Signature(
        {**_TEXT, contract.INPUT_MAX_OUTPUT_TOKENS: "int32"}, _FULL_OUTPUTS
    ),
    contract.SIGNATURE_COUNT_TOKENS: Signature(_TEXT, _COUNT_OUTPUTS),
}


class _NotBlessedError(Exception):
    """Why the model fails; the message is the report's reason."""


def validate_model(
    model_path: Path, model_name: str, engine: Engine, timeout_s: float, xla: bool = False
) -> Report:
    """Test a SavedModel on a model server.

    Args:
      model_path: the SavedModel's folder.
      model_name: the name to serve it under.
      timeout_s: longest wait for AVAILABLE, and for each response.
      xla: start the server with ``--xla_cpu_compilation_enabled=true``.

    Returns:
      The verdict. Whatever is wrong with the model is a reason, not an exception.
    """
    report = Report(engine.name, engine.description, model_name)
    with tempfile.TemporaryDirectory(prefix="serving-validator-") as folder:
        base_path = Path(folder) / model_name
        try:
            _lay_out(model_path, base_path / "1")
            _validate(base_path, engine, timeout_s, XLA_FLAGS if xla else {}, report)
        except _NotBlessedError as problem:
            report.reason = str(problem)
        else:
            report.blessed = True
            report.reason = (
                f"{engine.description} returned the same as the model itself for "
                f"{report.requests} warm-up requests ({report.rows} rows)."
            )
    return report


def _lay_out(model_path: Path, version_path: Path) -> None:
    """Put a model where a server looks for it; linked, as it may be large."""
    if not (model_path / "saved_model.pb").is_file():
        raise _NotBlessedError(f"{model_path} has no saved_model.pb: it is not a SavedModel.")
    shutil.copytree(model_path, version_path, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)


def _validate(
    base_path: Path,
    engine: Engine,
    timeout_s: float,
    server_flags: Mapping[str, str],
    report: Report,
) -> None:
    # A model that cannot be loaded now cannot be loaded in a minute either.
    flags = {
        "max_num_load_retries": "0",
        "rest_api_timeout_in_ms": str(int(timeout_s * 1000)),
        **server_flags,
    }
    spec = ServerSpec.single(report.model_name, base_path, flags)
    started = time.monotonic()
    with engine.start(spec) as server:
        try:
            server.wait_until_available(CompiledVersions.of(base_path).patience_s(timeout_s))
        except EngineError as error:
            report.server_log = server.logs()
            took_too_long = server.exit_status() is None
            more = " A slow machine needs more time: raise serving.validate_timeout_s."
            raise _NotBlessedError(f"{error}{more if took_too_long else ''}") from error
        report.startup_s = round(time.monotonic() - started, 3)
        _check_signatures(server, report.model_name, timeout_s)
        _replay(server, base_path / "1", timeout_s, report)


def _check_signatures(server: RunningServer, model_name: str, timeout_s: float) -> None:
    try:
        with GrpcClient(server.grpc_address, model_name, timeout_s=timeout_s) as client:
            served = client.metadata().signatures
    except ClientError as error:
        raise _NotBlessedError(
            f"The server did not return the metadata of the model that it serves: {error}"
        ) from error
    problems = []
    for name, expected in EXPECTED_SIGNATURES.items():
        if name not in served:
            problems.append(f"it has no signature {name}")
            continue
        for kind in ("inputs", "outputs"):
            wanted, received = getattr(expected, kind), getattr(served[name], kind)
            if wanted != received:
                problems.append(
                    f"{kind} of {name}: expected {dict(wanted)}, received {dict(received)}"
                )
    if problems:
        raise _NotBlessedError(
            f"The model does not follow the counting contract: {'; '.join(problems)}."
        )


def _replay(server: RunningServer, path: Path, timeout_s: float, report: Report) -> None:
    try:
        requests = list(read_warmup_requests(path))
    except ServingError as error:
        raise _NotBlessedError(f"The warm-up requests cannot be read: {error}") from error
    if not requests:
        raise _NotBlessedError(
            f"The model has no warm-up requests ({contract.WARMUP_FILE}), so there is "
            "nothing to compare."
        )
    try:
        model = InProcessModel(path)
    except Exception as error:  # whatever TensorFlow makes of a broken model
        raise _NotBlessedError(
            f"The model cannot be loaded in this process: {error}"
        ) from error
    report.mismatches.extend(_compare_all(server, model, requests, timeout_s, report))
    if report.mismatches:
        status = server.exit_status()
        died = "" if status is None else f" The server ended with status {status}."
        report.server_log = "" if status is None else server.logs()
        raise _NotBlessedError(
            f"{len(report.mismatches)} outputs of the server differ from the model's "
            f"own.{died} The first: {report.mismatches[0]}"
        )


def _compare_all(
    server: RunningServer,
    model: InProcessModel,
    requests: list[predict_pb2.PredictRequest],
    timeout_s: float,
    report: Report,
) -> list[Mismatch]:
    mismatches: list[Mismatch] = []
    target = Target(report.model_name)
    with GrpcConnection(server.grpc_address) as grpc, HttpConnection(server.rest_url) as rest:
        connections: dict[str, Connection] = {"gRPC": grpc, "REST": rest}
        for index, request in enumerate(requests):
            signature = request.model_spec.signature_name
            inputs = columns_of(request)
            try:
                expected = model.call(signature, inputs)
            except Exception as error:  # whatever the model's own code raises
                raise _NotBlessedError(
                    f"The model fails on warm-up request {index} ({signature}) in this "
                    f"process: {error}"
                ) from error
            report.requests += 1
            report.rows += len(next(iter(expected.values())))
            for protocol, connection in connections.items():
                predict = connection.api.predict(target, signature, inputs)
                try:
                    received = connection.ask(predict, timeout_s)
                except ClientError as error:
                    mismatches.append(
                        Mismatch(index, signature, protocol, "", None, "an answer", str(error))
                    )
                    continue
                mismatches.extend(
                    Mismatch(index, signature, protocol, *difference)
                    for difference in differences(expected, received)
                )
    return mismatches
