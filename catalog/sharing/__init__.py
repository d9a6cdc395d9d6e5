"""Chosen neurons for others: as web pages, and as exemplars that explainers read."""

from typing import Final

EXPLAINERS: Final = ("neuronpedia", "delphi")
"""Formats of exemplars, each a module here that has `write` and `NAMES`."""
