"""A catalog that the schema 0003 and its role rule left: upgraded in place, without a checkpoint.

`catalog_0003.duckdb.gz` is a tiny Llama of random weights: folded with every stage, effective with
roles, raw with weights alone.
"""

import gzip
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import duckdb
import pytest

from catalog.queries import named_query
from catalog.queries.asking import answered
from catalog.queries.verification import of_rows
from catalog.role_rule import RoleRule
from catalog.store import reroling
from catalog.store.handle import Handle
from catalog.store.reroling import Upgrade, upgrade
from catalog.store.upgrading import ensure_catalog
from tests.support import Answer, Row, fingerprint, query

ENTRIES = ("tiny-llama", "tiny-llama-effective")
BEFORE = {"partition": 1, "prediction": 56, "suppression": 43, "other": 44}
AFTER = {"partition": 1, "other": 143}
_VIEWS = "select view_name from duckdb_views() where not internal order by all"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "old"
    folder.mkdir()
    packed = Path(__file__).with_name("catalog_0003.duckdb.gz")
    path = folder / "catalog.duckdb"
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    return path


def view_columns(path: Path) -> dict[str, list[str]]:
    """Columns of each public view, without those that the rule decides."""
    views = [name for (name,) in query(path, _VIEWS)]
    return {
        view: [
            row[0]
            for row in query(path, f"describe {view}")
            if (view, row[0]) != ("neurons", "functional_role")
        ]
        for view in views
    }


def view_rows(path: Path, columns: dict[str, list[str]]) -> dict[str, list[Row]]:
    """All rows of the views over the columns; of runs of the stage `roles`, what the rule left."""
    rows = {}
    for view, names in columns.items():
        shown = [
            f"if(stage = 'roles', null, {name}) as {name}"
            if view == "ingest_runs" and name in ("parameters", "notes")
            else name
            for name in names
        ]
        rows[view] = query(path, f"select {', '.join(shown)} from {view} order by all")
    return rows


def roles_of(path: Path) -> dict[str, dict[str, int]]:
    """Neurons by role, of each model that has roles."""
    rows = query(
        path,
        "select model, functional_role, count(*) from neurons where functional_role is not null "
        "group by all order by all",
    )
    return {
        model: {role: n for of, role, n in rows if of == model}
        for model in sorted({model for model, *_ in rows})
    }


def run_of_roles(path: Path, model: str) -> tuple[int, dict[str, object], dict[str, object]]:
    """stage_version, parameters and notes of the entry's run."""
    ((version, parameters, notes),) = query(
        path,
        "select stage_version, parameters, notes from ingest_runs "
        "where model = $1 and stage = 'roles'",
        model,
    )
    return version, json.loads(parameters), json.loads(notes)


def all_agree(path: Path) -> bool:
    """Whether the rows of every entry are those whose digests were noted."""
    checks = [
        of_rows(Handle(path), model).rows for (model,) in query(path, "select model from models")
    ]
    assert all(each.num_rows for each in checks)
    return all(all(each["agree"].to_pylist()) for each in checks)


def test_every_public_view_reads_the_same(old: Path) -> None:
    columns = view_columns(old)
    before = view_rows(old, columns)
    assert len(before["top_tokens"]) > 1000 and len(before["exemplars"]) > 1000
    assert roles_of(old) == dict.fromkeys(ENTRIES, BEFORE)
    upgrade(Handle(old))
    after = view_columns(old)
    assert {view: set(names) - set(after.get(view, ())) for view, names in columns.items()} == {
        view: set() for view in columns
    }
    assert view_rows(old, columns) == before
    assert all_agree(old)


def test_roles_are_those_of_the_present_rule(old: Path) -> None:
    done = upgrade(Handle(old))
    assert done.changed
    assert [(each.model, each.before, each.after) for each in done.reroled] == [
        (model, BEFORE, AFTER) for model in ENTRIES
    ]
    assert roles_of(old) == dict.fromkeys(ENTRIES, AFTER)
    for model in ENTRIES:
        roles = named_query("roles")
        answer = answered(Handle(old), roles, roles.bound([f"model={model}"]))
        stored = query(
            old,
            "select functional_role from neurons where model = $1 order by layer, neuron",
            model,
        )
        assert [(role,) for role in answer.rows["functional_role"].to_pylist()] == stored


def test_the_published_rule_still_gives_the_roles_of_before(old: Path) -> None:
    of_before = query(
        old,
        "select neuron_id, functional_role from neurons where model = 'tiny-llama' "
        "order by layer, neuron",
    )
    upgrade(Handle(old))
    roles = named_query("roles")
    answer = answered(Handle(old), roles, roles.bound(["model=tiny-llama", "kurtosis=partition"]))
    found = [(row["neuron_id"], row["functional_role"]) for row in answer.rows.to_pylist()]
    assert found == of_before


def test_the_run_states_the_rule_and_what_it_compared_with(old: Path) -> None:
    kept = {"weights", "start_token", "null_directions", "heads_kept", "cosine_floor"}
    before = query(old, "select parameters from ingest_runs where stage = 'roles' and run_id = 3")
    upgrade(Handle(old))
    version, parameters, notes = run_of_roles(old, "tiny-llama")
    assert version == 2
    assert parameters == asdict(RoleRule()) | {
        name: value for name, value in json.loads(before[0][0]).items() if name in kept
    }
    ((highest, variance),) = query(
        old,
        "select max(vocab_kurtosis) filter (where functional_role != 'partition'), "
        "min(vocab_variance) filter (where functional_role = 'partition') "
        "from neurons where model = 'tiny-llama'",
    )
    assert highest < 1.0
    assert notes["kurtosis_cutoff"] == 1.0
    assert notes["partition_variance"] == variance
    assert notes["roles"] == AFTER
    assert isinstance(notes["entropy_cutoff"], float)
    assert notes["undefined_heads"] == 0


def test_a_second_upgrade_changes_nothing(old: Path) -> None:
    upgrade(Handle(old))
    before = fingerprint(old.parent)[old.name]
    assert not upgrade(Handle(old)).reroled
    assert fingerprint(old.parent)[old.name] == before


def test_an_upgrade_that_was_killed_is_completed_by_the_next(old: Path) -> None:
    assert ensure_catalog(Handle(old), upgrade=True)
    assert roles_of(old) == dict.fromkeys(ENTRIES, BEFORE)
    half = reroling.reroled(Handle(old))
    assert next(half).model == ENTRIES[0]
    half.close()  # type: ignore[attr-defined]
    assert roles_of(old) == {ENTRIES[0]: AFTER, ENTRIES[1]: BEFORE}
    assert all_agree(old)
    done: Upgrade = upgrade(Handle(old))
    assert (done.changed, [each.model for each in done.reroled]) == (False, [ENTRIES[1]])
    assert roles_of(old) == dict.fromkeys(ENTRIES, AFTER)
    assert all_agree(old)


def test_an_upgrade_that_fails_within_an_entry_leaves_it_as_it_was(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise duckdb.OutOfMemoryException("full")

    monkeypatch.setattr(reroling, "rows_digest", full)
    with pytest.raises(Exception, match="full"):
        upgrade(Handle(old))
    monkeypatch.undo()
    assert roles_of(old) == dict.fromkeys(ENTRIES, BEFORE)
    assert run_of_roles(old, ENTRIES[0])[0] == 1
    assert all_agree(old)
    assert len(upgrade(Handle(old)).reroled) == 2


def test_the_command_prints_the_counts_before_and_after(
    old: Path, cli: Callable[..., Answer]
) -> None:
    done = cli("upgrade", "--db", old)
    assert (done.code, done.out) == (0, "")
    said = [line.split() for line in done.err.splitlines()]
    assert ["prediction", "56", "->", "0"] in said
    assert ["other", "44", "->", "143"] in said
    for model in ENTRIES:
        assert any(line[0] == f"{model}:" for line in said)
    assert cli("verify", "tiny-llama", "--db", old).code == 0
    assert cli("upgrade", "--db", old).err.count("->") == 0
