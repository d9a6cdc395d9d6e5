"""What a stranger may plant in a catalog file, and what each of it would do if anything ran it."""

from typing import Final, NamedTuple

from catalog.tables import TABLES
from catalog.views import VIEWS, macro_names

EFFECTS: Final = {
    "profile": "enable_profiling(save_location := '{home}/profile.json', format := 'json')",
    "log": "enable_logging(storage := 'file', storage_path := '{home}/log')",
    "read": "read_text('{home}/secret.txt')",
}
"""Table functions that write a file of the user's, make a folder, or read one."""

_READ: Final = f"(select content from {EFFECTS['read']})"


class Plant(NamedTuple):
    """Statements that plant it.

    `refused`: by all commands, not only by those that write to the file. `rows`: it stands in rows,
    so that commands may find these damaged.
    """

    statements: tuple[str, ...]
    refused: bool = False
    rows: bool = False


def _in_place(table: str, effect: str, name: str | None = None) -> Plant:
    """A view with a table's rows and an effect."""
    return Plant(
        (
            f"alter table if exists {table} rename to planted",
            "create table if not exists planted (planted integer)",
            f"create view {name or table} as select planted.* from planted, {EFFECTS[effect]}",
        ),
        refused=True,
    )


def _views_with(effect: str) -> Plant:
    """The public views, each of them with an effect."""
    return Plant(tuple(f"create or replace view {v.name} as from {EFFECTS[effect]}" for v in VIEWS))


def _macros(names: tuple[str, ...], effect: str) -> Plant:
    """Macros of any number of arguments that return what they read."""
    listed = [", ".join(f"a{i}" for i in range(n)) for n in range(4)]
    overloads = ", ".join(f"({each}) as (select true from {EFFECTS[effect]})" for each in listed)
    return Plant(tuple(f'create macro "{name}" {overloads}' for name in names))


def _table_macros(names: tuple[str, ...], effect: str) -> Plant:
    return Plant(
        tuple(f"create or replace macro {n}() as table from {EFFECTS[effect]}" for n in names)
    )


_NAMES: Final = [table.name for table in TABLES] + ["alembic_version"]
_BUILT_IN: Final = ("count", "max", "sum", "coalesce", "hash", "len", "greatest", "json_valid", "+")
_LISTS: Final = ("duckdb_tables", "duckdb_columns", "duckdb_views", "duckdb_functions", "json_each")

PLANTS: Final = {
    **{
        f"a view in the place of {table} ({effect})": _in_place(table, effect)
        for table, effect in zip(_NAMES, list(EFFECTS) * len(_NAMES), strict=False)
    },
    **{
        f"a view in the place of {table} ({effect})": _in_place(table, effect)
        for table in ("current_rows", "ingest_run", "alembic_version")
        for effect in EFFECTS
    },
    "a view in capitals in the place of a table": _in_place("model", "read", '"MODEL"'),
    "a view in capitals in the place of the version": _in_place(
        "alembic_version", "log", '"Alembic_Version"'
    ),
    **{f"public views of another text ({effect})": _views_with(effect) for effect in EFFECTS},
    "a public view that multiplies itself": Plant(
        (
            "create view bomb_0 as from models",
            *(f"create view bomb_{n} as from bomb_{n - 1}" for n in range(1, 41)),
            "create or replace view neurons as from bomb_40",
            *(
                f"create or replace view bomb_{n} as from bomb_{n - 1} union all from bomb_{n - 1}"
                for n in range(40, 0, -1)
            ),
        )
    ),
    "a view beside the public ones": Plant((f"create view mine as from {EFFECTS['profile']}",)),
    "views of the names that commands use": Plant(
        tuple(
            f"create view {name} as from {EFFECTS['profile']}"
            for name in ("held_model", "ids", "part", "shown", "staged_rows", "pieces", "roles")
        )
    ),
    "a table in the place of a view": Plant(
        ("drop view models", "create table models as select 1 as model"), refused=True
    ),
    "macros of the names of functions": _macros(_BUILT_IN, "read"),
    "macros of the names of functions, that write": _macros(_BUILT_IN, "profile"),
    "macros of the names of lists": _table_macros(_LISTS, "log"),
    "the catalog's own macros with another text": Plant(
        (
            f"create or replace macro sign_beyond(x, t) as {_READ}",
            f"create or replace macro role_default(name) as {_READ}",
            f"create or replace macro window_start_at(peak) as {_READ}",
            f"create or replace macro io_class_at(a, b, t) as {_READ}",
        )
    ),
    "the catalog's own macros as macros of the other kind": Plant(
        tuple(
            f"create or replace macro {name}(x) as table from {EFFECTS['profile']}"
            for name in sorted(macro_names())
        )
    ),
    "a default value": Plant(
        ("alter table ingest_run alter column notes set default random()::varchar",), refused=True
    ),
    "a default value from a macro": Plant(
        (
            "create macro planted() as 7",
            "alter table ingest_run alter column n_done set default planted()",
        ),
        refused=True,
    ),
    "a default value from a sequence": Plant(
        (
            "create sequence planted",
            "alter table model alter column vocabulary_id set default nextval('planted')",
        ),
        refused=True,
    ),
    "a sequence": Plant(("create sequence planted",)),
    "a generated column": Plant(
        (
            "create or replace table vocabulary (vocabulary_id integer not null, digest varchar "
            "not null, n_tokens integer generated always as (vocabulary_id + 1))",
        ),
        refused=True,
    ),
    "a check": Plant(
        (
            "create or replace table vocabulary (vocabulary_id integer not null, digest varchar "
            "not null, n_tokens integer not null, check (n_tokens < random()))",
        ),
        refused=True,
    ),
    "a default value of the version": Plant(
        ("alter table alembic_version alter column version_num set default 'x'",), refused=True
    ),
    "a key of others": Plant(
        (
            "create table planted (x integer primary key)",
            "create or replace table vocabulary (vocabulary_id integer not null references "
            "planted (x), digest varchar not null, n_tokens integer not null)",
        ),
        refused=True,
    ),
    "an index": Plant(("create index planted on vocabulary (digest)",)),
    "an index of an expression": Plant(
        ("create index planted on vocabulary ((upper(digest || 'x')))",)
    ),
    "a type of another name": Plant(
        (
            "create type planted as enum ('a', 'b')",
            "alter table model alter column weights type planted using 'a'",
        ),
        refused=True,
    ),
    "types beside": Plant(("create type json_text as varchar", "create type planted as integer")),
    "a collation": Plant(
        (
            "create or replace table vocabulary (vocabulary_id integer not null, digest varchar "
            "collate nocase not null, n_tokens integer not null)",
        ),
        refused=True,
    ),
    "a column more": Plant(("alter table model add column planted integer",), refused=True),
    "schemas of the names that commands use": Plant(
        tuple(
            statement
            for schema in ("catalog_file", "memory", "source_0", "target", "main_")
            for statement in (
                f"create schema {schema}",
                f"create view {schema}.model as from {EFFECTS['read']}",
                f"create view {schema}.current_rows as from {EFFECTS['profile']}",
            )
        )
    ),
    "a schema of the name of DuckDB's own": Plant(("create schema system",)),
    "comments": Plant(
        ("comment on table model is 'x'';\x1b[31m'", "comment on view models is 'y'")
    ),
    "notes that name columns by SQL": Plant(
        (
            "update ingest_run set stage = 'roles' where stage = 'vocab'",
            "update ingest_run set notes = json_object('rows', json_object("
            "'neuron', json_object('n_rows', 1, 'digest', '1', 'columns', json_array("
            "'1), (select content from read_text(''{home}/secret.txt''))'))))",
        ),
        rows=True,
    ),
}
"""By what they are. Commands refuse them, or answer as if they were not there."""
