"""Reading documents: every kind of source, and everything that may be wrong with one."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.errors import CorpusError, EnvironmentFault
from catalog.ingest.corpus import hub
from catalog.ingest.corpus.documents import Document
from catalog.ingest.corpus.sources import open_documents

from .conftest import write_jsonl

RECORDS: list[dict[str, Any]] = [
    {"text": "the fox", "id": "first", "extra": 1},
    {"text": "Käfer\n日本", "id": 2, "extra": 2},
    {"text": "third", "id": None, "extra": 3},
]
EXPECTED = ["first", "2", "{name}:3"]


def read(source: Path | str, field: str = "text", split: str = "train") -> list[Document]:
    return list(open_documents(str(source), None, split, field).stream)


def save_txt(folder: Path) -> Path:
    (folder / "one.txt").write_bytes("\ufeffKäfer\r\n日本\n".encode())
    return folder / "one.txt"


def save_txt_gz(folder: Path) -> Path:
    with gzip.open(folder / "one.txt.gz", "wb") as file:
        file.write("Käfer\r\n日本\n".encode())
    return folder / "one.txt.gz"


@pytest.mark.parametrize("save", [save_txt, save_txt_gz])
def test_a_text_file_is_one_document(save: Callable[[Path], Path], tmp_path: Path) -> None:
    path = save(tmp_path)
    assert read(path) == [Document(path.name, "Käfer\r\n日本\n", False)]


def save_jsonl(folder: Path) -> Path:
    return write_jsonl(folder / "r.jsonl", RECORDS)


def save_jsonl_gz(folder: Path) -> Path:
    with gzip.open(folder / "r.jsonl.gz", "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS)
    return folder / "r.jsonl.gz"


def save_parquet(folder: Path, kind: pa.DataType | None = None) -> Path:
    table = pa.table(
        {
            "extra": [record["extra"] for record in RECORDS],
            "id": ["first", "2", None],
            "text": pa.array([record["text"] for record in RECORDS]).cast(kind or pa.string()),
        }
    )
    pq.write_table(table, folder / "r.parquet", row_group_size=2)
    return folder / "r.parquet"


@pytest.mark.parametrize("save", [save_jsonl, save_jsonl_gz, save_parquet])
def test_records_keep_their_id_or_are_counted(save: Callable[[Path], Path], tmp_path: Path) -> None:
    path = save(tmp_path)
    names = [name.format(name=path.name) for name in EXPECTED]
    texts = [record["text"] for record in RECORDS]
    assert [(d.source_ref, d.text) for d in read(path)] == list(zip(names, texts, strict=True))


@pytest.mark.parametrize(
    "kind", [pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
def test_parquet_text_of_any_kind(kind: pa.DataType, tmp_path: Path) -> None:
    path = save_parquet(tmp_path, kind)
    assert [document.text for document in read(path)] == [record["text"] for record in RECORDS]


def test_other_fields_can_be_chosen(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"body": "x", "text": "y"}])
    assert read(path, field="body")[0].text == "x"
    assert read(save_parquet(tmp_path), field="id")[0] == Document("r.parquet:1", "first", False)


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.txt").write_text("second")
    (tmp_path / "c.JSONL").write_text('{"text": "third"}\n\n{"text": "fourth"}\n')
    (tmp_path / "a.txt").write_text("first")
    (tmp_path / "README.md").write_text("no document")
    (tmp_path / ".hidden.txt").write_text("no document")
    found = open_documents(str(tmp_path), None, "train", "text")
    assert found.notes == ["files of unknown type ignored: 1"]
    assert [(d.source_ref, d.text) for d in found.stream] == [
        ("a.txt", "first"),
        ("b/x.txt", "second"),
        ("c.JSONL:1", "third"),
        ("c.JSONL:3", "fourth"),
    ]


def test_the_demo_brings_its_own_documents() -> None:
    found = open_documents("demo", None, "train", "text")
    assert found.source == "demo"
    assert next(found.stream).source_ref == "pydoc:assert"


def test_invalid_unicode_is_replaced_and_marked(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"a\xffb")
    (tmp_path / "b.jsonl").write_bytes(b'{"text": "a\xffb"}\n{"text": "a\\ud800b"}\n')
    pq.write_table(
        pa.table({"text": pa.array([b"a\xffb"]).view(pa.string())}), tmp_path / "c.parquet"
    )
    assert [document[1:] for document in read(tmp_path)] == [("a\ufffdb", True)] * 4


def test_surrogate_pairs_are_one_character(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "\\ud83e\\udd8a"}\n')
    assert read(tmp_path)[0] == Document("a.jsonl:1", "🦊", False)


def test_missing_texts_are_empty(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"text": None}])
    assert read(path)[0].text == ""


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "a.jsonl",
            b'{"body": "x", "title": "y"}\n',
            r"a\.jsonl:1 has no field 'text'.*body, title",
        ),
        ("a.jsonl", b'{"text": "x"}\n{}\n', r"a\.jsonl:2 has no field 'text'; it has: none"),
        ("a.jsonl", b'{"text": 3}\n', r"a\.jsonl:1: the field 'text' holds int, not text"),
        ("a.jsonl", b'{"text": "x"}\n{"text": \n', r"a\.jsonl:2 is no JSON"),
        ("a.jsonl", b'["text"]\n', r"a\.jsonl:1 holds no JSON object"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl:1 is no JSON"),
        ("a.jsonl.gz", b"no gzip", r"a\.jsonl\.gz cannot be read"),
        ("a.txt.gz", gzip.compress(b"x" * 99, mtime=0)[:-9], r"a\.txt\.gz cannot be read"),
        ("a.parquet", b"no parquet", r"a\.parquet cannot be read"),
        ("a.csv", b"text\nx\n", r"no known type.*\.txt.*\.jsonl.*\.parquet"),
        ("a", b"x", "no known type"),
    ],
)
def test_malformed_files_are_refused(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=message):
        read(tmp_path / name)


def test_parquet_without_the_field_or_with_numbers_is_refused(tmp_path: Path) -> None:
    path = save_parquet(tmp_path)
    with pytest.raises(CorpusError, match=r"no field 'body'; it has: extra, id, text"):
        read(path, field="body")
    with pytest.raises(CorpusError, match=r"'extra' holds int64, not text"):
        read(path, field="extra")


@pytest.mark.parametrize("source", ["./none", "/none/here", "none.txt", "a/b/c", "x.jsonl.gz"])
def test_a_path_that_is_not_there_is_not_looked_for_on_the_hub(source: str) -> None:
    with pytest.raises(CorpusError, match="no file or folder"):
        read(source)


def test_a_folder_without_known_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(CorpusError, match="no file of a known type"):
        read(tmp_path)


def test_an_unreadable_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("x")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no permission")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(CorpusError, match=r"a\.txt cannot be read: no permission"):
        read(tmp_path / "a.txt")


def dataset_folder(folder: Path) -> str:
    """Save what `datasets` streams as it streams a dataset of the Hub."""
    write_jsonl(folder / "train.jsonl", RECORDS)
    write_jsonl(folder / "test.jsonl", RECORDS[:1])
    return str(folder)


def test_a_dataset_is_streamed(tmp_path: Path) -> None:
    found = hub.open_hub(dataset_folder(tmp_path), None, "train", "text")
    names = [name.format(name="train") for name in EXPECTED]
    assert [document.source_ref for document in found.stream] == names
    test = hub.open_hub(str(tmp_path), None, "test", "text")
    assert [document.text for document in test.stream] == ["the fox"]
    assert test.source == f"{tmp_path} test"


def test_a_dataset_without_the_field_or_split_is_refused(tmp_path: Path) -> None:
    name = dataset_folder(tmp_path)
    with pytest.raises(CorpusError, match=r"no field 'body'; it has:.*text"):
        list(hub.open_hub(name, None, "train", "body").stream)
    with pytest.raises(CorpusError, match=r"'?other'?.*train"):
        hub.open_hub(name, None, "other", "text")


@pytest.mark.parametrize(
    ("raised", "error", "message"),
    [
        (ConnectionError("no route"), EnvironmentFault, "no route. Check the network"),
        (TimeoutError("too slow"), EnvironmentFault, "Check the network"),
        (FileNotFoundError("no such dataset"), CorpusError, "no such dataset"),
        (ValueError("Config name is missing.\nPick: a, b"), CorpusError, "missing. Pick: a, b"),
    ],
)
def test_what_the_hub_says_is_passed_on(
    raised: Exception, error: type[Exception], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise raised

    monkeypatch.setattr(datasets, "load_dataset", refuse)
    with pytest.raises(error, match=message):
        read("owner/name")


def test_a_connection_that_breaks_on_the_way_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaking:
        column_names = None

        def __iter__(self) -> Any:
            yield {"text": "x"}
            raise ConnectionResetError("gone")

    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: Breaking())
    stream = open_documents("owner/name", None, "train", "text").stream
    assert next(stream) == Document("train:1", "x", False)
    with pytest.raises(EnvironmentFault, match="gone"):
        next(stream)
