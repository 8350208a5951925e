"""Who may use the admin API: its file of tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from serving.engines import RunningServer
from serving.gateway.admin.tokens import AdminTokenError, AdminTokens
from tests.serving.gateway.admin_client import TOKEN, TOKENS, admin_client
from tests.support.running_gateway import gateway_on


@pytest.mark.parametrize("ledger_url", ["sqlite"], indirect=True)
def test_without_a_token_file_the_api_is_off(
    engine: sa.Engine, tmp_path: Path, metered_models: Path, model_server: RunningServer
) -> None:
    with (
        gateway_on(engine, tmp_path, metered_models, [model_server.rest_url]) as running,
        admin_client(running.admin_url) as client,
    ):
        for method, path in (("GET", "/tenants"), ("POST", "/prices/reload")):
            said = client(method, path, None if method == "GET" else {}, 403)["error"]
            assert said["code"] == "admin_api_off" and "--admin-token-file" in said["message"]
        assert running.admin("/readyz").status_code == 200
        assert running.admin("/metrics").status_code == 200


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no token"),
        ("\n  \n", "has no token"),
        ("alice short", "line 1: a token must have at least 32 ASCII characters. Received: 5"),
        (f"{TOKEN}\n{'é' * 40}", "line 2: a token must have at least 32"),
        (f"a\tb {TOKEN}", "line 1: the name before a token"),
        (None, "Cannot read the admin tokens"),
    ],
)
def test_a_file_of_tokens_that_cannot_be_used(
    tmp_path: Path, content: str | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "tokens").write_text(content)
    with pytest.raises(AdminTokenError, match=message) as refused:
        AdminTokens.load(tmp_path / "tokens")
    assert TOKEN not in str(refused.value)


def test_tokens_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text(TOKENS)
    tokens = AdminTokens.load(tmp_path / "tokens")
    assert (tokens.holder(TOKEN), tokens.holder("f" * 64)) == ("alice", "admin")
    assert tokens.holder("\ud800") is None
    assert "alice" not in repr(tokens)
