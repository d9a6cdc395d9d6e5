"""The report of a neuron: sections in order, from a record to blocks that each skin renders."""

from typing import Any

from catalog.queries.records import NeuronRecord
from catalog.reports.blocks import Block
from catalog.reports.sections import SECTIONS


def report(record: NeuronRecord) -> list[Block]:
    """All blocks of the sections that have something to say."""
    return [block for section in SECTIONS for block in section(record)]


class NotebookNeuron(NeuronRecord):
    """A record that a notebook shows as its report."""

    def _repr_html_(self) -> str:
        from catalog.reports.html import standing_alone

        return standing_alone(report(self))

    def _repr_pretty_(self, printer: Any, _is_cyclic: bool) -> None:
        """What IPython shows where there is no HTML, as `catalog show` prints it."""
        from catalog.reports.terminal import printed

        printer.text(printed(report(self)))
