"""The two commands: `ternmq-server` (also called `nats-server`) and `ternmq`.

Is: argv in, exit code out. Nothing heavy is imported before it is known to be needed: harnesses call `-v` and preStop
hooks call `--signal` and both expect an answer at once.
Exit codes: 0 after a clean stop, `-v`, `-h`, `-t` and a sent signal; 1 with one line on standard error otherwise.
Read next: `server.py`.
"""

from __future__ import annotations

import os
import sys

from broker.flags import FlagError, help_text, parse

VERSION_TOLD = "2.15.1"  # the same as config.VERSION, which would cost the import of dataclasses
PACKAGE = "ternmq"


def server_main(argv: list[str] | None = None) -> int:
    """The daemon. `argv` includes the program's name."""
    argv = sys.argv if argv is None else argv
    program = os.path.basename(argv[0]) or "nats-server"
    try:
        flags = parse(argv[1:])
    except FlagError as error:
        return _refuse(program, str(error))
    if flags.switch("version"):
        print(f"nats-server: v{VERSION_TOLD}")  # whatever the program is called: clients' harnesses parse this
        return 0
    if flags.switch("help"):
        print(help_text(program))
        return 0
    if flags.text("signal"):
        from broker import signals

        try:
            signals.send(flags.text("signal"), program)
        except ValueError as error:
            return _refuse(program, str(error))
        return 0
    from broker.config_file import ConfigError
    from broker.config_load import load

    if flags.switch("t") and not flags.text("config"):
        return _refuse(program, "must specify [-c, --config] option to check configuration file syntax")
    try:
        options, warnings = load(flags)
    except (ConfigError, ValueError) as error:
        return _refuse(program, str(error))
    if warnings and flags.switch("t"):
        return _refuse(program, "\n".join(warnings))
    for warning in warnings:
        print(warning, file=sys.stderr)
    if flags.switch("t"):
        where = f"{options.config_file} is valid ({options.config_digest})"
        print(f"{program}: configuration file {where}", file=sys.stderr)
        return 0
    from broker.server import run_server

    return run_server(options, argv[0], lambda: load(flags)[0])


def helper_main(argv: list[str] | None = None) -> int:
    """The helper: `ternmq dev`, `ternmq --version`."""
    argv = sys.argv if argv is None else argv
    arguments = argv[1:]
    command = arguments[0] if arguments else "--help"
    if command in ("--version", "-version", "-v", "version"):
        print(f"{PACKAGE} {_own_version()} (speaks as nats-server v{VERSION_TOLD})")
        return 0
    if command in ("--help", "-help", "-h", "help"):
        print(HELPER_HELP, end="")
        return 0
    if command == "dev":
        from broker.dev import main

        return main(arguments[1:])
    return _refuse(PACKAGE, f'unrecognized command: "{command}" (see {PACKAGE} --help)')


HELPER_HELP = f"""\
Usage: {PACKAGE} <command>

Commands:
    dev          Run a three-node cluster on this machine: clients 4222-4224, monitoring 8222-8224, Ctrl-C stops it
    --version    Show the version
    --help       Show this message

The server itself is ternmq-server; it takes nats-server's flags and configuration files.
"""


def _own_version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "(not installed)"


def _refuse(program: str, reason: str) -> int:
    print(f"{program}: {reason}", file=sys.stderr)
    return 1
