"""Writes docs/commands.md from the commands, docs/schema.md from the views' comments,
docs/faults.md from the faults that tests/faults injects, and a page of each notebook."""

import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import click

from catalog.cli.main import cli
from catalog.queries import named_query, query_names
from catalog.store.handle import Handle
from catalog.store.upgrading import ensure_catalog

FOLDER = Path(__file__).parent

_ABOUT_FAULTS = (
    "Written by `make docs` from `tests/faults`; do not edit.",
    "Each row is a fault that a test injects, with what is then on standard error (`…` is what "
    "differs from case to case), the exit code (a negative one is the signal that ended the "
    "process), and what is still there afterwards. Wherever rows are to survive, the test runs the "
    "same command again and compares every public view with that of an undisturbed ingest.",
    "Kills of merge, drop, compact and export are tested in `tests/store`, those of Ray workers "
    "and nodes in `tests/ingest/engines`: they leave whole catalogs and the same rows.",
)
_ABOUT_FUZZING = (
    "Beside these, hypothesis draws headers, configurations, indexes, tokenizers, corpora, SQL, "
    "neuron ids, parameters and catalogs: whatever they are, the program answers or refuses in a "
    "sentence. `CATALOG_FUZZ_EXAMPLES=5000 pytest tests/faults -k any_` searches longer than the "
    "tests do by themselves."
)


def commands_page() -> str:
    """The help of every command, and the named queries."""
    context = click.Context(cli, info_name="catalog", max_content_width=96, terminal_width=96)
    parts = ["# Commands", "Written by `make docs`; do not edit.", _help(cli, context)]
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        inner = click.Context(
            command, parent=context, info_name=name, max_content_width=96, terminal_width=96
        )
        parts += [f"## catalog {name}", _help(command, inner)]
    parts += ["## Named queries", "`catalog query NAME -p key=value`", _queries_table()]
    return "\n\n".join(parts) + "\n"


def schema_page() -> str:
    """Every public view with its columns, types and comments."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.duckdb"
        ensure_catalog(Handle(path))
        catalog = Handle(path)
        views = catalog.fetch_checked(
            "select view_name, comment from duckdb_views() where not internal order by view_name"
        ).to_pylist()
        columns = catalog.fetch_checked(
            "select table_name, column_name, data_type, comment from duckdb_columns() "
            "order by table_name, column_index"
        ).to_pylist()
    parts = [
        "# SQL schema",
        "Written by `make docs` from the views' comments; do not edit. Joins to `contexts` are "
        "`using (model, corpus, context_id)`; look a neuron up by (model, layer, neuron).",
    ]
    for view in views:
        parts += [f"## {view['view_name']}", view["comment"], "| column | type | |\n|---|---|---|"]
        parts[-1] += "".join(
            f"\n| {c['column_name']} | {c['data_type']} | {_cell(c['comment'])} |"
            for c in columns
            if c["table_name"] == view["view_name"]
        )
    parts += [
        "## io_classes(t)",
        "A table macro: model, layer, neuron, neuron_id, io_class and atypical at threshold t.",
    ]
    return "\n\n".join(parts) + "\n"


def faults_page() -> str:
    """Every fault that a test injects: what the user sees, and what survives."""
    sys.path.insert(0, str(FOLDER.parent))
    from tests.faults.registry import all_faults

    lines = [
        "| fault | what the user sees | exit code | what survives | test |",
        "|---|---|---|---|---|",
    ]
    for fault, test in all_faults().items():
        sees = f"`{fault.sees}`" if fault.sees else "nothing"
        cells = (fault.name, sees, str(fault.code), fault.survives, f"`{test}`")
        lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    return "\n\n".join(("# Faults", *_ABOUT_FAULTS, "\n".join(lines), _ABOUT_FUZZING)) + "\n"


def notebook_page(name: str) -> str:
    """A notebook as a page: its texts, its code, and what the code printed."""
    notebook = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        if printed := "".join(map(_printed, cell["outputs"])).rstrip():
            parts.append(f"```text\n{printed}\n```")
    parts[1:1] = [
        f"This page is [{name}.ipynb]({name}.ipynb), run on the catalog of `make smollm2`; written "
        "by `make docs`, do not edit."
    ]
    return "\n\n".join(parts) + "\n"


def _printed(output: dict[str, Any]) -> str:
    """What an output is where nothing but text can be shown."""
    if output["output_type"] == "stream":
        return "".join(output["text"])
    return "".join(output["data"].get("text/plain", "")) + "\n"


def _cell(comment: str | None) -> str:
    return (comment or "").replace("|", "\\|")


def _help(command: click.Command, context: click.Context) -> str:
    return f"```text\n{command.get_help(context)}\n```"


def _queries_table() -> str:
    lines = ["| query | parameters | answers |", "|---|---|---|"]
    for query in map(named_query, query_names()):
        names = ", ".join(
            p.name if p.required else f"{p.name}={'' if p.default is None else p.default}"
            for p in query.parameters
        )
        lines.append(f"| {query.name} | {names} | {query.doc} |")
    return "\n".join(lines)


@click.command()
@click.option("--check", is_flag=True, help="Fail if a page is not as it would be written.")
def main(check: bool) -> None:
    """Write the generated pages."""
    stale = []
    pages = {"commands.md": commands_page, "schema.md": schema_page, "faults.md": faults_page}
    for notebook in sorted(FOLDER.glob("*.ipynb")):
        pages[f"{notebook.stem}.md"] = partial(notebook_page, notebook.stem)
    for name, written in pages.items():
        page = written()
        path = FOLDER / name
        if check and (not path.exists() or path.read_text(encoding="utf-8") != page):
            stale.append(name)
        elif not check:
            path.write_text(page, encoding="utf-8")
    if stale:
        sys.exit(f"{', '.join(stale)} out of date: run make docs")


if __name__ == "__main__":
    main()
