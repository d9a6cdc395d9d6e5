"""Whole ingests as processes that can be killed, without each one's seconds of imports."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_PRELOADED = [
    "torch",
    "transformers",
    "transformers.models.llama.modeling_llama",
    "catalog.ingest.driver",
    "catalog.cli.commands.ingest",
    "tests.ingest.processes",
]


def start(log: Path, *arguments: object, before: Callable[[], object] = bool) -> ForkServerProcess:
    """Run `catalog ARGUMENTS` in a process of its own, both streams into `log`.

    `before` is called there first, to make the circumstances worse.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    words = [str(each) for each in arguments]
    process = context.Process(target=_run, args=(str(log), words, before))
    process.start()
    return process


def finished(log: Path, *arguments: object) -> str:
    """Run it to its end, which must be a good one; returns what it said."""
    process = start(log, *arguments)
    process.join(120)
    assert process.exitcode == 0, log.read_text()
    return log.read_text()


def while_running(process: ForkServerProcess, action: Callable[[], object]) -> int:
    """Repeat the action until the process has ended; returns how often."""
    count = 0
    while process.is_alive():
        action()
        count += 1
    return count


def _run(log: str, arguments: list[str], before: Callable[[], object]) -> None:
    stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(stream, 1)
    os.dup2(stream, 2)
    before()
    from catalog.cli.main import prepare_process, run

    prepare_process()
    code = run(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
