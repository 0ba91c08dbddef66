"""A values file written for the NATS chart gives the same objects: compared fact by fact, for each of values/.

golden/ holds what the NATS chart 2.14.2 renders for the same file, as `facts.py` puts it. With TERNMQ_UPSTREAM_CHART
naming an unpacked NATS chart, `--rewrite` makes golden/ anew from it; without that flag the two are compared.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from deploy.facts import facts
from deploy.helm import VALUES, Helm

GOLDEN = Path(__file__).resolve().parent / "golden"
CASES = sorted(path.stem for path in VALUES.glob("*.yaml"))
UPSTREAM = os.environ.get("TERNMQ_UPSTREAM_CHART", "")

# What our chart has in addition, and nothing else may be there.
ADDITIONS = (
    re.compile(r"^StatefulSet/\S+ spec\.template\.spec\.(containers\[[a-z-]+\]\.)?securityContext\."),
    re.compile(r"^StatefulSet/\S+ spec\.template\.spec\.(containers\[nats\]\.volumeMounts|volumes)\[tmp\]"),
    re.compile(r"^StatefulSet/\S+ spec\.template\.spec\.topologySpreadConstraints\[kubernetes\.io/hostname\]"),
    re.compile(r"^Pod/\S+-test-jetstream "),
)


def golden(case: str) -> list[str]:
    return (GOLDEN / f"{case}.txt").read_text().splitlines()


@pytest.mark.parametrize("case", CASES)
def test_same_facts_as_the_nats_chart(helm: Helm, case: str) -> None:
    ours, theirs = facts(helm.template("--values", str(VALUES / f"{case}.yaml"))), golden(case)
    missing = [f"- {line}" for line in theirs if line not in ours]
    surplus = [f"+ {line}" for line in ours if line not in theirs and not any(r.search(line) for r in ADDITIONS)]
    assert not missing + surplus, "\n" + "\n".join(missing + surplus)


@pytest.mark.parametrize("case", CASES)
def test_golden_is_what_the_nats_chart_renders(helm: Helm, case: str, request: pytest.FixtureRequest) -> None:
    if not UPSTREAM:
        pytest.skip("TERNMQ_UPSTREAM_CHART names no chart to compare golden/ with")
    theirs = facts(helm.template("--values", str(VALUES / f"{case}.yaml"), chart=Path(UPSTREAM)))
    if request.config.getoption("--rewrite"):
        (GOLDEN / f"{case}.txt").write_text("".join(f"{line}\n" for line in theirs))
    assert theirs == golden(case)


def test_a_difference_is_found() -> None:
    pod = (
        "kind: Pod\napiVersion: v1\nmetadata: {name: a}\nspec: {containers: [{name: x, ports: [{containerPort: %d}]}]}"
    )
    assert set(facts(pod % 1)) ^ set(facts(pod % 2)) == {
        "Pod/a spec.containers[x].ports[0].containerPort = 1",
        "Pod/a spec.containers[x].ports[0].containerPort = 2",
    }
