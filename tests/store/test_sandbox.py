"""What `catalog sql` lets through and what it refuses."""

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from catalog.errors import CatalogError, SqlError
from catalog.store.handle import Handle
from catalog.store.reading import fetch_checked, reading
from tests.support import DUCKDB_2, Answer, fingerprint

FORGE = "copy (select 'forged'::blob as b) to '{db}.wal' (format blob)"
REFUSED = {
    # Refused by name: DuckDB's own parser says what kind of statement it is.
    "INSERT": ["insert into model (alias) values ('x')", "insert into neuron default values"],
    "UPDATE": ["update model set alias = 'x'"],
    "DELETE": ["delete from neuron", "truncate neuron"],
    "MERGE_INTO": ["merge into model using model m on true when matched then delete"],
    "CREATE": [
        "create table t as select 1",
        "create temp table t (a int)",
        "create or replace view neurons as select 1",
        "create macro f(x) as x",
        "create schema s",
        "create sequence s",
        "create type t as enum ('a')",
        "create secret s (type s3)",
        "create persistent secret s (type http, bearer_token 'x')",
        "create or replace temp view neurons as select 1",
        "create table t as from '/etc/passwd'",
    ],
    "DROP": ["drop table neuron", "drop view if exists neurons cascade"],
    "ALTER": ["alter table neuron add column x int", "comment on table neuron is 'x'"],
    "COPY": [
        FORGE,
        FORGE + ";",
        "/* select */ " + FORGE,
        "copy neuron to '{folder}/out.csv'",
        "copy neurons to '{db}.tmp' (format csv)",
        "copy neuron from '/etc/passwd'",
        "copy (select 1) to '/dev/stdout'",
        "copy (select 'forged'::blob as b) to '{db}.tmp' (format blob)",
        "copy (select 'forged'::blob as b) to '{db}' (format blob)",
        "copy (from models) to '{folder}/lake' (format parquet, partition_by (model))",
        "copy model from '{db}.wal'",
    ],
    "EXPORT": [
        "export database '{folder}/out'",
        "export database '{folder}/out' (format parquet)",
    ],
    "ATTACH": ["attach '{folder}/other.duckdb' as other", "attach ':memory:' as m"],
    "DETACH": ["detach known"],
    "SET": [
        "set enable_external_access = true",
        "reset enable_external_access",
        "set lock_configuration = false",
        "set temp_directory = '{folder}'",
        "set disabled_filesystems = ''",
        "set variable x = 1",
        "set global memory_limit = '1GB'",
        "set session threads = 1",
        "set home_directory = '{folder}'",
        "set secret_directory = '{folder}'",
        "set log_query_path = '{folder}/log'",
        "set profiling_output = '{folder}/profile'",
        "set extension_directory = '{folder}'",
        "reset lock_configuration",
        "pragma memory_limit = '1GB'",
        "use memory",
        "set schema 'x'",
    ],
    "PRAGMA": ["pragma enable_profiling", "pragma disable_optimizer", "pragma verify_external"],
    "CALL": [
        "call pragma_version()",
        "call checkpoint()",
        "call force_checkpoint()",
        "call enable_logging()",
        "call enable_profiling(save_location = '{folder}/profile.json')",
    ],
    "LOAD": [
        "install httpfs",
        "load httpfs",
        "force install spatial from community",
        "install 'https://example.org/x.duckdb_extension'",
        "load '{folder}/x.duckdb_extension'",
        "load json",
    ],
    "TRANSACTION": ["begin", "commit", "rollback", "begin transaction read only"],
    "PREPARE": ["prepare p as select 1", "prepare p as " + FORGE],
    "EXECUTE": ["execute p", "execute p(1)"],
    "VACUUM": ["vacuum", "vacuum analyze neuron"],
    "This": ["update extensions"],
}
EXPLAINED = [
    "explain {}",
    "explain analyze {}",
    "EXPLAIN ANALYSE {}",
    "explain (analyze) {}",
    "explain (format json) {}",
    "explain (analyze, format json) {}",
    "explain /* select */ analyze -- select 1\n {}",
    "explain ( /* ) */ analyze /* ) select 1 */ ) {}",
    "explain (format 'json') {}",
    "/* explain */ explain\nanalyze\n{}",
    "explain explain {}",
    "explain analyze explain analyze {}",
]
WRITES = [FORGE, "delete from neuron", "create table t as select 1"]
# Refused by the number or shape of statements, by the parser, or by the walls around the reader.
OTHERWISE_REFUSED = [
    "from query('from models')",
    "from histogram('catalog_file.main.models', 'model')",
    "from histogram('catalog_' || 'file.main.models', 'model')",
    "from histogram_values(catalog_file.models, model)",
    "from json_execute_serialized_sql(json_serialize_sql('from catalog_file.main.model'))",
    "from json_execute_serialized_sql(json_serialize_sql('from models'))",
    "from duckdb_table_sample('catalog_file.main.model')",
    "from register_external_resource('a', 'b', 'c', 'd')",
    "from add_grammar_extension('x')",
    "from checkpoint()",
    "from truncate_duckdb_logs()",
    "from pragma_table_info('catalog_file.main.model')",
    "from pragma_table_info('\"Catalog_File\".main.model')",
    "from pragma_table_info('catalog_' || 'file.main.model')",
    "from pragma_storage_info(lower('CATALOG_FILE.main.model'))",
    "from pragma_show('catalog_file.main.model')",
    "from query_table('models')",
    "from query_table('catalog_' || 'file.main.model')",
    "from catalog_file.main.model",
    "from catalog_file.model",
    "select (select count(*) from CATALOG_FILE.main.model)",
    "with a as (from catalog_file.main.model) from a",
    "describe catalog_file.main.model",
    "summarize catalog_file.main.model",
    "explain analyze from catalog_file.main.model",
    "from catalog_file.main.functional_roles(1, 2, 3, 4, 5, 6)",
    "select catalog_file.main.sign_beyond(1, 2)",
    "",
    " ",
    ";",
    "-- nothing",
    "select 1; select 2",
    "select 1; " + FORGE,
    FORGE + "; select 1",
    "from models; drop table model",
    "select 1 /* */ ; -- \n delete from neuron",
    "with x as (insert into model (alias) values ('x') returning *) from x",
    "with x as (delete from neuron returning *) select * from x",
    "with x as (update model set alias = 'x' returning alias) from x",
    "with x as materialized (" + FORGE + ") from x",
    "with recursive x as (insert into neuron default values returning *) from x",
    "select * from (delete from neuron returning *)",
    "select exists (insert into model (alias) values ('x') returning 1)",
    "explain analyze with x as (delete from neuron returning *) from x",
    "checkpoint; select 1",
    "select 1; export database '{folder}/out'",
    "copy from database known to memory",
    "import database '{folder}'",
    "pragma enable_logging",
    "pragma import_database('{folder}')",
    "pragma copy_database('known', 'memory')",
    "pivot neurons on io_class using count(*)",
    "explain pivot neurons on io_class using count(*)",
    "from '/etc/passwd'",
    "select * from '/etc/passwd'",
    "from '{db}'",
    "from '{folder}/*.csv'",
    "from 'https://example.org/x.csv'",
    "from 's3://bucket/x.parquet'",
    "select * from read_text('/etc/passwd')",
    "select * from read_blob('{db}')",
    "select * from read_csv('/etc/passwd', header = false)",
    "select * from read_csv_auto(['/etc/passwd'])",
    "select * from read_json('/etc/passwd')",
    "select * from read_parquet('{folder}/x.parquet')",
    "select * from parquet_metadata('{folder}/x.parquet')",
    "select * from sniff_csv('/etc/passwd')",
    "select * from glob('/etc/*')",
    "select (select content from read_text('/etc/passwd'))",
    "with x as (from read_text('/etc/passwd')) from x",
    "explain analyze from read_text('/etc/passwd')",
    "describe from read_csv('/etc/passwd')",
    "summarize from '/etc/passwd'",
    "from query('copy (select 1) to ''{db}.wal''')",
    "from query('from read_text(''/etc/passwd'')')",
    "from query_table('/etc/passwd')",
    "from query_table('{db}')",
    "from query('insert into model (alias) values (''x'') returning *')",
    "from query('attach ''{folder}/o.duckdb''')",
    "from json_execute_serialized_sql('x')",
    "from read_csv('/dev/stdin')",
    "from read_text('/proc/self/environ')",
    "from read_text('{db}.wal')",
    "from read_duckdb('{db}')",
    "from sqlite_scan('{folder}/x', 'y')",
    "from read_json_objects('/etc/passwd')",
    "from parquet_schema('{folder}/x.parquet')",
    "from 'https://example.org/x.parquet'",
    "from read_parquet('hf://datasets/x/y/z.parquet')",
    "select getenv('HOME')",
    "from enable_profiling(save_location = '{folder}/profile.json', format = 'json')",
    "from enable_logging(storage = 'file', storage_config = {{'path': '{folder}/log'}})",
    "from enable_logging(storage = 'file', storage_path = '{db}.wal')",
    "from force_checkpoint()",
    "from secret_of_a_notebook",
    "select * from arrow_table",
]
HARMLESS = [
    "select write_log('x')",
    "from duckdb_secrets()",
    "show databases",
    "from pragma_database_size()",
    "from pg_catalog.pg_database",
]
OF_MACHINE = [
    "from duckdb_settings()",
    "from duckdb_settings",
    "select (select max(value) from system.main.duckdb_settings() where name like 'allowed%')",
    "from duckdb_databases()",
    'from "DuckDB_Databases"',
    "table system.main.duckdb_databases",
    "with x as (from duckdb_databases) select path from x",
    "describe duckdb_databases",
    "explain analyze from duckdb_databases()",
    "from pragma_database_list",
    "from pg_catalog.pg_settings",
    "from duckdb_external_file_cache()",
    "from duckdb_temporary_files()",
    "select current_setting('allowed_paths')",
    "select system.main.CURRENT_SETTING('secret_directory')",
    "from range(3) where range = len(current_setting('allowed_paths'))",
]
"""Whoever a catalog is served to learns nothing of the folders around it."""

PRAGMAS = ["pragma table_info('neurons')", "pragma database_size"]
"""SELECTs to DuckDB 1.5, and refused as what they are by 2."""

PASSING = [
    "select 1",
    "select * from neurons",
    "SELECT 1;",
    "select 1 ; ",
    "select 1 -- done",
    "/* why */ select /* not */ 1",
    "-- first\n-- second\nselect 1",
    "(select 1)",
    "((select 1) union all (select 2))",
    "with x as (select 1 as a) from x",
    "with recursive r(n) as (select 1 union all select n + 1 from r where n < 5) from r",
    "from models",
    "from models select model",
    "table models",
    "values (1, 'a'), (2, 'b')",
    "describe neurons",
    "desc neurons",
    "describe select 1",
    "show tables",
    "show all tables",
    "show neurons",
    "summarize neurons",
    "summarize select 1",
    "pivot neurons on io_class in ('enrichment', 'depletion') using count(*)",
    "unpivot models on d_model, d_mlp",
    "select ';' as a",
    "select '; delete from neuron' as a",
    "select * from io_classes(0.3)",
    "from range(3)",
    "from generate_series(1, 3)",
    "from unnest([1, 2])",
    "from repeat('x', 3)",
    "select key from models, json_each('[1]')",
    "from histogram_values(neurons, layer)",
    "from summary((from models))",
    "from duckdb_columns()",
    "from pragma_table_info('neurons')",
    "from models, lateral (select unnest([model, source]))",
    "select 1 as copy",
    'select 1 as "explain analyze copy"',
    "explain select 1",
    "explain (select 1)",
    "explain from models",
    "explain analyze select count(*) from neurons",
    "explain (format json) select 1",
    "explain (analyze) select 1",
    "EXPLAIN ANALYZE (select 1);",
    "explain /* a */ analyze -- b\n select 1",
    "explain with x as (select 1 as a) from x",
    "explain values (1)",
    "explain ((select 1))",
    "explain describe neurons",
]


@pytest.fixture(scope="module")
def catalog(known: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog alone in a folder, which every statement here must leave as it is."""
    return Path(shutil.copy(known, tmp_path_factory.mktemp("sandbox") / "known.duckdb"))


def refusal(catalog: Path, sql: str) -> CatalogError:
    """The error that refuses `sql`, which must leave every byte beside the catalog as it was."""
    before = fingerprint(catalog.parent)
    written = sql.format(db=catalog, folder=catalog.parent)
    with pytest.raises(SqlError) as refused:
        fetch_checked(catalog, written, wait_s=0)
    assert fingerprint(catalog.parent) == before
    return refused.value


@pytest.mark.parametrize(
    ("kind", "sql"), [(kind, sql) for kind, statements in REFUSED.items() for sql in statements]
)
def test_a_statement_that_does_more_than_read_is_refused_by_name(
    catalog: Path, kind: str, sql: str
) -> None:
    assert str(refusal(catalog, sql)).startswith(f"{kind} is refused. Only one SELECT is allowed")


@pytest.mark.parametrize("explain", EXPLAINED)
@pytest.mark.parametrize("write", WRITES)
def test_explain_hides_nothing(catalog: Path, explain: str, write: str) -> None:
    refusal(catalog, explain.format(write))


@pytest.mark.parametrize("sql", OTHERWISE_REFUSED)
def test_other_ways_out_are_closed(catalog: Path, sql: str) -> None:
    secret_of_a_notebook = arrow_table = [1, 2]  # DuckDB would find them by name
    assert secret_of_a_notebook is arrow_table
    refusal(catalog, sql)


@pytest.mark.parametrize("sql", HARMLESS)
def test_functions_that_sound_dangerous_change_nothing(catalog: Path, sql: str) -> None:
    before = fingerprint(catalog.parent)
    fetch_checked(catalog, sql, wait_s=0)
    assert fingerprint(catalog.parent) == before


@pytest.mark.parametrize("sql", OF_MACHINE)
def test_what_tells_of_the_machine_is_refused(catalog: Path, sql: str) -> None:
    assert "is refused: it tells of this machine" in str(refusal(catalog, sql))


def test_no_list_of_duckdb_tells_where_the_catalog_is(catalog: Path) -> None:
    with reading(catalog) as connection:
        listed = connection.execute(
            "select 'from ' || view_name from duckdb_views() where internal union "
            "select 'from ' || function_name || '()' from duckdb_functions() "
            "where function_type = 'table' and starts_with(function_name, 'duckdb_') union "
            "select 'from ' || function_name || '()' from duckdb_functions() "
            "where function_type = 'table' and starts_with(function_name, 'pragma_') order by all"
        ).fetchall()
    told = 0
    for (sql,) in listed:
        try:
            rows = fetch_checked(catalog, sql, wait_s=0)
        except CatalogError as error:
            assert str(catalog.parent) not in str(error)
            continue
        assert str(catalog.parent) not in str(rows.to_pylist()), sql
        told += 1
    assert told > 40


@pytest.mark.parametrize("sql", PRAGMAS)
def test_pragmas_that_only_tell_change_nothing(catalog: Path, sql: str) -> None:
    if DUCKDB_2:
        assert str(refusal(catalog, sql)).startswith("PRAGMA is refused.")
    else:
        assert fetch_checked(catalog, sql).num_rows > 0


@pytest.mark.parametrize("sql", PASSING)
def test_everything_that_only_reads_passes(catalog: Path, sql: str) -> None:
    assert fetch_checked(catalog, sql).num_rows > 0


@pytest.mark.parametrize(
    "sql", ["selec 1", "select from where", "select * from nowhere", "select 1/"]
)
def test_wrong_sql_is_told_in_duckdbs_words(catalog: Path, sql: str) -> None:
    with pytest.raises(SqlError, match="Error"):
        fetch_checked(catalog, sql)


def test_what_a_pragma_names_is_not_read_while_it_is_parsed(catalog: Path) -> None:
    (catalog.parent / "schema.sql").write_text("secret content;")
    assert "secret" not in str(refusal(catalog, "pragma import_database('{folder}')"))


@pytest.mark.parametrize(
    "sql",
    [
        FORGE,
        "with c as (" + FORGE + ") select 1",
        "copy (select 1) to '{folder}/out.csv'",
        "with c as (copy (select 1) to '{folder}/out.csv') select 1",
        "set enable_external_access = true",
        "attach '{folder}/other.duckdb'",
        "from read_text('{db}')",
        "set lock_configuration = false",
        "set disabled_filesystems = ''",
        "from enable_profiling(save_location = '{folder}/profile.json', format = 'json')",
        "load httpfs",
    ],
)
def test_the_walls_hold_without_the_check_of_statements(catalog: Path, sql: str) -> None:
    before = fingerprint(catalog.parent)
    with reading(catalog) as connection, pytest.raises(duckdb.Error):
        connection.execute(sql.format(db=catalog, folder=catalog.parent))
    assert fingerprint(catalog.parent) == before


@pytest.mark.parametrize(
    "sql",
    [
        "copy (select 1) to '{folder}/out.csv'",
        "with c as (copy (select 1) to '{folder}/out.csv') select 1",
        "from read_text('{folder}/notes.txt')",
        "from read_text('/etc/passwd')",
        "from '{folder}/notes.txt'",
        "attach '{folder}/other.duckdb'",
        "export database '{folder}/out'",
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        "set temp_directory = '{folder}/t'",
        "set lock_configuration = false",
        "create persistent secret s (type http, bearer_token 'x')",
        "load httpfs",
        "install httpfs",
    ],
)
def test_a_writer_opens_no_other_file(db: Path, sql: str) -> None:
    (db.parent / "notes.txt").write_text("a secret")
    before = fingerprint(db.parent)
    with pytest.raises((duckdb.Error, CatalogError)), Handle(db).writing() as connection:
        connection.execute(sql.format(db=db, folder=db.parent)).fetchall()
    assert fingerprint(db.parent) == before


def test_readers_of_one_process_share_a_file(catalog: Path) -> None:
    def count(_: int) -> int:
        return len(fetch_checked(catalog, "select * from neurons"))

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(count, range(40))) == {12}


def test_parameters_are_bound_and_never_spliced(catalog: Path) -> None:
    hostile = "'; delete from neuron; --"
    rows = fetch_checked(catalog, "select $text as a, $n as b", {"text": hostile, "n": 3})
    assert rows.to_pylist() == [{"a": hostile, "b": 3}]


def test_the_command_refuses_with_its_exit_code(db: Path, cli: Callable[..., Answer]) -> None:
    before = fingerprint(db.parent)
    answer = cli("sql", FORGE.format(db=db), "--db", db)
    assert (answer.code, answer.out) == (5, "")
    assert answer.err.startswith("Error: COPY is refused.")
    assert fingerprint(db.parent) == before
