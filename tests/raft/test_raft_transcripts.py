"""Every rule of Raft as a conversation one can read: testdata/*.txt, played in a room (`raft_room.py`)."""

from __future__ import annotations

from pathlib import Path

import pytest
from datadriven import run_transcript
from raft_room import Room

TRANSCRIPTS = sorted((Path(__file__).parent / "testdata").glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=[path.stem for path in TRANSCRIPTS])
def test_transcript(path: Path, pytestconfig: pytest.Config) -> None:
    run_transcript(path, Room().handle, pytestconfig.getoption("--rewrite"))
