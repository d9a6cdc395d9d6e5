"""Paths as users write them, which may be no possible ones."""

import os
from pathlib import Path


def user_path(text: str) -> Path:
    """The path, with `~` as the home folder where one is known."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)


def is_there(path: Path) -> bool:
    """Whether something of this name exists; a name too long for any file does not."""
    try:
        return path.exists()
    except OSError:
        return False


def absolute(path: Path) -> Path:
    """The path from the root, links left as they are: what it means in any other folder."""
    return Path(os.path.abspath(path))  # noqa: PTH100  resolve() would follow links
