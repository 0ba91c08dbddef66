"""Log lines: events in, sentences (or JSON) out.

Is: the rim's only writer of log lines. `Log.event(level, name, fields)` takes an event as a turn reports it; the table
below turns the name into the sentence that nats-server writes where one exists, because tools match those.
Is not: a place where anything decides whether something is worth telling; that is the event's level.
Invariants: one line per event; a log that cannot be written never stops the server. structlog is imported with the
first line (it takes 200 ms), so open the listeners before the first event.
Read next: `server.py`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

LABELS: Final = {
    "trace": "[TRC]",
    "debug": "[DBG]",
    "info": "[INF]",
    "warning": "[WRN]",
    "error": "[ERR]",
    "fatal": "[FTL]",
}
LEVEL_ALIASES: Final = {"warn": "warning", "notice": "info"}
STDERR: Final = 2
TEXT_MAX: Final = 16 * 1024

SENTENCES: Final = {
    "server_starting": "Starting {program}",
    "server_version": "  Version:  {version}",
    "server_cluster": "  Cluster:  {cluster}",
    "server_name": "  Name:     {name}",
    "server_node": "  Node:     {node}",
    "server_id": "  ID:       {server_id}",
    "config_file": "Using configuration file: {path} ({digest})",
    "jetstream_starting": "Starting JetStream",
    "jetstream_head": "---------------- JETSTREAM ----------------",
    "jetstream_strict": "  Strict:          true",
    "jetstream_max_memory": "  Max Memory:      {size}",
    "jetstream_max_file": "  Max Storage:     {size}",
    "jetstream_domain": "  Domain:          {domain}",
    "jetstream_store": '  Store Directory: "{path}"',
    "jetstream_api_level": "  API Level:       {level}",
    "jetstream_foot": "-------------------------------------------",
    "jetstream_started": "Took {duration} to start JetStream",
    "jetstream_shutdown": "Initiating JetStream Shutdown...",
    "jetstream_stopped": "JetStream Shutdown",
    "jetstream_store_temporary": "Temporary storage directory used, data could be lost on system reboot",
    "client_listener": "Listening for client connections on {host}:{port}",
    "monitor_listener": "Starting http monitor on {host}:{port}",
    "route_listener": "Listening for route connections on {host}:{port}",
    "cluster_name": "Cluster name is {cluster}",
    "cluster_name_dynamic": "Cluster name was dynamically generated, consider setting one",
    "plain_passwords": "Plaintext passwords detected, use nkeys or bcrypt",
    "healthcheck_failed": "Healthcheck failed: {error}",
    "server_ready": "Server is ready",
    "signal": 'Trapped "{signal}" signal',
    "reload_refused": "Failed to reload server configuration: {reason}",
    "reload_changed": "Reloaded: {change}",
    "reloaded": "Reloaded server configuration ({digest})",
    "log_reopened": "File log re-opened",
    "log_reopen_ignored": "File log re-open ignored, not a file logger",
    "ports_file_failed": "Error writing ports file ({path}): {reason}",
    "lame_duck": "Entering lame duck mode, stop accepting new clients",
    "lame_duck_closing": "Closing existing clients",
    "shutdown": "Initiating Shutdown...",
    "server_exiting": "Server Exiting..",
    "client_created": "{remote} - cid:{cid} - Client connection created",
    "client_closed": "{remote} - cid:{cid}{who} - Client connection closed: {reason}",
    "client_error": "{remote} - cid:{cid}{who} - {error}",
    "client_trace": "{remote} - cid:{cid}{who} - {line}",
    "slow_consumer": "{remote} - cid:{cid}{who} - Slow Consumer Detected: {reason}",
    "authentication_error": "{remote} - cid:{cid} - authentication error{as_user}",
    "events_lost": "More happened at once than the log has room for: {count} lines are missing",
    "route_created": "{remote} - rid:{rid} - Route connection created",
    "route_connected": "{remote} - rid:{rid} - Connected to {name} ({server_id})",
    "route_closed": "{remote} - rid:{rid} - Router connection closed: {reason}{at}",
    "route_trace": "{remote} - rid:{rid} - {line}",
    "route_error": "{remote} - rid:{rid} - {error}",
    "route_dial": "Trying to connect to route on {host}:{port}",
    "route_dial_failed": "Error trying to connect to route (attempt {attempt}): dial tcp {host}:{port}: {error}",
    "cluster_waiting": "Waiting for a cluster: missing {missing}, connected {connected}, in one already {existing}",
    "peer_name_refused": "Refused a server with another store under the name {peer}, which is connected already",
    "logs_doubted": "Power was lost: the logs of {streams} streams may lack what was acknowledged without a sync",
    "boot_mark_damaged": "Whether power was lost cannot be read any more: the logs of {streams} streams are in doubt",
    "stream_cut_short": "Stream {stream} goes on after {last_sequence}: what came later was lost with the power",
    "peer_catching_up": "{peer} has a store that is new to this cluster: it votes as soon as it has caught up",
    "peer_admitted": "{peer} has caught up and votes in the meta group",
    "streams_reassigned": "Streams of the store that {peer} lost are assigned to its new one",
    "stream_lost": "The only replica of stream {stream} was on a store that is lost: the stream begins again, empty",
    "quorum_lost": "Group {group} can't have a leader any more, too many stores are lost: bring back one of {lost}",
    "log_damaged": "The log is damaged, what is sound in it goes on: {error}",
    "group_failed": "{group} stops on this server, its other replicas go on: {error}",
    "request_failed": "A request on {subject} failed: {error}",
    "stream_damaged": "What is stored of {group} on this server is damaged, its other replicas go on: {error}",
    "replica_discarded": "The others of {group} went on without this server's copy: it is discarded and made anew",
    "replica_repaired": "The copy of {group} on this server is whole again",
    "compiled": "The compiled core is in use",
    "interpreted": "No compiled core was found: running interpreted, which is several times slower",
}


class LogOutput:
    """Where lines go: standard error, or a file that rotates by size and can be reopened when others rotated it."""

    def __init__(self, path: str, size_limit: int, files_max: int) -> None:
        """Errors: OSError when the file cannot be opened."""
        self.path = path
        self._size_limit = size_limit
        self._files_max = files_max
        self._size = 0
        self._file = STDERR
        if path:
            self._open(path)

    def _open(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        self._size = os.fstat(self._file).st_size

    def write(self, line: str) -> None:
        data = line.encode("utf-8", "backslashreplace") + b"\n"
        try:
            os.write(self._file, data)
            self._size += len(data)
            if self.path and 0 < self._size_limit < self._size:
                self._rotate()
        except OSError:
            return  # a full disk must not stop the server, and there is nowhere to say it

    def reopen(self) -> None:
        """Errors: OSError; then the old file stays in use."""
        if self.path:
            self.move(self.path)

    def move(self, path: str) -> None:
        """From now on into this file, "" for standard error. Errors: OSError; then the old file stays in use."""
        old = self._file
        if path:
            self._open(path)
        else:
            self._file = STDERR
        self.path = path
        if old != STDERR:
            os.close(old)

    def close(self) -> None:
        if self._file != STDERR:
            os.close(self._file)
            self._file = STDERR

    def _rotate(self) -> None:
        stamp = datetime.now(UTC).astimezone().strftime("%Y.%m.%d.%H.%M.%S.%f") + "000"
        os.rename(self.path, f"{self.path}.{stamp}")
        self.reopen()
        directory, name = os.path.split(self.path)
        backups = sorted(entry for entry in os.listdir(directory or ".") if entry.startswith(name + ".2"))
        if self._files_max > 0:
            for entry in backups[: max(0, len(backups) - (self._files_max - 1))]:
                os.remove(os.path.join(directory, entry))


class Log:
    """Renders events. `debug` and `trace` decide whether lines of those levels are written at all."""

    def __init__(
        self,
        path: str = "",
        log_format: str = "text",
        debug: bool = False,
        trace: bool = False,
        logtime: bool = True,
        logtime_utc: bool = False,
        size_limit: int = 0,
        files_max: int = 0,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Errors: OSError when the file cannot be opened."""
        self.output = LogOutput(path, size_limit, files_max)
        self._is_json = log_format == "json"
        self.adjust(debug, trace, logtime, logtime_utc)
        self._now = now
        self._pid = os.getpid()
        self._logger: Any = None

    def adjust(self, debug: bool, trace: bool, logtime: bool, logtime_utc: bool) -> None:
        """From the next line on; where lines go stays as it is."""
        self._hidden = {level for level, shown in (("debug", debug), ("trace", trace)) if not shown}
        self._logtime = logtime
        self._zone = UTC if logtime_utc else None

    def event(self, level: str, name: str, fields: dict[str, object]) -> None:
        """One event as a turn reports it."""
        level = LEVEL_ALIASES.get(level, level)
        if level in self._hidden:
            return
        if self._logger is None:
            self._logger = self._structured()
        self._logger.write(name, level=level, fields=fields)

    def text(self, level: str, sentence: str) -> None:
        """A sentence that is no event."""
        self.event(level, "text", {"text": sentence})

    def _structured(self) -> Any:
        from structlog import BoundLogger, wrap_logger  # late: see the top

        render = self._as_json if self._is_json else self._as_line
        return wrap_logger(self.output, processors=[self._worded, render], wrapper_class=BoundLogger)

    # structlog processors: (logger, method name, event dictionary) -> event dictionary, the last one -> the line

    def _worded(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        event["text"] = sentence(event["event"], event["fields"])[:TEXT_MAX]
        event["moment"] = datetime.fromtimestamp(self._now(), UTC).astimezone(self._zone)
        return event

    def _as_line(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
        stamp = event["moment"].strftime("%Y/%m/%d %H:%M:%S.%f ") if self._logtime else ""
        text = event["text"].replace("\r", "\\r").replace("\n", "\\n")  # one event, one line
        return f"[{self._pid}] {stamp}{LABELS.get(event['level'], '[INF]')} {text}"

    def _as_json(self, _logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
        line: dict[str, object] = {
            "time": event["moment"].isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": event["level"],
            "pid": self._pid,
            "event": event["event"],
            "text": event["text"].strip(),
        }
        for key, value in event["fields"].items():
            line.setdefault(key, value)
        return json.dumps(line, default=str, ensure_ascii=False)


def sentence(name: str, fields: dict[str, object]) -> str:
    """What the log says of an event: nats-server's sentence, or the name and the fields."""
    if name == "text":
        return str(fields.get("text", ""))
    template = SENTENCES.get(name)
    if template is not None:
        try:
            return template.format_map({"who": _who(fields), "at": _at(fields), **fields})
        except (KeyError, ValueError, IndexError, AttributeError):
            pass  # an event without the fields of its sentence still says what it knows
    words = name.replace("_", " ")
    details = ", ".join(f"{key}={value}" for key, value in fields.items())
    return f"{words[:1].upper()}{words[1:]}: {details}" if details else f"{words[:1].upper()}{words[1:]}"


def _who(fields: dict[str, object]) -> str:
    """What a client said of itself, behind its address."""
    said = f' - "{fields["client"]}"' if "client" in fields else ""
    return said + (f' - "$G/user:{fields["user"]}"' if "user" in fields else "")


def _at(fields: dict[str, object]) -> str:
    """Which server is at the other end."""
    return f" - Remote: {fields['peer']}" if fields.get("peer") else ""
