"""What a route writes into the log when the protocol is traced: every line of it, both ways, without secrets.

Is not: the life of a route (`routes` tells that), or a decision of the session.
Read next: `wire/trace.py`, `route_traffic.py`.
"""

from broker.cluster.routes import route_lines as lines
from broker.config import Options
from broker.wire.trace import IN, TraceOptions, document, line_of, output_lines, payload_of, words


def input_lines(operation: int, reader: lines.RouteReader, options: Options) -> list[str]:
    """One operation that was read."""
    if operation == lines.OP_MESSAGE:
        return _message(reader, TraceOptions(options.trace_headers, options.max_traced_msg_len))
    line = ""
    if operation in (lines.OP_INTEREST, lines.OP_INTEREST_END):
        weight = b"%d" % reader.weight if reader.queue and reader.weight else b""
        line = "RS- " if operation == lines.OP_INTEREST_END else "RS+ "
        line += words(reader.account, reader.subject, reader.queue, weight)
    elif operation == lines.OP_PING:
        line = "PING"
    elif operation == lines.OP_PONG:
        line = "PONG"
    elif operation == lines.OP_CONNECT:
        line = "CONNECT " + document(reader.document)
    elif operation == lines.OP_ERR:
        line = "-ERR " + words(reader.document)
    return [line_of(IN, line)] if line else []


def _message(reader: lines.RouteReader, options: TraceOptions) -> list[str]:
    verb, sizes = b"RMSG", b"%d" % len(reader.data)
    if reader.header_length:
        verb, sizes = b"HMSG", b"%d %d" % (reader.header_length, len(reader.data))
    target = reader.reply
    if reader.queues:
        target = words(b"+" if reader.reply else b"|", reader.reply, *reader.queues).encode()
    told = [line_of(IN, words(verb, reader.account, reader.subject, target, sizes))]
    payload = payload_of(IN, reader.data, reader.header_length, options)
    return [*told, payload] if payload else told


def sent_lines(data: bytes, options: Options) -> list[str]:
    """What is sent: whole operations."""
    return output_lines(data, TraceOptions(options.trace_headers, options.max_traced_msg_len))
