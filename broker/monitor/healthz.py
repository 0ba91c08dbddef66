"""`/healthz`: whether this server can do its work; the probes of Kubernetes charts read nothing but the status code.

Read next: `metrics.py`.
"""

from __future__ import annotations

import json
from typing import Any

from broker.monitor.query import Query
from broker.monitor.statistics import Statistics

OK, ERROR, UNAVAILABLE = "ok", "error", "unavailable"
ACCOUNT = "$G"
KINDS = ("ACCOUNT", "STREAM", "CONSUMER")  # of what is looked for, from the outside in


def healthz(statistics: Statistics, is_jetstream_configured: bool, query: Query) -> tuple[int, dict[str, Any]]:
    """HTTP status and page. Errors: BadQuery."""
    details = query.boolean("details")
    enabled_only = query.boolean("js-enabled-only") or query.boolean("js-enabled")
    server_only, meta_only = query.boolean("js-server-only"), query.boolean("js-meta-only")
    account, stream, consumer = query.text("account"), query.text("stream"), query.text("consumer")
    health = statistics["health"]
    if stream and not account:
        return _answer(400, ERROR, "BAD_REQUEST", '"account" must not be empty when checking stream health', details)
    if consumer and not stream:
        return _answer(400, ERROR, "BAD_REQUEST", '"stream" must not be empty when checking consumer health', details)
    if not health["ready"]:
        return _answer(500, ERROR, "CONNECTION", "not ready for connections", details)
    jetstream = statistics["jetstream"]
    if not is_jetstream_configured:
        return 200, {"status": OK}
    if jetstream is None:
        return _answer(503, UNAVAILABLE, "JETSTREAM", "JetStream is not enabled", details)
    if health["stopped"]:  # the probe that restarts a container must see it: nothing else brings this node back
        return _answer(503, UNAVAILABLE, "JETSTREAM", f"JetStream stopped: {health['stopped']}", details)
    if enabled_only or server_only:
        return 200, {"status": OK}
    if health["meta_error"]:
        return _answer(503, UNAVAILABLE, "JETSTREAM", health["meta_error"], details)
    if meta_only:
        return 200, {"status": OK}
    if account not in ("", ACCOUNT):
        missing, kind = f'JetStream account "{account}" not found', "ACCOUNT"
    else:
        missing, kind = _missing(statistics, stream, consumer)
    if missing:
        names = {"account": account, "stream": stream, "consumer": consumer}
        known = ("account", "stream", "consumer")[: KINDS.index(kind) + 1]
        return _answer(404, UNAVAILABLE, kind, missing, details, {key: names[key] for key in known})
    return _assets(statistics, stream, consumer, details)


def _missing(statistics: Statistics, stream: str, consumer: str) -> tuple[str, str]:
    """What is not there, and what kind of thing that is; "" when all is."""
    jetstream = statistics["jetstream"]
    if not stream or jetstream is None:
        return "", ""
    for each in jetstream["streams"]:
        if each["info"]["config"]["name"] == stream:
            if not consumer or consumer in [row["info"]["name"] for row in each["consumers"]]:
                return "", ""
            where = f'for stream "{stream}" on account "{ACCOUNT}"'
            return f'JetStream consumer "{consumer}" not found {where}', "CONSUMER"
    return f'JetStream stream "{stream}" not found on account "{ACCOUNT}"', "STREAM"


def _assets(statistics: Statistics, stream: str, consumer: str, details: bool) -> tuple[int, dict[str, Any]]:
    faults = [
        fault
        for fault in statistics["health"]["faults"]
        if stream in ("", fault["stream"]) and (consumer in ("", fault["consumer"]) or not fault["consumer"])
    ]
    if not faults:
        return 200, {"status": OK}
    if not details:
        return _answer(503, UNAVAILABLE, "STREAM", faults[0]["error"], details)
    errors: list[dict[str, str]] = []
    for fault in faults:
        row = {"type": "CONSUMER" if fault["consumer"] else "STREAM", "account": ACCOUNT, "stream": fault["stream"]}
        if fault["consumer"]:
            row["consumer"] = fault["consumer"]
        errors.append(row | {"error": fault["error"]})
    return 503, {"status": ERROR, "errors": errors}


def _answer(
    code: int, status: str, kind: str, error: str, details: bool, names: dict[str, str] | None = None
) -> tuple[int, dict[str, Any]]:
    if details:
        return code, {"status": ERROR, "errors": [{"type": kind, **(names or {}), "error": error}]}
    return code, {"status": status, "error": error}


def complaint(page: dict[str, Any]) -> str:
    """What the log says of a page that found something; "" for a healthy one."""
    if "error" in page:
        return json.dumps(page["error"], ensure_ascii=False)
    return f"{len(page['errors'])} errors" if "errors" in page else ""
