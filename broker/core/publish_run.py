"""A run of publishes that repeat one line: parsed, authorised and matched once, written in one go where possible.

Is: one function, the hottest of the client side. Is not: the first message with a line (`session`).
Invariants: order is kept; a change of interest while the run is written is noticed before the next message.
Read next: `delivery.py`.
"""

from mypy_extensions import i64

from broker.core.delivery import PublishMemo
from broker.core.router import Router
from broker.core.subscription import Subscriber
from broker.wire.parser import Parser


def publish_run(source: Subscriber, router: Router, parser: Parser, memo: PublishMemo) -> bool:
    """Messages that come next and repeat the memo's line. False when the memo is no longer good."""
    result = memo.result
    if not result.is_current:
        return False
    size: i64 = memo.size
    if result.is_empty:
        skipped: i64 = parser.skip_run(memo.line, size)
        source.in_messages += skipped
        source.in_bytes += skipped * size
        return True
    bodies = parser.take_run(memo.line, size)
    if bodies is None:
        return True
    delivery = router.delivery
    count: i64 = len(bodies) - 1
    source.in_messages += count
    source.in_bytes += count * size
    if result.is_plain:
        delivery.publish_run(memo, source, bodies)
        return True
    ingress = result.ingress
    if result.is_stream_only and ingress is not None:
        for index in range(1, count + 1):
            ingress.ingest(memo.subject, b"", memo.header_length, bodies[index][:-2])
        return True
    for index in range(1, count + 1):
        result = router.lookup(memo.subject)
        delivery.publish_body(result, source, memo.subject, b"", memo.header_length, bodies[index])
    return True
