"""The command line of tensorflow_model_server: taken where it works, else refused by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from serving.model_server.flags import ServerFlags, parse_flags

BASE = ["--model_base_path=/models/summarizer"]


def refusal(capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    with pytest.raises(SystemExit) as ended:
        parse_flags(list(flags))
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_both_spellings() -> None:
    flags = parse_flags(["--port=1", "--rest_api_port", "2", "--model_base_path", "/m"])
    assert (flags.port, flags.rest_api_port, flags.model_base_path) == (1, 2, "/m")


def test_defaults_are_tensorflow_servings_and_loopback() -> None:
    flags = parse_flags(BASE)
    assert (flags.port, flags.rest_api_port, flags.model_name) == (8500, 0, "default")
    assert (flags.file_system_poll_wait_seconds, flags.max_num_load_retries) == (1, 5)
    assert flags.load_retry_interval_micros == 60_000_000
    assert flags.bind_address == "127.0.0.1"


@pytest.mark.parametrize(
    ("spelled", "meant"),
    [
        (["--enable_model_warmup=false"], False),
        (["--enable_model_warmup", "0"], False),
        (["--enable_model_warmup"], True),
        (["--enable_model_warmup=True"], True),
    ],
)
def test_booleans(spelled: list[str], meant: bool) -> None:
    assert parse_flags([*BASE, *spelled]).enable_model_warmup is meant


def test_flags_that_only_tune_are_taken_and_named() -> None:
    flags = parse_flags([*BASE, "--flush_filesystem_caches=false", "--num_tflite_pools=2"])
    assert flags.without_effect == ("flush_filesystem_caches", "num_tflite_pools")


def test_batching_flags(capsys: pytest.CaptureFixture[str]) -> None:
    flags = parse_flags([*BASE, "--enable_batching", "--batching_parameters_file=/b"])
    assert (flags.enable_batching, flags.batching_parameters_file) == (True, "/b")
    assert "--batching_parameters_file is set without setting --enable_batching" in refusal(
        capsys, *BASE, "--batching_parameters_file=/b"
    )
    alone = parse_flags([*BASE, "--enable_per_model_batching_parameters"])
    assert alone.without_effect == ("enable_per_model_batching_parameters",)


def test_flags_that_matter_and_are_not_supported(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--ssl_config_file is a flag of tensorflow_model_server that this server does" in (
        refusal(capsys, *BASE, "--ssl_config_file=/etc/ssl")
    )
    assert "--prefer_tflite_model" in refusal(capsys, *BASE, "--prefer_tflite_model=true")
    assert parse_flags([*BASE, "--prefer_tflite_model=false"]) == ServerFlags(
        model_base_path="/models/summarizer"
    )


def test_a_gpus_flags() -> None:
    flags = parse_flags(
        [
            *BASE,
            "--per_process_gpu_memory_fraction=0.5",
            "--xla_gpu_compilation_enabled=true",
            "--enable_tensor_float_32=true",
        ]
    )
    assert flags.per_process_gpu_memory_fraction == 0.5
    assert flags.xla_gpu_compilation_enabled
    assert flags.enable_tensor_float_32
    assert not parse_flags(BASE).enable_tensor_float_32


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--no_such_flag=1"], "unknown argument: --no_such_flag=1"),
        (["--model_base", "/m"], "unknown argument: --model_base"),
        (["--rest_api_timeout=5"], "unknown argument: --rest_api_timeout=5"),
        (["stray"], "unknown argument: stray"),
        (["--port=http"], "argument --port: invalid int value: 'http'"),
        (["--enable_model_warmup=maybe"], "expected true or false. Received: 'maybe'"),
        (["--port=0"], "--port must not be 0"),
        (["--rest_api_port=70000"], "--rest_api_port must be a TCP port. Received: 70000"),
        (["--rest_api_port=8500"], "--rest_api_port must differ from --port"),
        (["--max_request_bytes=0"], "--max_request_bytes must be at least 1"),
        (["--file_system_poll_wait_seconds=-1"], "must be at least 0. Received: -1"),
        (["--per_process_gpu_memory_fraction=2"], "must be from 0 to 1. Received: 2.0"),
    ],
)
def test_wrong_flags_are_named(
    capsys: pytest.CaptureFixture[str], flags: list[str], message: str
) -> None:
    assert message in refusal(capsys, *BASE, *flags)


def test_something_must_be_served(capsys: pytest.CaptureFixture[str]) -> None:
    assert "neither --model_base_path nor --model_config_file is given" in refusal(capsys)


def test_the_program_refuses_an_unknown_flag_at_once() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serving.model_server.main", *BASE, "--no_such_flag=1"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 2
    assert "unknown argument: --no_such_flag=1" in done.stderr


def test_the_program_says_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "serving.model_server.main", "--version"],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert done.stdout.startswith("Tallygraph ModelServer: 0.")
    assert "TensorFlow Library: 2.21." in done.stdout
