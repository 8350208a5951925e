"""Writes an invoice as PDF, whatever scripts its names are in.

Letters come from Kurinto Sans, which has nearly every script's; its Japanese, Korean and
Chinese editions are opened only for an invoice that needs them. A letter that no font has is
written as a box and reported. Texts are drawn as they are: nothing in them is markup.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from serving.billing.invoice import InvoiceError
from serving.billing.invoice_document import InvoiceDocument
from serving.billing.invoice_view import HEADINGS, InvoiceView, view_of

if TYPE_CHECKING:
    from fpdf import FPDF

_FOLDER: Final = "static/weblate_fonts/kurinto/ttf"
_BASE: Final = "KurintoSans-Rg.ttf"
# A letter is taken from the first that has it.
_MORE: Final = tuple(f"KurintoSans{edition}-Rg.ttf" for edition in ("JP", "KR", "SC", "TC"))
_NO_LETTER: Final = "\N{WHITE SQUARE}"
_MARGIN_MM: Final = 14
_WIDTHS_MM: Final = (70, 20, 20, 24, 24, 24)  # of the columns
_SIZE_PT, _SMALL_PT, _TITLE_PT = 9.0, 7.5, 18.0
_LINE_MM_PER_PT: Final = 0.5


@dataclass(frozen=True, slots=True)
class InvoicePdf:
    """A PDF file.

    Attributes:
      without_letter: characters that no font has, in order; they are boxes in the file.
    """

    content: bytes
    without_letter: tuple[str, ...]


def as_pdf(document: InvoiceDocument, more_fonts: Sequence[Path] = ()) -> InvoicePdf:
    """Write an invoice as PDF; the same invoice gives the same bytes.

    Args:
      more_fonts: TrueType or OpenType files, for scripts that Kurinto Sans does not have.

    Raises:
      InvoiceError: the extra ``invoices`` is not installed, or a font cannot be read.
    """
    try:
        from fontTools.ttLib import TTLibError
        from fpdf import FPDF
        from weblate_fonts import __file__ as fonts
    except ModuleNotFoundError as error:
        raise InvoiceError(
            f"An invoice as PDF needs a package that is not installed ({error.name}). Install "
            "'tallygraph[gateway,invoices]', or choose another format."
        ) from None
    folder = Path(fonts).parent / _FOLDER
    view = view_of(document)
    needed = set("".join(_texts(view)))
    used = [folder / _BASE]
    pdf = FPDF()
    try:
        needed -= _letters(used[0])
        for font in (*more_fonts, *(folder / name for name in _MORE)):
            if needed & (has := _letters(font)):
                used.append(font)
                needed -= has
        for position, font in enumerate(used):
            pdf.add_font(f"font-{position}", fname=font)
    except (OSError, TTLibError, ValueError) as error:
        raise InvoiceError(f"Cannot read the font {font}: {error}") from None
    pdf.set_font("font-0", size=_SIZE_PT)
    pdf.set_fallback_fonts([f"font-{position}" for position in range(1, len(used))])
    pdf.set_text_shaping(True)
    day = document.issued or document.first_day
    pdf.set_creation_date(datetime.datetime.combine(day, datetime.time(), datetime.UTC))
    pdf.set_title(f"{view.title} {document.number or document.usage.month}")
    _Page(pdf, str.maketrans(dict.fromkeys(needed, _NO_LETTER))).draw(view)
    return InvoicePdf(bytes(pdf.output()), tuple(sorted(needed)))


class _Page:
    """Draws an invoice, from top to bottom."""

    def __init__(self, pdf: FPDF, missing: dict[int, str]) -> None:
        self._pdf = pdf
        self._missing = missing

    def draw(self, view: InvoiceView) -> None:
        pdf = self._pdf
        pdf.set_margin(_MARGIN_MM)
        pdf.set_auto_page_break(True, _MARGIN_MM)
        pdf.add_page()
        self._write([view.title], _TITLE_PT)
        if view.draft:
            self._write([f"This is a draft: {view.draft}."])
        for label, lines in (("From", view.seller), ("To", view.buyer)):
            if lines:
                self._write([label], _SMALL_PT, gap_mm=0)
                self._write(lines)
        self._write([f"{label}: {value}" for label, value in view.facts])
        self._table(view)
        self._write(view.payment)
        self._write(view.notes)
        self._write([view.origin], _SMALL_PT)

    def _write(
        self, lines: Sequence[str], size_pt: float = _SIZE_PT, gap_mm: float = 3
    ) -> None:
        if not lines:
            return
        self._pdf.set_font_size(size_pt)
        for line in lines:
            height = size_pt * _LINE_MM_PER_PT
            self._pdf.multi_cell(
                0, height, self._drawn(line), align="L", new_x="LMARGIN", markdown=False
            )
        self._pdf.set_font_size(_SIZE_PT)
        self._pdf.ln(gap_mm)

    def _table(self, view: InvoiceView) -> None:
        from fpdf import FontFace

        with self._pdf.table(
            col_widths=_WIDTHS_MM,
            text_align=("LEFT", "LEFT", "RIGHT", "RIGHT", "RIGHT", "RIGHT"),
            borders_layout="HORIZONTAL_LINES",
            headings_style=FontFace(fill_color=235),
            line_height=_SIZE_PT * _LINE_MM_PER_PT,
            markdown=False,
        ) as table:
            for cells in (HEADINGS, *view.rows):
                table.row([self._drawn(cell) for cell in cells])
            for label, amount in view.totals:
                row = table.row()
                row.cell(self._drawn(label), colspan=len(HEADINGS) - 1, align="RIGHT")
                row.cell(amount)
        self._pdf.ln(5)

    def _drawn(self, text: str) -> str:
        return text.translate(self._missing)


def _texts(view: InvoiceView) -> Iterator[str]:
    """Everything that is written."""
    yield from (view.title, view.draft or "", view.origin, _NO_LETTER, "This is a draft: .")
    for lines in (view.seller, view.buyer, view.payment, view.notes, HEADINGS, *view.rows):
        yield from lines
    for pair in (*view.facts, *view.totals):
        yield from pair


def _letters(font: Path) -> set[str]:
    """The characters that a font has letters for."""
    from fontTools.ttLib import TTFont

    # TTFont leaves a file open that it opened itself and could not read.
    with font.open("rb") as file, TTFont(file, lazy=True, fontNumber=0) as opened:
        return {chr(code) for code in opened.getBestCmap() or ()}
