"""What users type: SQL, neuron ids, parameters of queries."""

import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import CatalogError, UsageError
from catalog.neuron_id import NeuronId
from catalog.queries import named_query, query_names
from catalog.store.reading import fetch_checked
from tests.faults.odd import many, texts
from tests.faults.registry import Fault, injects
from tests.faults.runs import Ingest
from tests.support import Answer, fingerprint


@pytest.fixture(scope="module")
def walled(known: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copy(known, tmp_path_factory.mktemp("walled") / "c.duckdb"))


STARTS = re.findall(
    r"\S+",
    """
select from with values table describe show summarize explain analyze pivot unpivot insert update
delete merge truncate create drop alter copy export import attach detach use set reset pragma call
load install force checkpoint vacuum prepare execute deallocate begin commit rollback comment
""",
)
WORDS = re.findall(
    r"\S+",
    """
as into where returning group order by limit on using all distinct union except join cross lateral
exists not null is in like case when then else end cast over partition filter recursive
materialized secret database schema view macro function sequence type index temp persistent
replace or if ( ) (( )) , ; . * = :: $1 $name ? -- /* */ ' " '' { } [ ] -> | + - % := => ...
1 0 -1 1e400 null true 'x' 'c.duckdb' 'c.duckdb.wal' 'c.duckdb.tmp' '/etc/passwd' '/tmp/*.csv'
'https://example.org/x.parquet' 's3://b/x' neurons models top_tokens exemplars model neuron
io_classes(0.5) range(9) current_rows alembic_version x t (format blob) (format json) (analyze)
read_text('/etc/passwd') read_blob('c.duckdb') read_csv('x.csv') read_json('x') read_parquet('x')
glob('*') sniff_csv('x') parquet_metadata('x') query('select 1') query_table('models')
duckdb_settings() duckdb_secrets() pragma_table_info('neuron') checkpoint() force_checkpoint()
getenv('HOME') current_setting('temp_directory') write_log('x') enable_logging() nextval('s')
setseed(0.5) error('x') getvariable('x') enable_external_access temp_directory memory_limit
httpfs sqlite_scan('x','y') json_execute_serialized_sql('x') in_search_path('a','b')
""",
)
FORGE = "copy (select 'forged'::blob as b) to '{db}.wal' (format blob)"
soup = st.tuples(
    st.sampled_from(STARTS), st.lists(st.sampled_from(STARTS + WORDS), max_size=12)
).map(lambda words: " ".join([words[0], *words[1]]))
wrapped = st.tuples(
    st.sampled_from(["{}", "explain {}", "explain analyze {}", "with x as ({}) from x", "({})"]),
    st.sampled_from(["{}", "select 1; {}", "{}; select 1", "/* select */ {}", "-- a\n{}", "{};"]),
    st.one_of(soup, st.just(FORGE), st.just("delete from neuron returning *")),
).map(lambda parts: parts[0].format(parts[1].format(parts[2])))


@many
@given(sql=st.one_of(soup, wrapped, st.text(max_size=60)))
def test_any_sql(walled: Path, sql: str) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in walled.parent.iterdir()}
    with suppress(CatalogError):
        fetch_checked(walled, sql.replace("{db}", str(walled)), wait_s=0, max_rows=10)
    after = {path.name: path.stat().st_mtime_ns for path in walled.parent.iterdir()}
    assert after == before


@many
@given(
    text=st.one_of(
        texts, st.from_regex(r"-?\d{0,12}\.(e\d{0,12}\.)?-?\d{0,12}"), st.text(max_size=12)
    )
)
def test_any_neuron_id(text: str) -> None:
    try:
        parsed = NeuronId.parse(text)
    except UsageError:
        return
    assert re.fullmatch(r"\d+\.(e\d+\.)?\d+", text.strip(), re.ASCII)
    assert min(parsed.layer, parsed.neuron) >= 0


@many
@given(data=st.data())
def test_any_parameter(walled: Path, data: st.DataObject) -> None:
    query = named_query(data.draw(st.sampled_from(query_names())))
    odd = st.one_of(texts, st.sampled_from(["nan", "inf", "-1", "1e999", "9" * 40, "0.0", "alpha"]))
    settings = [f"{p.name}={data.draw(odd)}" for p in query.parameters]
    with suppress(CatalogError):
        values = query.bound(settings)
        fetch_checked(walled, query.sql, values, wait_s=0, max_rows=10)


REFUSED: dict[Fault, str] = {
    Fault(
        "SQL that forges the catalog's log (COPY TO '<db>.wal')",
        5,
        "Error: COPY is refused. Only one SELECT is allowed (also WITH, FROM, VALUES, DESCRIBE, "
        "SHOW, SUMMARIZE, EXPLAIN).",
        "the catalog, byte for byte",
    ): FORGE,
    Fault(
        "SQL that writes behind EXPLAIN ANALYZE",
        5,
        "Error: DELETE is refused. Only one SELECT is allowed …",
        "the catalog, byte for byte",
    ): "explain analyze delete from neuron",
    Fault(
        "SQL that reads other files",
        5,
        "Error: …",
        "the catalog; nothing of the file is shown",
    ): "from read_text('/etc/passwd')",
    Fault(
        "two SQL statements",
        5,
        "Error: 2 statements were given. Only one SELECT is allowed …",
        "the catalog, byte for byte",
    ): "select 1; drop table neuron",
}


@injects(*REFUSED)
def test_sql_that_is_refused(fault: Fault, db: Path, cli: Callable[..., Answer]) -> None:
    before = fingerprint(db.parent)
    answer = cli("sql", REFUSED[fault].format(db=db), "--db", db)
    assert "root:" not in answer.err + answer.out
    if "reads other files" not in fault.name:
        fault.seen(answer)
    assert answer.code == fault.code
    assert fingerprint(db.parent) == before


@injects(
    Fault(
        "a neuron id that is none",
        2,
        "Error: … is not a neuron id. Write layer.neuron, both whole numbers from 0, for example "
        "28.4737, or layer.eEXPERT.neuron, for example 12.e5.88.",
        "all",
    )
)
def test_no_neuron_id(fault: Fault, known: Path, cli: Callable[..., Answer]) -> None:
    for text in (
        "28",
        "28.",
        "28.e.1",
        "28.e1",
        "28.f1.2",
        "-1.0",
        "٣.٤",
        "1.2.3",
        "9" * 30 + ".0",
    ):
        fault.seen(cli("show", "--db", known, "--", text))


@injects(
    Fault(
        "--output names the catalog itself",
        2,
        "Error: … is a DuckDB database and is not overwritten. Name another --output.",
        "the catalog, byte for byte",
    )
)
def test_an_output_that_is_the_catalog(fault: Fault, db: Path, cli: Callable[..., Answer]) -> None:
    before = fingerprint(db.parent)
    fault.seen(cli("sql", "select 1", "--db", db, "--format", "csv", "--output", db))
    assert fingerprint(db.parent) == before


@injects(
    Fault(
        "an alias of 5,000 characters",
        2,
        "Error: The alias … is too long: no folder could be named for it, as in a lake. Give a "
        "shorter one with --alias.",
        "nothing is written",
    )
)
def test_an_alias_that_no_folder_can_have(fault: Fault, weights: Ingest) -> None:
    fault.seen(weights.answer("--alias", "x" * 5000))
    assert weights.answer("--alias", "x" * 249).code == 0
