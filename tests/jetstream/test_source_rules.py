"""Which mirrors and sources a stream may have: what nats-server 2.15.1 says to each of these."""

from __future__ import annotations

from typing import Any

import pytest

from broker.jetstream.config.server_limits import ServerLimits
from broker.jetstream.config.source_rules import check_new_filters, complete_sources
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.config.stream_rules import complete_new, complete_update

REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"mirror": {"name": "O"}, "subjects": ["x"]}, "400 10034 stream mirrors can not contain subjects"),
    (
        {"mirror": {"name": "O"}, "sources": [{"name": "O"}]},
        "400 10031 stream mirrors can not also contain other sources",
    ),
    ({"mirror": {"name": "O"}, "first_seq": 5}, "400 10143 stream mirrors can not have first sequence configured"),
    ({"mirror": {"name": "O"}, "allow_msg_counter": True}, "400 10173 stream mirrors can not also calculate counters"),
    ({"mirror": {"name": "O"}, "allow_atomic": True}, "400 10198 stream mirrors can not also use atomic publishing"),
    ({"mirror": {"name": "O"}, "allow_batched": True}, "400 10209 stream mirrors can not also use batch publishing"),
    ({"mirror": {"name": "O"}, "allow_msg_schedules": True}, "400 10186 stream mirrors can not also schedule messages"),
    (
        {"mirror": {"name": "O"}, "subject_delete_marker_ttl": 1000000000},
        "500 10052 subject delete markers forbidden on mirrors",
    ),
    ({"mirror": {"name": "o.x"}}, "400 10142 mirrored stream name is invalid"),
    ({"mirror": {"name": ""}}, "400 10142 mirrored stream name is invalid"),
    ({"mirror": {}}, "400 10142 mirrored stream name is invalid"),
    (
        {"mirror": {"name": "O", "filter_subject": "o.1", "subject_transforms": [{"src": "o.*", "dest": "x.$1"}]}},
        "400 10150 mirror with multiple subject transforms cannot also have a single subject filter",
    ),
    (
        {"mirror": {"name": "O", "subject_transforms": [{"src": "o..", "dest": "x"}]}},
        "400 10151 mirror transform source: invalid subject o..",
    ),
    (
        {"mirror": {"name": "O", "subject_transforms": [{"src": "o.*", "dest": "x.$2"}]}},
        "400 10154 mirror transform: invalid mapping destination: wildcard index out of range in $2: [2]",
    ),
    (
        {"mirror": {"name": "O", "subject_transforms": [{"src": "o.*", "dest": "x.$1"}, {"src": "o.1", "dest": "y"}]}},
        "400 10152 mirror subject filters can not overlap",
    ),
    ({"mirror": {"name": "O"}, "max_msg_size": 10}, "400 10030 stream mirror must have max message size >= source"),
    ({"mirror": {"name": "B"}}, "500 10052 detected cycle"),
    (
        {"mirror": {"name": "O", "filter_subject": "o..x"}},
        "500 10049 subject filter 'o..x' for the mirror invalid subject",
    ),
    (
        {"mirror": {"name": "O", "external": {"api": "$JS.API", "deliver": "d"}}},
        "400 10021 stream external api prefix $JS.API must not overlap with $JS.API",
    ),
    (
        {"mirror": {"name": "O", "external": {"api": "$JS.hub.API", "deliver": "d.*"}}},
        "400 10024 stream external delivery prefix d.* must not contain wildcards",
    ),
    (
        {"mirror": {"name": "O", "external": {"api": "$JS.*.API", "deliver": "d"}}},
        '500 10052 stream external api prefix "$JS.*.API" must be a valid subject without wildcards',
    ),
    (
        {"mirror": {"name": "O"}, "pedantic": True},
        "400 10157 pedantic mode: origin stream has direct get set, mirror has it disabled",
    ),
    ({"mirror_direct": True}, "500 10052 stream has no mirror but does have mirror direct"),
    ({"mirror": {"name": "O", "consumer": {"name": "c"}}}, "400 10213 stream mirror consumer config is invalid"),
    ({"sources": [{"name": "O"}, {"name": "O"}]}, "400 10140 duplicate source configuration detected"),
    ({"sources": [{"name": "B"}]}, "500 10052 detected cycle"),
    ({"sources": [{"name": "a.b"}]}, "400 10141 sourced stream name is invalid"),
    ({"sources": [None]}, "400 10141 sourced stream name is invalid"),
    (
        {"sources": [{"name": "O", "filter_subject": "o.1", "subject_transforms": [{"src": "o.*", "dest": "x.$1"}]}]},
        "400 10144 source with multiple subject transforms cannot also have a single subject filter",
    ),
    (
        {
            "sources": [
                {"name": "O", "subject_transforms": [{"src": "o.*", "dest": "x.$1"}, {"src": "o.1", "dest": "y"}]}
            ]
        },
        "400 10147 source filters can not overlap",
    ),
    (
        {"sources": [{"name": "O", "subject_transforms": [{"src": "o.*", "dest": "x.$9"}]}]},
        "400 10146 source transform: invalid mapping destination: wildcard index out of range in $9: [9]",
    ),
    (
        {"sources": [{"name": "O", "subject_transforms": [{"src": "o..*", "dest": "x.$9"}]}]},
        "400 10145 source transform source: invalid subject o..*",
    ),
    ({"sources": [{"name": "O"}], "max_msg_size": 10}, "400 10046 stream source must have max message size >= target"),
    (
        {"sources": [{"name": "O"}], "allow_msg_schedules": True},
        "400 10187 stream source can not also schedule messages",
    ),
    (
        {"sources": [{"name": "O", "filter_subject": "x..y"}]},
        "500 10049 subject filter 'x..y' for the source: invalid subject",
    ),
]

LIMITS = ServerLimits(clustered=False)


class Streams:
    """The streams that there are."""

    def __init__(self) -> None:
        self.known: dict[str, StreamConfig] = {}
        self.add("O", subjects=["o.>"], allow_direct=True, max_msg_size=1000)
        self.add("M", mirror={"name": "O"})

    def find(self, name: str) -> StreamConfig | None:
        return self.known.get(name)

    def add(self, name: str, **fields: object) -> str:
        """What a request for such a stream is told, "" when it is made."""
        pedantic = bool(fields.pop("pedantic", False))
        config = StreamConfig.from_json({"name": name, **fields})
        assert isinstance(config, StreamConfig), config
        error = (
            complete_sources(config, self.find, pedantic)
            or complete_new(config, LIMITS, pedantic)
            or check_new_filters(config)
        )
        if error is None:
            self.known[name] = config
        return "" if error is None else f"{error.code} {error.err_code} {error.description}"

    def update(self, name: str, **fields: object) -> str:
        config = StreamConfig.from_json({"name": name, **fields})
        assert isinstance(config, StreamConfig), config
        error = complete_sources(config, self.find, False) or complete_update(self.known[name], config, LIMITS)
        if error is None:
            self.known[name] = config
        return "" if error is None else f"{error.code} {error.err_code} {error.description}"


@pytest.mark.parametrize(("fields", "expected"), REFUSED)
def test_what_is_refused(fields: dict[str, Any], expected: str) -> None:
    assert Streams().add("B", **fields) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"mirror": {"name": "O", "opt_start_seq": 3, "opt_start_time": "2024-01-01T00:00:00Z"}},
        {"mirror": {"name": "O"}, "retention": "workqueue"},
        {"mirror": {"name": "NOPE"}, "mirror_direct": True},
        {"mirror": {"name": "O", "external": {"api": "", "deliver": ""}}},
        {"sources": [{"name": "O", "filter_subject": "o.1"}, {"name": "O", "filter_subject": "o.2"}]},
        {"sources": [{"name": "M"}], "first_seq": 10},
        {"sources": [{"name": "O", "external": {"api": "$JS.d.API", "deliver": "o"}}]},
    ],
)
def test_what_is_allowed(fields: dict[str, Any]) -> None:
    assert Streams().add("B", **fields) == ""


def test_a_mirror_has_no_subjects_and_no_window_and_direct_gets_as_its_origin() -> None:
    mirror = Streams().known["M"]
    assert (mirror.subjects, mirror.duplicate_window_ns, mirror.mirror_direct) == ([], 0, True)


def test_cycles_are_found_however_long_they_are() -> None:
    streams = Streams()
    assert streams.add("A", subjects=["a.>"]) == ""
    assert streams.add("B", sources=[{"name": "A"}]) == ""
    assert streams.add("C", sources=[{"name": "B"}]) == ""
    assert streams.update("A", subjects=["a.>"], sources=[{"name": "C"}]) == "500 10052 detected cycle"
    assert streams.update("A", subjects=["a.>"], sources=[{"name": "A"}]) == "500 10052 detected cycle"
    assert streams.add("D", mirror={"name": "D"}) == "500 10052 detected cycle"


def test_a_mirror_may_be_promoted_and_never_changed() -> None:
    streams = Streams()
    streams.add("A", subjects=["a.>"])
    assert streams.update("M", mirror={"name": "O"}, description="d") == ""
    unchangeable = "400 10055 stream mirror configuration can not be updated"
    assert streams.update("M", mirror={"name": "A"}) == unchangeable
    assert streams.update("A", mirror={"name": "O"}) == unchangeable
    assert streams.update("M", subjects=["mm"]) == ""
    assert streams.known["M"].duplicate_window_ns == 120_000_000_000
    assert streams.update("M", mirror={"name": "O"}) == unchangeable
