"""Draws the README's picture: ``python -m scripts.documents.picture``.

Two rows, from left to right: how a model comes to be served, and what becomes of a request.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).resolve().parents[2] / "docs/assets/way-of-the-data.svg"

_WIDTH, _HEIGHT = 1000, 372
_STYLE: Final = """
  svg { background: #fff }
  text { font-family: system-ui, sans-serif; font-size: 13px }
  text { fill: #1f2933; text-anchor: middle }
  .name { font-weight: 600 }
  .row { font-size: 12px; fill: #52606d; text-anchor: start; letter-spacing: .04em }
  .what { font-size: 11.5px; fill: #52606d }
  rect { fill: #f5f7fa; stroke: #9aa5b1; rx: 6 }
  .own rect { fill: #e3f2ef; stroke: #2a7f6f; stroke-width: 1.5 }
  path { fill: none; stroke: #7b8794; stroke-width: 1.5; marker-end: url(#head) }
  #head path { fill: #7b8794; stroke: none; marker-end: none }
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117 }
    text { fill: #e6edf3 } .row, .what { fill: #9aa5b1 }
    rect { fill: #161b22; stroke: #57606a } .own rect { fill: #12312c; stroke: #3fa796 }
  }
"""


@dataclass(frozen=True, slots=True)
class Box:
    """A station: its middle, its name, and what it does.

    Attributes:
      own: whether it is this project's own, and not TFX's or TensorFlow Serving's.
    """

    x: int
    y: int
    name: str
    what: tuple[str, ...] = ()
    width: int = 128
    own: bool = False

    @property
    def height(self) -> int:
        return 30 + 15 * len(self.what)

    def svg(self) -> str:
        top = self.y - self.height // 2
        lines = [f'<text class="name" x="{self.x}" y="{top + 20}">{escape(self.name)}</text>']
        lines += [
            f'<text class="what" x="{self.x}" y="{top + 36 + 15 * row}">{escape(text)}</text>'
            for row, text in enumerate(self.what)
        ]
        box = (
            f'<rect x="{self.x - self.width // 2}" y="{top}" width="{self.width}" '
            f'height="{self.height}"/>'
        )
        kind = "own" if self.own else "other"
        return f'<g class="{kind}">{box}{"".join(lines)}</g>'


CORPUS = Box(72, 96, "Corpus", ("texts and", "their summaries"), 112)
DATA = Box(222, 96, "Transform", ("tokenizer in", "its graph"), 112)
TRAINER = Box(372, 96, "Trainer", ("T5 or BART,", "new or pretrained"), 132)
METER = Box(528, 96, "Meter", ("adds counting", "to the graph"), 116, own=True)
COUNTS = Box(706, 46, "MeterValidator", ("the counts are right",), 148, own=True)
SERVES = Box(706, 106, "ServingValidator", ("it loads and responds",), 148, own=True)
SCORES = Box(706, 166, "Evaluator", ("beats baseline, champion",), 156)
PUSHER = Box(908, 106, "Promoter, Pusher", ("registry, then", "a new version"), 140, own=True)
CLIENT = Box(72, 312, "Client", ("OpenAI's API",), 112)
GATEWAY = Box(
    300, 312, "Gateway", ("key, budget, cache:", "reserve, then charge"), 148, own=True
)
SERVER = Box(
    908, 312, "TensorFlow Serving", ("summary, input_tokens,", "output_tokens, ..."), 156
)
LEDGER = Box(560, 252, "Ledger", ("append only, hash chain",), 164, own=True)
INVOICE = Box(716, 252, "Invoice", ("by price and tier",), 116, own=True)

_BOXES: Final = (
    *(CORPUS, DATA, TRAINER, METER, COUNTS, SERVES, SCORES, PUSHER),
    *(CLIENT, GATEWAY, SERVER, LEDGER, INVOICE),
)
_ARROWS: Final = (
    "M128 96H166",
    "M278 96H306",
    "M438 96H470",
    "M586 88L632 60",
    "M586 98L632 105",
    "M586 108L628 156",
    "M780 60L838 88",
    "M780 106H838",
    "M784 156L838 126",
    "M908 138V282",
    "M128 306H226",
    "M226 320H128",
    "M374 306H830",
    "M830 322H374",
    "M374 290L478 262",
    "M642 252H658",
)


def picture() -> str:
    """The SVG."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        'aria-label="From a corpus to a served version, and from a request to an invoice">'
    )
    marker = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z"/></marker></defs>'
    )
    rows = (
        '<text class="row" x="16" y="22">'
        "A MODEL IS TRAINED, METERED AND VALIDATED</text>"
        f'<text class="row" x="16" y="{CLIENT.y - 62}">A REQUEST IS SERVED AND CHARGED</text>'
        f'<text class="what" x="640" y="{SERVER.y + 34}">'
        "charges use the counts that the graph made</text>"
    )
    arrows = "".join(f'<path d="{way}"/>' for way in _ARROWS)
    boxes = "".join(box.svg() for box in _BOXES)
    return f"{head}<style>{_STYLE}</style>{marker}{rows}{arrows}{boxes}</svg>\n"


if __name__ == "__main__":
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(picture(), encoding="utf-8")
