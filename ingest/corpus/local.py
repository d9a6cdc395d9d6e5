"""Documents of local files: one per .txt file, per line of .jsonl, per row of .parquet."""

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import CorpusError
from catalog.ingest.corpus.documents import (
    Document,
    Documents,
    decode,
    missing_field,
    record_document,
    storable,
)

ROWS_AT_ONCE = 64
READ_BUFFER = 1 << 20  # bytes

Reader = Callable[[Path, str, str], Iterator[Document]]


def open_local(path: Path, field: str) -> Documents:
    """Open a file, or all files of known type in a folder and below, in the order of their names.

    Raises CorpusError for an unknown type, or a folder without any known one.
    """
    source = storable(str(path))
    if not path.is_dir():
        if not path.is_file():
            raise CorpusError(f"{path} is neither a file nor a folder")
        reader_of(path)
        return Documents(file_documents(path, storable(path.name), field), source, [])
    found = sorted(
        file
        for file in path.rglob("*")
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(path).parts)
    )
    known = [file for file in found if suffix(file) in READERS]
    if not known:
        raise CorpusError(f"{path} holds no file of a known type: {', '.join(READERS)}")
    ignored = len(found) - len(known)
    notes = [f"files of unknown type ignored: {ignored}"] if ignored else []
    stream = (
        document
        for file in known
        for document in file_documents(file, storable(file.relative_to(path).as_posix()), field)
    )
    return Documents(stream, source, notes)


def suffix(path: Path) -> str:
    """Return the ending that tells the type of a file, such as `.jsonl.gz`, in lower case."""
    endings = path.suffixes[-2:] if path.suffix.lower() == ".gz" else path.suffixes[-1:]
    return "".join(endings).lower()


def reader_of(path: Path) -> Reader:
    """Return what reads a file of this type; CorpusError if nothing does."""
    reader = READERS.get(suffix(path))
    if reader is None:
        raise CorpusError(
            f"{path} is of no known type; a corpus is a file or folder of: {', '.join(READERS)}"
        )
    return reader


def file_documents(path: Path, name: str, field: str) -> Iterator[Document]:
    """Yield the documents of one file; `name` stands for it in their references.

    Raises CorpusError where the file cannot be read to its end, lacks the field, or is malformed.
    """
    try:
        yield from reader_of(path)(path, name, field)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, pa.ArrowException) as error:
        raise CorpusError(f"{path} cannot be read: {error}") from error


def open_bytes(path: Path) -> BinaryIO:
    """Open a plain or gzipped file."""
    if path.suffix.lower() == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    return path.open("rb")


def text_documents(path: Path, name: str, _field: str) -> Iterator[Document]:
    """Yield the whole file as one document."""
    with open_bytes(path) as file:
        yield Document(name, *decode(file.read()))


def json_documents(path: Path, name: str, field: str) -> Iterator[Document]:
    """Yield one document per line that is not blank."""
    with open_bytes(path) as file:
        for number, line in enumerate(file, 1):
            if line.isspace():
                continue
            place = f"{name}:{number}"
            text, repaired = decode(line)
            try:
                record = json.loads(text)
            except (ValueError, RecursionError) as error:
                raise CorpusError(f"{place} is no JSON: {error}") from error
            if not isinstance(record, dict):
                raise CorpusError(f"{place} holds no JSON object with fields")
            document = record_document(record, field, place)
            yield document._replace(repaired=repaired or document.repaired)


def parquet_documents(path: Path, name: str, field: str) -> Iterator[Document]:
    """Yield one document per row."""
    with pq.ParquetFile(path, buffer_size=READ_BUFFER) as file:
        fields = file.schema_arrow.names
        if field not in fields:
            raise missing_field(field, fields, name)
        if fields.count(field) > 1:
            raise CorpusError(f"{name} has {fields.count(field)} fields called {field!r}")
        if not holds_text(file.schema_arrow.field(field).type):
            kind = file.schema_arrow.field(field).type
            raise CorpusError(f"{name}: the field {field!r} holds {kind}, not text")
        columns = [field, "id"] if "id" in fields and field != "id" else [field]
        row = 0
        for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns):
            for record in undecoded(batch).to_pylist():
                row += 1
                yield record_document(record, field, f"{name}:{row}")


def holds_text(kind: pa.DataType) -> bool:
    """Tell whether a column's type is text, also as bytes or dictionary-encoded."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return kind in (pa.string(), pa.large_string(), pa.string_view(), pa.binary())


def undecoded(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Turn columns of text into bytes: Parquet does not promise valid UTF-8."""
    for index, column in enumerate(batch.columns):
        if holds_text(column.type):
            if pa.types.is_dictionary(column.type):
                column = column.dictionary_decode()
            name = batch.schema.names[index]
            batch = batch.set_column(index, name, column.cast(pa.large_binary()))
    return batch


READERS: dict[str, Reader] = {
    ".txt": text_documents,
    ".txt.gz": text_documents,
    ".jsonl": json_documents,
    ".jsonl.gz": json_documents,
    ".parquet": parquet_documents,
}
