"""From a checkpoint to rows: everything that computes, and the only part that imports torch."""

if not __name__.startswith("catalog."):
    raise ImportError("Import this package as catalog.ingest.")
