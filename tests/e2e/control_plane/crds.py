"""CustomResourceDefinitions of what the chart may render, from tests/serving/deploy/crds."""

from __future__ import annotations

import json
from typing import Any, Final

from scripts.manifests import ROOT

_SCHEMAS: Final = ROOT / "tests/serving/deploy/crds"
# Plural and group by the schema's file, whose name has kind and version.
_OF: Final = {
    "externalsecret_v1": ("ExternalSecret", "externalsecrets", "external-secrets.io"),
    "httproute_v1": ("HTTPRoute", "httproutes", "gateway.networking.k8s.io"),
    "prometheusrule_v1": ("PrometheusRule", "prometheusrules", "monitoring.coreos.com"),
    "scaledobject_v1alpha1": ("ScaledObject", "scaledobjects", "keda.sh"),
    "servicemonitor_v1": ("ServiceMonitor", "servicemonitors", "monitoring.coreos.com"),
}


def custom_resource_definitions() -> list[dict[str, Any]]:
    return [_definition(path.stem) for path in sorted(_SCHEMAS.glob("*.json"))]


def _definition(stem: str) -> dict[str, Any]:
    kind, plural, group = _OF[stem]
    schema = json.loads((_SCHEMAS / f"{stem}.json").read_text(encoding="utf-8"))
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            # The API server takes Gateway API's group with its project's word for it only.
            "annotations": {"api-approved.kubernetes.io": "unapproved, in a test"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": stem.rpartition("_")[2],
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": _structural(schema)},
                }
            ],
        },
    }


def _structural(schema: Any) -> Any:
    """The schema without what the catalog has added: there an unknown field is an error by
    ``additionalProperties``, here by the API server's strict validation."""
    if isinstance(schema, list):
        return [_structural(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = schema.get("additionalProperties") is False
    return {
        name: _structural(value)
        for name, value in schema.items()
        if not (closed and name == "additionalProperties")
    }
