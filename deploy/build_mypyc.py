"""Build hook of the wheel: compiles the pure layers with mypyc where a C compiler exists.

Not a second description of the package: what goes into the wheel stands in pyproject.toml; this only adds the compiled
twin of each pure module beside its source. Python prefers the compiled one; the source stays for tracebacks.

Invariants: the same source runs interpreted, so a failed or impossible compilation gives a pure wheel and a visible
notice, never a broken one. TERNMQ_COMPILE=0 forces the pure wheel, TERNMQ_COMPILE=1 makes any failure fatal.
An editable install is never compiled. Read next: broker/compiled.py, which tells the running program which it got.
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PURE_LAYERS = ("raft", "storage", "broker/wire", "broker/core", "broker/jetstream", "broker/cluster")
PURE_MODULES = ("broker/node.py",)
# Not pure, but every byte passes through them.
RIM_MODULES = ("broker/net/sockets.py", "broker/net/reactor.py", "broker/net/driver.py", "broker/net/io_thread.py")
GROUP = "ternmq"  # the shared library is <GROUP>__mypyc; every compiled module is a small shim around it
# Measured on two cores, 7,300 lines: one C file a module (all cores work) 32 s, one in all 55 s; -O2 and -O3 take
# the same time within the noise, -O1 is no shorter.
OPT_LEVEL = os.environ.get("TERNMQ_OPT_LEVEL", "3")


class CompileFailed(Exception):
    """mypyc or the C compiler gave up; the message says where to look."""


class CustomBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """hatchling finds this class by its base; pyproject.toml names the file."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile and add the results to the wheel, or leave the wheel pure and say so."""
        wish = os.environ.get("TERNMQ_COMPILE", "")
        if version == "editable" or self.target_name != "wheel":
            return
        if wish == "0":
            notice("pure Python wheel, as TERNMQ_COMPILE=0 asks")
            return
        try:
            built = compile_modules(Path(self.root))
        except CompileFailed as failure:
            if wish == "1":
                raise
            notice(f"NOT COMPILED: {failure}. The wheel is pure Python: it works, several times slower.")
            return
        if built:
            build_data["pure_python"] = False
            build_data["infer_tag"] = True
            build_data["force_include"].update(built)


def compile_modules(root: Path, opt_level: str = OPT_LEVEL) -> dict[str, str]:
    """Compile the pure layers of the tree at `root`; returns built file -> path in the wheel."""
    sources = sources_to_compile(root)
    if not sources:
        return {}
    require_compiler()
    started = time.monotonic()
    before = os.getcwd()
    os.chdir(root)  # mypycify derives module names from paths relative to here
    try:
        extensions = generate_c(sources, opt_level)
        notice(f"mypyc: {len(sources)} modules to C in {time.monotonic() - started:.0f} s")
        built = build_extensions(extensions)
    finally:
        os.chdir(before)
    notice(f"compiled {len(sources)} modules in {time.monotonic() - started:.0f} s")
    return built


def sources_to_compile(root: Path) -> list[str]:
    """The modules of the pure layers, in a stable order. Package markers stay interpreted: they are empty."""
    found = [path for layer in PURE_LAYERS for path in sorted((root / layer).rglob("*.py"))]
    found += [root / name for name in PURE_MODULES + RIM_MODULES if (root / name).exists()]
    return [path.relative_to(root).as_posix() for path in found if path.name != "__init__.py"]


def require_compiler() -> None:
    """Raise CompileFailed early and clearly where no C compiler or no Python headers are to be had."""
    command = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()[0]
    if shutil.which(command) is None:
        raise CompileFailed(f"no C compiler ({command}) on this machine")
    if not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        raise CompileFailed("the headers of this Python (Python.h) are not installed")


def generate_c(sources: list[str], opt_level: str) -> list[Any]:
    """Type-check and translate; returns setuptools extensions."""
    from mypyc.build import mypycify

    notice(f"mypyc: translating {len(sources)} modules")
    # What the build does not need (cbor2, bcrypt) is not installed for it, so missing imports are allowed here;
    # `make test` checks types strictly. No configuration file: its settings are for that check.
    options = ["--config-file=", "--ignore-missing-imports", "--cache-dir=build/mypy_cache"]
    try:
        return list(
            mypycify(
                [*options, *sources],
                opt_level=opt_level,
                debug_level="0",
                multi_file=True,
                target_dir="build/mypyc",
                group_name=GROUP,
            )
        )
    except SystemExit as stop:
        raise CompileFailed(f"mypyc refused the source (exit {stop.code}); its messages are above") from None


def build_extensions(extensions: list[Any]) -> dict[str, str]:
    """Run the C compiler on all cores; returns built file -> path in the wheel."""
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    progress = Progress(sum(len(extension.sources) for extension in extensions))
    for extension in extensions:
        extension.extra_compile_args.append("-Wno-error")  # another compiler's taste is no reason to run slowly

    class ParallelBuild(build_ext):
        def build_extensions(self) -> None:
            with ThreadPoolExecutor(cores) as pool:
                self.compiler.compile = compile_in(pool, self.compiler, progress)
                super().build_extensions()

    distribution = Distribution({"name": "ternmq", "ext_modules": extensions})
    command = ParallelBuild(distribution)
    tag = f"{sysconfig.get_config_var('SOABI')}"
    command.build_lib = f"build/lib-{tag}"
    command.build_temp = f"build/temp-{tag}"
    command.force = True
    shutil.rmtree(command.build_lib, ignore_errors=True)
    command.ensure_finalized()
    command.parallel = cores
    try:
        command.run()
    except Exception as error:  # distutils raises a family of errors with no useful common parent
        raise CompileFailed(f"the C compiler failed: {error}") from error
    finally:
        progress.finish()
    outputs = [Path(output).resolve() for output in command.get_outputs()]
    lib = Path(command.build_lib).resolve()
    return {str(output): output.relative_to(lib).as_posix() for output in outputs}


class Progress:
    """How many C files are done, on one line on a terminal and every tenth elsewhere."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = 0
        self.live = sys.stderr.isatty()

    def step(self) -> None:
        """One more file is compiled. Called from the pool's threads; a lost count costs a number on a screen."""
        self.done += 1
        if self.live:
            print(f"\rcompiling {self.done}/{self.total} C files", end="", file=sys.stderr, flush=True)
        elif self.done % max(1, self.total // 10) == 0:
            notice(f"compiling {self.done}/{self.total} C files")

    def finish(self) -> None:
        """End the line that was being rewritten."""
        if self.live and self.done:
            print(file=sys.stderr, flush=True)


def compile_in(pool: ThreadPoolExecutor, compiler: Any, progress: Progress) -> Callable[..., list[str]]:
    """A CCompiler.compile that hands each C file to the pool: setuptools itself works one extension at a time."""

    def compile_sources(sources: list[str], output_dir: str | None = None, **options: Any) -> list[str]:
        extra = options.get("extra_postargs") or []
        _, objects, extra, preprocessor, build = compiler._setup_compile(
            output_dir, options.get("macros"), options.get("include_dirs"), sources, options.get("depends"), extra
        )
        arguments = compiler._get_cc_args(preprocessor, options.get("debug"), options.get("extra_preargs"))

        def compile_one(target: str) -> None:
            source, suffix = build[target]
            compiler._compile(target, source, suffix, arguments, extra, preprocessor)
            progress.step()

        # The largest first, so that no core ends with a long file alone.
        order = sorted((target for target in objects if target in build), key=lambda t: -os.path.getsize(build[t][0]))
        list(pool.map(compile_one, order))
        return list(objects)

    return compile_sources


def notice(text: str) -> None:
    """One line for the person who waits."""
    print(f"[ternmq build] {text}", file=sys.stderr, flush=True)
