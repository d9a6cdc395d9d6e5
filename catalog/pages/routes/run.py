"""A text of the reader's own through a model: who stands out in it, what neurons do on it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from catalog.errors import (
    CheckpointError,
    Command,
    EnvironmentFault,
    LimitReached,
    NotFoundError,
    Option,
    UsageError,
)
from catalog.neuron_id import NeuronId
from catalog.pages.asking import Asked
from catalog.pages.listing import listed, sorted_rows
from catalog.pages.shown import Shown
from catalog.reports.html import fragment
from catalog.rows import Rows
from catalog.taxonomy import TEXT_ORDERS

if TYPE_CHECKING:
    from catalog.texts import Texts

PATH: Final = "/run"
RUNS_A_MODEL: Final = True

_WAYS: Final = ("neuron", "ablate", "next")
_MOST: Final = 100
_OTHERWISE: Final = (Command("run"), " can read it from another place, or in another dtype.")


@dataclass(frozen=True)
class _Found:
    """Rows, and the text shaded by a neuron's post, where one was asked for."""

    rows: Rows
    shaded: Markup | None = None


def show(asked: Asked) -> Shown:
    """The neurons that stand out at each token; or one neuron, an ablation, what matters next."""
    if not asked.settings.allow_run:
        raise NotFoundError(
            "Running texts is not switched on here: it takes memory and time. Whoever serves this "
            "catalog can do so: ",
            Command("serve", (), (Option("run"),)),
        )
    models = asked.models()
    text, most = asked.text("q"), asked.settings.most_characters
    said: dict[str, object] = {
        "text": text,
        "models": models,
        "model": asked.text("model") or (models[0] if models else None),
        "orders": TEXT_ORDERS,
        "most": most,
        "listing": None,
        "shaded": None,
        "notes": (),
    }
    if text is None:
        return Shown("Run a text", record={"models": models, "most_characters": most}, said=said)
    if len(text) > most:
        raise LimitReached(f"The text has {len(text):,} characters; {most:,} is the limit here.")
    texts = asked.loaded.texts(asked.catalog, asked.text("model"))
    try:
        found = _found(asked, texts, text)
    except (CheckpointError, EnvironmentFault) as error:
        raise type(error)(error.said, *_OTHERWISE) from error
    rows = sorted_rows(asked, found.rows)
    said |= {
        "model": texts.model,
        "listing": listed(asked, rows, ("run",), model=texts.model),
        "shaded": found.shaded,
        "notes": rows.notes,
    }
    return Shown("Run a text", {"rows": rows}, said=said)


def _found(asked: Asked, texts: "Texts", text: str) -> _Found:
    """What was asked of the text, as `catalog run` answers it.

    Raises:
        CheckpointError, EnvironmentFault: the model is not to be had on this machine.
        CorpusError, UsageError, NotFoundError: text or neuron cannot be read.
    """
    ways = [name for name in _WAYS if asked.text(name)]
    if len(ways) > 1:
        raise UsageError(f"{ways[0]} and {ways[1]} do not go together. Leave one out.")
    if neuron := asked.text("neuron"):
        return _neuron(texts, text, neuron.strip())
    if named := asked.text("ablate"):
        return _Found(texts.ablated(text, [each.strip() for each in named.split(",")]))
    if following := asked.text("next"):
        return _Found(texts.attributed(text, following, _k(asked, 10)))
    by, corpus = asked.text("by"), asked.text("corpus")
    if by not in (None, *TEXT_ORDERS):
        raise UsageError(f"by is {by!r}; there is: {', '.join(TEXT_ORDERS)}.")
    return _Found(texts.top(text, _k(asked, 3), by, corpus=corpus))


def _k(asked: Asked, usual: int) -> int:
    k = asked.integer("k", usual)
    if not k or k > _MOST:
        raise UsageError(f"k is {asked.text('k')!r}; it must be a whole number from 1 to {_MOST}.")
    return k


def _neuron(texts: "Texts", text: str, neuron: str) -> _Found:
    from catalog.reports.shading import on_own_text

    on_text = texts.run(text, str(NeuronId.parse(neuron)))
    return _Found(texts.rows(on_text), Markup(fragment(on_own_text(neuron, on_text))))
