"""From a checkpoint to rows: everything that computes, and the only part that imports torch."""

import os

if not __name__.startswith("catalog."):
    raise ImportError("Import this package as catalog.ingest.")

# Before torch is loaded: threads that wait for each other sleep. Spinning, which is the default,
# makes small operations ten times slower as soon as the machine has other work.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
