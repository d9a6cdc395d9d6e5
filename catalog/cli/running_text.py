"""What `catalog run` prints: neurons at every token of a text, and the text, shaded."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from catalog.cli.output import Output
from catalog.rows import Rows

if TYPE_CHECKING:
    from catalog.ingest.own_text import NeuronOnText
    from catalog.texts import Texts


@dataclass(frozen=True)
class Asked:
    """What is shown of each text: these neurons, or the `top` ones (see `Texts.top`).

    Or what ablating neurons (`ID,...`) does, or which ones matter for what comes next.
    """

    neurons: tuple[str, ...]
    top: int | None
    by: str | None
    layers: tuple[int, int] | tuple[None, None]
    corpus: str | None
    ablate: str | None
    attribute: str | None


def answer(reader: "Texts", texts: Sequence[str], asked: Asked, output: Output) -> None:
    """Write the rows of all texts as one table, a column `text` telling several apart.

    What is too long is cut by neuron and text, so that none hides those after it.
    """
    import pyarrow as pa

    reader.check(texts, asked.neurons)
    output.require_columns(_columns(reader, asked, several=len(texts) > 1))
    parts = []
    for number, text in enumerate(texts, 1):
        for found in _found(reader, text, asked, shaded=output.is_for_people):
            rows = found.arrow()
            numbers = pa.array([number] * rows.num_rows, pa.int32())
            rows = rows if len(texts) == 1 else rows.add_column(0, "text", numbers)
            parts.append(Rows(rows, found.notes))
    output.write(*parts)


def prompt(reader: "Texts", asked: Asked, output: Output) -> None:
    """Ask for texts until the end of input; each is answered, the model stays loaded."""
    from prompt_toolkit import PromptSession

    from catalog.cli.messages import error, note
    from catalog.errors import CatalogError, command_line

    session: PromptSession[str] = PromptSession(f"{reader.model}> ")
    note("A text, then Enter; Ctrl-D leaves. The model is loaded with the first.")
    while True:
        try:
            text = session.prompt()
        except EOFError:
            return
        except KeyboardInterrupt:
            continue
        if not text:
            continue
        try:
            answer(reader, [text], asked, output)
        except CatalogError as refused:
            error(refused.message(command_line))
        except KeyboardInterrupt:
            error("Interrupted.")


def _found(reader: "Texts", text: str, asked: Asked, *, shaded: bool) -> list[Rows]:
    from catalog.queries.own_text import neuron_rows

    if asked.ablate is not None:
        ids = [each.strip() for each in asked.ablate.split(",") if each.strip()]
        return [reader.ablated(text, ids)]
    if asked.attribute is not None:
        return [reader.attributed(text, asked.attribute, asked.top or 10)]
    if not asked.neurons:
        first, last = asked.layers
        return [reader.top(text, asked.top or 3, asked.by, first, last, asked.corpus)]
    tables = []
    for neuron in asked.neurons:
        on_text = reader.run(text, neuron)
        if shaded:
            print_shaded(neuron, on_text)
        rows = neuron_rows(on_text)
        if len(asked.neurons) > 1:
            import pyarrow as pa

            rows = rows.add_column(0, "neuron_id", pa.array([neuron] * rows.num_rows))
        tables.append(Rows(rows))
    return tables


def _columns(reader: "Texts", asked: Asked, *, several: bool) -> list[str]:
    """Of the rows to come, of one text or several."""
    from catalog.queries import own_text

    numbered = ["text"] if several else []
    if asked.ablate is not None:
        return [*numbered, *own_text.CHANGED_COLUMNS]
    if asked.attribute is not None:
        return [*numbered, *own_text.ATTRIBUTED_COLUMNS]
    if asked.neurons:
        named = ["neuron_id"] if len(asked.neurons) > 1 else []
        return [*numbered, *named, *own_text.neuron_columns(reader.entry)]
    ranking = reader.ranking(asked.by, asked.corpus)
    return [*numbered, *own_text.top_columns(ranking.by)]


def print_shaded(neuron: str, on_text: "NeuronOnText") -> None:
    """The text, each token shaded by the neuron's post there."""
    from catalog.reports.blocks import Line
    from catalog.reports.shading import on_own_text
    from catalog.reports.terminal import Page

    Page.standard_output().show([*on_own_text(neuron, on_text), Line.of("")])
