"""OP_SCHEDULED applied: the message a schedule makes is stored, and the schedule waits for its next time, or ends.

Not here: bytes and table (`schedules`), who proposes (`schedule_clock`). Invariant: an operation for a schedule that
was replaced or removed changes nothing.
"""

from broker.jetstream.aging import age
from broker.jetstream.effects import EffectSink
from broker.jetstream.publishing.publish import apply_sourced_batch
from broker.jetstream.retention import delete_message
from broker.jetstream.schedules.schedules import ScheduledOp
from broker.jetstream.stream_state import StreamState


def apply_scheduled(state: StreamState, body: bytes, ordinal: int, sink: EffectSink) -> bool:
    """The whole operation; False when the schedule is another one by now. A message that the stream does not take (it
    is too large, say) is left out, and the schedule goes on."""
    op = ScheduledOp(body)
    time_ns = age(state, state.advance(op.timestamp_ns), sink)
    state.dedupe.expire(time_ns)
    entry = state.schedules.entries.get(op.subject)
    if entry is None or entry.sequence != op.sequence or state.config.sealed:
        return False
    if state.store.get(op.sequence) is None:
        state.schedules.remove(op.subject)
        return False
    apply_sourced_batch(state, op.batch, time_ns, ordinal, sink)
    if op.due_ns:
        state.schedules.fired(op.subject, op.due_ns)
    else:
        state.schedules.remove(op.subject)
        delete_message(state, op.sequence, sink)
    return True
