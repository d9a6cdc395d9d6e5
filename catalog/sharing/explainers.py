"""Exemplars of chosen neurons in a folder of files that an explainer reads."""

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Protocol

from catalog.errors import Command, NotFoundError, Option, UsageError
from catalog.queries.conditions import ChosenNeurons, neurons_where
from catalog.queries.neuron_record import chosen_corpus, known_corpora, said_of_corpora
from catalog.queries.records import Corpus
from catalog.sharing import EXPLAINERS
from catalog.sharing.exemplars import Share
from catalog.sharing.folder import as_folder, filled, require_few
from catalog.store.handle import Handle
from catalog.store.location import Location


class Explainer(Protocol):
    """A module that writes the files of one explainer."""

    NAMES: re.Pattern[str]
    """Of all that stands in its folder."""

    def write(self, share: Share, folder: Path) -> int:
        """Write what is handed on into an empty folder; returns how many neurons had exemplars."""
        ...


def _explainer(name: str) -> Explainer:
    if name not in EXPLAINERS:
        raise UsageError(f"There is no format {name!r}. There is: {', '.join(EXPLAINERS)}.")
    module: Explainer = import_module(f"{__package__}.{name}")
    return module


def export_exemplars(
    catalog: Handle,
    target: Location,
    file_format: str,
    model: str | None = None,
    where: str | None = None,
    corpus: str | None = None,
    *,
    force: bool = False,
    yes: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> None:
    """Write exemplars of the neurons of a model that `where` holds for, as an explainer reads them.

    `force`: an earlier export in the folder is replaced. `yes`: more than MANY neurons are wanted.

    Raises:
        UsageError: there are none, or MANY; the folder holds something else.
        SqlError: `where` is no condition on neurons.
        NotFoundError: no such model or corpus, or no exemplar of these neurons.
        DatabaseError: the model changed meanwhile, or a lake where a file is needed.
    """
    explainer = _explainer(file_format)
    folder = as_folder(target, f"an export for {file_format}", explainer.NAMES, force=force)
    chosen = neurons_where(catalog, model, where)
    require_few(chosen, f"exemplars of each for {file_format}", yes=yes)
    share = Share(catalog, chosen, _corpus(catalog, chosen, corpus, say))
    with filled(catalog, chosen, folder) as unfinished:
        n = explainer.write(share, unfinished)
        if not n:
            raise NotFoundError(
                f"None of the {len(chosen.neurons):,} neurons of {chosen.model.model} has an "
                f"exemplar on {share.corpus.corpus}."
            )
    say(f"{folder}: exemplars of {n:,} neurons, where post is positive (pos) or negative (neg)")


def _corpus(
    catalog: Handle, chosen: ChosenNeurons, name: str | None, say: Callable[[str], None]
) -> Corpus:
    alias = chosen.model.model
    with catalog.reading() as connection:
        known = known_corpora(catalog, connection, alias)
    found = chosen_corpus(known, name, alias)
    if found is None:
        raise NotFoundError(
            f"{alias} has no activations yet, so there is no exemplar.",
            "Run: ",
            Command("ingest", (chosen.model.source,), (Option("corpus", "TEXTS"),)),
        )
    for sentence in said_of_corpora(name, found.corpus, (each.corpus for each in known)):
        say(sentence)
    return found
