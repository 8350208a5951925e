"""LangChain, LlamaIndex and Vercel's AI SDK as they come: every way, one answer, one charge."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support.running_gateway import RunningGateway

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[3]
SCRIPTS = Path(__file__).parent / "clients"
CLIENTS = ROOT / ".toolchain/clients"
WHOLE = "one two three"
CUT = "one two three four five"
"""The model writes four words at most: OpenAI's ``length``, or ``incomplete``."""
EXPECTED = {WHOLE: ("ONE TWO THREE", 3, 3), CUT: ("ONE TWO THREE FOUR", 5, 4)}


@pytest.fixture(scope="module")
def environment() -> Path:
    """Where the clients are installed; where they cannot be had, the tests are skipped."""
    script = ROOT / "scripts/gateway_clients.sh"
    made = subprocess.run([script], capture_output=True, text=True, check=False, cwd=ROOT)
    if made.returncode:
        pytest.skip(f"the clients cannot be had here: {made.stderr}")
    return CLIENTS


def ask(gateway: RunningGateway, command: Sequence[str | Path]) -> list[dict[str, Any]]:
    """What a client's program prints that asks a gateway for summaries of both texts."""
    asks_by = f"{gateway.url}/v1"
    ours = {"OPENAI_API_BASE": asks_by, "OPENAI_BASE_URL": asks_by}
    # Nothing that is set on this machine for such clients, but where programs and homes are.
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    done = subprocess.run(
        [*command, WHOLE, CUT],
        env={**kept, **ours, "OPENAI_API_KEY": gateway.key()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert isinstance(rows, list)
    return rows


def hold(
    gateway: RunningGateway, rows: Sequence[dict[str, Any]], untold: Sequence[str] = ()
) -> None:
    """Every way has the same answer, and the client's counts are those that were charged.

    Args:
      untold: ways in which the client asks for no usage, and so has none.
    """
    for row in rows:
        text, read, written = EXPECTED[row["sent"]]
        told = (None, None) if row["way"] in untold else (read, written)
        assert (row["text"], row["input"], row["output"]) == (text, *told), row
    assert {row["way"] for row in rows} >= set(untold)
    charged = [(entry.input_tokens, entry.output_tokens) for entry in gateway.entries()]
    assert charged == [EXPECTED[row["sent"]][1:] for row in rows]
    assert gateway.verify() == (len(rows), [])


def test_langchain(gateway: RunningGateway, environment: Path) -> None:
    python = environment / "bin/python"
    rows = ask(gateway, [python, SCRIPTS / "langchain_client.py"])
    assert len(rows) == 18
    hold(gateway, rows, untold=["chat, streamed"])


def test_llama_index(gateway: RunningGateway, environment: Path) -> None:
    python = environment / "bin/python"
    rows = ask(gateway, [python, SCRIPTS / "llama_index_client.py"])
    assert len(rows) == 16
    hold(gateway, rows, untold=["chat, streamed", "completion, streamed"])


def test_the_ai_sdk(gateway: RunningGateway, environment: Path) -> None:
    # Beside its packages, where Node.js looks for them.
    program = environment / "javascript/client.mjs"
    program.write_bytes((SCRIPTS / "ai_sdk_client.mjs").read_bytes())
    *rows, last = ask(gateway, [environment / "bin/node", program])
    assert len(rows) == 18
    hold(gateway, rows)
    # It makes a dialogue of the prompt, and would have the model stop at the user's next line.
    assert last["refused"] == {
        "status": 400,
        "message": "stop is not supported. Expected: nothing or []",
    }
