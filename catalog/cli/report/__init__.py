"""The report of `catalog show`: sections in order, each a function from a record to a page."""

from catalog.cli.report.sections import SECTIONS
from catalog.queries.neuron_record import NeuronRecord


def print_report(record: NeuronRecord) -> None:
    """Print every section that has something to say; plain text when piped."""
    from catalog.cli.report.page import Page

    page = Page.standard_output()
    for section in SECTIONS:
        section(record, page)
