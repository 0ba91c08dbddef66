"""A release from install to uninstall, by the real helm against an API in memory. Nobody runs the pods here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.helm import CHART, Helm, HelmFailed
from deploy.kube_http import ApiServer
from deploy.kube_store import Object, Store

RELEASE = "my-nats"
ISSUE_COMMAND = [
    "--set", "config.jetstream.enabled=true", "--set", "config.jetstream.fileStore.enabled=true",
    "--set", "config.cluster.enabled=true", "--set", "config.cluster.replicas=3",
]  # fmt: skip


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def cluster(helm: Helm, store: Store, tmp_path: Path) -> Iterator[Helm]:
    """helm, talking to the store."""
    with ApiServer(store, tmp_path) as server:
        yield Helm(helm.path, helm.home, server.kubeconfig)


def stateful_set(store: Store) -> Object:
    return store.get(("apps/v1", "statefulsets", "default", RELEASE))


def conf(store: Store) -> str:
    return str(store.get(("v1", "configmaps", "default", f"{RELEASE}-config"))["data"]["nats.conf"])


def test_install_upgrade_rollback_uninstall(cluster: Helm, store: Store) -> None:
    assert "STATUS: deployed" in cluster.run("install", RELEASE, str(CHART), *ISSUE_COMMAND)
    assert stateful_set(store)["spec"]["replicas"] == 3
    assert '"max_file_store": 10Gi' in conf(store)

    louder = ["--reuse-values", "--set", "config.merge.debug=true"]
    assert "STATUS: deployed" in cluster.run("upgrade", RELEASE, str(CHART), *louder)
    assert '"debug": true' in conf(store)
    assert '"max_file_store": 10Gi' in conf(store)

    cluster.run("rollback", RELEASE, "1")
    assert "debug" not in conf(store)
    history = cluster.run("history", RELEASE)
    assert [line.split("\t")[2].strip() for line in history.splitlines()[1:4]] == [
        "superseded",
        "superseded",
        "deployed",
    ]

    cluster.run("uninstall", RELEASE)
    for group, plural in [("apps/v1", "statefulsets"), ("v1", "services"), ("v1", "configmaps"), ("v1", "secrets")]:
        assert store.find(group, plural) == []
    assert store.unsupported == []


def test_a_configuration_that_changes_rolls_no_pod_but_by_wish(cluster: Helm, store: Store) -> None:
    cluster.run("install", RELEASE, str(CHART))
    before = stateful_set(store)["spec"]["template"]
    cluster.run("upgrade", RELEASE, str(CHART), "--set", "config.merge.debug=true")
    assert stateful_set(store)["spec"]["template"] == before  # the reloader does it
    by_wish = ["--set", "podTemplate.configChecksumAnnotation=true"]
    cluster.run("upgrade", RELEASE, str(CHART), *by_wish)
    quiet = stateful_set(store)["spec"]["template"]
    cluster.run("upgrade", RELEASE, str(CHART), *by_wish, "--set", "config.merge.debug=true")
    assert stateful_set(store)["spec"]["template"] != quiet


def test_a_volume_of_another_size_is_refused_and_nothing_changes(cluster: Helm, store: Store) -> None:
    cluster.run("install", RELEASE, str(CHART), *ISSUE_COMMAND)
    before = stateful_set(store)["spec"]
    larger = ["--set", "config.jetstream.fileStore.pvc.size=20Gi"]
    with pytest.raises(HelmFailed, match="updates to statefulset spec for fields other than"):
        cluster.run("upgrade", RELEASE, str(CHART), *ISSUE_COMMAND, *larger)
    assert stateful_set(store)["spec"] == before


@pytest.mark.skipif(
    "TERNMQ_UPSTREAM_CHART" not in os.environ, reason="TERNMQ_UPSTREAM_CHART names no chart to come from"
)
def test_a_release_of_the_nats_chart_is_upgraded_to_ours(cluster: Helm, store: Store) -> None:
    cluster.run("install", RELEASE, os.environ["TERNMQ_UPSTREAM_CHART"], *ISSUE_COMMAND)
    theirs = stateful_set(store)
    cluster.run("upgrade", RELEASE, str(CHART), *ISSUE_COMMAND)
    ours = stateful_set(store)
    assert ours["metadata"]["uid"] == theirs["metadata"]["uid"]
    assert ours["spec"]["template"]["spec"]["containers"][0]["image"].startswith("ternmq:")
