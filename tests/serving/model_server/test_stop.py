"""The server ends on SIGTERM, whatever went before."""

from __future__ import annotations

import signal
from pathlib import Path

import grpc
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
)
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.engines import RunningServer, ServerSpec
from serving.engines.process import ProcessServer
from tests.support.waiting import wait_until
from tests.support.warm_model_server import WarmEngine

DEADLINE_S = 120.0
# More than there are threads for such calls.
RELOADS = 40


def config(**models: Path) -> ModelServerConfig:
    entries = (
        f'config {{ name: "{name}" base_path: "{base}" model_platform: "tensorflow" }}'
        for name, base in models.items()
    )
    return text_format.Parse(
        f"model_config_list {{ {' '.join(entries)} }}", ModelServerConfig()
    )


def state(stub: model_service_pb2_grpc.ModelServiceStub, name: str) -> int | None:
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = name
    try:
        statuses = stub.GetModelStatus(request, timeout=DEADLINE_S).model_version_status
    except grpc.RpcError:
        return None
    return int(statuses[0].state)


def started(base: Path) -> RunningServer:
    server = WarmEngine().start(ServerSpec.single("summarizer", base))
    server.wait_until_available(DEADLINE_S)
    return server


def ended(server: RunningServer) -> int:
    """The exit status after SIGTERM; an error if the process does not end by itself."""
    assert isinstance(server, ProcessServer)
    server.process.send_signal(signal.SIGTERM)
    return server.process.wait(DEADLINE_S)


def test_after_reloads_that_nobody_waits_for_any_more(
    tmp_path: Path, metered_base: Path
) -> None:
    def adds(name: str, base: Path) -> model_management_pb2.ReloadConfigRequest:
        return model_management_pb2.ReloadConfigRequest(
            config=config(summarizer=metered_base, **{name: base})
        )

    with started(metered_base) as server:
        with grpc.insecure_channel(server.grpc_address) as channel:
            stub = model_service_pb2_grpc.ModelServiceStub(channel)
            for number in range(RELOADS):
                missing = adds(f"missing-{number}", tmp_path / "missing")
                with pytest.raises(grpc.RpcError) as late:
                    stub.HandleReloadConfigRequest(missing, timeout=0.05)
                assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            # Nor do they keep a later one from its effect.
            second = adds("second", metered_base)
            stub.HandleReloadConfigRequest(second, timeout=DEADLINE_S)
            assert state(stub, "second") == get_model_status_pb2.ModelVersionStatus.AVAILABLE
        assert ended(server) == 0


def test_while_a_reload_is_waited_for(tmp_path: Path, metered_base: Path) -> None:
    request = model_management_pb2.ReloadConfigRequest(
        config=config(summarizer=metered_base, other=tmp_path / "missing")
    )
    with (
        started(metered_base) as server,
        grpc.insecure_channel(server.grpc_address) as channel,
    ):
        stub = model_service_pb2_grpc.ModelServiceStub(channel)
        waiting = stub.HandleReloadConfigRequest.future(request, timeout=DEADLINE_S)
        wait_until(
            lambda: "missing" in server.logs(), "the server to look for the missing folder"
        )
        assert ended(server) == 0
        error = waiting.exception(DEADLINE_S)
    assert isinstance(error, grpc.RpcError)
    assert error.code() is grpc.StatusCode.UNAVAILABLE
    assert "stopped before the models were AVAILABLE" in (error.details() or "")
