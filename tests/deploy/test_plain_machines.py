"""The files for machines and containers, each judged by the tool that knows it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from clients.servers import BIN, Program

from deploy.conftest import missing
from deploy.helm import ROOT

DEPLOY = ROOT / "deploy"
ENVIRONMENT = {"SERVER_NAME": "ternmq-1", "ROUTE_PASSWORD": "secret"}


def tool(name: str, remedy: str) -> str:
    path = shutil.which(name, path=f"{ROOT / '.tools'}:{BIN}:{os.environ['PATH']}")
    if path is None:
        missing(name, remedy)
    return str(path)


def run(*command: str, **environment: str) -> str:
    """What it prints, both streams. Fails with it when the exit code is not 0."""
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.parametrize("program", [Program.ours(), Program.nats_server()], ids=["ternmq", "nats-server"])
@pytest.mark.parametrize("name", ["nats-server.conf", "container.conf"])
def test_sample_configurations_are_valid_for_both_servers(program: Program, name: str) -> None:
    environment = program.environment() | ENVIRONMENT
    assert "is valid" in run(*program.argv, "-t", "-c", str(DEPLOY / "etc" / name), **environment)


def test_compose_is_three_nodes_of_one_cluster(tmp_path: Path) -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    nodes = compose["services"]
    assert [node["environment"]["SERVER_NAME"] for node in nodes.values()] == list(nodes)
    conf = tmp_path / "server.conf"
    conf.write_text(compose["configs"]["server"]["content"].replace("$$", "$"))
    for name in nodes:
        assert f"nats://{name}:6222" in conf.read_text()
    program = Program.ours()
    assert "is valid" in run(*program.argv, "-t", "-c", str(conf), **program.environment() | ENVIRONMENT)


@pytest.mark.slow
def test_compose_as_compose_reads_it() -> None:
    loader = tool("compose-loader", "`make deploy-test` builds it (needs Go)")
    loaded = json.loads(run(loader, "-format", "json", str(DEPLOY / "compose.yaml")))
    assert sorted(loaded["services"]) == ["ternmq-1", "ternmq-2", "ternmq-3"]
    assert loaded["services"]["ternmq-2"]["ports"][0] == {
        "mode": "ingress", "protocol": "tcp", "published": "4223", "target": 4222,
    }  # fmt: skip
    assert "server_name: $SERVER_NAME\n" in loaded["configs"]["server"]["content"]


@pytest.mark.slow
def test_hadolint_has_no_complaint() -> None:
    hadolint = tool("hadolint", "`make deploy-test` installs it")
    assert run(hadolint, "--config", str(DEPLOY / ".hadolint.yaml"), str(DEPLOY / "Containerfile")) == ""


@pytest.mark.slow
def test_the_image_has_all_that_the_wheel_is_built_from(tmp_path: Path) -> None:
    for line in (DEPLOY / "Containerfile").read_text().splitlines():
        found = re.fullmatch(r"COPY (?!--from)(.+) (\S+)", line)
        if found is None or found[2].startswith("/"):
            continue
        for name in found[1].split():
            source = ROOT / name
            target = tmp_path / name if found[2] != "./" else tmp_path / source.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
            else:
                shutil.copy(source, target)
    wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--no-deps"]
    run(*wheel, "--wheel-dir", str(tmp_path / "wheels"), str(tmp_path), TERNMQ_COMPILE="0")
    assert len(list((tmp_path / "wheels").glob("ternmq-*.whl"))) == 1


def test_systemd_has_no_complaint(tmp_path: Path) -> None:
    systemd = shutil.which("systemd-analyze")
    if systemd is None:
        pytest.skip("no systemd-analyze on this machine")
    # The unit as it is, but for the path of a program that is not installed here.
    unit = tmp_path / "ternmq.service"
    text = (DEPLOY / "systemd" / "ternmq.service").read_text()
    assert text.count("/opt/ternmq/bin/ternmq-server") == 1
    unit.write_text(text.replace("/opt/ternmq/bin/ternmq-server", sys.executable))
    assert run(systemd, "verify", str(unit)) == ""


ENTRY_CASES = [
    (["-js", "-p", "1"], "nats-server -js -p 1"),
    (["nats-server", "-v"], "nats-server -v"),
    (["ternmq-server"], "ternmq-server"),
    (["sh", "-c", "echo by hand"], "by hand"),
]


@pytest.mark.parametrize(("arguments", "started"), ENTRY_CASES)
def test_entry_point_starts_what_it_is_told(arguments: list[str], started: str, tmp_path: Path) -> None:
    for name in ("nats-server", "ternmq-server", "setpriv", "id"):
        script = tmp_path / name
        # `setpriv … -- command`, `id -u`; the servers tell how they were called.
        body = {"setpriv": 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"', "id": "echo 1000"}
        script.write_text(f"#!/bin/sh\n{body.get(name, f'echo {name} $*')}\n")
        script.chmod(0o755)
    printed = run(str(DEPLOY / "docker-entrypoint.sh"), *arguments, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert printed.strip() == started
