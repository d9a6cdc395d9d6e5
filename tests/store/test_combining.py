"""Catalogs merged are the catalog that ingested it all; what contradicts itself is named."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.errors import (
    DatabaseError,
    MergeConflict,
    MismatchError,
    NotFoundError,
    SchemaOutdated,
    UsageError,
    command_line,
)
from catalog.queries.verification import of_rows
from catalog.store.combining import copy_entries, merge
from catalog.store.handle import Handle
from catalog.store.writing import writing
from catalog.tables import bulk_tables, table_named
from tests.store import combinable, parts
from tests.store.killing import AFTER_RENAMED, BEFORE_RENAMED, Moment, killed
from tests.store.parts import Part
from tests.support import Answer, execute, fingerprint, held, public_rows, query

Build = Callable[..., Path]
P = {"p": "first text"}
Q = {"q": "another text"}


@pytest.fixture(scope="module")
def ingested(once: Callable[..., Path]) -> Path:
    return once("combinable", combinable.make)


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """`build(name, alias=Part(...), ...)`: a catalog of these parts."""

    def make(name: str, **entries: Part) -> Path:
        return parts.build(tmp_path / f"{name}.duckdb", entries)

    return make


def refusal(*sources: Path) -> str:
    target = sources[0].with_name("merged.duckdb")
    with pytest.raises(MergeConflict) as refused:
        merge(sources, target)
    assert not target.exists()
    return refused.value.message(command_line)


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_two_catalogs_merged_are_one_that_ingested_both(
    ingested: Path, tmp_path: Path, order: str
) -> None:
    target = tmp_path / "merged.duckdb"
    combined = merge([ingested / f"{name}.duckdb" for name in order], target)
    assert combined.aliases == ("x", "y")
    assert combined.n_bytes == target.stat().st_size
    expected = public_rows(ingested / "together.duckdb")
    # Neither has experts, nor is part of a series; test_experts and test_series merge those.
    assert all(rows for view, rows in expected.items() if view not in ("router_tokens", "drifts"))
    assert public_rows(target) == expected
    for model in combined.aliases:
        assert all(of_rows(Handle(target), model).rows["agree"].to_pylist())


def test_rows_lie_in_the_order_in_which_an_ingest_loads_them(
    ingested: Path, tmp_path: Path
) -> None:
    target = tmp_path / "merged.duckdb"
    merge([ingested / "b.duckdb", ingested / "a.duckdb"], target)
    rows = "select r.stage, m.alias, r.corpus_id is null, t.* exclude (run_id) from {} t " + (
        "join ingest_run r using (run_id) join model m using (model_id) "
        "where m.alias = $1 and r.corpus_id is null order by t.rowid"
    )
    for table in ("neuron", "top_token", "attention_score"):
        for model in "xy":
            sql = rows.format(table)
            assert query(target, sql, model) == query(ingested / "together.duckdb", sql, model)
    for table in bulk_tables():
        if table_named(table).parted_by == "layer":
            stored = query(target, f"select run_id, layer from {table} order by rowid")
            assert stored == sorted(stored)


def test_what_is_shared_is_stored_once(ingested: Path, tmp_path: Path) -> None:
    target = tmp_path / "merged.duckdb"
    merge([ingested / "a.duckdb", ingested / "b.duckdb"], target)
    for table in ("vocabulary", "token", "corpus", "context"):
        count = f"select count(*) from {table}"
        assert query(target, count) == query(ingested / "together.duckdb", count)


def test_a_merged_catalog_goes_on_as_any_other(ingested: Path, tmp_path: Path) -> None:
    """Nothing is done twice, and new ids do not meet old ones."""
    for name in ("x", "y", "p.txt", "q.txt"):
        (tmp_path / name).symlink_to(ingested / name)
    target = tmp_path / "merged.duckdb"
    merge([ingested / "a.duckdb", ingested / "b.duckdb"], target)
    combinable.add(target, "x", combinable.WEIGHTS, "p")
    expected = public_rows(ingested / "together.duckdb")
    assert public_rows(target) == expected
    combinable.add(target, "y", ("weights",), force=True)
    shown = public_rows(target)
    del shown["ingest_runs"], expected["ingest_runs"]
    # What was computed from the weights of before goes with them.
    for view in ("attributions", "wires", "twins"):
        expected[view] = [row for row in expected[view] if row[0] != "y"]
    assert shown == expected


entries = st.dictionaries(
    st.sampled_from("xy"),
    st.builds(
        Part,
        n_stages=st.integers(0, 2),
        corpora=st.sampled_from([{}, P, Q, P | Q]),
    ),
    min_size=1,
)


@pytest.mark.slow
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(held_in=st.lists(entries, min_size=2, max_size=3))
def test_any_parts_in_any_order_make_the_whole(
    tmp_path_factory: pytest.TempPathFactory, held_in: list[dict[str, Part]]
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    sources = [parts.build(folder / f"{at}.duckdb", each) for at, each in enumerate(held_in)]
    whole: dict[str, Part] = {}
    for each in held_in:
        for alias, part in each.items():
            known = whole.get(alias, Part(n_stages=0))
            stages = max(part.n_stages, known.n_stages)
            whole[alias] = Part(stages, {**known.corpora, **part.corpora})
    merge(sources, folder / "forward.duckdb")
    merge(sources[::-1], folder / "backward.duckdb")
    expected = public_rows(parts.build(folder / "whole.duckdb", whole))
    assert public_rows(folder / "forward.duckdb") == expected
    assert public_rows(folder / "backward.duckdb") == expected
    shutil.rmtree(folder)


def test_a_stage_that_both_hold_is_taken_once(build: Build) -> None:
    a, b = build("a", x=Part(2, P)), build("b", x=Part(2, P | Q))
    target = a.with_name("merged.duckdb")
    merge([a, b], target)
    assert public_rows(target) == public_rows(b)
    assert query(target, "select stage, count(*) from ingest_run group by all order by all") == [
        ("activations", 2),
        ("vocab", 1),
        ("weights", 1),
    ]


@pytest.mark.parametrize("changed", [Part(fingerprint="other"), Part(weights="raw")])
def test_an_alias_of_two_checkpoints_is_a_conflict(build: Build, changed: Part) -> None:
    a, b = build("a", x=Part()), build("b", x=changed)
    said = refusal(a, b)
    for part in ("x stands for two things", str(a), str(b), "org/x", "catalog drop x", "--alias"):
        assert part in said


def test_a_corpus_name_for_other_contexts_is_a_conflict(build: Build) -> None:
    a, b = build("a", x=Part(1, P)), build("b", x=Part(1, {"p": "quite another"}))
    said = refusal(a, b)
    for part in ("x: the corpus 'p'", str(a), str(b), "--corpus p", "--corpus-name"):
        assert part in said


def test_contexts_under_two_names_are_a_conflict(build: Build) -> None:
    a, b = build("a", x=Part(1, P)), build("b", x=Part(1, {"other": P["p"]}))
    said = refusal(a, b)
    for part in ("'p' in", "'other' in", str(a), str(b), "--corpus-name"):
        assert part in said


def test_other_parameters_of_a_stage_are_a_conflict(build: Build) -> None:
    a, b = build("a", x=Part(2, k=2)), build("b", x=Part(2, k=3))
    said = refusal(a, b)
    for part in ("x: the stage vocab", f"{a} (top_tokens 2)", f"{b} (top_tokens 3)"):
        assert part in said


def test_other_rows_of_a_stage_are_a_conflict(build: Build) -> None:
    a, b = build("a", x=Part(cosine=0.5)), build("b", x=Part(cosine=0.25))
    said = refusal(a, b)
    for part in ("x: the stage weights has other rows (neuron)", str(a), str(b)):
        assert part in said


def test_other_activations_on_the_same_contexts_are_a_conflict(build: Build) -> None:
    a, b = build("a", x=Part(1, P)), build("b", x=Part(1, P))
    with writing(b) as connection:
        rows = {"activation_stat": parts._driven(99)["activation_stat"]}
        parts.load(connection, 1, "activations", rows, 1, {})
    assert "x: the stage activations on p has other rows" in refusal(a, b)


def test_other_vocabularies_of_a_checkpoint_are_a_conflict(build: Build) -> None:
    a = build("a", x=Part(1, P, vocabulary="old"))
    b = build("b", x=Part(1, Q, vocabulary="new"))
    assert "other tokenizers" in refusal(a, b)


def test_rows_without_a_digest_are_never_taken_for_the_same(build: Build) -> None:
    a, b = build("a", x=Part()), build("b", x=Part())
    execute(b, "update ingest_run set notes = '{}'")
    assert "cannot be compared" in refusal(a, b)


def test_all_conflicts_are_named_at_once(build: Build) -> None:
    a = build("a", x=Part(), y=Part(2), z=Part(1, P))
    b = build("b", x=Part(fingerprint="other"), y=Part(2, k=3), z=Part(1, {"p": "changed"}))
    said = refusal(a, b)
    assert said.count("\n  - ") == 3


def test_a_conflict_leaves_the_folder_as_it_was(build: Build) -> None:
    a, b = build("a", x=Part(cosine=0.5)), build("b", x=Part(cosine=0.25))
    before = fingerprint(a.parent)
    refusal(a, b)
    assert fingerprint(a.parent) == before


def test_unfinished_runs_are_left_behind_and_said(build: Build) -> None:
    a, b = build("a", x=Part()), build("b", y=Part())
    expected = public_rows(a)["neurons"] + public_rows(b)["neurons"]
    with writing(b) as connection:
        rows = {"top_token": parts._top_tokens(2)}
        parts.load(connection, 1, "vocab", rows, None, {}, finish=False)
    combined = merge([a, b], a.with_name("c.duckdb"))
    (sentence,) = combined.left_behind
    assert "y: stage vocab" in sentence
    assert str(b) in sentence
    assert public_rows(a.with_name("c.duckdb"))["neurons"] == expected
    assert query(a.with_name("c.duckdb"), "select count(*) from top_token") == [(0,)]


def test_rows_that_were_changed_after_the_load_are_refused(build: Build) -> None:
    a, b = build("a", x=Part()), build("b", y=Part())
    execute(b, "update neuron set cos_gate_in = 0 where layer = 1")
    with pytest.raises(MismatchError, match="stage weights of y") as refused:
        merge([a, b], a.with_name("c.duckdb"))
    assert "catalog verify y" in str(refused.value)
    assert not a.with_name("c.duckdb").exists()
    assert not a.with_name("c.duckdb.unfinished").exists()


def test_notes_never_become_sql(build: Build) -> None:
    a, b = build("a", x=Part()), build("b", y=Part())
    execute(
        b,
        "update ingest_run set notes = replace(notes, 'cos_gate_in', '1); drop table model; --')",
    )
    with pytest.raises(MismatchError):
        merge([a, b], a.with_name("c.duckdb"))


@pytest.mark.parametrize("taken", ["c.duckdb", "c.duckdb.wal"])
def test_what_exists_is_never_overwritten(build: Build, taken: str) -> None:
    a, b = build("a", x=Part()), build("b", y=Part())
    a.with_name(taken).write_text("mine")
    with pytest.raises(DatabaseError, match=r"exists already.*Name another one"):
        merge([a, b], a.with_name("c.duckdb"))
    assert a.with_name(taken).read_text() == "mine"


def test_a_catalog_named_twice_is_wrong_usage(build: Build) -> None:
    a = build("a", x=Part())
    link = a.with_name("link.duckdb")
    link.symlink_to(a)
    with pytest.raises(UsageError):
        merge([a, link], a.with_name("c.duckdb"))


def test_an_older_schema_says_how_to_upgrade(build: Build) -> None:
    a, b = build("a", x=Part()), build("b", y=Part())
    execute(b, "update alembic_version set version_num = '0001'")
    with pytest.raises(SchemaOutdated, match=f"catalog upgrade --db {b}"):
        merge([a, b], a.with_name("c.duckdb"))


@pytest.mark.parametrize(
    "harm",
    [
        "drop table exemplar",
        "insert into current_rows values ('nonsense', 1, 1, null)",
        "insert into current_rows values ('top_token', 1, 99, null)",
        "update ingest_run set corpus_id = 99",
        "update ingest_run set parameters = 'no json'",
        "update ingest_run set notes = '[1]'",
    ],
)
def test_a_catalog_that_contradicts_itself_is_refused(build: Build, harm: str) -> None:
    a, b = build("a", x=Part()), build("b", y=Part())
    execute(b, harm)
    with pytest.raises(DatabaseError, match=str(b)):
        merge([a, b], a.with_name("c.duckdb"))
    assert not a.with_name("c.duckdb").exists()


def test_inputs_may_be_read_meanwhile_and_are_not_changed(build: Build) -> None:
    a, b = build("a", x=Part()), build("b", y=Part())
    before = {each: each.read_bytes() for each in (a, b)}
    with held(a, "read"):
        merge([a, b], a.with_name("c.duckdb"))
    assert {each: each.read_bytes() for each in (a, b)} == before


@pytest.mark.slow
def test_killed_at_any_moment_a_merge_leaves_no_half_catalog(build: Build) -> None:
    a, b = build("a", x=Part(2, P)), build("b", x=Part(1, Q), y=Part(2))
    before = [a.read_bytes(), b.read_bytes()]
    copying, files = "catalog.store.copying", "catalog.store.whole_files"
    moments = [
        Moment(copying, "_copy", 1),
        Moment(copying, "_copy", 9),
        Moment(copying, "_compare", 9),
        Moment(files, "_sync", BEFORE_RENAMED),
    ]
    targets = [a.with_name(f"c{at}.duckdb") for at in range(len(moments))]
    runs = [
        (moment, ["merge", a, b, "--into", target])
        for moment, target in zip(moments, targets, strict=True)
    ]
    assert killed(runs) == [-9] * len(moments)
    assert [a.read_bytes(), b.read_bytes()] == before
    merge([a, b], a.with_name("undisturbed.duckdb"))
    expected = public_rows(a.with_name("undisturbed.duckdb"))
    for target in targets:
        assert not target.exists()
        assert target.with_name(f"{target.name}.unfinished").exists()
        merge([a, b], target)
        assert public_rows(target) == expected
        assert list(target.parent.glob(f"{target.name}.unfinished*")) == []


def test_a_merge_killed_after_its_last_step_is_whole(build: Build) -> None:
    a, b = build("a", x=Part()), build("b", y=Part())
    target = a.with_name("c.duckdb")
    moment = Moment("catalog.store.whole_files", "_sync", AFTER_RENAMED)
    assert killed([(moment, ["merge", a, b, "--into", target])]) == [-9]
    shown = public_rows(target)["neurons"]
    assert shown == public_rows(a)["neurons"] + public_rows(b)["neurons"]


def test_some_entries_are_copied_with_all_that_they_refer_to(build: Build) -> None:
    a = build("a", x=Part(2, P | Q), y=Part(1, P), z=Part(2))
    target = a.with_name("some.duckdb")
    assert copy_entries(Handle(a), target, ["z", "x"]).aliases == ("x", "z")
    expected = {
        view: [row for row in rows if "y" not in row] for view, rows in public_rows(a).items()
    }
    assert public_rows(target) == expected
    assert query(target, "select count(*) from corpus") == [(2,)]


def test_entries_that_are_not_there_are_named(build: Build) -> None:
    a = build("a", x=Part(), y=Part())
    with pytest.raises(NotFoundError, match=r"no model 'z'. There is: x, y"):
        copy_entries(Handle(a), a.with_name("c.duckdb"), ["x", "z"])
    assert not a.with_name("c.duckdb").exists()


def test_the_command_says_what_it_made(build: Build, cli: Callable[..., Answer]) -> None:
    a, b = build("a", x=Part()), build("b", y=Part())
    target = a.with_name("c.duckdb")
    answer = cli("merge", a, b, "--into", target)
    assert (answer.code, answer.out) == (0, "")
    assert f"{target}: " in answer.err
    assert answer.err.endswith("with x, y\n")
    assert cli("merge", a, b, "--into", target).code == 6


def test_conflicts_are_one_message_of_the_command(build: Build, cli: Callable[..., Answer]) -> None:
    a, b = build("a", x=Part(cosine=0.5)), build("b", x=Part(cosine=0.25))
    answer = cli("merge", a, b, "--into", a.with_name("c.duckdb"))
    assert (answer.code, answer.out) == (6, "")
    assert answer.err.startswith("Error: These catalogs do not go together; nothing was written.")
