"""Entry point of the `catalog` command: finds commands, turns errors into exit codes."""

import importlib
import io
import os
import pkgutil
import signal
import sys
from typing import Final

import click

from catalog.cli import commands
from catalog.errors import CatalogError, ExitCode

_EXIT_CODES: Final = """\b
Exit codes:
  0  done
  1  a fault of this program (run again with --debug and report it)
  2  wrong usage
  3  no such model, neuron, query or corpus
  4  the checkpoint or corpus cannot be ingested
  5  the SQL is wrong or not allowed
  6  the catalog file cannot be used (missing, locked, damaged, other version), or catalogs
     cannot be combined (conflicts, a name that is taken)
  7  the machine: no space, permission, network or device
  8  what was recomputed differs from what is stored
  130  interrupted
"""


_NO_MEMORY: Final = (
    "not enough memory",
    "can't allocate memory",
    "out of memory",
    "cannot allocate memory",
    "can't start new thread",
    "failed to map segment",
)


class CommandFolder(click.Group):
    """A group whose commands are the modules of `catalog.cli.commands`, imported when needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the modules, in alphabetical order."""
        return sorted(module.name for module in pkgutil.iter_modules(commands.__path__))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The `command` of the module of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"{commands.__name__}.{cmd_name}")
        command: click.Command = module.command
        return command


@click.group(cls=CommandFolder, epilog=_EXIT_CODES)
@click.version_option(package_name="neuron-catalog", prog_name="catalog")
@click.option(
    "--debug", is_flag=True, envvar="CATALOG_DEBUG", expose_value=False, help="Show tracebacks."
)
def cli() -> None:
    """Every MLP neuron of gated language models in one DuckDB file.

    \b
    Example:
      catalog ingest demo
      catalog show 0.469
      catalog sql "select io_class, count(*) from neurons group by all order by all"
    """


def main() -> None:
    """Run the command line and exit with its code."""
    prepare_process()
    code = run(sys.argv[1:])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


def prepare_process() -> None:
    """Make streams and signals behave for a command that is a process of its own."""
    _open_closed_streams()
    # A terminal that is not UTF-8 shows other characters as escapes instead of failing on them.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # What ends a job of a cluster or a container is an interruption like the user's own.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def _open_closed_streams() -> None:
    """Open standard streams that were closed as nothing, or the catalog would take their place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def run(arguments: list[str]) -> int:
    """Run one command line; errors become one message on standard error and an exit code."""
    from catalog.cli.messages import error

    debug = "--debug" in arguments or bool(os.environ.get("CATALOG_DEBUG"))
    try:
        cli.main(arguments, prog_name="catalog", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as wrong:
        wrong.show()
        return wrong.exit_code
    except (click.Abort, KeyboardInterrupt):
        error("Interrupted. What was computed is kept; the same command carries on.")
        return ExitCode.INTERRUPTED
    except SystemExit as stop:
        # Click exits with 1 when the reader of a pipe has gone (`... | head`), which is no fault.
        return ExitCode.OK if stop.code == 1 else int(stop.code or 0)
    except BrokenPipeError:
        # The reader of a pipe went away (`catalog sql ... | head`), which is no fault.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except CatalogError as refused:
        if debug:
            raise
        error(str(refused))
        return refused.exit_code
    except OSError as refused:
        if debug:
            raise
        where = f"{refused.filename}: " if refused.filename else ""
        error(f"The system refused: {where}{refused.strerror or refused}.")
        _give_up_full_stdout()
        return ExitCode.ENVIRONMENT
    except Exception as fault:
        if debug:
            raise
        if _ran_out_of_memory(fault):
            error("Out of memory. Ask for less at a time, or use a machine with more.")
            return ExitCode.ENVIRONMENT
        error(f"This is a fault of the program: {type(fault).__name__}: {fault}. See --debug.")
        return ExitCode.INTERNAL
    return ExitCode.OK


def _give_up_full_stdout() -> None:
    """Drop what standard output does not take, or Python would try again and say so at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ran_out_of_memory(fault: Exception) -> bool:
    # torch and the loader say it by errors that tell it in words alone.
    said = str(fault).lower() if isinstance(fault, (RuntimeError, ImportError)) else ""
    return isinstance(fault, MemoryError) or any(text in said for text in _NO_MEMORY)
