"""From a checkpoint to rows: everything that computes, and the only part that imports torch."""

import os

if not __name__.startswith("catalog."):
    raise ImportError("Import this package as catalog.ingest.")

# Threads that wait for each other sleep, unless the environment says otherwise: spinning, which is
# the default, makes small operations ten times slower as soon as the machine has other work. It
# takes effect where torch was not imported yet.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
