"""`tallygraph summarize` and `tallygraph count`: send a text to a model server and print its
counts."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli.console import fail, out, quiet_stderr
from pipelines.cli.count_check import Counts, checked_counts
from serving.client import (
    ClientError,
    GrpcClient,
    ModelClient,
    RestClient,
    TokenCount,
    UnreachableError,
)
from tokenizer.contract import MeteredSummary

_Text = Annotated[str, typer.Argument(help="The text; '-' to read it from standard input.")]
_Url = Annotated[str, typer.Option(help="REST URL of the model server.")]
_Grpc = Annotated[
    str,
    typer.Option(
        help="host:port of the server's gRPC API; if given, gRPC is used instead of REST."
    ),
]
_Model = Annotated[str, typer.Option(help="Name of the served model.")]
_Wait = Annotated[float, typer.Option(help="Seconds to wait until the server is ready.")]
_Check = Annotated[
    Path | None,
    typer.Option(
        help="Folder of a pushed version: compare the counts with those of its tokenizer's "
        "own library."
    ),
]
_DEFAULT_URL = "http://127.0.0.1:8501"


def summarize(
    text: _Text,
    max_output_tokens: Annotated[
        int,
        typer.Option(
            min=0, help="Maximum number of output tokens; 0 for the model's own limit."
        ),
    ] = 0,
    url: _Url = _DEFAULT_URL,
    grpc: _Grpc = "",
    model: _Model = "summarizer",
    wait: _Wait = 0,
    check: _Check = None,
) -> None:
    """Summarise a text. Prints the summary and its token counts as JSON."""
    _ask(
        lambda client, content: client.summarize([content], max_output_tokens)[0],
        text,
        lambda: connect(url, grpc, model),
        wait,
        check,
    )


def count(
    text: _Text,
    url: _Url = _DEFAULT_URL,
    grpc: _Grpc = "",
    model: _Model = "summarizer",
    wait: _Wait = 0,
    check: _Check = None,
) -> None:
    """Count the tokens that a request with this text would be billed for, without generating a
    summary."""
    _ask(
        lambda client, content: client.count_tokens([content])[0],
        text,
        lambda: connect(url, grpc, model),
        wait,
        check,
    )


def _ask(
    question: Callable[[ModelClient, str | bytes], MeteredSummary | TokenCount],
    text: str,
    connected: Callable[[], ModelClient],
    wait: float,
    check: Path | None,
) -> None:
    content = _read(text)
    try:
        with connected() as client:
            wait_until_ready(client, wait)
            answer = question(client, content)
    except ClientError as error:
        fail(str(error))
    out.print_json(json.dumps(asdict(answer), ensure_ascii=False))
    if check:
        _check_counts(check, content, answer)


def _read(text: str) -> str | bytes:
    return sys.stdin.buffer.read() if text == "-" else text


def connect(url: str, grpc: str, model: str) -> ModelClient:
    """A client over REST, or over gRPC where an address of it is given."""
    if not grpc:
        return RestClient(url, model=model)
    # The protos bring TensorFlow, which greets with a page of notes on the machine.
    with quiet_stderr():
        return GrpcClient(grpc, model=model)


def wait_until_ready(client: ModelClient, seconds: float) -> None:
    """Return once a version answers; end the command if none does in time."""
    deadline = time.monotonic() + seconds
    while seconds:
        try:
            if any(version.state == "AVAILABLE" for version in client.model_status()):
                return
        except UnreachableError:
            if time.monotonic() > deadline:
                raise
        if time.monotonic() > deadline:
            fail(f"no version of {client.model!r} became AVAILABLE within {seconds:g} s.")
        time.sleep(0.2)


def _check_counts(version_dir: Path, text: str | bytes, answer: Counts) -> None:
    """Compare with the tokenizer's own library, which knows nothing of this project."""
    library, (ids,) = checked_counts(version_dir, [text], [answer], "--check")
    out.print(
        f"[green]counts verified[/]: the library {library} counts {ids} ids in the text = "
        f"{answer.input_tokens} input_tokens + {answer.truncated_tokens} truncated_tokens"
    )
