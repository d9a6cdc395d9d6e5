"""How torch's threads wait for each other. Imports nothing that is slow."""

import os


def sleep_while_waiting() -> None:
    """Have threads that wait for each other sleep, unless the environment says otherwise.

    Spinning, which is the default, makes small operations ten times slower as soon as the machine
    has other work. Said by whoever owns the process, not by the library, and before torch is
    imported.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
