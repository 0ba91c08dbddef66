"""Releases that really live on this machine (kubelet/): three pods form a cluster, are tested, reloaded, rolled, wiped.

Twice: our chart, and our chart without what it adds, which is the NATS chart fact by fact (the first test shows it).
TERNMQ_UPSTREAM_CHART names an unpacked NATS chart to take for the second instead. About two minutes each; the verdict
and every log lie in the folder that a failure names.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from deploy.conftest import missing
from deploy.facts import facts
from deploy.helm import CHART, VALUES, Helm, find_helm
from deploy.kubelet.machine import run_inside, why_not
from deploy.test_chart_facts import golden

JOURNEY_S = 420
OUTAGE_S = 1.0  # no publish waits longer, whatever is rolled
BARE = [
    "--set-json", "container.securityContext=null", "--set-json", "podTemplate.securityContext=null",
    "--set-json", "podTemplate.topologySpreadConstraints=null",
]  # fmt: skip
UPSTREAM = os.environ.get("TERNMQ_UPSTREAM_CHART", "")
OUR_IMAGE = ["--set", "container.image.repository=ternmq", "--set", "container.image.tag=0.1.0"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(JOURNEY_S + 60)]


def test_ours_without_what_it_adds_is_the_nats_chart(helm: Helm) -> None:
    ours = facts(helm.template("--values", str(VALUES / "cluster.yaml"), *BARE))
    kept = [line for line in ours if "[tmp]" not in line and not line.startswith("Pod/my-nats-test-jetstream")]
    assert kept == golden("cluster")


@pytest.fixture(scope="module", params=["ours", "nats chart"])
def journey(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The verdict of a whole journey, and `folder`."""
    obstacle = why_not() or ("" if find_helm() else "helm is missing: `make deploy-tools`")
    if obstacle:
        missing("a machine of its own", obstacle)
    folder = tmp_path_factory.mktemp("journey")
    chart, extra = str(CHART), []
    if request.param != "ours":
        chart, extra = (UPSTREAM, OUR_IMAGE) if UPSTREAM else (chart, BARE)
    log = folder / "journey.log"
    code = run_inside("deploy.kubelet.journey", chart, str(folder), *extra, log=log, seconds=JOURNEY_S)
    assert code == 0, f"see {folder}\n" + "\n".join(log.read_text(errors="replace").splitlines()[-60:])
    verdict = json.loads((folder / "verdict.json").read_text())
    assert isinstance(verdict, dict)
    return verdict | {"folder": folder, "has_jetstream_test": chart == str(CHART)}


def test_three_pods_form_a_cluster_that_helm_tests(journey: dict[str, Any]) -> None:
    assert journey["install_s"] < 60
    assert journey["helm_test"].count("Phase:          Succeeded") == (2 if journey["has_jetstream_test"] else 1)


def test_nothing_acknowledged_is_lost_while_pods_are_rolled_and_a_volume_is_lost(journey: dict[str, Any]) -> None:
    load = journey["load"]
    assert load["complaints"] == []
    assert load["acknowledged"] > 5000


def test_no_publish_waits_longer_than_a_second(journey: dict[str, Any]) -> None:
    assert journey["load"]["slowest_publish_s"] <= OUTAGE_S


def test_the_replicas_are_equal_in_the_end(journey: dict[str, Any]) -> None:
    first, *others = journey["replicas"]
    assert first["messages"] == journey["load"]["stored"] == first["last_seq"]
    assert others == [first, first]


def test_every_server_ended_by_itself(journey: dict[str, Any]) -> None:
    """preStop was obeyed (`nats-server -sl=ldm=FILE`), SIGTERM meanwhile ignored, SIGKILL never needed."""
    servers = [ending for ending in journey["endings"] if ending["container"] == "nats"]
    assert len(servers) == 7  # three rolled, one wiped, three at the end
    for ending in servers:
        assert (ending["pre_stop_code"], ending["exit_code"], ending["was_killed"]) == (0, 0, False)
        assert ending["seconds"] < 60  # with nobody left to wait for, it ends at once


def test_servers_report_no_error_of_their_own(journey: dict[str, Any]) -> None:
    folder: Path = journey["folder"]
    for log in sorted((folder / "kubelet" / "logs").glob("my-nats-[0-9].nats.log")):
        assert "Traceback" not in log.read_text(errors="replace"), log
