"""The chart, applied to Kubernetes' own API server and controllers: what they admit and refuse.

Real: admission (PodSecurity, quota, limit ranges), defaults, validation of core and custom
resources, Deployments, StatefulSets, HorizontalPodAutoscalers, the scheduler, the binding of
the model's claim, Helm's upgrade and rollback, the command of the migration. Nodes are
`kwok`'s, on which no container runs.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from scripts.manifests import CHART, EXAMPLES, ROOT, Rendering
from serving.ledger.upgrade import newest_revision
from tests.e2e.control_plane.cluster import Cluster
from tests.e2e.control_plane.processes import Processes
from tests.e2e.control_plane.releases import (
    all_run,
    bring_model,
    events,
    install,
    pods_of_workloads,
    wait_until_all_run,
    workloads,
)
from tests.serving.deploy.rendered import VARIANTS
from tests.support.waiting import wait_until

OLD_LEDGER = ROOT / "tests/serving/ledger/old_ledgers/ledger-0009.sqlite"

pytestmark = [pytest.mark.kubernetes, pytest.mark.timeout(1200)]


@pytest.fixture(autouse=True)
def processes(cluster: Cluster) -> Iterator[Processes]:
    with Processes(cluster) as running:
        yield running


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_is_admitted_and_runs(cluster: Cluster, variant: str) -> None:
    """Every object, and every pod that the controllers make of them, under ``restricted``."""
    namespace = "is-" + variant.replace(" ", "-")
    rendering = VARIANTS[variant]
    if rendering.hooks:
        install(cluster, rendering, namespace)
    else:  # what is applied without Helm, and brings its namespace
        text = replace(rendering, namespace=namespace).render()
        cluster.kubectl("apply", "--validate=strict", "-f", "-", given=text)
        bring_model(cluster, namespace)
        labels = cluster.get(f"/api/v1/namespaces/{namespace}")["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    wait_until_all_run(cluster, namespace)
    assert workloads(cluster, namespace)
    assert events(cluster, namespace, "FailedCreate") == []
    pods = pods_of_workloads(cluster, namespace)
    assert len(pods) == sum(each["spec"]["replicas"] for each in workloads(cluster, namespace))
    # A second time nothing changes: what the server has filled in is not fought over.
    before = {each["metadata"]["uid"] for each in pods}
    if rendering.hooks:
        cluster.helm(
            *("upgrade", rendering.release, CHART, "--namespace", namespace, "--no-hooks"),
            *rendering.values_arguments(),
        )
    else:
        cluster.kubectl("apply", "--validate=strict", "-f", "-", given=text)
    wait_until_all_run(cluster, namespace)
    pods = pods_of_workloads(cluster, namespace)
    assert {each["metadata"]["uid"] for each in pods} == before
    if rendering.hooks:
        cluster.helm("uninstall", rendering.release, "--namespace", namespace)
    else:
        cluster.kubectl("delete", "--wait=false", "-f", "-", given=text)


def template(rendering: Rendering, kind: str) -> dict[str, Any]:
    """The pod of the first document of a kind, as a Pod."""
    documents = yaml.safe_load_all(rendering.render())
    owner = next(each for each in documents if each and each["kind"] == kind)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "probe", "labels": {"is": "a-probe"}},
        "spec": {**owner["spec"]["template"]["spec"], "serviceAccountName": "default"},
    }


def test_what_is_not_restricted_is_refused(cluster: Cluster) -> None:
    namespace = cluster.namespace("restricted")
    pod = template(VARIANTS["minimal"], "StatefulSet")
    create = ("create", "--namespace", namespace, "-f", "-")
    cluster.kubectl(*create, "--dry-run=server", given=yaml.safe_dump(pod))
    (container,) = pod["spec"]["containers"]
    container["securityContext"]["allowPrivilegeEscalation"] = True
    said = cluster.refusal(*create, given=yaml.safe_dump(pod))
    assert 'violates PodSecurity "restricted:latest"' in said
    assert "allowPrivilegeEscalation != false" in said


def test_a_release_cannot_have_more_than_its_quota(cluster: Cluster) -> None:
    rendering = Rendering((EXAMPLES / "minimal.yaml",), {"resourceQuota.hard": '{"pods": "6"}'})
    install(cluster, rendering, "bounded")
    wait_until_all_run(cluster, "bounded")
    name = "deployment/tallygraph-gateway"
    cluster.kubectl("scale", name, "--replicas=9", "--namespace", "bounded")
    wait_until(
        lambda: any(
            "exceeded quota" in each for each in events(cluster, "bounded", "FailedCreate")
        ),
        "a pod too many to be refused",
        every_s=0.5,
    )
    pods = cluster.get("/api/v1/namespaces/bounded/pods")["items"]
    assert len(pods) == 6
    # What says nothing of its size has the limit range's.
    pod = template(VARIANTS["minimal"], "StatefulSet")
    for each in pod["spec"]["containers"]:
        del each["resources"]
    cluster.kubectl("scale", name, "--replicas=1", "--namespace", "bounded")
    wait_until(lambda: all_run(cluster, "bounded"), "one gateway", every_s=0.5)
    made = yaml.safe_load(
        cluster.kubectl(
            *("create", "--namespace", "bounded", "--dry-run=server", "-o", "yaml", "-f", "-"),
            given=yaml.safe_dump(pod),
        )
    )
    resources = made["spec"]["containers"][0]["resources"]
    assert set(resources["requests"]) >= {"cpu", "memory"} and resources["limits"]["memory"]


@pytest.mark.parametrize(
    "kind", ["ScaledObject", "PrometheusRule", "ServiceMonitor", "HTTPRoute"]
)
def test_custom_resources_are_held_to_their_schemas(cluster: Cluster, kind: str) -> None:
    documents = yaml.safe_load_all(VARIANTS["production"].render())
    document = next(each for each in documents if each and each["kind"] == kind)
    document["metadata"]["namespace"] = "default"
    create = ("create", "--validate=strict", "--dry-run=server", "-f", "-")
    cluster.kubectl(*create, given=yaml.safe_dump(document))
    document["spec"]["noSuchField"] = 1
    assert "noSuchField" in cluster.refusal(*create, given=yaml.safe_dump(document))


def revision(ledger: Path) -> str:
    """Of its tables."""
    with closing(sqlite3.connect(ledger)) as connection:
        (found,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(found)


def arguments_of(cluster: Cluster, namespace: str) -> list[str]:
    """The gateways' command line, as the API server has it."""
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/tallygraph-gateway"
    (container,) = cluster.get(path)["spec"]["template"]["spec"]["containers"]
    arguments: list[str] = container["args"]
    return arguments


def test_upgrade_and_rollback(cluster: Cluster, tmp_path: Path) -> None:
    """The ledger is migrated before, replicas stay as they were scaled, and back it goes."""
    namespace = "upgraded"
    rendering = VARIANTS["production"]
    install(cluster, rendering, namespace)
    ledger = tmp_path / "ledger.sqlite"
    shutil.copy(OLD_LEDGER, ledger)
    cluster.kubectl(
        *("create", "secret", "generic", "tallygraph-database", "--namespace", namespace),
        f"--from-literal=url=sqlite:///{ledger}",
    )
    wait_until_all_run(cluster, namespace)
    path = f"/apis/apps/v1/namespaces/{namespace}"
    # The real autoscaler, which knows no CPU of theirs, keeps the least that the values allow.
    gateways = cluster.get(f"{path}/deployments/tallygraph-gateway")
    assert gateways["spec"]["replicas"] == 3
    cluster.kubectl("scale", "statefulset/tallygraph-models", "--replicas=4", "-n", namespace)
    wait_until_all_run(cluster, namespace)
    first = arguments_of(cluster, namespace)
    assert "--model-wait-s=60" in first and revision(ledger) == "0009"

    cluster.helm(
        *("upgrade", rendering.release, CHART, "--namespace", namespace),
        *rendering.values_arguments(),
        *("--set", "gateway.modelWaitS=61"),
    )
    # Helm has waited for the migration's command.
    assert revision(ledger) == newest_revision()
    wait_until_all_run(cluster, namespace)
    changed = ["--model-wait-s=61" if each == "--model-wait-s=60" else each for each in first]
    assert arguments_of(cluster, namespace) == changed
    models = cluster.get(f"{path}/statefulsets/tallygraph-models")
    assert models["spec"]["replicas"] == 4

    cluster.helm("rollback", rendering.release, "1", "--namespace", namespace)
    wait_until_all_run(cluster, namespace)
    assert arguments_of(cluster, namespace) == first
    models = cluster.get(f"{path}/statefulsets/tallygraph-models")
    assert models["spec"]["replicas"] == 4
