"""What a command printed, written so that two servers can be compared: without what no two runs have alike.

Times, measured durations and rates, generated names, ports, and the order of lines, which the tool takes from maps.
What differs on purpose, and what is another in every run for a reason of its own, is in OVERLOOKED. Only commands that
ended are compared: how much a running one has printed at a moment, or one that is repeated, is chance.
"""

from __future__ import annotations

import difflib
import re

from clients.cli.player import Transcript
from clients.cli.script import FAIL, RUN, plain

_VARIABLE = [
    (re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r"), ""),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z| \+0000 UTC)?"), "<time>"),
    (re.compile(r"\b\d\d:\d\d:\d\d\b"), "<time>"),
    (re.compile(r"(nats://)?127\.0\.0\.1:\d+"), "<address>"),
    (re.compile(r"\bN[A-Z2-7]{55}\b"), "<server>"),
    (re.compile(r"\b[A-Za-z0-9]{22}\b"), "<id>"),
    (re.compile(r"(\$JS\.ACK\.\S+\.)\d{19}\."), r"\1<time>."),
    (re.compile(r"\d[\d.,]*(ns|us|µs|ms)\b|\b\d+\.\d+s"), "<duration>"),
    (re.compile(r"[\d,]+ msgs/sec ~ [\d.]+ [KMG]?i?B/sec"), "<rate>"),
]

_COUNTS = r"(Last Seen|Lag|Bucket Size|Values Stored|Messages|Bytes|(First|Last) Sequence|Number of Subjects): .*"
# Part of the command, what of its output is left out, why.
OVERLOOKED: list[tuple[str, str, str]] = [
    ("account info", r"Client ID: \d+", "who else was there before"),
    ("rtt", r"rtt\": \d+", "measured"),
    ("service", r"(?i)handler:? \d+", "a number that the tool makes up"),
    ("backup", r"\d[\d.]* [KM]?i?B\b|; .*/s]| in (0s|<duration>)", "files are packed otherwise"),
    ("bench", r"message rates .*", "measured"),
    ("bench", r".* seconds? .*", "measured"),
    ("consumer add S --pull --ephemeral", r"(Name: |S > )\w{8}\b", "a name that the tool makes up"),
    ("consumer next S C --timeout", r"(?s).*", "the server's 408 and the tool's own timer end at the same moment"),
    ("server check", r"[a-z_]+=[\d.]+s\S*", "measured"),
    ("stream get", r"\"hdrs\": .*", "in which order headers are sent is the tool's chance"),
    ("latency", r"Actual .*", "measured"),
    ("backup restore account", r"First Sequence: \d", "of a stream that never held anything"),
    (" --mirror ", _COUNTS, "ours may have read the origin before it answers"),
    (" --source ", _COUNTS, "the same"),
    ("stream info OBJ_O", r"\"consumer_count\": \d", "a consumer that nats-server deletes a moment later"),
]


def told(text: str, output: str) -> list[str]:
    """The lines of the output that another server has to print as well, in order of the alphabet."""
    for variable, name in _VARIABLE:
        output = variable.sub(name, output)
    for part, overlooked, _ in OVERLOOKED:
        if part in text:
            output = re.sub(overlooked, "", output, flags=re.MULTILINE)
    return sorted(filter(None, map(plain, output.splitlines())))


def differences(theirs: Transcript, ours: Transcript) -> list[str]:
    """A diff for each command that printed something else."""
    found = []
    for (text, wanted), (_, printed) in zip(theirs, ours, strict=True):
        if text[0] not in (RUN, FAIL):
            continue
        lines = told(text, wanted), told(text, printed)
        if diff := list(difflib.unified_diff(*lines, "nats-server", "ours", lineterm="", n=0)):
            found.append("\n".join([text, *diff]))
    return found
