"""What streams do, as conversations: testdata/*.txt, played to three replicas (`stream_room`)."""

from pathlib import Path

import pytest
from datadriven import run_transcript

from jetstream.sourced_room import SourcedRoom

TRANSCRIPTS = sorted((Path(__file__).parent / "testdata").glob("*.txt"))


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=[path.stem for path in TRANSCRIPTS])
def test_transcript(path: Path, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    run_transcript(path, SourcedRoom(str(tmp_path)).handle, pytestconfig.getoption("--rewrite"))
