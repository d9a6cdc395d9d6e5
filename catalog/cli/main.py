"""Entry point of the `catalog` command: finds commands, turns errors into exit codes."""

import difflib
import importlib
import io
import os
import pkgutil
import sys
import textwrap
from typing import Final

import click

from catalog.cli import commands, interruption
from catalog.cli.messages import error, give_up, telling
from catalog.cli.repeated import refuse_repeated
from catalog.errors import CatalogError, ExitCode, command_line, ran_out_of_memory
from catalog.ingest.threads import sleep_while_waiting
from catalog.visible import guard_terminals

_EXIT_CODES: Final = "\b\nExit codes:\n" + "\n".join(
    textwrap.fill(
        f"{code.value}  {code.meaning}", 98, initial_indent="  ", subsequent_indent=" " * 5
    )
    for code in ExitCode
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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command and its arguments; an option that would be dropped silently is refused."""
        near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
        if near and near[0] != args[0]:
            ctx.fail(f"No such command {args[0]!r}. Did you mean {near[0]}?")
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            refuse_repeated(ctx, command, rest)
        return name, command, rest


@click.group(cls=CommandFolder, epilog=_EXIT_CODES)
@click.version_option(package_name="neuron-catalog", prog_name="catalog")
@click.option(
    "--debug", is_flag=True, envvar="CATALOG_DEBUG", expose_value=False, help="Show tracebacks."
)
def cli() -> None:
    """Every MLP neuron of language models in one DuckDB file.

    \b
    Example:
      catalog ingest demo
      catalog show 3.161
      catalog sql "select io_class, count(*) from neurons group by all order by all"
    """


def main() -> None:
    """Run the command line and exit with its code."""
    prepare_process()
    code = run(sys.argv[1:])
    interruption.ignore()
    sys.exit(code)


def prepare_process() -> None:
    """Make streams and signals behave for a command that is a process of its own."""
    _open_closed_streams()
    # A terminal that is not UTF-8 shows other characters as escapes instead of failing on them.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    guard_terminals()
    interruption.listen()
    sleep_while_waiting()


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
    debug = "--debug" in arguments or _is_set("CATALOG_DEBUG")
    try:
        cli.main(arguments, prog_name="catalog", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except SystemExit as stop:
        # Click exits with 1 when the reader of a pipe has gone (`... | head`), which is no fault.
        return ExitCode.OK if stop.code == 1 else int(stop.code or 0)
    except BaseException as raised:  # what panics in Rust is no Exception
        if isinstance(raised, (click.Abort, KeyboardInterrupt)) or interruption.asked():
            error(interruption.SAID)
            return ExitCode.INTERRUPTED
        if debug and not isinstance(raised, (click.ClickException, BrokenPipeError)):
            raise
        return _exit_code(raised)
    return ExitCode.OK


def _is_set(variable: str) -> bool:
    """Whether a variable says yes; what it says wrongly is refused with the options."""
    try:
        return bool(click.BOOL.convert(os.environ.get(variable) or "no", None, None))
    except click.BadParameter:
        return False


def _exit_code(raised: BaseException) -> int:
    """Say what was raised in one message on standard error; returns its exit code."""
    match raised:
        case click.ClickException():
            with telling():
                raised.show()
            return raised.exit_code
        case BrokenPipeError():
            # The reader of a pipe went away (`catalog sql ... | head`), which is no fault.
            give_up(sys.stdout)
            return ExitCode.OK
        case CatalogError():
            error(raised.message(command_line))
            return raised.exit_code
        case OSError():
            where = f"{raised.filename}: " if raised.filename else ""
            error(f"The system refused: {where}{raised.strerror or raised}.")
            _give_up_full_stdout()
            return ExitCode.ENVIRONMENT
        case _ if ran_out_of_memory(raised):
            error("Out of memory. Ask for less at a time, or use a machine with more.")
            return ExitCode.ENVIRONMENT
    error(f"This is a fault of the program: {type(raised).__name__}: {raised}. See --debug.")
    return ExitCode.INTERNAL


def _give_up_full_stdout() -> None:
    """Drop what standard output does not take, or Python would try again and say so at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        give_up(sys.stdout)
