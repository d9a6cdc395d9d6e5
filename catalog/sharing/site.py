"""A static site of chosen neurons: the page of each as one file, and an index.

Every file stands alone, as `catalog show --html` writes it; any web host serves the folder.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from catalog.layers import LayerSizes
from catalog.neuron_id import NeuronId
from catalog.queries.conditions import ChosenNeuron, ChosenNeurons, neurons_where
from catalog.queries.neuron_record import read_neuron
from catalog.reports import report
from catalog.reports.html import class_name, document, escaped, page, table
from catalog.sharing.folder import as_folder, filled, require_few
from catalog.store.handle import Handle
from catalog.store.location import Location

PER_INDEX: Final = 1_000
"""Neurons that the index lists; of more, it lists the layers, each with a list of its own."""

_AT_ONCE: Final = 100
"""Pages for which the catalog is opened once, so that an ingest gets its turn."""

_OF_A_SITE: Final = re.compile(r"index\.html|layer-\d+\.html|\d+\.\d+\.html", re.ASCII)
_INDEX: Final = "index.html"
_COLUMNS: Final = (
    *("neuron", "class", "role", "cos(gate,in)", "cos(gate,out)", "cos(in,out)", "description"),
)


def export_site(
    catalog: Handle,
    target: Location,
    model: str | None = None,
    where: str | None = None,
    corpus: str | None = None,
    *,
    force: bool = False,
    yes: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Write the neurons of a model that `where` holds for as a folder of web pages.

    `force`: an earlier site in the folder is replaced. `yes`: more than MANY neurons are wanted.

    Raises:
        UsageError: there are none, or MANY; the folder holds something else.
        SqlError: `where` is no condition on neurons.
        NotFoundError: no such model or corpus.
        DatabaseError: the model changed meanwhile; nothing was written.
        EnvironmentFault: the folder cannot be written.
    """
    folder = as_folder(target, "a site", _OF_A_SITE, force=force)
    chosen = neurons_where(catalog, model, where)
    alias, n = chosen.model.model, len(chosen.neurons)
    _name, first = next(_pages(catalog, chosen, corpus, n=1))
    megabytes = n * len(first.encode(errors="replace")) / 1e6
    require_few(chosen, f"as many pages, some {megabytes:,.0f} MB", yes=yes)
    say(f"{alias}: {n:,} neurons, some {megabytes:,.1f} MB")
    with filled(catalog, chosen, folder) as unfinished:
        for name, text in _indexes(chosen):
            _write(unfinished / name, text)
        for done, (name, text) in enumerate(_pages(catalog, chosen, corpus), 1):
            _write(unfinished / name, text)
            if done % 1_000 == 0:
                say(f"{done:,} of {n:,} pages")
    say(f"{folder / _INDEX} lists {n:,} neurons")


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode(errors="replace"))


def _pages(
    catalog: Handle, chosen: ChosenNeurons, corpus: str | None, n: int | None = None
) -> Iterator[tuple[str, str]]:
    """Names and texts of the pages of the neurons, or of the first `n`."""
    alias, neurons = chosen.model.model, chosen.neurons[:n]
    for start in range(0, len(neurons), _AT_ONCE):
        with catalog.kept_open() as kept:
            for each in neurons[start : start + _AT_ONCE]:
                record = read_neuron(kept, NeuronId(each.layer, each.neuron), alias, corpus)
                back = _INDEX if _is_short(chosen) else _layer_file(each.layer)
                above = f"<nav>{_link(back, f'Neurons of {alias}')}</nav>"
                yield _file(each), document(report(record), f"{record.name} of {alias}", above)


def _indexes(chosen: ChosenNeurons) -> Iterator[tuple[str, str]]:
    """The index, and where it would be long the list of each layer that it then names."""
    alias = chosen.model.model
    if _is_short(chosen):
        yield (
            _INDEX,
            _list_page(chosen, f"Neurons of {alias}", _neuron_table(chosen, chosen.neurons)),
        )
        return
    layers = {
        layer: list(neurons) for layer, neurons in groupby(chosen.neurons, lambda each: each.layer)
    }
    rows = [[_link(_layer_file(at), str(at)), f"{len(there):,}"] for at, there in layers.items()]
    yield _INDEX, _list_page(chosen, f"Neurons of {alias}", table(("layer", "neurons"), rows))
    above = f"<nav>{_link(_INDEX, f'Neurons of {alias}')}</nav>"
    for layer, there in layers.items():
        title = f"Neurons of layer {layer} of {alias}"
        yield _layer_file(layer), _list_page(chosen, title, _neuron_table(chosen, there), above)


def _list_page(chosen: ChosenNeurons, title: str, listed: str, above: str = "") -> str:
    said = f"{len(chosen.neurons):,} of {chosen.model.sizes.n_neurons:,} neurons" + (
        "" if chosen.where is None else f": those with <code>{escaped(chosen.where.strip())}</code>"
    )
    body = f'<div class="report"><h1><b>{escaped(title)}</b></h1><p>{said}</p>{listed}</div>'
    return page(above + body, title)


def _neuron_table(chosen: ChosenNeurons, neurons: Sequence[ChosenNeuron]) -> str:
    return table(_COLUMNS, [_row(each, chosen.model.sizes) for each in neurons])


def _row(each: ChosenNeuron, sizes: LayerSizes) -> list[str]:
    cosines = (each.cos_gate_in, each.cos_gate_out, each.cos_in_out)
    atypical = "atypical " if each.atypical else ""
    io_class = each.io_class or ""
    return [
        _link(_file(each), str(NeuronId(each.layer, each.neuron).in_expert(sizes))),
        f'<span class="io-class {class_name(io_class)}">{escaped(atypical + io_class)}</span>',
        escaped(each.functional_role or ""),
        *("" if cosine is None else f"{cosine:+.3f}" for cosine in cosines),
        escaped(each.description or ""),
    ]


def _link(file: str, text: str) -> str:
    return f'<a href="{file}">{escaped(text)}</a>'


def _file(each: ChosenNeuron) -> str:
    return f"{each.layer}.{each.neuron}.html"


def _layer_file(layer: int) -> str:
    return f"layer-{layer}.html"


def _is_short(chosen: ChosenNeurons) -> bool:
    return len(chosen.neurons) <= PER_INDEX
