"""Which version serves whom: labels, canaries, and servers that have lost one."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path

import pytest

from serving.gateway.backends import BackendError, Canary, ServedModel
from serving.gateway.ports import VersionGoneError
from tests.serving.gateway.replicated import SCHEMES, TEXT, Replicated, soon, until, using
from tests.support.command_gateway import command_gateway

EVERYBODY = Canary("canary", 100)


@SCHEMES
def test_versions_and_labels(scheme: str, servers: Replicated) -> None:
    model = ServedModel(
        "summarizer",
        servers.urls(scheme, "old", "both"),
        servers.models,
        "stable",
        EVERYBODY,
        poll_every_s=0.2,
    )

    async def number(tenant: str | None) -> int:
        return (await model.version(tenant)).number

    async def ask() -> None:
        assert (await number(None), await number("acme")) == (7, 8)
        canary = await model.version("acme")
        # The first has not the version: it is the second that is asked, each time.
        for _ in range(5):
            (answer,) = await model.summarize(canary, ["a b"], 0, soon())
            assert answer.summary == "A B"
        with pytest.raises(VersionGoneError):
            await model.replicas.predict(9, "summarize", TEXT, soon())
        # One server says 8 and the other 7: the newer, which one of them has.
        servers.configure("both", stable=8, previous=7)
        await until(lambda: _is(number(None), 8))
        # Nobody has the canary's label: its tenants are answered as all are.
        assert await number("acme") == 8
        # The version is gone: it is no more the one that answers.
        servers.configure("both", stable=7)
        await until(lambda: _is(number(None), 7))
        # It is unloaded after the label has moved.
        await until(lambda: _nobody_has(model, 8))
        with pytest.raises(VersionGoneError):
            await model.summarize(canary, ["a b"], 0, soon())
        servers.configure("both", stable=7, canary=8)
        await until(lambda: _is(number("acme"), 8))

    using(model, ask)


async def _is(value: Awaitable[int], expected: int) -> bool:
    return await value == expected


async def _nobody_has(model: ServedModel, version: int) -> bool:
    return not any(replica.has(version) for replica in model.replicas.replicas)


@SCHEMES
def test_a_server_that_has_lost_the_version_says_so(scheme: str, servers: Replicated) -> None:
    """What is known of a server can be old: the next is asked, and in the end nobody."""
    model = ServedModel(
        "summarizer",
        servers.urls(scheme, "both", "old"),
        servers.models,
        "stable",
        EVERYBODY,
        poll_every_s=3600,
    )

    async def ask() -> None:
        assert (await model.version("acme")).number == 8
        both, old = model.replicas.replicas
        assert (both.has(8), old.has(8)) == (True, False)
        servers.configure("both", stable=7)
        client = ServedModel("summarizer", servers.urls(scheme, "both"), servers.models)
        try:
            await until(lambda: _is(_fresh(client), 7))
        finally:
            await client.close()
        assert both.has(8)
        with pytest.raises(VersionGoneError):
            await model.replicas.predict(8, "summarize", TEXT, soon())
        assert not both.has(8)
        assert (await model.version("acme", fresh=True)).number == 7
        assert await model.count("acme", ["a b"]) == [(2, 0)]
        servers.configure("both", stable=7, canary=8)

        async def back() -> bool:
            return (await model.version("acme", fresh=True)).number == 8

        await until(back)

    using(model, ask)


async def _fresh(model: ServedModel) -> int:
    return (await model.version(fresh=True)).number


def test_settings_that_cannot_be_meant(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="At least one URL"):
        ServedModel("summarizer", [], tmp_path)
    with pytest.raises(
        BackendError, match="needs a label for the version of all other tenants"
    ):
        ServedModel("summarizer", ["http://127.0.0.1:1"], tmp_path, None, EVERYBODY)


@SCHEMES
def test_the_ledger_has_the_version_of_the_tenants_side(
    scheme: str, servers: Replicated, tmp_path: Path
) -> None:
    share = Canary("canary", 50)
    names = [f"tenant-{number}" for number in range(6)]
    expected = {name: "8" if share.takes("summarizer", name) else "7" for name in names}
    assert {*expected.values()} == {"7", "8"}
    options = ("--label", "stable", "--canary-label", "canary", "--canary-percent", "50")
    urls = servers.urls(scheme, "old", "both")
    body = {"model": "summarizer", "text": "one two three"}
    with command_gateway(
        tmp_path, servers.models, urls, "--model-name", "summarizer", *options
    ) as gateway:
        told = {}
        for name in names:
            with gateway.client(gateway.key(name)) as client:
                for _ in range(2):
                    answer = client.post("/v1/summaries", json=body)
                    assert answer.status_code == 200, answer.text
                    told[name] = answer.json()["model_version"]
                counts = client.post("/v1/count_tokens", json=body)
                assert counts.json()["counts"] == [{"input_tokens": 3, "truncated_tokens": 0}]
        assert told == expected
        assert gateway.versions_charged() == {(name, told[name]): 2 for name in names}
