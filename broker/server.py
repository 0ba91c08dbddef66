"""The daemon: one server in a process of its own, with signals, a log, a pid file and a ports file.

Is: `run_server`, which `cli.py` calls, from listening sockets to exit code.
Is not: what a server is (`net/lifecycle.py`).
Invariants: sockets are bound before trio, structlog and the node are even imported (together half a second); exit
code 0 after a clean stop or lame duck, 1 with one line in the log otherwise.
Read next: `net/lifecycle.py`.
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Final

from broker import config
from broker.compiled import is_compiled
from broker.logs import Log
from broker.net.listener import BindError, Listeners
from broker.os_errors import failed, reason
from broker.sd_notify import Notifier

STATUS_READY: Final = "Serving clients"
SWITCH_INTERVAL_S: Final = 0.0005  # how long an io thread that comes back waits for the interpreter lock

if TYPE_CHECKING:
    from broker.net.lifecycle import NodeMaker, Server


def run_server(
    options: config.Options,
    argv0: str,
    load: Callable[[], config.Options] | None = None,
    make_node: NodeMaker | None = None,
) -> int:
    """Serves until a signal ends it. Returns the exit code. `load` reads the configuration again."""
    try:
        log = Log(
            options.log_file,
            options.ternmq.log_format,
            options.debug,
            options.trace,
            options.logtime,
            options.logtime_utc,
            options.log_size_limit,
            options.log_max_num,
        )
    except OSError as error:
        Log().text("fatal", f"error opening file: {failed('open', options.log_file, error)}")
        return 1
    try:
        listeners = Listeners(options)
    except BindError as error:
        log.text("fatal", str(error))
        return 1
    if options.pid_file and not _wrote_pid_file(log, options.pid_file):
        listeners.close()
        return 1
    import trio

    from broker.net.lifecycle import Server, open_node

    def on_event(level: str, name: str, fields: Mapping[str, object]) -> None:
        log.event(level, name, dict(fields))

    server = Server(listeners, on_event, make_node=make_node or open_node)
    if not is_compiled():
        server.event("warning", "interpreted")
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    try:
        trio.run(Daemon(server, log, argv0, options, load).run)
    except BaseExceptionGroup as errors:
        return _explain(log, errors)
    finally:
        log.output.close()
    return 0


def _wrote_pid_file(log: Log, path: str) -> bool:
    from broker.process_files import write_pid_file

    try:
        write_pid_file(path)
    except OSError as error:
        log.text("fatal", f"Could not write pidfile: {failed('open', path, error)}")
        return False
    return True


def _explain(log: Log, errors: BaseExceptionGroup[BaseException]) -> int:
    """Says why the server ended: a sentence for trouble with the machine, a trace for a bug of ours."""
    from storage.errors import StorageError

    error = _first(errors)
    if not isinstance(error, Exception):
        raise error
    if isinstance(error, (OSError, StorageError)):
        log.text("fatal", f"Can't start JetStream: {error}" if isinstance(error, StorageError) else str(error))
    else:
        log.text("fatal", f"{type(error).__name__}: {error}")
        traceback.print_exception(error)
    return 1


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The innermost first of a group of errors."""
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class Daemon:
    """A server with what surrounds it in a process of its own: signals, the log, pid and ports files."""

    def __init__(
        self,
        server: Server,
        log: Log,
        argv0: str,
        options: config.Options,
        load: Callable[[], config.Options] | None = None,
    ) -> None:
        self._server = server
        self._log = log
        self._argv0 = argv0
        self._options = options  # as loaded: the server's have the ports that it got
        self._load = load
        self._ports_file = ""
        self._notifier = Notifier()

    async def run(self) -> None:
        """Until a signal ends it. Errors: as `Server.run`."""
        import trio

        from broker import signals

        try:
            # Signals first: harnesses send them as soon as the log says "Server is ready".
            with trio.open_signal_receiver(*signals.ACTIONS) as received:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._obey, received)
                    nursery.start_soon(self._server.run)
                    await self._server.wait_ready()
                    self._write_ports_file()
                    self._notifier.ready(STATUS_READY)
                    nursery.start_soon(self._stay_alive)
                    await self._server.wait_ended()
                    nursery.cancel_scope.cancel()
        finally:
            self._remove_ports_file()

    def _remove_ports_file(self) -> None:
        from broker.process_files import remove_file

        if self._ports_file:
            remove_file(self._ports_file)
            self._ports_file = ""

    def _write_ports_file(self) -> None:
        from broker.process_files import ports_file_path, write_ports_file

        options = self._server.options
        if not options.ports_file_dir:
            return
        listeners = {"nats": (options.host, options.port)}
        if options.http_port:
            listeners["monitoring"] = (options.http_host or options.host, options.http_port)
        if options.cluster.configured():
            listeners["cluster"] = (options.cluster.host, options.cluster.port)
        try:
            self._ports_file = write_ports_file(options.ports_file_dir, self._argv0, listeners)
        except OSError as error:
            path = ports_file_path(options.ports_file_dir, self._argv0)
            self._server.event("error", "ports_file_failed", {"path": path, "reason": failed("open", path, error)})

    async def _obey(self, received: AsyncIterator[int]) -> None:
        from broker import signals

        async for number in received:
            action = signals.ACTIONS[signal.Signals(number)]
            self._server.event("info", "signal", {"signal": signals.SIGNAL_NAMES[signal.Signals(number)]})
            if action == signals.LAME_DUCK:
                self._notifier.stopping("Lame duck mode: clients are going elsewhere")
                self._server.lame_duck()
            elif action == signals.REOPEN_LOG:
                self._reopen_log()
            elif action == signals.RELOAD:
                self._reload()
            elif number == signal.SIGINT or not self._server.is_lame_duck:
                self._notifier.stopping("Shutting down")
                self._server.stop()

    async def _stay_alive(self) -> None:
        """A watchdog's pings: they stop when the loop that moves messages hangs, for it is this one."""
        import trio

        while self._notifier.watchdog_s:
            self._notifier.alive()
            await trio.sleep(self._notifier.watchdog_s)

    def _reload(self) -> None:
        from broker.config_file import ConfigError
        from broker.config_reload import ReloadRefused, changes
        from broker.process_files import write_pid_file

        self._notifier.reloading()
        try:
            if self._load is None or not self._options.config_file:
                raise ReloadRefused("can only reload config when a file is provided using -c or --config")
            options = self._load()
            told = changes(self._options, options)
            if options.pid_file and options.pid_file != self._options.pid_file:
                write_pid_file(options.pid_file)
            if options.log_file != self._options.log_file:
                self._log.output.move(options.log_file)
        except (ConfigError, ReloadRefused, ValueError) as error:
            self._server.event("error", "reload_refused", {"reason": str(error)})
        except OSError as error:
            self._server.event("error", "reload_refused", {"reason": failed("open", error.filename or "", error)})
        else:
            moves_ports_file = options.ports_file_dir != self._options.ports_file_dir
            self._options = options
            self._log.adjust(options.debug, options.trace, options.logtime, options.logtime_utc)
            self._server.reload(options)
            if moves_ports_file:
                self._remove_ports_file()
                self._write_ports_file()
            for change in told:
                self._server.event("info", "reload_changed", {"change": change})
            self._server.event("info", "reloaded", {"digest": options.config_digest})
        self._notifier.ready(STATUS_READY)

    def _reopen_log(self) -> None:
        if not self._log.output.path:
            self._server.event("info", "log_reopen_ignored")
            return
        try:
            self._log.output.reopen()
        except OSError as error:
            self._server.event("error", "log_reopen_failed", {"reason": reason(error)})
        else:
            self._server.event("info", "log_reopened")
