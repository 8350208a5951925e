"""What a set-up says where a machine lacks something."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scripts.checkout import (
    LOCK,
    PROJECT,
    PYTHON,
    Checkout,
    python_that_claims,
    write_command,
)
from tests.scripts.https_index import WHEEL, HttpsIndex

# Where a Python that makes virtual environments is found: the one of .venv may be Debian 12's,
# unpacked, which cannot.
ANY_PYTHON = f"{PYTHON.parent}:{os.environ['PATH']}"
NOBODY = 65534


@pytest.fixture
def index(tmp_path: Path) -> Iterator[HttpsIndex]:
    folder = tmp_path / "proxy"
    folder.mkdir()
    with HttpsIndex(folder).served() as served:
        yield served


@pytest.fixture
def open_checkout() -> Iterator[Checkout]:
    """One that others than its owner can read: no test of permissions holds for root."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        checkout = Checkout(folder)
        for path in (folder, checkout.folder, checkout.home):
            path.chmod(0o755)
        yield checkout
        checkout.folder.chmod(0o755)


def without_tools(checkout: Checkout) -> Checkout:
    (checkout.toolchain / "tools").unlink()
    return checkout


def test_no_python_at_all(checkout: Checkout, commands: Path) -> None:
    code, said = without_tools(checkout).set_up(path=str(commands))
    assert code == 1
    assert "ERROR: no Python at all was found" in said
    assert "apt-get install python3 python3-venv" in said


def test_no_python3_venv(checkout: Checkout, commands: Path) -> None:
    # As Debian's says it where the package is missing.
    python = commands / "python3"
    refusal = 'echo "... not created successfully because ensurepip is not available."; exit 1'
    write_command(
        python,
        f"""
if [ "$1 $2" = "-m venv" ]; then {refusal}; fi
{python_that_claims(f"sys.executable = '{python}'")}""",
    )
    code, said = without_tools(checkout).set_up(path=str(commands))
    assert code == 1
    assert "apt-get install python3-venv" in said
    assert "ensurepip is not available" in said


def test_no_network(checkout: Checkout) -> None:
    code, said = without_tools(checkout).set_up(
        path=ANY_PYTHON, PIP_INDEX_URL="http://127.0.0.1:9/simple"
    )
    assert code == 1
    assert "ERROR: pip could not install uv==" in said
    assert "No network, or a package index that cannot be reached." in said
    assert not (checkout.folder / ".venv").exists()


@pytest.mark.long  # two virtual environments are made for it
def test_a_proxy_of_ones_own_and_pip(checkout: Checkout, index: HttpsIndex) -> None:
    without_tools(checkout)
    code, said = checkout.set_up(path=ANY_PYTHON, PIP_INDEX_URL=index.simple)
    assert code == 1
    assert "The server's certificate is not trusted here" in said
    assert "SSL_CERT_FILE=/path/to/bundle.pem" in said
    assert not index.asked
    # With its authority it is asked for uv, which it does not have.
    code, said = checkout.set_up(
        path=ANY_PYTHON, PIP_INDEX_URL=index.simple, SSL_CERT_FILE=str(index.authority)
    )
    assert code == 1
    assert "certificate" not in said
    assert "/simple/uv/" in index.asked


def test_a_proxy_of_ones_own_and_uv(checkout: Checkout, index: HttpsIndex) -> None:
    (checkout.folder / "pyproject.toml").write_text(f'{PROJECT}dependencies = ["tiny"]\n')
    (checkout.folder / "uv.lock").write_text(
        f"""{LOCK}dependencies = [{{ name = "tiny" }}]

[package.metadata]
requires-dist = [{{ name = "tiny" }}]

[[package]]
name = "tiny"
version = "1"
source = {{ registry = "{index.simple}" }}
wheels = [{{ url = "{index.wheel}", hash = "sha256:{index.sha256}" }}]
"""
    )
    code, said = checkout.set_up(UV_OFFLINE="", UV_HTTP_RETRIES="0")
    assert code == 1
    assert "ERROR: uv could not install the locked packages." in said
    assert "The server's certificate is not trusted here" in said
    assert not index.asked
    code, said = checkout.set_up(UV_OFFLINE="", SSL_CERT_FILE=str(index.authority))
    assert code == 0, said
    assert f"/simple/tiny/{WHEEL}" in index.asked
    assert list(checkout.folder.glob(".venv/lib/python*/site-packages/tiny.py"))


def test_a_proxy_of_ones_own_and_the_peers(checkout: Checkout, index: HttpsIndex) -> None:
    """What peers.sh and gateway_peers.sh are made of, with one small package."""
    make = ("bash", "-euc", ". scripts/setup/common.sh; make_peers .toolchain/peers tiny==1")
    given = {"UV_OFFLINE": "", "UV_HTTP_RETRIES": "0", "UV_DEFAULT_INDEX": index.simple}
    code, said = checkout.set_up(*make, **given)
    assert code == 1
    assert "ERROR: uv could not install into .toolchain/peers: tiny==1" in said
    assert "The server's certificate is not trusted here" in said
    assert not index.asked
    given["SSL_CERT_FILE"] = str(index.authority)
    code, said = checkout.set_up(*make, **given)
    assert code == 0, said
    assert list(checkout.folder.glob(".toolchain/peers/lib/python*/site-packages/tiny.py"))
    asked = len(index.asked)
    assert checkout.set_up(*make, **given) == (0, "")
    assert len(index.asked) == asked


def test_no_permission_to_write(open_checkout: Checkout) -> None:
    shutil.rmtree(open_checkout.toolchain)
    open_checkout.folder.chmod(0o555)
    ran = subprocess.run(
        ["scripts/setup.sh"],
        cwd=open_checkout.folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        user=NOBODY if os.geteuid() == 0 else None,
        check=False,
    )
    assert ran.returncode == 1
    assert f"ERROR: {open_checkout.folder} cannot be written by " in ran.stderr
    assert "Use a checkout of your own" in ran.stderr


def test_a_cache_that_cannot_be_written(checkout: Checkout) -> None:
    (checkout.home / "file").touch()
    code, said = checkout.set_up(UV_CACHE_DIR=str(checkout.home / "file" / "cache"))
    assert code == 1
    assert "uv could not make .venv" in said


def test_a_full_disk(checkout: Checkout, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    as_root = () if os.geteuid() == 0 else ("--map-root-user",)
    in_namespace = ("unshare", "--mount", *as_root, "sh", "-euc")
    # Room for the checkout, and for some pages more: not for an environment.
    pages = sum(
        -(-file.stat().st_size // 4096) for file in checkout.folder.rglob("*") if file.is_file()
    )
    mount = f"mount -t tmpfs -o size={4 * (pages + 9)}k none {small}"
    if subprocess.run([*in_namespace, mount], capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be made here: unshare and mount are not permitted")
    code, said = checkout.set_up(
        *in_namespace,
        f"{mount}; cp -r . {small}; cd {small}; scripts/setup.sh",
        UV_CACHE_DIR=str(small / "cache"),
    )
    assert code == 1
    assert "MB are free here; a first set-up takes about" in said
    assert "The disk is full: 0 MB are free here." in said


def test_a_system_that_is_not_supported(checkout: Checkout, commands: Path) -> None:
    write_command(commands / "uname", "case $1 in -s) echo Linux ;; -m) echo riscv64 ;; esac")
    code, said = checkout.set_up(path=str(commands))
    assert code == 1
    assert "ERROR: Linux on riscv64 is not supported" in said
    assert "Supported: Linux on x86_64, macOS on arm64." in said


def test_an_option_that_is_not_known(checkout: Checkout) -> None:
    code, said = checkout.set_up("scripts/setup.sh", "--python")
    assert code == 1
    assert "ERROR: unknown: --python" in said


def test_a_bare_machine_is_made_by_root_only(open_checkout: Checkout) -> None:
    ran = subprocess.run(
        ["scripts/try_bare.sh", "trixie"],
        cwd=open_checkout.folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        user=NOBODY if os.geteuid() == 0 else None,
        check=False,
    )
    assert ran.returncode == 1
    assert "ERROR: this needs root" in ran.stderr
