"""Who sells and who buys, and which taxes are added: what an invoice says and no ledger knows.

A TOML file::

    [seller]
    name = "Example Summaries GmbH"
    address = ["Hauptstrasse 1", "10115 Berlin", "Germany"]
    tax_id = "DE123456789"
    email = "billing@example.com"                    # left out: none
    payment = ["IBAN DE02 1203 0000 0000 2020 51"]   # lines on how to pay; left out: none

    [invoice]                                        # left out: what stands here
    number_prefix = ""
    due_days = 30                                    # after the day of issue
    taxes = []                                       # such as [{ name = "VAT", percent = 19 }]
    notes = []                                       # lines at the end of every invoice

    [buyers.acme]                                    # by the tenant's name
    name = "Acme Ltd"
    address = ["1 High Street", "London", "United Kingdom"]
    tax_id = "GB123456789"
    taxes = []                                       # instead of those of all
    notes = ["Reverse charge: VAT is to be accounted for by the buyer."]

A tenant without a table is a buyer of its name. All texts are single lines, printed as they
are.
"""

from __future__ import annotations

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Final
from unicodedata import category

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from serving.billing.toml_lines import Lines

RATE_OF_ONE: Final = 100_000
"""A tax rate is in thousandths of a percent: 19 % is 19,000."""

_MAX_LINES: Final = 20
_NOT_IN_A_LINE: Final = ("Cc", "Cs", "Zl", "Zp")
# They turn the direction of what follows, so that an amount could read as another.
_TURNS: Final = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


class DetailsError(ValueError):
    """The file of seller and buyers cannot be used; the message names all that is wrong."""


def _one_line(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be empty")
    if any(category(each) in _NOT_IN_A_LINE or each in _TURNS for each in text):
        raise ValueError("must be one line, without control characters")
    return text


def _as_rate(percent: Decimal | int) -> Decimal:
    if Decimal(percent) * 1000 % 1:
        raise ValueError("must have at most three decimals")
    return Decimal(percent)


Line = Annotated[str, Field(max_length=200), AfterValidator(_one_line)]
TextLines = Annotated[tuple[Line, ...], Field(max_length=_MAX_LINES)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tax(_Table):
    """A tax on the whole net amount.

    Attributes:
      percent: from 0 to 100, with at most three decimals.
    """

    name: Line
    percent: Annotated[Decimal, Field(ge=0, le=100), AfterValidator(_as_rate)]

    @property
    def rate(self) -> int:
        """In thousandths of a percent."""
        return int(self.percent * 1000)


Taxes = Annotated[tuple[Tax, ...], Field(max_length=_MAX_LINES)]


class Party(_Table):
    """Whoever an invoice comes from or goes to."""

    name: Line
    address: TextLines = ()
    tax_id: Line | None = None
    email: Line | None = None


class Seller(Party):
    """Who sells."""

    payment: TextLines = ()


class Buyer(Party):
    """Who buys.

    Attributes:
      taxes: None for those of all invoices.
    """

    taxes: Taxes | None = None
    notes: TextLines = ()


class Terms(_Table):
    """What all invoices have in common."""

    number_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9/._-]{0,30}$|^$")] = ""
    due_days: Annotated[int, Field(ge=0, le=366, strict=True)] = 30
    taxes: Taxes = ()
    notes: TextLines = ()


class InvoiceDetails(_Table):
    """Seller, terms and buyers."""

    seller: Seller
    invoice: Terms = Terms()
    buyers: dict[str, Buyer] = {}

    def buyer(self, tenant: str) -> Buyer:
        """Return the buyer that a tenant is."""
        return self.buyers.get(tenant) or Buyer(name=tenant)

    def taxes(self, tenant: str) -> tuple[Tax, ...]:
        """Return the taxes that are added to a tenant's invoices."""
        own = self.buyer(tenant).taxes
        return self.invoice.taxes if own is None else own


def load_details(path: Path) -> InvoiceDetails:
    """Read the file of seller and buyers.

    Raises:
      DetailsError: it is missing, not TOML, or not valid; names everything that is wrong, with
        its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
        # Decimals of a rate are exact; there is no float in what is about money.
        document = tomllib.loads(text, parse_float=Decimal)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DetailsError(f"Cannot read the invoice details {path}: {error}") from None
    try:
        return InvoiceDetails.model_validate(document)
    except ValidationError as error:
        lines = Lines(text)
        found = sorted((lines[each["loc"]], _problem(each)) for each in error.errors())
    listed = "".join(f"\n- line {line}: {problem}" for line, problem in found)
    raise DetailsError(f"The invoice details {path} are not valid:{listed}")


def _problem(error: Any) -> str:
    name = ".".join(str(key) for key in error["loc"])
    if error["type"] == "missing":
        return f"{name} is missing"
    if error["type"] == "extra_forbidden":
        return f"{name} is unknown"
    said = error["msg"].removeprefix("Value error, ")
    return f"{name}: {said}. Received: {str(error['input'])[:100]!r}"
