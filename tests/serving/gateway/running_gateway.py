"""A gateway that runs, for tests to ask; see the fixture ``gateway``."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
import sqlalchemy as sa

from serving.gateway.tenants import Limits, Tenants

PRICES = """
currency = "EUR"

[[prices]]
id = "2026"
valid_from = 2026-01-01
model = "summarizer"
plan = "standard"
price_micro_per_1k_input_tokens = 1000
price_micro_per_1k_cached_tokens = 100
price_micro_per_1k_output_tokens = 10000
"""
# The small model reads 8 words and writes 4: so much can a text cost.
MOST_MICRO = 8 + 40


@dataclass
class RunningGateway:
    """A gateway that answers at ``url``, and what is behind it."""

    url: str
    engine: sa.Engine
    tenants: Tenants

    def key(self, tenant: str = "acme", **limits: int) -> str:
        self.tenants.create(tenant, "standard", Limits(**limits))
        return self.tenants.make_key(tenant)

    def client(self, key: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)
