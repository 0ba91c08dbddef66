"""What the chart makes of values: wrong ones are refused with their place, ours alone do what they say."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from deploy.facts import objects
from deploy.helm import CHART, VALUES, Helm, HelmFailed

WRONG = [
    ("config.jetsream.enabled=true", "'jetsream' not allowed"),
    ("config.jetstream.enabled=yes", "/config/jetstream/enabled"),
    ("config.cluster.replicas=0", "/config/cluster/replicas"),
    ("config.cluster.replicas=three", "/config/cluster/replicas"),
    ("config.nats.port=70000", "/config/nats/port"),
    ("config.jetstream.fileStore.pvc.size=10GB", "/config/jetstream/fileStore/pvc/size"),
    ("config.jetstream.fileStore.dir=data", "/config/jetstream/fileStore/dir"),
    ("container.env.LIMIT=7", "/container/env/LIMIT"),
    ("container.image.pullPolicy=never", "/container/image/pullPolicy"),
    ("natsBox.context.a.creds.key=b", "'context' not allowed"),
    ("replicas=3", "'replicas' not allowed"),
]
BAD_PATCHES = [
    ('{"op": "remove", "path": "/no"}', "nothing at /no"),
    ('{"op": "replace", "path": "/lame/duck", "value": 1}', "nothing at /lame/duck"),
    ('{"op": "test", "path": "/port", "value": 1}', "test failed at /port: 4222 is not 1"),
    ('{"op": "add", "path": "/list/2", "value": 1}', "nothing at /list/2"),
    ('{"op": "remove", "path": "/list/-"}', "nothing at /list/-"),
    ('{"op": "move", "from": "/no", "path": "/port"}', "nothing at /no"),
    ('{"op": "drop", "path": "/port"}', "/config/patch/0/op"),
    ('{"op": "add", "path": "port", "value": 1}', "/config/patch/0/path"),
]


def one(helm: Helm, kind: str, *arguments: str) -> dict[str, Any]:
    found = [each for each in objects(helm.template(*arguments)) if each["kind"] == kind]
    assert len(found) == 1, f"{len(found)} objects of kind {kind}"
    return found[0]


def conf(helm: Helm, *arguments: str) -> str:
    return str(one(helm, "ConfigMap", *arguments)["data"]["nats.conf"])


def test_lint_has_no_complaint(helm: Helm) -> None:
    for values in sorted(VALUES.glob("*.yaml")):
        assert "0 chart(s) failed" in helm.run("lint", "--strict", str(CHART), "--values", str(values))


@pytest.mark.parametrize(("setting", "complaint"), WRONG)
def test_wrong_values_are_refused_with_their_place(helm: Helm, setting: str, complaint: str) -> None:
    with pytest.raises(HelmFailed, match="don't meet the specifications") as refused:
        helm.template("--set", setting)
    assert complaint in str(refused.value)


@pytest.mark.parametrize(("operation", "complaint"), BAD_PATCHES)
def test_a_patch_that_does_not_fit_says_where(helm: Helm, operation: str, complaint: str) -> None:
    with pytest.raises(HelmFailed) as refused:
        helm.template("--set-json", f"config.patch=[{operation}]", "--set-json", "config.merge.list=[1]")
    assert complaint in str(refused.value)


def test_patch_operations_as_the_rfc_has_them(helm: Helm) -> None:
    operations = [
        {"op": "add", "path": "/a", "value": {"x~/y": [1, [2]]}},
        {"op": "add", "path": "/a/x~0~1y/0", "value": None},
        {"op": "add", "path": "/a/x~0~1y/2/-", "value": 3},
        {"op": "copy", "from": "/a/x~0~1y", "path": "/b"},
        {"op": "remove", "path": "/b/0"},
        {"op": "replace", "path": "/b/0", "value": "one"},
        {"op": "move", "from": "/b/1/0", "path": "/c"},
        {"op": "test", "path": "/b", "value": ["one", [3]]},
        {"op": "replace", "path": "", "value": {"whole": True, "port": 1}},
        {"op": "remove", "path": "/port"},
    ]
    text = yaml.safe_dump({"config": {"patch": operations[:-2]}})
    values = helm.home / "patch.yaml"
    values.write_text(text)
    read = yaml.safe_load(conf(helm, "--values", str(values)))
    assert (read["a"], read["b"], read["c"]) == ({"x~/y": [None, 1, [2, 3]]}, ["one", [3]], 2)
    values.write_text(yaml.safe_dump({"config": {"patch": operations[-2:]}}))
    assert yaml.safe_load(conf(helm, "--values", str(values))) == {"whole": True}


def test_raw_values_and_includes(helm: Helm) -> None:
    merge = '{"zz$include": "./last.conf", "limit": "<< 8MB >>", "plain": "<<8MB>>", "html": "<a> & \\"b\\""}'
    text = conf(helm, "--set-json", f"config.merge={merge}")
    assert '"limit": 8MB,' in text
    assert '"plain": "<<8MB>>",' in text
    assert '"html": "<a> & \\"b\\"",' in text
    assert text.rstrip().endswith("include ./last.conf;\n}")


def test_not_root_and_nothing_to_write_but_volumes(helm: Helm) -> None:
    pod = one(helm, "StatefulSet")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_spread_over_hosts_can_be_taken_away(helm: Helm) -> None:
    key = "podTemplate.topologySpreadConstraints"
    pod = one(helm, "StatefulSet", "--set-json", f'{key}={{"kubernetes.io/hostname": null}}')["spec"]["template"]
    assert "topologySpreadConstraints" not in pod["spec"]


def test_monitors_find_the_servers_own_metrics_once(helm: Helm) -> None:
    rendered = objects(
        helm.template("--set", "metrics.serviceMonitor.enabled=true", "--set", "service.ports.monitor.enabled=true")
    )
    monitor = next(each for each in rendered if each["kind"] == "ServiceMonitor")
    assert monitor["spec"]["endpoints"] == [{"port": "monitor", "path": "/metrics"}]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = [each for each in rendered if each["kind"] == "Service" and wanted <= each["metadata"]["labels"].items()]
    assert [each["metadata"]["name"] for each in services] == ["my-nats-headless"]
    pods = one(helm, "PodMonitor", "--set", "metrics.podMonitor.enabled=true")
    assert pods["spec"]["podMetricsEndpoints"] == [{"port": "monitor", "path": "/metrics"}]


def test_two_monitors_of_one_name_are_refused(helm: Helm) -> None:
    both = "metrics.podMonitor.enabled=true,promExporter.enabled=true,promExporter.podMonitor.enabled=true"
    with pytest.raises(HelmFailed, match="same name"):
        helm.template("--set", both)
    helm.template("--set", f"{both},metrics.podMonitor.name=own")


def test_notes_tell_the_next_command(helm: Helm) -> None:
    notes = helm.run("install", "my-nats", str(CHART), "--dry-run=client", "--namespace", "shop")
    assert "kubectl --namespace shop rollout status statefulset/my-nats" in notes
    assert "helm --namespace shop test my-nats" in notes
    assert "nats://my-nats.shop:4222" in notes
