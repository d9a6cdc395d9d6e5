"""The search field of every page: a neuron's id, a model, or a token."""

import re
from typing import Final

from catalog.errors import UsageError
from catalog.pages.addresses import address, neuron_address
from catalog.pages.asking import Asked
from catalog.pages.shown import Moved, Shown

PATH: Final = "/go"

_NEURON: Final = re.compile(r"(?:(?P<model>.+):)?\s*(?P<id>\d{1,9}\.\d{1,9})\s*", re.ASCII)


def show(asked: Asked) -> Shown | Moved:
    """Where the text leads; a token is taken as it is, with its blank in front."""
    text = asked.text("q")
    if text is None:
        raise UsageError("Write a neuron such as 28.4737, the name of a model, or a token.")
    names = asked.models()
    if text.strip() in names:
        return Moved(address("m", text.strip()))
    if match := _NEURON.fullmatch(text):
        model = match["model"] or asked.text("model")
        if model is None or model not in names:
            model = asked.catalog.entry(match["model"]).model
        return Moved(neuron_address(model, match["id"]))
    return Moved(address("tokens", text, parameters={"model": asked.text("model")}))
