"""What every pod and every address of the chart must be, in every variant."""

from __future__ import annotations

import re
from typing import Any

import pytest

from scripts.manifests import EXAMPLES
from tests.serving.deploy.rendered import VARIANTS, Document, of_kind, pods, rendered, the

DIGEST = re.compile(r"@sha256:[0-9a-f]{64}$")
TAG = re.compile(r":([A-Za-z0-9_][A-Za-z0-9_.-]*)$")
# PodSecurity `restricted` allows these kinds of volumes, and image volumes.
VOLUMES = {"configMap", "emptyDir", "persistentVolumeClaim", "secret", "image"}


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_every_pod_is_restricted(variant: str) -> None:
    for pod in pods(variant):
        spec, security = pod.spec, pod.spec["securityContext"]
        assert security["runAsNonRoot"] is True and security["runAsUser"] > 0
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert spec["automountServiceAccountToken"] is False
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
        for volume in spec["volumes"]:
            (kind,) = set(volume) - {"name"}
            assert kind in VOLUMES
        for container in pod.containers:
            own = container["securityContext"]
            assert own["allowPrivilegeEscalation"] is False
            assert own["readOnlyRootFilesystem"] is True
            assert own["capabilities"] == {"drop": ["ALL"]}
            assert not {"privileged", "runAsUser", "procMount"} & set(own)


def test_every_container_has_requests_and_limits(variant: str) -> None:
    for pod in pods(variant):
        for container in pod.containers:
            for which in ("requests", "limits"):
                assert {"cpu", "memory"} <= set(container["resources"][which]), container


def test_every_image_is_pinned(variant: str) -> None:
    for pod in pods(variant):
        for container in pod.containers:
            image = container["image"]
            tag = TAG.search(image)
            assert DIGEST.search(image) or (tag and tag[1] != "latest"), image


def test_every_service_is_probed_and_ends_in_order(variant: str) -> None:
    seen = 0
    for pod in filter(lambda pod: pod.runs_on, pods(variant)):
        for container in pod.spec["containers"]:
            seen += 1
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                assert {"periodSeconds", "failureThreshold"} <= set(container[probe])
            sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
            assert pod.spec["terminationGracePeriodSeconds"] > sleep > 0
    assert seen == 2


def test_jobs_end(variant: str) -> None:
    for pod in pods(variant):
        if pod.kind in ("Job", "CronJob"):
            job = pod.owner["spec"]
            job = job["jobTemplate"]["spec"] if pod.kind == "CronJob" else job
            assert job["activeDeadlineSeconds"] > 0 and job["backoffLimit"] >= 0
            assert pod.spec["restartPolicy"] == "Never"


def test_nothing_has_a_number_of_replicas_that_a_scaler_changes(variant: str) -> None:
    scaled = {
        (target["kind"], target["name"])
        for kind in ("HorizontalPodAutoscaler", "ScaledObject")
        for each in of_kind(variant, kind)
        for target in [each["spec"]["scaleTargetRef"]]
    }
    for pod in filter(lambda pod: pod.runs_on, pods(variant)):
        name = (pod.kind, pod.owner["metadata"]["name"])
        assert ("replicas" in pod.owner["spec"]) == (name not in scaled), name
        scaled.discard(name)
    assert not scaled, "a scaler has nothing to scale"


def test_selectors_find_exactly_their_pods(variant: str) -> None:
    """Services, disruption budgets, workloads and policies."""
    by_component: dict[str, list[dict[str, str]]] = {}
    for pod in pods(variant):
        by_component.setdefault(pod.labels["app.kubernetes.io/component"], []).append(
            pod.labels
        )
    for document in rendered(variant):
        selector = selector_of(document)
        if not selector:
            continue
        name = document["metadata"]["name"]
        found = {
            component
            for component, all_labels in by_component.items()
            for labels in all_labels
            if selector.items() <= labels.items()
        }
        if name.endswith("-jobs") and "job" not in by_component:
            continue
        assert found == {selector["app.kubernetes.io/component"]}, name


def selector_of(document: Document) -> dict[str, str]:
    spec = document.get("spec", {})
    if document["kind"] == "Service":
        return dict(spec["selector"])
    if document["kind"] in ("PodDisruptionBudget", "Deployment", "StatefulSet"):
        return dict(spec["selector"]["matchLabels"])
    if document["kind"] == "NetworkPolicy":
        return dict(spec["podSelector"].get("matchLabels", {}))
    return {}


@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - {"without policies"}), ids=str)
def test_only_named_ports_are_open(variant: str) -> None:
    deny = the(variant, "NetworkPolicy", "-default-deny")["spec"]
    assert deny == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    open_ports = {
        each["metadata"]["name"].rpartition("-")[2]: {
            (peer_of(rule["from"]), port["port"])
            for rule in each["spec"].get("ingress", [])
            for port in rule["ports"]
        }
        for each in of_kind(variant, "NetworkPolicy")
    }
    asked = 8501 if variant == "rest" else 8500
    production = EXAMPLES / "production.yaml" in VARIANTS[variant].values
    administrators = {("operations", 8601)} if production else set()
    assert open_ports == {
        "deny": set(),
        "dns": set(),
        "jobs": set(),
        "gateway": {("ingress", 8600), ("monitoring", 8601), *administrators},
        "server": {("gateway", asked), ("monitoring", 8501)},
    }


def peer_of(peers: list[dict[str, Any]]) -> str:
    (peer,) = peers
    if "namespaceSelector" in peer:
        return str(peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"])
    return str(peer["podSelector"]["matchLabels"]["app.kubernetes.io/component"])


@pytest.mark.parametrize("variant", sorted(set(VARIANTS) - {"without policies"}), ids=str)
def test_a_model_server_asks_nobody_unless_it_fetches_its_model(variant: str) -> None:
    egress = the(variant, "NetworkPolicy", "-model-server")["spec"]["egress"]
    assert bool(egress) == (variant == "fetched model")


def test_only_v1_is_exposed_and_behind_tls() -> None:
    route = the("production", "HTTPRoute")["spec"]
    (rule,) = route["rules"]
    assert rule["matches"] == [{"path": {"type": "PathPrefix", "value": "/v1"}}]
    (backend,) = rule["backendRefs"]
    ingress = the("ingress", "Ingress")["spec"]
    (host,) = ingress["rules"]
    (path,) = host["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/v1", "Prefix")
    assert ingress["tls"] == [{"hosts": [host["host"]], "secretName": "summaries-tls"}]
    # The Service of the way in has the public port alone.
    for variant, name in (
        ("production", backend["name"]),
        ("ingress", path["backend"]["service"]["name"]),
    ):
        (service,) = [e for e in of_kind(variant, "Service") if e["metadata"]["name"] == name]
        assert [port["targetPort"] for port in service["spec"]["ports"]] == ["http"]


def test_all_is_within_the_quota(variant: str) -> None:
    """Also the CPU and the memory of as many pods as there may be."""
    if not (quotas := of_kind(variant, "ResourceQuota")):
        return
    hard = quotas[0]["spec"]["hard"]
    for resource, unit in (("cpu", cpus), ("memory", gibibytes)):
        for which in ("requests", "limits"):
            total = 0.0
            for pod in pods(variant):
                each = max(
                    sum(unit(c["resources"][which][resource]) for c in pod.spec["containers"]),
                    *(
                        unit(c["resources"][which][resource])
                        for c in pod.spec.get("initContainers", [])
                    ),
                    0,
                )
                total += each * most(variant, pod.owner)
            assert total <= unit(hard[f"{which}.{resource}"]), (which, resource)


def most(variant: str, owner: Document) -> int:
    for kind, field in (
        ("HorizontalPodAutoscaler", "maxReplicas"),
        ("ScaledObject", "maxReplicaCount"),
    ):
        for each in of_kind(variant, kind):
            if each["spec"]["scaleTargetRef"]["name"] == owner["metadata"]["name"]:
                return int(each["spec"][field])
    return int(owner["spec"].get("replicas", 1))


def cpus(quantity: str) -> float:
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def gibibytes(quantity: str) -> float:
    number, unit = float(quantity[:-2]), quantity[-2:]
    return number / {"Mi": 1024, "Gi": 1}[unit]
