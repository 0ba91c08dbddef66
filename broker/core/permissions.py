"""The one place that says whether a client may publish or subscribe.

Is: two functions that answer with the text of the violation, "" when it is allowed. Only what is reserved is refused.
Is not: users' own permissions. Sessions ask here and nowhere else, once per new line or subject.
Read next: `session.py`.
"""

from typing import Final

from broker.wire.errors import publish_violation, reply_violation, subscription_violation

_SYSTEM_QUEUE: Final = b"_sys_"


def publish_refusal(subject: bytes, reply: bytes) -> str:
    """Why a client may not publish this; "" when it may."""
    if subject.startswith(b"_GR_.") and len(subject) > 5:
        return publish_violation(subject)
    if subject.startswith(b"$NRG."):
        return publish_violation(subject)
    if reply and is_reserved_reply(reply):
        return reply_violation(reply)
    return ""


def is_reserved_reply(reply: bytes) -> bool:
    """Replies that lead into the server: service replies, acks, replies between clusters."""
    if len(reply) < 4:
        return False
    first = reply[0]
    if first == 95:  # _
        return reply.startswith(b"_R_.") or (reply.startswith(b"_GR_.") and len(reply) > 5)
    return first == 36 and reply.startswith(b"$JS.ACK.") and len(reply) > 8


def subscribe_refusal(subject: bytes, queue: bytes) -> str:
    """Why a client may not subscribe to this; "" when it may."""
    if queue == _SYSTEM_QUEUE:
        return subscription_violation(subject, queue)
    return ""
