"""Every document of every variant is what Kubernetes and the operators accept, strictly."""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest

from scripts.manifests import CHART, KUBE_VERSION, MADE, helm_program, made, run_helm
from tests.serving.deploy.rendered import VARIANTS, Document, rendered

CRDS = Path(__file__).parent / "crds"


def check(document: Document) -> None:
    """
    Raises:
      kubernetes_validate.ValidationError, jsonschema.ValidationError: it is not valid.
    """
    check_json(json.dumps(document, sort_keys=True))


@functools.cache  # variants have most documents in common
def check_json(text: str) -> None:
    document: Document = json.loads(text)
    version = document["apiVersion"].rpartition("/")[2]
    custom = CRDS / f"{document['kind'].lower()}_{version}.json"
    if custom.exists():
        known: dict[str, Any] = json.loads(custom.read_text(encoding="utf-8"))
        # The catalog leaves the top open. (That a schema is one is not checked: some have
        # patterns of Go's.)
        schema = {**known, "additionalProperties": False}
        jsonschema.Draft202012Validator(schema).validate(document)
    else:
        kubernetes_validate.validate(document, KUBE_VERSION, strict=True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_document_is_valid(variant: str) -> None:
    documents = rendered(variant)
    assert len(documents) > 5
    for document in documents:
        check(document)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "template", "spec", "containers", 0, "livenesProbe"), {}),
        ("Deployment", ("spec", "template", "spec", "terminationGracePeriodSeconds"), "90"),
        ("ScaledObject", ("spec", "coolDownPeriod"), 5),
        ("HTTPRoute", ("spec", "rules", 0, "matches", 0, "path", "type"), "Begins"),
        ("ServiceMonitor", ("spec", "endpoints", 0, "intervall"), "5s"),
        ("PrometheusRule", ("spec", "groups", 0, "rules", 0, "for"), 5),
    ],
)
def test_a_misspelled_field_or_a_wrong_type_is_found(
    kind: str, path: tuple[str | int, ...], value: object
) -> None:
    document = next(each for each in rendered("production") if each["kind"] == kind)
    check(document)
    broken = copy.deepcopy(document)
    node: Any = broken
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    with pytest.raises((kubernetes_validate.ValidationError, jsonschema.ValidationError)):
        check(broken)


@pytest.mark.parametrize("variant", VARIANTS)
def test_nothing_is_named_twice_and_all_is_in_the_namespace(variant: str) -> None:
    documents = rendered(variant)
    names = [(each["kind"], each["metadata"]["name"]) for each in documents]
    assert len(names) == len(set(names))
    for each in documents:
        if each["kind"] != "Namespace":
            assert each["metadata"]["namespace"] == VARIANTS[variant].namespace, each["kind"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_helm_lint_finds_nothing(variant: str) -> None:
    rendering = VARIANTS[variant]
    command = [str(helm_program()), "lint", "--strict", str(CHART)]
    command += [part for path in rendering.values for part in ("--values", str(path))]
    for name, value in (rendering.sets or {}).items():
        command += ["--set-json" if value[:1] in ("[", "{") else "--set", f"{name}={value}"]
    said = run_helm([*command, "--set-file", f"prices={rendering.prices}"])
    assert "0 chart(s) failed" in said
    assert "[ERROR]" not in said and "[WARNING]" not in said


@pytest.mark.parametrize("path", MADE, ids=lambda path: path.parent.name)
def test_what_is_kept_is_what_the_chart_renders(path: Path) -> None:
    """A difference is reviewed in the diff that `python -m scripts.manifests` makes."""
    assert path.read_text(encoding="utf-8") == made(MADE[path])


def test_the_kustomization_names_what_is_there() -> None:
    folder = CHART.parent / "kustomize"
    assert (folder / "kustomization.yaml").read_text() == "resources: [tallygraph.yaml]\n"
    assert (folder / "tallygraph.yaml").is_file()
