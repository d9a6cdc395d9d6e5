"""Search in the stored texts, and the neurons that peak in one of them."""

from typing import Final

from catalog.pages.asking import Asked
from catalog.pages.listing import listed, sorted_rows
from catalog.pages.shown import Shown
from catalog.rows import Rows

PATH: Final = "/text"


def show(asked: Asked) -> Shown:
    """Contexts that contain the words; with `context`, the neurons whose exemplars lie in it."""
    words, model, corpus = asked.text("q"), asked.text("model"), asked.text("corpus")
    context = asked.integer("context")
    models = asked.models()
    tables: dict[str, Rows] = {}
    given = [f"model={model}"] if model else []
    if context is not None and corpus is not None:
        settings = [*given, f"corpus={corpus}", f"context={context}"]
        tables["neurons"] = asked.catalog.query("neurons_in_context", *settings)
    elif words is not None:
        settings = [*given, f"text={words}", *([f"corpus={corpus}"] if corpus else [])]
        tables["contexts"] = asked.catalog.query("contexts_with", *settings)
    tables = {name: sorted_rows(asked, rows) for name, rows in tables.items()}
    rows = next(iter(tables.values()), None)
    return Shown(
        "Texts",
        tables,
        said={
            "words": words,
            "model": model,
            "corpus": corpus,
            "context": context,
            "models": models,
            "rows": rows.arrow().to_pylist() if rows else [],
            "notes": rows.notes if rows else (),
            "listing": listed(asked, rows, ("text",)) if rows and context is not None else None,
        },
    )
