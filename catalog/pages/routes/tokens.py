"""A token to look for."""

from typing import Final

from catalog.pages.addresses import address
from catalog.pages.asking import Asked
from catalog.pages.shown import Moved, Shown

PATH: Final = "/tokens"


def show(asked: Asked) -> Shown | Moved:
    """A field for a token, which leads to the page of it; and tokens that contain a text."""
    models = asked.models()
    token, model = asked.text("token"), asked.text("model")
    if token is not None:
        return Moved(address("tokens", token, parameters={"model": model}))
    within = asked.text("contains")
    found = asked.catalog.tokens_with(within, model, asked.settings.per_page) if within else None
    return Shown(
        "Tokens",
        {"tokens": found} if found is not None else {},
        said={"models": models, "model": model, "within": within, "found": found},
    )
