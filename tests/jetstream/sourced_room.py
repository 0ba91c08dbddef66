"""The commands of a stream that gets messages from elsewhere: of other streams, of schedules; see `stream_room`."""

from broker.jetstream.ops import OP_SCHEDULED, OP_SOURCED, PublishBatch
from broker.jetstream.schedules.schedule_clock import ScheduleClock
from broker.jetstream.snapshot_columns import pack_column
from broker.jetstream.sources.sourced import encode_sourced
from jetstream.stream_room import SECOND, START, Room, headers_of


class SourcedRoom(Room):
    """A room with an origin outside."""

    def do_sourced(self, words: list[str]) -> str:
        """`sourced key after sequence@seconds:subject[=payload] [Header:value …] [| next message]`: what another
        stream had (`-` is the key of a mirror), of the stream that is called `one` there (`key/two`: another one)."""
        key, _, identity = words[0].partition("/")
        batch = PublishBatch()
        sequences: list[int] = []
        times: list[int] = []
        for message in " ".join(words[2:]).split(" | "):
            place, _, rest = message.partition(":")
            first, *fields = rest.split(" ")
            subject, _, payload = first.partition("=")
            sequence, _, seconds = place.partition("@")
            sequences.append(int(sequence))
            times.append(START + int(seconds or 0) * SECOND + int(sequence))
            headers = headers_of([(field.partition(":")[0], field.partition(":")[2]) for field in fields])
            batch.add(subject.encode(), len(headers), headers + payload.encode())
        name = b"" if key == "-" else key.encode()
        columns = pack_column("Q", sequences), pack_column("q", times)
        after, count = int(words[1]), len(sequences)
        body = encode_sourced(self.wall_ns, name, identity or "one", after, count, *columns, batch.encode(0))
        return self.apply(OP_SOURCED, body)

    def do_due(self, words: list[str]) -> str:
        """What a new leader makes of schedules now, and when it looks again (seconds since the beginning)."""
        clock = ScheduleClock(self.machines[0])
        clock.become_leader()
        answers = [self.apply(OP_SCHEDULED, body) for body, _ in clock.take_due(self.wall_ns)]
        clock.become_leader()
        next_ns = clock.next_due_ns(self.wall_ns)
        return "\n".join([*answers, f"next {(next_ns - START) / SECOND:g}" if next_ns else "nothing to come"])

    def do_position(self, words: list[str]) -> str:
        """`position key`: where a source stands."""
        position = self.machines[0].sources.of(words[0].encode())
        return f"{position.sequence} of {position.identity or 'none'}"

    def do_time(self, words: list[str]) -> str:
        """`time sequence`: of a stored message, in ns since the beginning."""
        message = self.machines[0].store.get(int(words[0]))
        assert message is not None
        return str(message.timestamp_ns - START)
