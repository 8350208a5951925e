"""Currencies and their decimals, and how an amount is rounded to them.

The table is List One of ISO 4217, as the standard's maintenance agency (SIX Group) published it
on 1 January 2026, without the codes that have no decimals: metals, funds of account, testing
(``XTS``) and "no currency" (``XXX``). CLDR's decimals are not those of the standard: they say
how much of an amount is usually shown.

Rounding is to the nearest, halves away from zero, so that a reversal takes back what was
charged.
"""

from __future__ import annotations

from typing import Final

_MICRO_DECIMALS: Final = 6

_CODES: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN BZD
        CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP
        GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK
        LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO
        NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP SLE SOS
        SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST
        XAD XCD XCG YER ZAR ZMW ZWG
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
DECIMALS: Final = {
    code: decimals for decimals, codes in _CODES.items() for code in codes.split()
}
"""Decimals of each currency: 2 for EUR, 0 for JPY, 3 for KWD."""


class CurrencyError(ValueError):
    """The code is not that of a currency that can be paid in."""


def decimals_of(currency: object) -> int:
    """Return how many decimals a currency has.

    Raises:
      CurrencyError: it is not in the table.
    """
    if not isinstance(currency, str) or currency not in DECIMALS:
        raise CurrencyError(
            "A currency must be one of ISO 4217 that can be paid in, such as EUR, USD or JPY. "
            f"Received: {currency!r}"
        )
    return DECIMALS[currency]


def minor_units(amount_micro: int, decimals: int) -> int:
    """Round millionths to a currency's smallest unit, such as cents.

    Args:
      decimals: of the currency, at most 6.
    """
    return rounded(amount_micro, 10 ** (_MICRO_DECIMALS - decimals))


def rounded(numerator: int, denominator: int) -> int:
    """Divide to the nearest integer, halves away from zero.

    Args:
      denominator: above 0.
    """
    nearest = (2 * abs(numerator) + denominator) // (2 * denominator)
    return nearest if numerator >= 0 else -nearest


def money(amount_minor: int, decimals: int) -> str:
    """Format an amount in the smallest unit: ``-12.35``, or ``-1235`` without decimals."""
    whole, rest = divmod(abs(amount_minor), 10**decimals)
    fraction = f".{rest:0{decimals}d}" if decimals else ""
    return f"{'-' if amount_minor < 0 else ''}{whole}{fraction}"
