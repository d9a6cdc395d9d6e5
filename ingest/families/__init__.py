"""Model families, one file each; a new file here is found by itself."""

from catalog.ingest.families.family import Attention, Family, Mlp
from catalog.ingest.families.registry import FAMILIES, family_of

__all__ = ["FAMILIES", "Attention", "Family", "Mlp", "family_of"]
