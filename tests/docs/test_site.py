"""The documents as they are built: strictly, from the code, and asking no other host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.config import setting_reference
from scripts.documents import picture
from serving.ledger.schema import metadata
from tokenizer.contract import OUTPUT_DTYPES

ROOT = Path(__file__).parents[2]
# What a browser fetches by itself to show a page; a link to click is none of it.
FETCHED = re.compile(
    r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?(https?:[^\"'\s>]+)"
    r"|<link\b[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon)[\"']?[^>]*"
    r"\bhref=[\"']?(https?:[^\"'\s>]+)"
    r"|@import\s+(?:url\()?[\"']?(https?:[^\"')]+)"
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    return folder


def text_of(site: Path, page: str) -> str:
    return re.sub(r"<[^>]+>", "", (site / page).read_text())


@pytest.mark.long
def test_no_page_fetches_anything_from_another_host(site: Path) -> None:
    pages = [*site.rglob("*.html"), *site.rglob("*.css")]
    assert len(pages) > 30
    found = {
        (str(page.relative_to(site)), next(filter(None, hit)))
        for page in pages
        for hit in FETCHED.findall(page.read_text())
    }
    assert found == set()


@pytest.mark.long
def test_the_reference_has_all_that_the_code_has(site: Path) -> None:
    from pipelines.cli import _COMMANDS, _GROUPS

    settings = text_of(site, "reference/settings.html")
    for name, *_ in setting_reference():
        assert name.partition(".")[2] in settings
    commands = text_of(site, "reference/command-line.html")
    for name in (*_COMMANDS, *_GROUPS):
        assert f"tallygraph {name}" in commands
    contract = text_of(site, "reference/counting-contract.html")
    assert all(output in contract for output in OUTPUT_DTYPES)
    schema = text_of(site, "reference/ledger-schema.html")
    assert all(each.name in schema for table in metadata.tables.values() for each in table.c)
    assert "POST /v1/chat/completions" in text_of(site, "reference/rest-api.html")
    assert "tallygraph_tokens_total" in text_of(site, "reference/metrics-and-events.html")


@pytest.mark.long
def test_a_link_to_a_source_file_leads_to_its_page(site: Path) -> None:
    page = (site / "reference/counting-contract.html").read_text()
    assert 'href="../source/tokenizer/contract.py.html"' in page
    assert "CONTRACT_VERSION" in text_of(site, "source/tokenizer/contract.py.html")


def test_the_picture_is_what_its_script_draws() -> None:
    assert picture.FILE.read_text() == picture.picture()


def test_the_readme_fits_a_screen() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 6 * 1024
