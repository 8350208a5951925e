"""Each expression of both dashboards says what a load generator has counted, and the alert of a
killed server reaches Alertmanager.

See `watched_release` for what runs, and `live_dashboards` for how equal the counts are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.serving.deploy.live_dashboards import (
    Expression,
    expressions,
    near,
    only,
    quantile,
)
from tests.serving.deploy.watched_release import (
    BUDGETS,
    CLIENTS,
    DASHBOARDS,
    TAKES_S,
    WAITING,
    Story,
    release_in,
    story_of,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

Values = dict[str, float]
Check = Callable[[Story, Values], None]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with release_in(tmp_path_factory.mktemp("watched")) as release:
        yield story_of(release)


def rates(job: str, counts: Callable[[Story], dict[str, float]]) -> Check:
    """The expression is a rate a second of what was counted."""

    def check(story: Story, values: Values) -> None:
        story.windows[job].counted(values, counts(story))

    return check


def is_(value: Callable[[Story], float | Values]) -> Check:
    """The expression is a value, or is one for each label."""

    def check(story: Story, values: Values) -> None:
        expected = value(story)
        expected = expected if isinstance(expected, dict) else {"": expected}
        assert values == {label: near(each) for label, each in expected.items()}

    return check


def between(bounds: Callable[[Story], tuple[float, float]]) -> Check:
    def check(story: Story, values: Values) -> None:
        least, most = bounds(story)
        assert least <= only(values) <= most

    return check


def seconds(share: float, bucket: float, unit: float = 1.0, of_model: bool = False) -> Check:
    """A quantile of latencies: not below what the model takes, not above what clients saw.

    Args:
      bucket: the histogram's upper limits are so many times the lower ones: within a bucket it
        does not know where a value was.
      of_model: of what the model was asked before its server was killed.
    """

    def check(story: Story, values: Values) -> None:
        seen = story.asked_of_model if of_model else story.load.seconds
        said = only(values) / unit
        assert TAKES_S / bucket <= said <= quantile(seen, share) * bucket

    return check


def waits(share: float) -> Check:
    """A quantile of the times that requests waited for a server: nearly all that they took."""

    def check(story: Story, values: Values) -> None:
        waited = sorted(story.load.seconds)[-WAITING:]
        assert waited[0] / 2 - 1 <= only(values) <= quantile(waited, share) * 2

    return check


def ledger_latency(story: Story, values: Values) -> None:
    called = {"reserve", "settle"}
    assert set(values) == {"reserve", "settle", "release", "undelivered"}
    for operation, each in values.items():
        # A quantile of nothing is not a number.
        assert (
            0 < each < max(story.load.seconds) * 2 if operation in called else math.isnan(each)
        )


def event_age(story: Story, values: Values) -> None:
    assert story.first.first_charged_at is not None
    sent, answered = (
        story.windows["gateway"].ends - each for each in story.first.first_charged_at
    )
    # The gateway asks its database every five seconds.
    assert answered - 7 <= only(values) <= sent


def cached_share(story: Story, values: Values) -> None:
    """Of two rates; a request that its tenant cannot pay for is looked up, too."""
    load, most = story.load, story.windows["gateway"].most
    share = load.hits / (load.hits + load.misses + load.limited["budget"])
    assert share / most <= only(values) <= share * most


def processor(story: Story, values: Values) -> None:
    window = story.windows["gateway"]
    said = values["gateway-0"] * window.seconds
    assert story.cpu_s * 0.5 <= said <= story.cpu_s * window.most


def of_charged(what: Callable[[str, str], str]) -> Check:
    return rates("gateway", lambda story: {**story.load.by(what)})


QUIET: Final = rates("gateway", lambda story: {})

GATEWAY: Final[dict[str, Check]] = {
    "Requests by status | {{http_response_status_code}}": rates(
        "gateway", lambda story: {**story.load.statuses}
    ),
    "Latency of responses | p50": seconds(0.5, 2),
    "Latency of responses | p90": seconds(0.9, 2),
    "Latency of responses | p99": seconds(0.99, 2),
    "Errors by code | {{code}}": rates("gateway", lambda story: {**story.load.errors}),
    "Tokens charged by type | {{type}}": of_charged(lambda tenant, kind: kind),
    "Tokens charged by tenant | {{tenant}}": of_charged(lambda tenant, kind: tenant),
    "Tokens charged by model version | {{model}}-{{model_version}}": of_charged(
        lambda tenant, kind: "summarizer 7"
    ),
    # An hour's, in euros.
    "Money charged per hour | {{currency}}": lambda story, values: story.windows[
        "gateway"
    ].counted({"EUR": values["EUR"] * 1e6 / 3600}, {"EUR": story.load.micro()}),
    "Limits hit | {{limit}}": rates("gateway", lambda story: {**story.load.limited}),
    "Requests in progress | requests": is_(lambda story: 0),
    "Requests in progress | at model servers": is_(lambda story: 0),
    "Requests in progress | waiting for a server": is_(lambda story: 0),
    "Latency of the model servers | p50": seconds(0.5, 2, of_model=True),
    "Latency of the model servers | p99": seconds(0.99, 2, of_model=True),
    "Latency of the ledger, p99 | {{operation}}": ledger_latency,
    "Cache: hit rate | found": cached_share,
    "Cache: errors | {{operation}}": QUIET,
    "Ledger: open reservations | open": is_(lambda story: 0),
    "Ledger: open reservations | stale": is_(lambda story: 0),
    "Ledger: age of the oldest reservation and event | reservation": is_(lambda story: 0),
    "Ledger: age of the oldest reservation and event | usage event": event_age,
    "Pending usage events | waiting": is_(
        lambda story: story.first.charged.total() + story.load.charged.total()
    ),
    "Repeated requests, not charged again | {{tenant}}": rates(
        "gateway", lambda story: {**story.load.replays}
    ),
    "Ledger is reachable | up": is_(lambda story: 1),
    "Model servers that are up | {{server}}": is_(lambda story: {story.server_url: 1}),
    "Wait for a model server | p50": waits(0.5),
    "Wait for a model server | p95": waits(0.95),
    "Waits by what came of them | {{outcome}}": rates(
        "gateway", lambda story: {"served": WAITING}
    ),
    "Budgets with least left | {{tenant}}": is_(
        lambda story: {
            tenant: (budget - story.load.micro(tenant)) / 1e6
            for tenant, budget in BUDGETS.items()
        }
    ),
    "Memory of gateways | {{pod}}": lambda story, values: between(
        lambda story: (story.rss / 2, story.rss * 2)
    )(story, {"": values["gateway-0"]}),
    "Processor time of gateways | {{pod}}": processor,
}

BUCKET: Final = 1.8  # of TensorFlow Serving's histograms of latencies
US: Final = 1e6


def computed(story: Story, values: Values) -> None:
    """Microseconds in a second: all requests', one by one."""
    window, asked = story.windows["model-server"], story.asked_of_model
    said = sum(values.values()) * window.seconds / US
    assert len(asked) * TAKES_S <= said <= sum(asked) * window.most


SERVERS: Final[dict[str, Check]] = {
    "Servers up | up": is_(lambda story: 1),
    "Requests by status | {{status}}": rates(
        "model-server", lambda story: {"OK": len(story.asked_of_model)}
    ),
    **{
        f"Latency of requests | p{percent}": seconds(percent / 100, BUCKET, US, of_model=True)
        for percent in (50, 90, 99)
    },
    **{
        f"Latency of the graph | p{percent}": seconds(percent / 100, BUCKET, US, of_model=True)
        for percent in (50, 99)
    },
    **{
        f"Wait for a batch | p{percent}": between(
            lambda story: (0, max(story.asked_of_model) * US * 1.2)
        )
        for percent in (50, 99)
    },
    "Rows in a batch | mean": between(lambda story: (1, CLIENTS)),
    # Upper limits are 1, 2, 4 ...; a number that equals one is in the next bucket.
    "Rows in a batch | p90": between(lambda story: (1, 2 * CLIENTS)),
    "Rows in a request | mean": is_(lambda story: 1),
    "Padding of a batch | rows": is_(lambda story: 0),
    "Time that is computed in a second | {{API}}": computed,
    "Versions loaded | {{model_path}} {{status}}": lambda story, values: is_(lambda story: 1)(
        story, {"": sum(values.values())}
    ),
    "Warm-up of a version | {{model_path}}": lambda story, values: between(
        lambda story: (TAKES_S * US, 300 * US)
    )(story, {"": sum(values.values())}),
}
CHECKS: Final = {"gateway": GATEWAY, "model-server": SERVERS}
ALL: Final = [
    pytest.param(job, each, id=f"{job}: {each.place}")
    for job, dashboard in DASHBOARDS.items()
    for each in expressions(dashboard)
]


@pytest.mark.parametrize("job", CHECKS)
def test_every_expression_is_looked_at(job: str) -> None:
    assert sorted(CHECKS[job]) == sorted(each.place for each in expressions(DASHBOARDS[job]))


@pytest.mark.parametrize(("job", "expression"), ALL)
def test_an_expression_says_what_was_counted(
    story: Story, job: str, expression: Expression
) -> None:
    CHECKS[job][expression.place](story, story.windows[job].read(expression))


def test_while_requests_wait(story: Story) -> None:
    """Those that nobody answers yet are in progress, at no server, and not charged."""
    expected = {
        "Requests in progress | requests": {"": WAITING},
        "Requests in progress | at model servers": {"": 0},
        "Requests in progress | waiting for a server": {"": WAITING},
        "Model servers that are up | {{server}}": {story.server_url: 0},
        "Ledger: open reservations | open": {"": 0},
    }
    assert {place: story.waiting[place] for place in expected} == expected


def test_the_alert_of_a_killed_server_reaches_alertmanager(story: Story) -> None:
    (alert,) = story.alerts
    assert alert["labels"] == {
        "alertname": "TallygraphNoModelServer",
        "namespace": "summaries",
        "severity": "critical",
    }
    assert alert["annotations"]["summary"] == "Clients ask, and no model server is up."
    assert alert["annotations"]["runbook_url"].endswith("/no-model-server.md")


def test_the_load_had_some_of_everything(story: Story) -> None:
    load = story.load
    assert (load.hits, load.misses) == (40, 245 + WAITING)
    assert dict(load.statuses) == {"200": 250 + 40 + WAITING, "429": 7, "401": 6, "400": 3}
    assert dict(load.replays) == {"acme": 5}
