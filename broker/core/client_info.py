"""Who a client is, as nats-server's advisories name one.

Not here: what monitoring pages show of a connection (`node_statistics`).
"""

from broker.core.session import ClientSession


def client_info(session: ClientSession, server: str, cluster: str) -> dict[str, object]:
    """All but `start`, which stands first and is a date."""
    options = session.options
    info: dict[str, object] = {"host": session.host, "id": session.cid, "acc": "$G"}
    for key, text in (
        ("user", options.user),
        ("name", options.name),
        ("lang", options.lang),
        ("ver", options.version),
    ):
        if text:
            info[key] = text
    if session.pings.rtt_ns:
        info["rtt"] = session.pings.rtt_ns
    info["server"] = server
    if cluster:
        info["cluster"] = cluster
    info["kind"] = "Client"
    info["client_type"] = "nats"
    return info
