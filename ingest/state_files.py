"""The file in which a pass keeps its state: a header and NumPy arrays, whole or not at all."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy import ndarray

from catalog.errors import EnvironmentFault
from catalog.store.whole_files import written_whole


def save_arrays(path: Path, header: Mapping[str, Any], arrays: Mapping[str, ndarray]) -> None:
    """Write one file, then rename it: a crash leaves the older one whole.

    Raises EnvironmentFault if it cannot be written.
    """
    try:
        with written_whole(path, synced=True) as unfinished, unfinished.open("wb") as file:
            np.savez(file, header=np.array(json.dumps(header)), **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise EnvironmentFault(f"The checkpoint {path} cannot be written: {error}.") from error


@contextmanager
def saved_arrays(path: Path) -> Iterator[tuple[dict[str, Any], dict[str, ndarray]]]:
    """Header and arrays of a file, for the block that makes a state of them.

    Raises EnvironmentFault if the file is damaged, or does not hold what the block asks for.
    """
    try:
        with np.load(path, allow_pickle=False) as file:  # a zip file, whose checksums it checks
            arrays = {name: file[name] for name in file.files}
        yield json.loads(str(arrays.pop("header"))), arrays
    except (OSError, zipfile.BadZipFile, LookupError, TypeError, ValueError, EOFError) as error:
        raise EnvironmentFault(
            f"The checkpoint {path} cannot be read ({error}).", "Delete it to start again."
        ) from error
