"""The `nats` tool whole: the scripts of testdata/ with one node and with three.

One node is played beside nats-server: what has to be seen has to be seen of both, and whatever else is printed has to
be the same. TERNMQ_TEST_SERVER=reference plays three nodes of nats-server, too.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from clients.cli.player import Player
from clients.cli.printed import differences
from clients.cli.script import read_scripts
from clients.differential.conftest import NO_DEAD_LETTERS
from clients.differential.player import clear
from clients.servers import Cluster, Program

pytestmark = [pytest.mark.clients, pytest.mark.slow, pytest.mark.timeout(120)]

SCRIPTS = {
    script.title: script
    for path in sorted((Path(__file__).parent / "testdata").glob("*.txt"))
    for script in read_scripts(path)
}


WHOLE = (
    "stream", "stream cluster", "consumer", "consumer cluster", "kv", "object", "counter", "service", "backup",
    "backup restore", "server check", "bench", "bench js", "bench js pub", "bench js get", "bench kv", "bench service",
)  # fmt: skip
NEED_A_SYSTEM_ACCOUNT = {"server check meta", "server check server"}


@pytest.fixture(scope="module")
def pair(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Cluster]]:
    """One node of nats-server and one of ours, which has no dead letters either."""
    directory = tmp_path_factory.mktemp("cli")
    theirs = Cluster(Program.nats_server(), directory / "theirs", 1)
    ours = Cluster(program, directory / "ours", 1, extra="" if program.reference else NO_DEAD_LETTERS)
    with theirs, ours:
        yield [theirs, ours]


@pytest.fixture(scope="module")
def three(program: Program, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(program, tmp_path_factory.mktemp("cli"), 3) as running:
        yield running


@pytest.mark.parametrize("title", [title for title, script in SCRIPTS.items() if script.nodes != 3])
def test_with_one_node(title: str, pair: list[Cluster], nats_cli: str, tmp_path: Path) -> None:
    players = [Player(nats_cli, one.urls[0], 1, tmp_path / one.nodes[0].program.title) for one in pair]
    try:
        with ThreadPoolExecutor(2) as threads:
            theirs, ours = threads.map(lambda player: player.play(SCRIPTS[title]), players)
    finally:
        for one in pair:
            clear(one.nodes[0].client_port)
    surprises = [f"{one.nodes[0].program.title}: {text}" for one, player in zip(pair, players, strict=True)
                 for text in player.surprises]  # fmt: skip
    if found := surprises + differences(theirs, ours):
        pytest.fail("\n\n".join(found), pytrace=False)


@pytest.mark.parametrize("title", [title for title, script in SCRIPTS.items() if script.nodes != 1])
def test_with_three_nodes(title: str, three: Cluster, nats_cli: str, tmp_path: Path) -> None:
    """Each script through another node."""
    player = Player(nats_cli, three.urls[list(SCRIPTS).index(title) % 3], 3, tmp_path)
    try:
        player.play(SCRIPTS[title])
    finally:
        clear(three.nodes[0].client_port)
    if player.surprises:
        pytest.fail("\n".join(player.surprises), pytrace=False)


@pytest.mark.parametrize("command", WHOLE)
def test_whatever_the_tool_can_do_is_tried(command: str, nats_cli: str) -> None:
    """Every subcommand that its help lists is in some script."""
    told = subprocess.run([nats_cli, *command.split(), "--help"], capture_output=True, text=True, check=True).stdout
    listed = set(re.findall(rf"^  ({command} \S+)  ", told, re.MULTILINE))
    assert len(listed) > 1
    typed = "\n".join(step.command for script in SCRIPTS.values() for step in script.steps)
    tried = {one for one in listed if re.search(rf"\bnats {one}( |$)", typed, re.MULTILINE)}
    assert listed - tried <= NEED_A_SYSTEM_ACCOUNT
