"""`catalog plot`: the paper's figures."""

from pathlib import Path
from typing import Any

import click

from catalog.cli.options import NATURAL, NumberRange, reading_options
from catalog.store.location import Location


@click.command("plot")
@click.argument("figure")
@click.option("--model", "models", multiple=True, metavar="ALIAS", help="A model; without, all.")
@click.option(
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file: .png, .svg or .pdf.",
)
@click.option(
    "--threshold", type=NumberRange(0, 1), help="classes: a |cosine| beyond it counts. [0.5]"
)
@click.option("--layer", type=NATURAL, multiple=True, help="scatter: only these layers.")
@click.option("--depth", is_flag=True, help="medians: over relative depth, not the layer.")
@reading_options
def command(
    figure: str,
    models: tuple[str, ...],
    output: Path,
    threshold: float | None,
    layer: tuple[int, ...],
    depth: bool,
    db: Location,
    wait_s: float,
) -> None:
    """Draw a FIGURE of the paper from the catalog.

    \b
    medians     median cos(w_in, w_out) by layer (figure 1)
    definition  the six IO classes (2)
    classes     shares of the IO classes by layer (3, 7, 8)
    cosines     box plots of the three cosines by layer (4, 9, 10)
    scatter     all neurons by their cosines, one panel a layer (5, 11-22)
    swiglu      a gated neuron and its activation function (6)

    \b
    Example:
      catalog plot classes --model demo --output classes.pdf
    """
    from catalog.cli.messages import note
    from catalog.cli.output import output_stream
    from catalog.figures import render
    from catalog.figures.data import FigureData

    file_format = _checked_format(output)
    options: dict[str, Any] = {"threshold": threshold, "layer": layer, "depth": depth}
    given = {name: value for name, value in options.items() if value not in (None, (), False)}
    picture = render(figure, FigureData(db, models, wait_s), file_format, **given)
    with output_stream(output) as stream:
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
