"""Every rendered object is one that Kubernetes knows: by its own schemas, strictly, in an old and a new version."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import yaml

from deploy.conftest import missing
from deploy.facts import objects
from deploy.helm import VALUES, Helm

pytestmark = pytest.mark.slow
OWN_KINDS = ("PodMonitor", "ServiceMonitor")  # of the Prometheus operator: no part of Kubernetes' schemas


@pytest.mark.parametrize("version", ["1.27.0", "1.36.0"])
@pytest.mark.parametrize("values", sorted(VALUES.glob("*.yaml")), ids=lambda path: path.stem)
def test_objects_are_valid(helm: Helm, values: Path, version: str) -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        missing("kubernetes-validate", "`make deploy-test` installs it")
    import kubernetes_validate

    for each in objects(helm.template("--values", str(values))):
        if each["kind"] not in OWN_KINDS:
            kubernetes_validate.validate(each, version, strict=True)


def test_the_judge_can_condemn() -> None:
    if importlib.util.find_spec("kubernetes_validate") is None:
        missing("kubernetes-validate", "`make deploy-test` installs it")
    import kubernetes_validate

    wrong = yaml.safe_load("{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {prots: []}}")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.36.0", strict=True)
