"""Workers that die or refuse, as a Ray worker imports them."""

import os
from typing import Any

from catalog.errors import CheckpointError


class Deadly:
    """Gives back its task, but dies or refuses where it is told to."""

    ready = None

    def compute(self, task: Any) -> Any:
        if task == "die":
            os._exit(1)
        if task == "refuse":
            raise CheckpointError("a clear sentence")
        return task


class Unmakable(Deadly):
    """Dies when it is made."""

    def __init__(self) -> None:
        os._exit(1)
