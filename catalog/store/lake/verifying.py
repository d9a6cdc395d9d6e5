"""A lake's files against the digests that its manifest keeps of them."""

from collections.abc import Iterator
from typing import NamedTuple

from catalog.store.lake.manifest import MANIFEST, file_name, read_manifest_checked
from catalog.store.lake.storage import Storage
from catalog.store.location import Location


class FileCheck(NamedTuple):
    """The file of a view, or the manifest: its rows (models), and whether it is as written."""

    name: str
    n_rows: int
    agrees: bool


class LakeDigests:
    """What the manifest of a lake keeps of its files."""

    def __init__(self, location: Location) -> None:
        """Read the manifest; raises as `catalog.store.lake.manifest.read_manifest`."""
        self._storage = Storage(location)
        self._manifest, self._manifest_agrees = read_manifest_checked(self._storage)

    @property
    def models(self) -> list[str]:
        """The aliases of the models that are there."""
        return list(self._manifest.models)

    def checks(self, alias: str) -> Iterator[FileCheck]:
        """The manifest, then the file of each view of a model, whose bytes are read.

        Raises:
            EnvironmentFault: the storage cannot be reached.
        """
        yield FileCheck(MANIFEST, len(self._manifest.models), self._manifest_agrees)
        for view, file in self._manifest.models[alias].items():
            found = self._storage.sha256(file_name(view, alias))
            yield FileCheck(view, file.rows, found == file.digest)
