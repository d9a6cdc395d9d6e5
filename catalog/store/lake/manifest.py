"""The manifest of a lake: which models it holds whole. It is written after their files."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Any, Final
from urllib.parse import quote

from catalog.errors import DatabaseCorrupt, DatabaseMissing
from catalog.store.lake.storage import Storage
from catalog.store.location import Location
from catalog.store.version import SCHEMA_VERSION, require_schema
from catalog.views import VIEWS

MANIFEST: Final = "lake.json"
_KIND: Final = "neuron catalog lake"
MAX_BYTES: Final = 16 << 20
"""Of a manifest that is read: about five thousand models."""

_MAX_NAME: Final = 255
_MEANING_NULL: Final = ("null", "__hive_default_partition__")


@dataclass(frozen=True)
class LakeFile:
    """One file: its rows, its size in bytes, and the SHA-256 of these."""

    rows: int
    size: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What a lake says of itself.

    `columns` are names and DuckDB types of each view's columns, in order, `model` included; JSON
    stands in the files as text. `models` are the files of each model, by alias and view.
    """

    kind: str = _KIND
    schema: str = field(default_factory=lambda: SCHEMA_VERSION)
    program: str = field(default_factory=lambda: version("neuron-catalog"))
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, LakeFile]] = field(default_factory=dict)

    def with_model(
        self,
        alias: str,
        files: Mapping[str, LakeFile],
        columns: Mapping[str, Mapping[str, str]],
    ) -> "Manifest":
        """This manifest with a model's files added."""
        models = dict(sorted({**self.models, alias: files}.items()))
        return replace(Manifest(), columns=columns, models=models)

    def without_model(self, alias: str) -> "Manifest":
        """This manifest without a model, whose files may then be written anew."""
        return replace(self, models={a: files for a, files in self.models.items() if a != alias})


def file_name(view: str, alias: str) -> str:
    """The file of a model in a view's folder, relative to the lake."""
    return f"{view}/model={quoted(alias)}/part-00000.parquet"


def quoted(alias: str) -> str:
    """An alias as the value of a hive partition.

    ASCII but letters, digits and `-._~` is %-escaped, which every reader undoes. Other letters
    stand as they are: Spark would read escapes of UTF-8 as Latin-1. A word that means NULL to a
    reader, as it stands, has its first letter escaped.
    """
    text = "".join(quote(each, safe="") if each.isascii() else each for each in alias)
    return f"%{ord(text[0]):02X}{text[1:]}" if alias.lower() in _MEANING_NULL else text


def fits_a_folder(alias: str) -> bool:
    """Whether the folder of a model's files can have its name: disks allow 255 bytes."""
    return len(f"model={quoted(alias)}".encode()) <= _MAX_NAME


def read_manifest(storage: Storage) -> Manifest:
    """The manifest of a lake.

    Raises:
        DatabaseMissing: there is none: no lake, or one whose first export did not end.
        DatabaseCorrupt: it is damaged.
        SchemaOutdated, SchemaTooNew: the lake was written by another version of the program.
    """
    return read_manifest_checked(storage)[0]


def read_manifest_checked(storage: Storage) -> tuple[Manifest, bool]:
    """The manifest of a lake, and whether it is as it was written; raises as `read_manifest`."""
    try:
        text = storage.read(MANIFEST, MAX_BYTES)
    except DatabaseMissing as error:
        raise DatabaseMissing(
            f"{storage.location} is not a catalog: it holds no {MANIFEST}, so it is no lake, "
            "or one whose export was interrupted. Name a .duckdb file, or run catalog export again."
        ) from error
    try:
        stated = json.loads(text)
        digest = stated.pop("digest", None)
        return _parsed(stated, storage.location), digest == _digest(stated)
    # Python's JSON knows Infinity, which is no whole number.
    except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError) as no:
        raise DatabaseCorrupt(
            f"{MANIFEST} in {storage.location} is damaged. Restore it from a copy, or "
            "move the lake away and export it again."
        ) from no


def write_manifest(storage: Storage, manifest: Manifest) -> None:
    """Put the manifest in place of the one before.

    Raises:
        EnvironmentFault: it cannot be written.
    """
    stated = asdict(manifest)
    text = json.dumps({**stated, "digest": _digest(stated)}, indent=1, ensure_ascii=False)
    with storage.writing(MANIFEST) as stream:
        stream.write(text.encode() + b"\n")


def _digest(stated: Mapping[str, Any]) -> str:
    """SHA-256 of what a manifest states beside it, however it is laid out."""
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()


def _parsed(stated: Any, location: Location) -> Manifest:
    if stated["kind"] != _KIND:
        raise ValueError(stated["kind"])
    require_schema(
        str(stated["schema"]),
        f"The lake {location}",
        "Export it again, into a new folder: catalog export",
    )
    names = {view.name for view in VIEWS}
    columns = {
        view: {str(name): str(kind) for name, kind in of.items()}
        for view, of in stated["columns"].items()
    }
    models = {
        str(alias): {
            view: LakeFile(int(each["rows"]), int(each["size"]), str(each["digest"]))
            for view, each in files.items()
        }
        for alias, files in stated["models"].items()
    }
    if set(columns) != names or any(set(files) != names for files in models.values()):
        raise ValueError("not the views of this schema")
    return Manifest(stated["kind"], stated["schema"], str(stated["program"]), columns, models)
