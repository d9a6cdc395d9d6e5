"""How torch's threads wait for each other. Imports nothing that is slow."""

import os


def sleep_while_waiting() -> None:
    """Have threads that wait for each other sleep, unless the environment says otherwise.

    Spinning, which is the default, makes small operations ten times slower as soon as the machine
    has other work. For whoever owns the process to say, not the library. It takes effect in a process that has not imported torch yet.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
