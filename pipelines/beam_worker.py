"""``scripts/beam_worker.sh``: a Beam worker, as engines start one (--environment_type=PROCESS).

The engine gives the worker's id and the address that says all else, as it does to Beam's own
containers. What those do with it is done here in this environment: Beam's worker becomes this
process, with the addresses in its environment.
"""

from __future__ import annotations

import argparse
import os
import sys

import grpc
from apache_beam.portability.api import (
    beam_provision_api_pb2,
    beam_provision_api_pb2_grpc,
    endpoints_pb2,
)
from google.protobuf import json_format, text_format

_ANSWERS_WITHIN_S = 60


def main() -> None:
    """Ask the engine, and become Beam's worker.

    Raises:
      grpc.RpcError: the engine does not answer.
    """
    parser = argparse.ArgumentParser(prog="scripts/beam_worker.sh", description=__doc__)
    parser.add_argument("--id", required=True)
    parser.add_argument("--provision_endpoint", required=True)
    # An engine may name addresses twice.
    arguments, _ = parser.parse_known_args()
    info = _provision_info(arguments.provision_endpoint, arguments.id)
    environment = {
        **os.environ,
        "WORKER_ID": arguments.id,
        "PIPELINE_OPTIONS": json_format.MessageToJson(info.pipeline_options),
        "RUNNER_CAPABILITIES": " ".join(info.runner_capabilities),
        "CONTROL_API_SERVICE_DESCRIPTOR": _text(info.control_endpoint),
        "LOGGING_API_SERVICE_DESCRIPTOR": _text(info.logging_endpoint),
    }
    command = [sys.executable, "-m", "apache_beam.runners.worker.sdk_worker_main"]
    os.execve(sys.executable, command, environment)


def _provision_info(address: str, worker_id: str) -> beam_provision_api_pb2.ProvisionInfo:
    with grpc.insecure_channel(address) as channel:
        stub = beam_provision_api_pb2_grpc.ProvisionServiceStub(channel)
        answer = stub.GetProvisionInfo(
            beam_provision_api_pb2.GetProvisionInfoRequest(),
            metadata=[("worker_id", worker_id)],
            timeout=_ANSWERS_WITHIN_S,
            wait_for_ready=True,
        )
    return answer.info


def _text(endpoint: endpoints_pb2.ApiServiceDescriptor) -> str:
    return text_format.MessageToString(endpoint)


if __name__ == "__main__":
    main()
