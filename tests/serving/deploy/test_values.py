"""Values that cannot work are refused, in words that say what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from scripts.manifests import CHART, EXAMPLES, PRICES, Rendering
from tests.serving.deploy.rendered import refusal

MINIMAL = (EXAMPLES / "minimal.yaml",)
PRODUCTION = (EXAMPLES / "production.yaml",)

# What is refused by what it is combined with: values, and what the message says.
COMBINATIONS: dict[str, tuple[tuple[Path, ...], dict[str, str], str]] = {
    "no database": ((), {}, "database.secret.name is empty. Expected: the name of a Secret"),
    "too few connections": (
        PRODUCTION,
        {"gateway.databaseConnections": "40"},
        "6 gateways, and one more during an upgrade, with 44 connections each, and 15 for "
        "jobs, need 323; 190 of database.maxConnections=200",
    ),
    "gateways the wrong way round": (
        PRODUCTION,
        {"gateway.autoscaling.minReplicas": "7"},
        "gateway.autoscaling.minReplicas=7 is more than maxReplicas=6",
    ),
    "no time to end": (MINIMAL, {"gateway.terminationGraceS": "60"}, "Expected: at least 147"),
    "anchors that stay": (
        MINIMAL,
        {"jobs.anchor.enabled": "true"},
        "jobs.anchor writes into the outbox, which nothing empties",
    ),
    "nobody waits for what is started": (
        (*PRODUCTION, EXAMPLES / "scale-to-zero.yaml"),
        {"gateway.modelWaitS": "0"},
        "would reject every request that comes while no model server is up",
    ),
    "a canary beside the newest": (
        MINIMAL,
        {"gateway.canary.label": "canary"},
        "gateway.canary.label=canary needs gateway.label",
    ),
    "a cache for each": (
        PRODUCTION,
        {"gateway.cache.store": "memory"},
        "would charge the same text differently",
    ),
    "no Redis to cache in": (
        MINIMAL,
        {"gateway.cache.store": "redis"},
        "gateway.cache.store=redis needs redis.secret.name",
    ),
    "no Redis to share rates": (
        PRODUCTION,
        {"redis.secret.name": "", "gateway.cache.store": ""},
        "6 gateways need a Redis to share rate limits",
    ),
    "a label that no version has": (
        PRODUCTION,
        {"gateway.label": "blessed"},
        'No version in servedModel.versions has the label "blessed", which the gateway uses. '
        "Labels there: [stable, canary]",
    ),
    "a label on two versions": (
        PRODUCTION,
        {
            "servedModel.versions": (
                '[{"number": 1, "labels": ["a"]}, {"number": 2, "labels": ["a"]}]'
            )
        },
        "Expected: each label once",
    ),
    "an image without a tag": (
        MINIMAL,
        {
            "servedModel.source.type": "image",
            "servedModel.source.image.reference": "registry:5000/models",
        },
        "needs a tag or a digest",
    ),
    "the newest image": (
        MINIMAL,
        {
            "servedModel.source.type": "image",
            "servedModel.source.image.reference": "models:latest",
        },
        "must not be `latest`",
    ),
    "nothing to fetch with": (
        MINIMAL,
        {"servedModel.source.type": "fetch"},
        "servedModel.source.fetch.image needs an image",
    ),
    "model servers the wrong way round": (
        PRODUCTION,
        {"modelServer.autoscaling.minReplicas": "7"},
        "modelServer.autoscaling.minReplicas=7 is more than maxReplicas=6",
    ),
    "no Prometheus": (
        PRODUCTION,
        {"modelServer.autoscaling.keda.prometheusUrl": ""},
        "needs modelServer.autoscaling.keda.prometheusUrl",
    ),
    "nothing to scale on": (
        PRODUCTION,
        {"monitoring.serviceMonitors.enabled": "false"},
        "set monitoring.serviceMonitors.enabled=true",
    ),
    "no time for the model": (
        MINIMAL,
        {"modelServer.terminationGraceS": "75"},
        "modelServer.terminationGraceS=75 is too short",
    ),
    "batches that do not end with the largest": (
        MINIMAL,
        {"modelServer.batching.allowedBatchSizes": "[1, 8]"},
        "must end with maxBatchSize, 32. Received: [1,8]",
    ),
    "batches in disorder": (
        MINIMAL,
        {"modelServer.batching.allowedBatchSizes": "[8, 1, 32]"},
        "must be ascending. Received: [8,1,32]",
    ),
    "a GPU's image without one": (
        MINIMAL,
        {"modelServer.image.tag": "2.20.0-gpu"},
        "modelServer.gpu.count is 0",
    ),
    "more pods than the quota": (
        PRODUCTION,
        {"modelServer.autoscaling.maxReplicas": "12"},
        "12 model servers and 3 jobs are 22 pods",
    ),
    "two ways in": (PRODUCTION, {"ingress.enabled": "true"}, "Expected: one way in"),
    "a route from nowhere": (MINIMAL, {"httpRoute.enabled": "true"}, "needs parentRefs"),
    "no TLS": (
        MINIMAL,
        {"ingress.enabled": "true", "ingress.host": "example.com"},
        "API keys must not travel without TLS",
    ),
    "secrets from nowhere": (MINIMAL, {"externalSecrets.enabled": "true"}, "needs store.name"),
    "one secret from nowhere": (
        PRODUCTION,
        {
            "externalSecrets.enabled": "true",
            "externalSecrets.store.name": "vault",
            "externalSecrets.database.key": "a",
        },
        "externalSecrets.redis.key is empty",
    ),
    "deliveries by two": (
        PRODUCTION,
        {"jobs.deliver.enabled": "true", "jobs.deliver.url": "https://meter.example.com"},
        "gateway.events.url and jobs.deliver both empty the outbox",
    ),
    "a token for nobody": (
        PRODUCTION,
        {"gateway.events.url": ""},
        "gateway.events.tokenSecret is set, and gateway.events.url is empty",
    ),
    "deliveries to nobody": (
        MINIMAL,
        {"jobs.deliver.enabled": "true"},
        "jobs.deliver needs url",
    ),
}

# What the schema refuses: a value, and the place that the message names.
WRONG = {
    "gateway.replica": ("3", "replica"),
    "gateway.image.tag": ("latest", "/gateway/image/tag"),
    "gateway.image.digest": ("sha256:12", "/gateway/image/digest"),
    "gateway.canary.percent": ("101", "/gateway/canary/percent"),
    "gateway.modelProtocol": ("http2", "/gateway/modelProtocol"),
    "gateway.truncation": ("none", "/gateway/truncation"),
    "gateway.adminTokens.secret.name": ("A B", "/gateway/adminTokens/secret/name"),
    "gateway.events.url": ("events.jsonl", "/gateway/events/url"),
    "modelServer.engine": ("triton", "/modelServer/engine"),
    "modelServer.configPollS": ("0", "/modelServer/configPollS"),
    "modelServer.autoscaling.type": ("vpa", "/modelServer/autoscaling/type"),
    "modelServer.resources.limits.cpu": ("two", "/modelServer/resources/limits/cpu"),
    "servedModel.versions": ('[{"number": "a"}]', "/servedModel/versions/0/number"),
    "monitoring.rules.errorBudget": ("0.2", "/monitoring/rules/errorBudget"),
    "jobs.verify.schedule": ("daily", "/jobs/verify/schedule"),
}


@pytest.mark.parametrize("name", COMBINATIONS)
def test_a_combination_that_cannot_work_is_refused(name: str) -> None:
    values, sets, message = COMBINATIONS[name]
    said = refusal(Rendering(values, sets))
    assert message in said
    assert "checks.yaml" in said


def test_an_installation_without_prices_is_refused() -> None:
    said = refusal(Rendering(MINIMAL, prices=None))
    assert "prices is empty. Expected: a price book in TOML" in said


@pytest.mark.parametrize("name", WRONG)
def test_a_value_that_there_is_not_is_refused(name: str) -> None:
    value, place = WRONG[name]
    said = refusal(Rendering(MINIMAL, {name: value}))
    assert "values don't meet the specifications of the schema" in said
    assert place in said


def test_every_check_is_tested() -> None:
    checks = (CHART / "templates/checks.yaml").read_text(encoding="utf-8")
    # The first one is tested alone: it concerns the file that all others are given.
    assert len(re.findall(r"\{\{- fail ", checks)) == len(COMBINATIONS) + 1
    assert PRICES.is_file()


def test_the_schema_knows_every_value_and_no_other() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    open_ended = []

    def compare(known: dict[str, object], given: object, path: str) -> None:
        properties = known.get("properties")
        if not isinstance(properties, dict) or known.get("additionalProperties") is not False:
            if isinstance(given, dict):
                open_ended.append(path)
            return
        assert isinstance(given, dict), path
        assert set(properties) - {"global"} == set(given), path
        for name, value in given.items():
            compare(properties[name], value, f"{path}/{name}")

    compare(schema, values, "")
    # Labels, annotations, selectors: their names are the user's.
    ends = ("Selector", "Annotations", "annotations", "labels", "/hard")
    assert all(path.endswith(ends) for path in open_ended), open_ended
