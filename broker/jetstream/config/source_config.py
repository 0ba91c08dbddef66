"""An entry of `mirror` or `sources`, ready for use: which stream, which of its messages, under which subjects.

Not here: what such configurations may say (`source_rules`), positions and operations (`sourced`), reading the origin
(`source_read`). Invariant: `index_name` is what nats-server writes into `Nats-Stream-Source`, so that streams can move
between the two.
"""

from typing import Final

from broker.core.transform import SubjectTransform, make_transform
from broker.jetstream.config.mapping_rules import texts_of
from broker.jetstream.config.stream_config import StreamConfig
from broker.jetstream.go_time import parse_time
from broker.jetstream.names import short_hash

_FORM_FEED: Final = "\f"


def transforms_of(entry: dict[str, object]) -> list[tuple[str, str]]:
    """Source and destination of each `subject_transforms` of an entry."""
    found = entry.get("subject_transforms") or []
    if isinstance(found, dict):
        found = [found]
    assert isinstance(found, list)
    return [texts_of(transform) for transform in found if transform is not None]


def external_of(entry: dict[str, object]) -> tuple[str, str] | None:
    """API and deliver prefix of an entry whose origin is elsewhere."""
    external = entry.get("external")
    if not isinstance(external, dict):
        return None
    return str(external.get("api") or ""), str(external.get("deliver") or "")


def index_name(entry: dict[str, object]) -> str:
    """What tells an entry from all others of its stream: origin, filters, destinations."""
    name = str(entry.get("name") or "")
    external = external_of(entry)
    if external is not None:
        name += ":" + short_hash(external[0])
    consumer = entry.get("consumer")
    if isinstance(consumer, dict):
        name += ":C=" + short_hash(str(consumer.get("name") or ""))
    transforms = transforms_of(entry)
    if transforms:
        filters = _FORM_FEED.join([source or ">" for source, _ in transforms])
        return f"{name} {filters} {_FORM_FEED.join([destination or '>' for _, destination in transforms])}"
    return f"{name} {entry.get('filter_subject') or '>'} >"


class Source:
    """One entry. `key` is its index name; b"" for a mirror."""

    def __init__(self, entry: dict[str, object], is_mirror: bool) -> None:
        """Of a configuration that `source_rules` accepted."""
        name, filter_subject = entry.get("name") or "", entry.get("filter_subject") or ""
        start_sequence, start_time = entry.get("opt_start_seq") or 0, entry.get("opt_start_time") or ""
        assert isinstance(name, str) and isinstance(filter_subject, str)
        assert isinstance(start_sequence, int) and isinstance(start_time, str)
        self.entry: Final = entry
        self.is_mirror: Final = is_mirror
        self.name: Final = name
        self.index_name: Final = index_name(entry)
        self.key: Final = b"" if is_mirror else self.index_name.encode()
        self.mark: Final = self.index_name.encode().split(b" ")  # origin, filters, destinations
        self.filter_subject: Final = filter_subject
        self.external: Final = external_of(entry)
        self.start_sequence: Final = start_sequence
        self.start_ns: Final = (parse_time(start_time) or 0) if start_time and not start_sequence else 0
        self.transforms: Final = transforms_of(entry)
        self._ready: Final = [make_transform(source, destination) for source, destination in self.transforms]

    def filters(self) -> list[str]:
        """Subjects of the origin that are wanted; empty: all."""
        if self.transforms:
            wanted = [source or ">" for source, _ in self.transforms]
            return [] if ">" in wanted else wanted
        return [self.filter_subject] if self.filter_subject not in ("", ">") else []

    def renamed(self, subject: bytes, seed: int) -> bytes:
        """The subject that a message of the origin has here, by the first transform that matches."""
        for transform in self._ready:
            if transform is not None:
                found = transform.apply(subject, seed)
                if found is not None:
                    return found
        return subject

    def renames(self) -> bool:
        """Whether any subject may change."""
        ready: list[SubjectTransform | None] = self._ready
        return any(transform is not None for transform in ready)


def sources_of(config: StreamConfig) -> list[Source]:
    """All entries of a configuration."""
    if config.mirror is not None:
        return [Source(config.mirror, True)]
    return [Source(entry, False) for entry in config.sources]
