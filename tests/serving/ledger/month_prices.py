"""A price whose tiers depend on where in its month a request stands."""

from __future__ import annotations

import datetime

from serving.billing import Price, PriceBook, Tier

# 500 free; then 333, and 250 from the 2,001st on; output 1,750, and 1,000 from the 501st on.
PRICE = Price(
    "2026-volume",
    datetime.date(2026, 1, 1),
    "summarizer",
    "volume",
    333,
    111,
    1750,
    free_input_tokens=500,
    input_tiers=(Tier(2000, 250),),
    output_tiers=(Tier(500, 1000),),
)
BOOK = PriceBook("EUR", (PRICE,))
PRICING = BOOK.pricing(PRICE)
