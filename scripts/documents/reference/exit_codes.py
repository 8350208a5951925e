"""What the exit codes mean."""

from __future__ import annotations

from benchmarks.markdown import table
from pipelines.cli.console import EXIT_CODES
from scripts.documents.reference.text import cell

_PAGE = """\
# Exit codes

Exit codes are the same for every command, so that a script or a scheduler can tell what
happened.

{codes}
Their meaning for the commands that scripts run most often:

- `tallygraph run`: 0: the model was pushed, or there is nothing to do with `--span latest`; 1:
  a step failed: run it again; completed steps are kept, and an interrupted training continues
  from its last checkpoint; 2: settings or corpus cannot be used; 3: the model was trained, but
  a validator, the Promoter or drift prevented the push: the reasons are printed and are in the
  report.
- `tallygraph ledger verify`, `tallygraph bill audit`: 1 if there are findings.
- `tallygraph bill reconcile`: 1 if ledger and model servers disagree or could not be compared.
"""


def exit_codes() -> str:
    """The page."""
    rows = [(number, cell(meaning)) for number, meaning in sorted(EXIT_CODES.items())]
    return _PAGE.format(codes=table(("code", "meaning"), rows))
