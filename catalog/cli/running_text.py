"""What `catalog run` prints of one neuron: the text, shaded."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catalog.ingest.own_text import NeuronOnText


def print_shaded(neuron: str, on_text: "NeuronOnText") -> None:
    """The text, each token shaded by the neuron's post there."""
    from catalog.cli.report.exemplars import shaded
    from catalog.cli.report.page import Page

    page = Page.standard_output()
    strongest = max(range(len(on_text.post)), key=lambda at: abs(on_text.post[at]))
    page.line(f"{neuron} of {on_text.model}; the peak is marked, shades are shares of it")
    page.line(shaded(on_text.text.text, on_text.text.tokens, on_text.post, strongest, page))
    page.line()
