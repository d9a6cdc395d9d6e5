"""What `catalog run` prints of one neuron: the text, shaded."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from catalog.ingest.own_text import NeuronOnText


def print_shaded(neuron: str, on_text: "NeuronOnText") -> None:
    """The text, each token shaded by the neuron's post there."""
    from catalog.reports.blocks import Line, ShadedText
    from catalog.reports.shading import shaded
    from catalog.reports.terminal import Page

    strongest = max(range(len(on_text.post)), key=lambda at: abs(on_text.post[at]))
    said = f"{neuron} of {on_text.model}; the peak is marked, shades are shares of it"
    pieces = shaded(on_text.text.text, on_text.text.tokens, on_text.post, strongest)
    Page.standard_output().show([Line.of(said), ShadedText(pieces), Line.of("")])
