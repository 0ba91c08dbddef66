"""When a schedule is due: times, intervals, cron patterns, time zones."""

from datetime import UTC, datetime

import pytest

from broker.jetstream.schedules.schedule_pattern import find_zone, read_pattern

SECOND = 1_000_000_000


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * SECOND)


def following(pattern: str, after: str, zone: str = "", now: str = "") -> str:
    """When the pattern is due behind `after`, in UTC."""
    read = read_pattern(pattern)
    assert read is not None
    due_ns = read.next_ns(ns(after), ns(now or after), find_zone(zone) if zone else None)
    return datetime.fromtimestamp(due_ns / SECOND, UTC).isoformat() if due_ns else "never"


@pytest.mark.parametrize(
    ("pattern", "after", "due"),
    [
        ("@yearly", "2026-11-25T13:00:00+00:00", "2027-01-01T00:00:00+00:00"),
        ("@monthly", "2026-11-25T13:00:00+00:00", "2026-12-01T00:00:00+00:00"),
        ("@weekly", "2026-11-25T13:00:00+00:00", "2026-11-29T00:00:00+00:00"),
        ("@daily", "2026-11-25T13:00:00+00:00", "2026-11-26T00:00:00+00:00"),
        ("@hourly", "2026-11-25T13:00:00+00:00", "2026-11-25T14:00:00+00:00"),
        ("*/15 * * * * *", "2026-11-25T13:00:14.5+00:00", "2026-11-25T13:00:15+00:00"),
        ("*/15 * * * * *", "2026-11-25T13:00:15+00:00", "2026-11-25T13:00:30+00:00"),
        ("30 5/20 * * * *", "2026-11-25T13:26:00+00:00", "2026-11-25T13:45:30+00:00"),
        ("0 0 9-17/4 * * *", "2026-11-25T13:00:00+00:00", "2026-11-25T17:00:00+00:00"),
        ("0 30 9 * * Mon-Fri", "2026-11-27T10:00:00+00:00", "2026-11-30T09:30:00+00:00"),
        ("0 0 0 29 feb ?", "2026-01-01T00:00:00+00:00", "2028-02-29T00:00:00+00:00"),
        ("0 0 0 31 2 *", "2026-01-01T00:00:00+00:00", "never"),
        ("0 0 12 13 * fri", "2026-11-25T13:00:00+00:00", "2026-11-27T12:00:00+00:00"),  # either day
        ("0 0 12 13 * *", "2026-11-25T13:00:00+00:00", "2026-12-13T12:00:00+00:00"),  # both
        ("59 59 23 31 dec *", "2026-12-31T23:59:59+00:00", "2027-12-31T23:59:59+00:00"),
        ("@every 90s", "2026-11-25T13:00:00.6+00:00", "2026-11-25T13:01:31+00:00"),
        ("@at 2020-01-01T01:00:00+01:00", "2026-11-25T13:00:00+00:00", "2020-01-01T00:00:00+00:00"),
    ],
)
def test_when_a_pattern_is_due(pattern: str, after: str, due: str) -> None:
    assert following(pattern, after) == due


@pytest.mark.parametrize(
    ("after", "due"),
    [
        ("2026-11-27T10:00:00+01:00", "2026-11-28T01:30:00+00:00"),
        ("2026-03-28T03:00:00+01:00", "2026-03-30T00:30:00+00:00"),  # there is no half past two on the 29th
        ("2026-10-24T03:00:00+02:00", "2026-10-25T00:30:00+00:00"),  # it comes twice on the 25th
        ("2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00+00:00"),
    ],
)
def test_time_zones_have_their_own_clocks(after: str, due: str) -> None:
    assert following("0 30 2 * * *", after, "Europe/Berlin") == due


def test_what_was_missed_is_not_made_up_for() -> None:
    after, now = "2026-11-25T13:00:00+00:00", "2026-11-25T15:20:07.2+00:00"
    assert following("@every 10s", after, now=now) == "2026-11-25T15:20:17+00:00"
    assert following("@hourly", after, now=now) == "2026-11-25T16:00:00+00:00"


@pytest.mark.parametrize(
    "pattern",
    ["", "* * * * *", "60 * * * * *", "*/0 * * * * *", "a * * * * *", "5-3 * * * * *", "* * * 0 * *", "* * * * * 7",
     "1-2-3 * * * * *", "1/2/3 * * * * *", "@every 500ms", "@every x", "@at x", "@never"],
)  # fmt: skip
def test_what_is_no_pattern(pattern: str) -> None:
    assert read_pattern(pattern) is None


def test_zones_that_are_none() -> None:
    assert [find_zone(name) for name in ("Nowhere/Land", "../etc/passwd", "", "/etc/localtime")] == [None] * 4
