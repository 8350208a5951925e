"""Every setting, as `tallygraph config --reference` prints them."""

from __future__ import annotations

from itertools import groupby

from benchmarks.markdown import table
from pipelines.config import setting_reference
from scripts.documents.reference.text import cell, code

_HEAD = """\
# Settings

`tallygraph run --config FILE` reads a TOML file with these sections; `--set section.key=value`
overrides one. The whole file is checked, and all mistakes are reported at once. `tallygraph
config --reference` prints this list in a terminal, and `tallygraph config FILE` prints the
settings that result from a file.
"""


def settings() -> str:
    """The page."""
    page = _HEAD
    for section, rows in groupby(setting_reference(), lambda row: row[0].partition(".")[0]):
        page += f"\n## [{section}]\n\n"
        page += table(
            ("setting", "type", "default", "meaning"),
            [
                (code(name.removeprefix(f"{section}.")), cell(kind), code(default), cell(what))
                for name, kind, default, what in rows
            ],
        )
    return page
