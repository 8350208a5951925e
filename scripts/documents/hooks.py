"""MkDocs calls these while it builds (`hooks` in ``mkdocs.yml``).

They add the pages that are made from the code and of notebooks, the READMEs of folders, and
each source file that a page links to, so that every link of a page works both in the repository
and on the built site.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from scripts.documents.links import Link, replace_links
from scripts.documents.notebook_pages import as_markdown
from scripts.documents.reference import REFERENCE

ROOT = Path(__file__).resolve().parents[2]
DOCS = PurePosixPath("docs")
# Pages of the repository outside docs/, and where they are on the site.
ELSEWHERE = {
    "ARCHITECTURE.md": "explanation/architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "tokenizer/README.md": "folders/tokenizer.md",
    "components/model_registry/README.md": "folders/model-registry.md",
    "pipelines/corpora/README.md": "folders/corpora.md",
    "pipelines/evaluation/README.md": "folders/evaluation.md",
    "pipelines/report/README.md": "folders/report.md",
    "pipelines/training/README.md": "folders/training.md",
    "serving/billing/README.md": "folders/billing.md",
    "serving/ledger/README.md": "folders/ledger.md",
    "serving/model_server/README.md": "folders/model-server.md",
}
# MkDocs counts warnings of its own logger, and `--strict` makes them errors.
_LOG = logging.getLogger("mkdocs.tallygraph")
_NOTEBOOK = ".ipynb"
_LANGUAGES = {".py": "python", ".toml": "toml", ".sh": "bash", ".yaml": "yaml", ".json": "json"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are no files in ``docs/``."""
    for path, make in REFERENCE.items():
        files.append(File.generated(config, path, content=make()))
    for notebook in sorted((ROOT / DOCS).glob("*/*.ipynb")):
        path = notebook.relative_to(ROOT / DOCS).with_suffix(".md").as_posix()
        files.append(File.generated(config, path, content=as_markdown(notebook)))
    for origin, path in ELSEWHERE.items():
        files.append(File.generated(config, path, content=(ROOT / origin).read_text()))
    linked = {
        target
        for file in files.documentation_pages()
        for target in _linked_sources(file.src_uri, file.content_string)
    }
    for target in sorted(linked):
        files.append(File.generated(config, _source_page(target), content=_shown(target)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links that leave ``docs/`` at the pages that were made for them."""
    here = page.file.src_uri

    def rewritten(link: Link) -> str:
        if link.path.endswith(_NOTEBOOK) and "://" not in link.path:
            return link.path.removesuffix(_NOTEBOOK) + ".md" + link.anchor
        target = _in_repository(here, link)
        if target is None:
            return link.target
        if not (ROOT / target).exists():
            _LOG.warning("%s links to %s, which is not there", here, target)
            return link.target
        return _relative(_site_page(target), here) + link.anchor

    return replace_links(markdown, rewritten)


def _linked_sources(page: str, markdown: str) -> set[str]:
    """Source files that a page links to, as paths in the repository."""
    found = set()

    def note(link: Link) -> str:
        target = _in_repository(page, link)
        if target is not None and (ROOT / target).exists() and target not in ELSEWHERE:
            found.add(target)
        return link.target

    replace_links(markdown, note)
    return {target for target in found if not target.startswith("docs/")}


def _in_repository(page: str, link: Link) -> str | None:
    """The target of a link as a path in the repository.

    Returns:
      None where the link stays as it is: an address, an anchor, or a page beside it.
    """
    if not link.path or "://" in link.path or link.path.startswith(("mailto:", "/")):
        return None
    origin = _origin(page)
    target = os.path.normpath(origin.parent / link.path)
    if origin.parts[0] == "docs" and target.startswith("docs/"):
        return None
    folder_readme = f"{target}/README.md"
    return folder_readme if folder_readme in ELSEWHERE else target


def _origin(page: str) -> PurePosixPath:
    """Where a page's text is in the repository."""
    for origin, path in ELSEWHERE.items():
        if path == page:
            return PurePosixPath(origin)
    return DOCS / page


def _site_page(target: str) -> str:
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    return ELSEWHERE.get(target) or _source_page(target)


def _source_page(target: str) -> str:
    return f"source/{target}.md"


def _shown(target: str) -> str:
    """A source file, or what a folder holds, as a page."""
    if (ROOT / target).is_dir():
        files = sorted(path.name for path in (ROOT / target).iterdir() if path.suffix)
        return f"# {target}\n\n" + "".join(f"- `{name}`\n" for name in files)
    text = (ROOT / target).read_text(encoding="utf-8")
    language = _LANGUAGES.get(PurePosixPath(target).suffix, "text")
    return f"# {target}\n\n``````{language}\n{text}\n``````\n"


def _relative(target: str, page: str) -> str:
    return os.path.relpath(target, PurePosixPath(page).parent)
