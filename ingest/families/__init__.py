"""Model families, one file each; a new file here is found by itself."""

from catalog.ingest.families.experts import Experts
from catalog.ingest.families.family import Attention, Family
from catalog.ingest.families.mlp import Mlp
from catalog.ingest.families.registry import FAMILIES, family_of

__all__ = ["FAMILIES", "Attention", "Experts", "Family", "Mlp", "family_of"]
