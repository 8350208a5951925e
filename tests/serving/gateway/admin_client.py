"""A gateway with the admin API, and who may use it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import httpx

from tests.support.running_gateway import DEADLINE_S

TOKEN: Final = "0123456789abcdef0123456789abcdef"
TOKENS: Final = f"alice {TOKEN}\n{'f' * 64}\n"
API: Final = "/admin/v1"


class AdminClient:
    """Calls the admin API, and expects a status."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def __call__(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        answer = self._client.request(method, f"{API}{path}", json=body)
        assert answer.status_code == status, (answer.status_code, answer.text)
        return answer.json()

    def raw(self, path: str) -> httpx.Response:
        return self._client.get(f"{API}{path}")


@contextmanager
def admin_client(admin_url: str, token: str = TOKEN) -> Iterator[AdminClient]:
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(
        base_url=admin_url, headers=headers, timeout=DEADLINE_S, trust_env=False
    ) as client:
        yield AdminClient(client)
