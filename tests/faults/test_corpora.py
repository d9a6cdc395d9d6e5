"""Corpora from outside: bytes that are no text, records without it, files that are none."""

import gzip
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import CatalogError
from tests.faults.odd import cut_or_flipped, many, texts, values
from tests.faults.registry import Fault, injects
from tests.faults.runs import At, Ingest
from tests.support import query

KEPT = "the catalog as it was"


def parquet(table: pa.Table) -> bytes:
    written = io.BytesIO()
    pq.write_table(table, written)
    return written.getvalue()


FILES: dict[Fault, tuple[str, bytes]] = {
    Fault(name, 4, f"Error: {sees}", KEPT): (file, data)
    for name, sees, file, data in (
        (
            "a corpus without text",
            "The corpus … holds no text: 1 empty documents.",
            "c.txt",
            b" \n ",
        ),
        (
            "a record whose text is a number",
            "c.jsonl:1: the field 'text' holds int, not text",
            "c.jsonl",
            b'{"text": 1}\n',
        ),
        (
            "a record without the field",
            "c.jsonl:2 has no field 'text'; it has: body; choose one with --corpus-field",
            "c.jsonl",
            b'{"text": "w1"}\n{"body": "w2"}\n',
        ),
        ("a record nested 100,000 deep", "c.jsonl:1 is no JSON: …", "c.jsonl", b'{"a":' * 100_000),
        (
            "a nested Parquet column",
            "c.parquet: the field 'text' holds struct<…>, not text",
            "c.parquet",
            parquet(pa.table({"text": [{"a": "w1"}]})),
        ),
        (
            "two Parquet columns of the same name",
            "c.parquet has 2 fields called 'text'",
            "c.parquet",
            parquet(pa.table([pa.array(["w1"]), pa.array(["w2"])], names=["text", "text"])),
        ),
        (
            "a Parquet file cut short",
            "… cannot be read: …",
            "c.parquet",
            parquet(pa.table({"text": ["w1 w2"] * 100}))[:150],
        ),
        (
            "a gzip file cut short",
            "… cannot be read: Compressed file ended …",
            "c.txt.gz",
            gzip.compress(os.urandom(4000))[:1000],
        ),
        (
            "a text file named .gz",
            "… cannot be read: Not a gzipped file …",
            "c.txt.gz",
            b"w1 w2 w3",
        ),
    )
}


def into(ingest: Ingest, corpus: Path) -> Ingest:
    options = ("--stages", "activations", "--corpus", str(corpus))
    return Ingest(ingest.db, ingest.checkpoint, options)


@injects(*FILES)
def test_a_corpus_that_is_none(fault: Fault, activations: Ingest, tmp_path: Path) -> None:
    name, data = FILES[fault]
    (tmp_path / name).write_bytes(data)
    fault.seen(into(activations, tmp_path / name).here(At("", bool)))
    assert query(activations.db, "select count(*) from corpora") == [(0,)]
    activations.left_nothing_else()


@injects(
    Fault(
        "invalid UTF-8, lone surrogates, NUL and names that are no UTF-8",
        0,
        "",
        "all; what is no Unicode is stored as U+FFFD, and counted",
    )
)
def test_text_that_is_no_unicode(fault: Fault, activations: Ingest, tmp_path: Path) -> None:
    corpus = tmp_path / "bytes"
    corpus.mkdir()
    (corpus / os.fsdecode(b"bad\xff.txt")).write_bytes(b"w1 \xff\xfe w2 \0 w3")
    (corpus / "c.jsonl").write_bytes(b'{"text": "w5 \\ud800 w6", "id": "\\udfff"}\n')
    fault.seen(into(activations, corpus).here(At("", bool)))
    rows = query(activations.db, "select source_ref, text from contexts order by all")
    assert [name for name, _ in rows] == ["bad\ufffd.txt", "\ufffd"]
    assert all("\ufffd" in text for _, text in rows)


NEITHER = "Error: … is neither a file nor a folder"
SPECIAL: dict[Fault, Callable[[Path], Path]] = {
    Fault(
        "a folder that links back to itself, and a named pipe in it",
        0,
        "",
        "all; each file is read once",
    ): lambda folder: folder,
    Fault("a named pipe as a corpus", 4, NEITHER, KEPT): lambda folder: folder / "pipe.txt",
    Fault("an endless device as a corpus (/dev/zero)", 4, NEITHER, KEPT): (
        lambda _: Path("/dev/zero")
    ),
    Fault(
        "a corpus whose name is longer than names can be",
        4,
        "Error: There is no file or folder …",
        KEPT,
    ): lambda folder: folder / ("x" * 5000 + ".txt"),
}


@injects(*SPECIAL)
def test_special_files(fault: Fault, activations: Ingest, tmp_path: Path) -> None:
    corpus = tmp_path / "special"
    corpus.mkdir()
    (corpus / "a.txt").write_text("w1 w2 w3")
    (corpus / "loop").symlink_to(corpus)
    os.mkfifo(corpus / "pipe.txt")
    # In a process of its own, for it must end.
    fault.seen(into(activations, SPECIAL[fault](corpus)).answer())


@pytest.fixture(scope="module")
def tokenizer(once: Callable[..., Path]) -> Any:
    from catalog.ingest.checkpoint.tokenizer import read_tokenizer
    from tests import handmade

    return read_tokenizer(once("faults-checkpoint", lambda folder: handmade.save(folder)))


def tokenised(tokenizer: Any, corpus: Path, folder: Path) -> None:
    """Tokenise it; it may refuse, and leaves nothing but its folder behind."""
    from catalog.ingest.corpus import CorpusSpec, tokenise_corpus

    before = set(folder.iterdir())
    try:
        spec = CorpusSpec(str(corpus), context_length=8, max_tokens=10_000)
        made = tokenise_corpus(spec, tokenizer, 61, folder / "made")
        assert len(made.table(0, made.n_contexts)["text"].to_pylist()) == made.n_contexts
    except CatalogError as refused:
        assert "Traceback" not in str(refused)
    assert set(folder.iterdir()) <= before | {folder / "made"}


lines = st.one_of(
    st.fixed_dictionaries({"text": st.one_of(texts, values)}, optional={"id": values, "x": values}),
    values,
).map(lambda value: json.dumps(value).encode())
jsonl = st.lists(st.one_of(lines, st.binary(max_size=30)), max_size=6).map(b"\n".join)


@many
@given(
    kind=st.sampled_from([".txt", ".jsonl"]),
    data=st.one_of(jsonl, st.binary(max_size=300)),
    packed=st.booleans(),
)
def test_any_text(tokenizer: Any, tmp_path: Path, kind: str, data: bytes, packed: bool) -> None:
    path = tmp_path / f"c{kind}{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(data) if packed else data)
    tokenised(tokenizer, path, tmp_path)
    path.unlink()


GOOD = parquet(pa.table({"text": ["w1 w2 w3", "w4 w5"] * 20, "id": list(range(40))}))


@many
@given(data=cut_or_flipped(GOOD))
def test_any_parquet(tokenizer: Any, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "c.parquet"
    path.write_bytes(data)
    tokenised(tokenizer, path, tmp_path)


@many
@given(data=cut_or_flipped(gzip.compress(b'{"text": "w1 w2 w3"}\n' * 50, mtime=0)))
def test_any_gzip(tokenizer: Any, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(data)
    tokenised(tokenizer, path, tmp_path)
