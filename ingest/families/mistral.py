"""Mistral 7B and its dense successors: Llama's layout."""

from catalog.ingest.families.family import Family

MISTRAL = Family(name="Mistral", model_types=("mistral",))
