"""Paths as users write them, which may be no possible ones."""

import os
from pathlib import Path

from catalog.errors import CheckpointError
from catalog.store.plain_files import kind_of


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


def require_plain_files(folder: Path) -> None:
    """Refuse a checkpoint's folder with pipes or devices, for which its readers might wait forever.

    Raises:
        CheckpointError: there is one; the message names it.
    """
    for path in (*folder.iterdir(), *folder.glob("*/*.jinja")):
        if not path.is_dir() and (kind := kind_of(path)):
            raise CheckpointError(f"{path} is {kind}; a checkpoint has plain files.")
