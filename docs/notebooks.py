"""Runs the notebooks of this folder, tutorial.ipynb and gallery.ipynb, on a catalog of SmolLM2.

The catalog is that of `make smollm2`, or the one that CATALOG_DB names. `make docs` then writes the
pages, docs/tutorial.md and docs/gallery.md.
"""

import os
from pathlib import Path
from typing import Any

import click
import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent
NAMES = ("tutorial", "gallery")


def ran(path: Path) -> Any:
    """A notebook with the outputs that its cells have now."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=600, kernel_name="python3").execute(cwd=str(path.parent))
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
        for output in cell.get("outputs", ()):
            output.get("metadata", {}).clear()
            if "execution_count" in output:
                output.execution_count = None
    python = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook.metadata = {"kernelspec": python, "language_info": {"name": "python"}}
    return notebook


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    help="Where the notebooks go; by default, in the place of those that were run.",
)
def main(names: tuple[str, ...], output: Path) -> None:
    """Run notebooks, all where none is named, and write them with their outputs."""
    if "CATALOG_DB" not in os.environ:
        os.environ["CATALOG_DB"] = str(FOLDER.parent / "smollm2.duckdb")
    for name in names or NAMES:
        notebook = ran(FOLDER / f"{name}.ipynb")
        text: str = nbformat.writes(notebook)
        (output / f"{name}.ipynb").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
