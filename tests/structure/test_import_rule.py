"""The import rule of `.importlinter`: it holds, and its contracts find planted faults."""

from __future__ import annotations

import ast
import graphlib
import shutil
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("tokenizer", "serving", "components", "pipelines", "benchmarks")

# A file, a line at its end, and the contract that it breaks, as far as it tells them apart.
FAULTS = {
    "upwards": (
        "serving/model_config.py",
        "import pipelines.config",
        "Imports go down only",
    ),
    "upwards, and only when it is called": (
        "tokenizer/training.py",
        "def late():\n    import components.artifacts",
        "Imports go down only",
    ),
    "a circle of modules": (
        "tokenizer/bpe_vocabulary.py",
        "import tokenizer.bpe_tokenizer",
        "No circles",
    ),
    "a circle of folders": (
        "components/pusher/publish.py",
        "import components.promoter.reasons",
        "No circles",
    ),
    "serving reads a vocabulary": (
        "serving/client/clients.py",
        "import tokenizer.loading",
        "Serving knows the counting contract",
    ),
    "a gateway with a model server in it": (
        "serving/gateway/http/app.py",
        "import serving.model_server.errors",
        "The parts of serving",
    ),
    "a ledger that asks a model": (
        "serving/ledger/clock.py",
        "import serving.client.clients",
        "The parts of serving",
    ),
    "a ledger that knows what a model server is": (
        "serving/ledger/clock.py",
        "import serving.protocol.errors",
        "The ledger asks no model server",
    ),
    "a gateway with TensorFlow": (
        "serving/gateway/service.py",
        "def late():\n    import tensorflow",
        "Gateway, client, protocol, ledger and billing do without",
    ),
    "a gateway with TensorFlow behind what it imports": (
        "serving/protocol/columns.py",
        "import tensorflow_serving.apis",
        "Gateway, client, protocol, ledger and billing do without",
    ),
    "a counting contract with TensorFlow": (
        "tokenizer/contract.py",
        "import tensorflow as tf",
        "The counting contract, and reading and training vocabularies, do without",
    ),
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for package in PACKAGES:
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--no-logo"],
        cwd=folder,
        capture_output=True,
        text=True,
    )


def test_the_rule_holds(copy: Path) -> None:
    linted = lint_imports(copy)
    assert linted.returncode == 0, linted.stdout
    assert " 0 broken" in linted.stdout


@pytest.mark.parametrize(("file", "line", "contract"), FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found(copy: Path, file: str, line: str, contract: str) -> None:
    with (copy / file).open("a", encoding="utf-8") as stream:
        stream.write(f"\n\n{line}\n")
    linted = lint_imports(copy)
    assert linted.returncode == 1, linted.stdout
    broken = " ".join(linted.stdout.partition("Broken contracts")[2].split())
    assert contract in broken
    # Circles are told of by the names beside each other, others by the whole name.
    *_, parent, name = file.removesuffix(".py").split("/")
    assert f".{name}" in broken or f".{parent}" in broken


def test_no_module_is_in_a_circle() -> None:
    """Finds what no contract does: a package and a module of its own that need each other."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    imports = {
        module: graph.find_modules_directly_imported_by(module) for module in graph.modules
    }
    assert len(imports) > 400
    order = list(
        graphlib.TopologicalSorter(imports).static_order()
    )  # CycleError names a circle
    assert order.index("tokenizer.contract") < order.index("pipelines.pipeline")


def test_the_counting_contract_needs_the_standard_library_only() -> None:
    tree = ast.parse((ROOT / "tokenizer/contract.py").read_text(encoding="utf-8"))
    needed = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert "dataclasses" in needed
    assert needed <= sys.stdlib_module_names


def test_no_folder_of_ours_hides_the_library_kfp() -> None:
    assert (ROOT / "kfp/pipeline.yaml").is_file()
    assert not list((ROOT / "kfp").rglob("*.py"))
