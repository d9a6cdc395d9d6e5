"""Output formats: one snapshot each, and what must hold for any rows."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import catalog
from catalog.cli.output import Output
from catalog.formats import FORMATS, LIMITED
from catalog.rows import Rows
from catalog.views import VIEWS
from tests.support import Answer, query

SNAPSHOTS = Path(__file__).parent.parent / "snapshots"
ROWS = """
select * from (values
    (1, 'plain', 0.5::float, true, date '2025-01-02', [1.5, null]::float[], 'a"b,c'),
    (-2147483648, ' the', 1e-7::float, false, null, []::float[], e'line\\nbreak\\t\\x1b[31m'),
    (null, null, 'nan'::float, null, '1999-12-31', null, '日本語 ünïcode'),
    (7, '[b]x[/b]', '-inf'::float, true, '2000-02-29', [0.1]::float[], '')
) as rows(number, token, score, flag, day, list, text)
"""
TEXT_FORMATS = sorted(set(FORMATS) - {"parquet"})


def snapshot(name: str) -> Path:
    return SNAPSHOTS / f"rows.{'txt' if name == 'table' else name}"


@pytest.mark.parametrize("name", TEXT_FORMATS)
def test_a_format_writes_what_it_wrote_before(
    cli: Callable[..., Answer], known: Path, name: str
) -> None:
    """To accept a change on purpose: `catalog sql` with these rows, into tests/snapshots/."""
    answer = cli("sql", ROWS, "--format", name, "--db", known)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == snapshot(name).read_bytes().decode()


def test_show_prints_what_it_printed_before(cli: Callable[..., Answer], known: Path) -> None:
    answer = cli("show", "28.4737", "--model", "alpha", "--db", known)
    assert (answer.code, answer.err) == (0, "")
    assert answer.out == (SNAPSHOTS / "show.txt").read_text()


def test_csv_reads_back(cli: Callable[..., Answer], known: Path) -> None:
    answer = cli("sql", ROWS, "--format", "csv", "--db", known)
    rows = list(csv.reader(io.StringIO(answer.out, newline="")))
    assert rows[0] == ["number", "token", "score", "flag", "day", "list", "text"]
    assert [row[1] for row in rows[1:]] == ["plain", " the", "", "[b]x[/b]"]
    assert [row[6] for row in rows[1:]] == ['a"b,c', "line\nbreak\t\x1b[31m", "日本語 ünïcode", ""]
    assert json.loads(rows[1][5]) == [1.5, None]


def test_json_is_json_for_any_value(cli: Callable[..., Answer], known: Path) -> None:
    rows = json.loads(
        cli("sql", ROWS, "--format", "json", "--db", known).out, parse_constant=pytest.fail
    )
    assert [row["score"] for row in rows] == [0.5, pytest.approx(1e-7), None, None]
    assert rows[0]["day"] == "2025-01-02"
    assert rows[0]["list"] == [1.5, None]


@pytest.mark.parametrize("name", sorted(set(FORMATS) - {"parquet"}))
def test_columns_of_one_name_are_all_there(
    cli: Callable[..., Answer], known: Path, name: str
) -> None:
    sql = "select 'first' as a, 'second' as a, 'third' as a"
    answer = cli("sql", sql, "--format", name, "--db", known)
    assert answer.code == 0
    assert all(word in answer.out for word in ("first", "second", "third", "a_1", "a_2"))
    assert catalog.open(known).sql(sql).fetchall() == [("first", "second", "third")]


def test_sql_may_begin_with_a_comment(cli: Callable[..., Answer], known: Path) -> None:
    answer = cli("sql", "-- How many?\nselect 7 as n", "--db", known, "--format", "csv")
    assert (answer.code, answer.out) == (0, "n\n7\n")
    assert cli("sql", "--formt", "csv", "--db", known).code == 2


def test_parquet_reads_back_with_its_types(
    cli: Callable[..., Answer], known: Path, tmp_path: Path
) -> None:
    target = tmp_path / "rows.parquet"
    answer = cli("sql", "from exemplars", "--output", target, "--db", known)
    assert (answer.code, answer.out) == (0, "")
    assert "2 rows written" in answer.err
    table = pq.read_table(target)
    wanted = query(known, "select window_post, text from exemplars order by rank")
    assert [
        tuple(row.values()) for row in table.select(["window_post", "text"]).to_pylist()
    ] == wanted
    assert str(table.schema.field("position").type) == "int32"


def test_an_ending_that_stands_for_no_format_is_refused_before_anything_is_asked(
    cli: Callable[..., Answer], known: Path, tmp_path: Path
) -> None:
    answer = cli("sql", "selec", "--db", known, "--output", tmp_path / "x.xlsx")
    assert (answer.code, answer.out, list(tmp_path.iterdir())) == (2, "", [])
    assert "x.xlsx has an ending that stands for no format: there is .csv, .json" in answer.err
    chosen = cli("models", "--db", known, "--output", tmp_path / "x.xlsx", "--format", "csv")
    assert chosen.code == 0


@pytest.mark.parametrize(("ending", "name"), [("md", "markdown"), ("txt", "table")])
def test_usual_endings_stand_for_formats(
    cli: Callable[..., Answer], known: Path, tmp_path: Path, ending: str, name: str
) -> None:
    cli("models", "--db", known, "--output", tmp_path / f"x.{ending}")
    said = cli("models", "--db", known, "--format", name).out
    assert (tmp_path / f"x.{ending}").read_text() == said


@pytest.mark.parametrize("ending", [*FORMATS, "CSV"])
def test_the_ending_of_a_file_chooses_the_format(
    cli: Callable[..., Answer], known: Path, tmp_path: Path, ending: str
) -> None:
    named = cli("sql", "select 1 as a", "--db", known, "--output", tmp_path / f"x.{ending}",
                "--max-rows", 0)  # fmt: skip
    asked = cli("sql", "select 1 as a", "--db", known, "--output", tmp_path / "y",
                "--format", ending.lower(), "--max-rows", 0)  # fmt: skip
    assert (named.code, asked.code) == (0, 0)
    assert (tmp_path / f"x.{ending}").read_bytes() == (tmp_path / "y").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([f"x.{ending}", "y"])


@pytest.mark.parametrize("name", TEXT_FORMATS)
def test_no_rows_are_still_well_formed(cli: Callable[..., Answer], known: Path, name: str) -> None:
    answer = cli("sql", "select 1 as a where false", "--format", name, "--db", known)
    said = "There are no such rows.\n" if name in LIMITED else ""
    assert (answer.code, answer.err) == (0, said)
    if name == "json":
        assert json.loads(answer.out) == []
    else:
        first = {"jsonl": [], "markdown": ["| a |"]}
        assert answer.out.splitlines()[:1] == first.get(name, ["a"])


@pytest.mark.parametrize("name", ["csv", "json", "jsonl"])
def test_data_formats_are_never_cut(cli: Callable[..., Answer], known: Path, name: str) -> None:
    answer = cli("sql", "select range as a from range(1000)", "--format", name, "--db", known)
    assert (answer.code, answer.err) == (0, "")
    whole = {"csv": 1001}  # with its header
    rows = json.loads(answer.out) if name == "json" else answer.out.splitlines()
    assert len(rows) == whole.get(name, 1000)


@pytest.mark.parametrize(
    ("options", "shown", "announced"),
    [([], 100, True), (["--max-rows", 3], 3, True), (["--max-rows", 0], 250, False)],
)
def test_a_cut_table_is_announced(
    cli: Callable[..., Answer], known: Path, options: list[object], shown: int, announced: bool
) -> None:
    answer = cli("sql", "select range as a from range(250)", *options, "--db", known)
    assert len(answer.out.splitlines()) == shown + 2
    assert ("--max-rows 0 shows all" in answer.err) is announced


def test_of_several_parts_each_is_cut_by_itself(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    """Of several neurons on one text, the first does not hide those after it."""
    parts = [Rows(pa.table({"neuron_id": [name] * 5, "at": range(5)})) for name in ("0.1", "3.2")]
    Output("table", None, 2).write(*parts)
    table, said = capsysbinary.readouterr()
    assert [line.split() for line in table.decode().splitlines()[2:]] == [
        [name, at] for name in ("0.1", "3.2") for at in ("0", "1")
    ]
    assert b"The first 2 rows of each neuron and text are shown, there are more." in said
    Output("csv", None, 2).write(*parts)
    assert len(capsysbinary.readouterr().out.splitlines()) == 11


def test_a_table_that_just_fits_is_not_announced(cli: Callable[..., Answer], known: Path) -> None:
    answer = cli("sql", "from range(100)", "--db", known)
    assert (len(answer.out.splitlines()), answer.err) == (102, "")


def test_a_failed_write_leaves_the_old_file(
    cli: Callable[..., Answer], known: Path, tmp_path: Path
) -> None:
    target = tmp_path / "x.csv"
    target.write_text("old")
    assert cli("sql", "selec", "--output", target, "--db", known).code == 5
    assert target.read_text() == "old"


SPELT = (
    "select true as flag, 0.1::float as score, [0.1, null]::float[] as scores, "
    "timestamp '2026-01-02 03:04:05' as moment, '{\"a\": [1, null]}'::json as settings, "
    "e'a\\rb' as text, '' as empty, null as nothing"
)


def test_csv_spells_values_in_one_way(cli: Callable[..., Answer], known: Path) -> None:
    answer = cli("sql", SPELT, "--format", "csv", "--db", known)
    assert answer.out.split("\n")[1] == (
        'true,0.1,"[0.1, null]",2026-01-02T03:04:05,"{""a"": [1, null]}","a\rb",,'
    )
    (row,) = list(csv.reader(io.StringIO(answer.out, newline="")))[1:]
    assert row[5] == "a\rb"
    alone = cli("sql", "select e'\\r' as token", "--format", "csv", "--db", known).out
    assert list(csv.reader(io.StringIO(alone, newline="")))[1:] == [["\r"]]


@pytest.mark.parametrize("name", ["json", "jsonl"])
def test_json_spells_values_in_one_way(cli: Callable[..., Answer], known: Path, name: str) -> None:
    found = json.loads(cli("sql", SPELT, "--format", name, "--db", known).out)
    (row,) = found if name == "json" else [found]
    assert row == {
        "flag": True,
        "score": 0.1,
        "scores": [0.1, None],
        "moment": "2026-01-02T03:04:05",
        "settings": {"a": [1, None]},
        "text": "a\rb",
        "empty": "",
        "nothing": None,
    }


@pytest.mark.parametrize("name", ["csv", "jsonl"])
def test_an_export_and_a_query_write_the_same_bytes(
    cli: Callable[..., Answer], known: Path, tmp_path: Path, name: str
) -> None:
    assert cli("export", tmp_path, "--format", name, "--db", known).code == 0
    for view in VIEWS:
        sql = f"from {view.name} order by model, {', '.join(view.order)}"
        answer = cli("sql", sql, "--format", name, "--db", known)
        assert (tmp_path / f"{view.name}.{name}").read_bytes() == answer.out.encode(), view.name
