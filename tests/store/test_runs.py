"""Runs: what a run loads is shown at once when it is finished, and replaces what was there."""

from pathlib import Path

import pytest

from catalog.errors import AliasTaken, command_line
from catalog.store.writing import (
    finish_run,
    insert_neuron_columns,
    record_loaded,
    register_model,
    start_run,
    unfinished_run,
    writing,
)
from tests.support import Row, query
from tests.synthetic import entry, load_weights, neuron_rows, run_start

ALPHA = 1
NEW = {"0.0": (0.9, 0.9, 0.9)}


def begin(path: Path) -> int:
    """Load rows for a new run of alpha's weights without finishing it."""
    with writing(path) as connection:
        run_id = start_run(connection, ALPHA, run_start("weights"), None)
        insert_neuron_columns(connection, ALPHA, run_id, neuron_rows(NEW))
        record_loaded(connection, run_id, 1)
    return run_id


def finish(path: Path, run_id: int) -> None:
    with writing(path) as connection:
        finish_run(connection, run_id, ("neuron",), {})


def alphas(path: Path) -> list[Row]:
    return query(
        path, "select neuron_id, cos_gate_in from neurons where model = 'alpha' order by 1"
    )


def test_rows_of_an_unfinished_run_are_not_shown(db: Path) -> None:
    before = alphas(db)
    begin(db)
    assert alphas(db) == before


def test_a_finished_run_replaces_the_rows_at_once(db: Path) -> None:
    finish(db, begin(db))
    assert alphas(db) == [("0.0", pytest.approx(0.9))]
    assert query(db, "select count(*) from neuron where run_id = 1") == [(0,)]


def test_the_replaced_run_stays_on_record(db: Path) -> None:
    finish(db, begin(db))
    rows = query(
        db,
        "select status, count(*) from ingest_runs where model = 'alpha' and stage = 'weights' "
        "group by status order by status",
    )
    assert rows == [("finished", 1), ("superseded", 1)]


def test_a_run_that_starts_anew_abandons_the_unfinished_one(db: Path) -> None:
    first = begin(db)
    second = begin(db)
    assert query(db, "select status from ingest_run where run_id = $1", first) == [("abandoned",)]
    assert query(db, "select distinct run_id from neuron where run_id >= $1", first) == [(second,)]


def test_other_models_are_not_touched(db: Path) -> None:
    beta = "select * from neurons where model = 'beta' order by all"
    before = query(db, beta)
    finish(db, begin(db))
    assert query(db, beta) == before


def test_a_stage_leaves_the_columns_of_other_stages(db: Path) -> None:
    """Redone weights keep the vocabulary moments of the neurons that are still there."""
    with writing(db) as connection:
        run_id = start_run(connection, ALPHA, run_start("weights"), None)
        insert_neuron_columns(connection, ALPHA, run_id, neuron_rows({"28.4737": (0.1, 0.2, 0.3)}))
        finish_run(connection, run_id, ("neuron",), {})
    kept = query(db, "select cos_in_out, vocab_skew from neurons where model = 'alpha'")
    assert kept == [(pytest.approx(0.3), 1.25)]


def test_an_unfinished_run_is_found_only_by_who_asks_for_the_same(db: Path) -> None:
    with writing(db) as connection:
        same = run_start("weights", weights="folded")
        other = run_start("weights", weights="raw")
        run_id = start_run(connection, ALPHA, same, None)
        assert unfinished_run(connection, ALPHA, same, None) == (run_id, 0)
        assert unfinished_run(connection, ALPHA, other, None) is None
        assert unfinished_run(connection, ALPHA + 1, same, None) is None
        assert unfinished_run(connection, ALPHA, same, 1) is None


@pytest.mark.parametrize("changed", [{"fingerprint": "other"}, {"weights": "raw"}])
def test_an_alias_belongs_to_one_checkpoint_and_kind_of_weights(
    db: Path, changed: dict[str, str]
) -> None:
    with writing(db) as connection, pytest.raises(AliasTaken) as refused:
        register_model(connection, entry("alpha", **changed))
    for said in ("alpha", "org/alpha", "folded weights", "--alias"):
        assert said in refused.value.message(command_line)


def test_entering_the_same_twice_gives_the_same_id(db: Path) -> None:
    with writing(db) as connection:
        assert register_model(connection, entry("alpha")) == ALPHA
    assert query(db, "select count(*) from models") == [(2,)]


def test_new_entries_get_ids_of_their_own(db: Path) -> None:
    assert load_weights(db, entry("gamma"), NEW) == 3
    assert query(db, "select count(*) from neurons where model = 'gamma'") == [(1,)]
