"""`catalog plot`: the paper's figures."""

from pathlib import Path
from typing import Any, Final

import click

from catalog.api import Catalog
from catalog.cli.options import (
    NATURAL,
    Command,
    NumberRange,
    force_option,
    reading_options,
)
from catalog.figures import figure_docs, figure_options
from catalog.taxonomy import METRICS

_KINDS: Final[dict[str, dict[str, Any]]] = {
    "fraction": {"type": NumberRange(0, 1)},
    "layers": {"type": NATURAL, "multiple": True},
    "flag": {"is_flag": True},
    "metric": {"type": click.Choice(METRICS)},
    "neuron": {"metavar": "LAYER.NEURON"},
    "corpus": {"metavar": "NAME"},
    "step": {"type": click.IntRange(min=0), "metavar": "STEP"},
}
"""How the command line takes an option of a figure, by its kind."""


class _PlotCommand(click.Command):
    """Its help lists the figures that there are."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_help_text(ctx, formatter)
        with formatter.section("Figures"):
            formatter.write_dl(sorted(figure_docs().items()))


def _figure_options(command: Command) -> Command:
    """The options of all figures."""
    for option in reversed(figure_options()):
        kind = _KINDS[option.kind]
        command = click.option(f"--{option.name}", help=option.help, **kind)(command)
    return command


@click.command("plot", cls=_PlotCommand)
@click.argument("figure")
@click.option("--model", "models", multiple=True, metavar="ALIAS", help="A model; without, all.")
@click.option(
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file: .png, .svg or .pdf.",
)
@force_option
@_figure_options
@reading_options
def command(
    catalog: Catalog,
    figure: str,
    models: tuple[str, ...],
    output: Path,
    force: bool,
    **options: Any,
) -> None:
    """Draw a FIGURE of the paper from the catalog.

    \b
    Example:
      catalog plot classes --model demo --output classes.pdf
    """
    from catalog.cli.messages import note
    from catalog.cli.output import check_output, output_stream

    file_format = _checked_format(output)
    check_output(output, file_format, force=force)
    given = {name: value for name, value in options.items() if value not in (None, (), False)}
    picture = catalog.plot(figure, models, file_format, **given)
    with output_stream(output, file_format, force=force) as stream:
        stream.write(picture)
    note(f"{figure} drawn in {output}")


def _checked_format(output: Path) -> str:
    from catalog.errors import UsageError
    from catalog.figures import FILE_FORMATS

    ending = output.suffix.lstrip(".").lower()
    if ending not in FILE_FORMATS:
        raise UsageError(
            f"{output} must end in .{', .'.join(FILE_FORMATS)}: the ending chooses the format."
        )
    if not output.parent.is_dir():
        raise UsageError(f"The folder {output.parent} does not exist. Make it first.")
    return ending
