"""The chart as Helm renders it, in every variant that is held to the rules."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, cast

import yaml

from scripts.manifests import EXAMPLES, HelmError, Rendering

Document = dict[str, Any]

_MINIMAL: Final = (EXAMPLES / "minimal.yaml",)
_PRODUCTION: Final = (EXAMPLES / "production.yaml",)
_DIGEST: Final = "sha256:" + "0123456789abcdef" * 4

VARIANTS: Final[dict[str, Rendering]] = {
    "minimal": Rendering(_MINIMAL),
    "production": Rendering(_PRODUCTION),
    "scale to zero": Rendering((*_PRODUCTION, EXAMPLES / "scale-to-zero.yaml")),
    "gpu": Rendering((*_MINIMAL, EXAMPLES / "gpu.yaml")),
    "external metrics": Rendering(
        _PRODUCTION, {"modelServer.autoscaling.type": "external"}, namespace="tenants-b"
    ),
    "without scalers": Rendering(
        _PRODUCTION,
        {
            "modelServer.autoscaling.type": "none",
            "modelServer.replicas": "3",
            "gateway.autoscaling.enabled": "false",
            "gateway.replicas": "2",
        },
    ),
    "rest": Rendering(_PRODUCTION, {"gateway.modelProtocol": "rest"}, release="eu"),
    "without batching": Rendering(
        _MINIMAL, {"modelServer.batching.enabled": "false", "gateway.cache.store": "memory"}
    ),
    "own server": Rendering(
        _MINIMAL,
        {
            "modelServer.engine": "tallygraph",
            "modelServer.image.repository": "tallygraph/pipeline",
            "modelServer.image.tag": "0.1.0",
        },
    ),
    "image volume": Rendering(
        _MINIMAL,
        {
            "servedModel.source.type": "image",
            "servedModel.source.image.reference": f"registry.example.com/summarizer@{_DIGEST}",
            "gateway.image.digest": _DIGEST,
            "modelServer.image.digest": _DIGEST,
        },
    ),
    "fetched model": Rendering(
        _MINIMAL,
        {
            "servedModel.source.type": "fetch",
            "servedModel.source.fetch.image": "amazon/aws-cli:2.31.0",
            "servedModel.source.fetch.args": (
                '["s3", "cp", "--recursive", "s3://models/summarizer", "/models/summarizer"]'
            ),
            "servedModel.source.fetch.envFromSecrets": '["object-store"]',
            "networkPolicy.fetchEgress": '[{"ports": [{"protocol": "TCP", "port": 443}]}]',
        },
    ),
    "ingress": Rendering(
        _MINIMAL,
        {
            "ingress.enabled": "true",
            "ingress.host": "summaries.example.com",
            "ingress.tlsSecret": "summaries-tls",
            "ingress.className": "nginx",
        },
    ),
    "external secrets": Rendering(
        _PRODUCTION,
        {
            "externalSecrets.enabled": "true",
            "externalSecrets.store.name": "vault",
            "externalSecrets.database.key": "tallygraph/database",
            "externalSecrets.redis.key": "tallygraph/redis",
            "externalSecrets.redis.property": "url",
        },
    ),
    "deliveries": Rendering(
        _MINIMAL,
        {
            "jobs.anchor.enabled": "true",
            "jobs.deliver.enabled": "true",
            "jobs.deliver.url": "https://meter.example.com/events",
            "jobs.deliver.tokenSecret.name": "meter",
            "networkPolicy.deliverEgress": '[{"ports": [{"protocol": "TCP", "port": 443}]}]',
        },
    ),
    "without policies": Rendering(
        _MINIMAL,
        {
            "networkPolicy.enabled": "false",
            "resourceQuota.enabled": "false",
            "limitRange.enabled": "false",
            "podDisruptionBudget.enabled": "false",
            "jobs.migrate.enabled": "false",
            "jobs.verify.enabled": "false",
        },
    ),
    "manifests": Rendering(_MINIMAL, {"namespace.create": "true"}, hooks=False),
}


@functools.cache
def rendered(variant: str) -> list[Document]:
    """Its documents; not to be changed."""
    return [each for each in yaml.safe_load_all(VARIANTS[variant].render()) if each]


def of_kind(variant: str, kind: str, name_ends: str = "") -> list[Document]:
    return [
        each
        for each in rendered(variant)
        if each["kind"] == kind and each["metadata"]["name"].endswith(name_ends)
    ]


def the(variant: str, kind: str, name_ends: str = "") -> Document:
    """The only document of a kind whose name ends so."""
    (found,) = of_kind(variant, kind, name_ends)
    return found


def document_of(rendering: Rendering, kind: str, name_ends: str = "") -> Document:
    """The only document of a kind whose name ends so, of any rendering."""
    (found,) = [
        each
        for each in yaml.safe_load_all(rendering.render())
        if each and each["kind"] == kind and each["metadata"]["name"].endswith(name_ends)
    ]
    return cast("Document", found)


@dataclass(frozen=True)
class Pod:
    """What makes pods, and what they are."""

    kind: str
    owner: Document
    spec: Document
    labels: dict[str, str]

    @property
    def containers(self) -> list[Document]:
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def runs_on(self) -> bool:
        """Whether it is a service, and not a job that ends."""
        return self.kind in ("Deployment", "StatefulSet")


def pods(variant: str) -> Iterator[Pod]:
    for document in rendered(variant):
        kind = document["kind"]
        if kind == "CronJob":
            template = document["spec"]["jobTemplate"]["spec"]["template"]
        elif kind in ("Deployment", "StatefulSet", "Job"):
            template = document["spec"]["template"]
        else:
            continue
        yield Pod(kind, document, template["spec"], template["metadata"]["labels"])


def refusal(rendering: Rendering) -> str:
    """What Helm says of values that it must refuse."""
    try:
        rendering.render()
    except HelmError as error:
        return str(error)
    raise AssertionError(f"Helm has rendered {rendering.sets}")
