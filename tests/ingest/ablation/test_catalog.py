"""Ablations in a catalog: rows, ids, repeats, kills, drop, merge, compact, lake, verify."""

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

import catalog
from catalog.errors import HintPart
from catalog.ingest.ablation.ablating import ablate
from catalog.ingest.ablation.request import AblateOutcome
from catalog.ingest.ablation.subsets import SubsetSpec
from catalog.ingest.engines.choosing import EngineChoice
from catalog.ingest.progress import Silent
from catalog.store.combining import merge
from catalog.store.compacting import compact
from catalog.store.handle import Handle
from catalog.store.lake.exporting import export_lake
from catalog.store.lake.source import SourceRows
from catalog.store.staging import staging_root
from tests.ingest import processes
from tests.ingest.ablation import catalogs
from tests.ingest.ablation.catalogs import FEW, SOME, request
from tests.support import Answer, public_rows, query

ABLATED = ("ablations", "ablation_effects", "ablation_differences", "ablation_positions")


@pytest.fixture(scope="module")
def made(once: Callable[..., Path]) -> Path:
    """A folder with a catalog without ablations."""
    return once("ablated", catalogs.make)


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made / "c.duckdb", tmp_path / "c.duckdb"))


@pytest.fixture(scope="module")
def done(made: Path, once: Callable[..., Path]) -> tuple[Path, AblateOutcome]:
    """A catalog with two subsets, zero and mean, not to be written to."""

    def make(folder: Path) -> None:
        shutil.copy(made / "c.duckdb", folder / "c.duckdb")
        ablate(both(folder / "c.duckdb"), Silent())

    path = once("ablated_twice", make) / "c.duckdb"
    return path, ablate(both(Path(shutil.copy(path, path.with_name("again.duckdb")))), Silent())


def both(db: Path, **changed: Any) -> Any:
    return request(db, SOME, FEW, kinds=("zero", "mean"), **changed)


def ablated_rows(db: Path) -> dict[str, list[Any]]:
    rows = public_rows(db)
    return {view: rows[view] for view in ABLATED}


def test_the_views_say_what_was_done(done: tuple[Path, AblateOutcome]) -> None:
    db, outcome = done
    rows = query(
        db,
        "select ablation_id, subset, n_neurons, kind, baseline, draw, n_matched, n_unmatched "
        "from ablations order by kind desc, subset, baseline = 'none' desc, baseline desc, draw",
    )
    assert len(set(outcome.ids)) == 4
    assert {row[0] for row in rows} == set(outcome.ids)
    assert [row[1:] for row in rows[5:10]] == [
        ("where layer in (0, 2) and neuron < 5", 10, "zero", "none", 0, None, None),
        *(
            ("where layer in (0, 2) and neuron < 5", 10, "zero", baseline, draw, 10, 0)
            for baseline in ("layer", "frequency")
            for draw in (1, 2)
        ),
    ]
    effects = query(
        db,
        "select count(*), count(distinct (ablation_id, baseline, draw, metric)), "
        "bool_and(min <= q25 and q25 <= median and median <= q75 and q75 <= max), "
        "bool_and(mean between min and max), sum(n_nonfinite) from ablation_effects",
    )
    assert effects == [(4 * 5 * 4, 4 * 5 * 4, True, True, 0)]
    differences = query(
        db,
        "select bool_and(abs(d.difference - (s.mean - b.mean)) < 1e-9), "
        "bool_and(low <= high), count(*) from ablation_differences d "
        "join ablation_effects s on s.ablation_id = d.ablation_id and s.metric = d.metric "
        "and s.baseline = 'none' join (select ablation_id, metric, baseline, avg(mean) as mean "
        "from ablation_effects group by all) b on b.ablation_id = d.ablation_id "
        "and b.metric = d.metric and b.baseline = d.baseline",
    )
    assert differences == [(True, True, 4 * 2 * 4)]


def test_positions_are_the_largest_and_have_their_tokens(
    done: tuple[Path, AblateOutcome],
) -> None:
    db, outcome = done
    found = catalog.open(db)
    for at in outcome.ids:
        (extremes,) = query(
            db,
            "select max, min from ablation_effects "
            "where ablation_id = $1 and baseline = 'none' and metric = 'loss'",
            at,
        )
        places = found.ablation_places(at).arrow().to_pylist()
        assert [row["rank"] for row in places] == [1, 2, 3, 1, 2, 3]
        assert (places[0]["effect"], places[3]["effect"]) == extremes
        for row in places:
            (stored,) = query(
                db,
                "select text from contexts where context_id = $1",
                row["context_id"],
            )
            assert row["text"] in stored[0]
            assert (row["text"] + row["next_token"]) in stored[0] or "日" in stored[0]


def test_a_repeat_changes_nothing_and_says_so(
    done: tuple[Path, AblateOutcome], tmp_path: Path
) -> None:
    db = Path(shutil.copy(done[0], tmp_path / "c.duckdb"))
    before = public_rows(db)
    progress = Notes()
    again = ablate(both(db, n_draws=3), progress)
    assert again.ids == done[1].ids
    assert {each.status for each in again.outcomes} == {"unchanged"}
    assert sum("with draws 2 instead of 3" in each for each in progress.said) == 4
    assert public_rows(db) == before
    assert not staging_root(db).exists()
    ablate(both(db, force=True), Silent())
    assert ablated_rows(db) == {view: before[view] for view in ABLATED}
    ablate(both(db, force=True, n_draws=3), Silent())
    assert query(db, "select max(draw), count(*) from ablations") == [(3, 4 * 7)]


def test_a_new_subset_joins_those_that_are_there(
    done: tuple[Path, AblateOutcome], tmp_path: Path
) -> None:
    db = Path(shutil.copy(done[0], tmp_path / "c.duckdb"))
    before = ablated_rows(db)
    third = SubsetSpec(neurons=("2.40",))
    ablate(request(db, FEW, third, baselines=()), Silent())
    after = ablated_rows(db)
    assert all(set(map(str, before[view])) <= set(map(str, after[view])) for view in ABLATED)
    assert query(db, "select count(distinct ablation_id) from ablations") == [(5,)]


class Notes(Silent):
    """Collects what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.begun: dict[str, int] = {}

    def note(self, said: str, *hint: HintPart) -> None:
        self.said.append(said)

    def begin(self, title: str, total: int, done: int = 0) -> None:
        self.begun[title] = done


class StopAfter(Notes):
    """Raises when so many units of the pass are through."""

    def __init__(self, n_units: int) -> None:
        super().__init__()
        self.left = n_units

    def advance(self, units: int = 1) -> None:
        if list(self.begun)[-1] == "ablation":
            self.left -= units
            if self.left == 0:
                raise KeyboardInterrupt


def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    from catalog.ingest.ablation import passes

    monkeypatch.setattr(passes.AblationJob, "tokens_per_batch", 256)


def test_an_interrupted_pass_is_carried_on(
    db: Path, done: tuple[Path, AblateOutcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    n_units = -(-query(db, "select n_tokens from corpora")[0][0] // 2048)
    assert n_units >= 1
    with pytest.raises(KeyboardInterrupt):
        ablate(both(db), StopAfter(1))
    assert not any(ablated_rows(db).values())
    progress = Notes()
    outcome = ablate(both(db), progress)
    assert progress.begun["ablation"] == 1
    assert [each.status for each in outcome.outcomes] == ["resumed", *["finished"] * 3]
    assert ablated_rows(db) == ablated_rows(done[0])


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_rows(
    db: Path, done: tuple[Path, AblateOutcome], tmp_path: Path
) -> None:
    arguments = (
        "ablate", "tiny", "--where", SOME.where, "--neurons", "1.3,1.7", "--kind", "zero,mean",
        "--draws", 2, "--device", "cpu", "--checkpoint-every", 0, "--db", db,
    )  # fmt: skip
    for wait_s in (3.0, 5.0, 7.0):
        process = processes.start(tmp_path / "log", *arguments)
        time.sleep(wait_s)
        if process.is_alive() and process.pid is not None:
            os.kill(process.pid, signal.SIGKILL)
        process.join()
    processes.finished(tmp_path / "log", *arguments)
    wanted = ablated_rows(done[0])
    assert [len(rows) for rows in ablated_rows(db).values()] == [
        len(rows) if view != "ablation_positions" else 4 * 4 * 2 * 16
        for view, rows in wanted.items()
    ]
    assert ablated_rows(db)["ablation_effects"] == wanted["ablation_effects"]


@pytest.mark.slow
def test_two_ray_workers_of_which_one_is_killed_give_the_same_rows(
    db: Path, done: tuple[Path, AblateOutcome]
) -> None:
    killed: list[psutil.Process] = []

    class Killing(Notes):
        def advance(self, units: int = 1) -> None:
            if not killed and list(self.begun)[-1] == "ablation":
                below = psutil.Process().children(recursive=True)
                hosts = [each for each in below if each.name().startswith("ray::Host")]
                killed.append(hosts[0])
                hosts[0].send_signal(signal.SIGKILL)

    ablate(both(db, engine=EngineChoice("ray", None, 2)), Killing())
    assert killed
    assert ablated_rows(db) == ablated_rows(done[0])


def test_one_ablation_can_be_dropped(
    done: tuple[Path, AblateOutcome], tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    db = Path(shutil.copy(done[0], tmp_path / "c.duckdb"))
    before = public_rows(db)
    gone = done[1].ids[1]
    answer = cli("drop", "--ablation", "0123", "--yes", "--db", db)
    assert answer.code == 3
    assert gone in answer.err
    answer = cli("drop", "--ablation", gone, "--yes", "--db", db)
    assert answer.code == 0, answer.err
    assert f"the ablation {gone} of tiny" in answer.err
    after = public_rows(db)
    assert after == {
        view: [row for row in rows if gone not in row] for view, rows in before.items()
    }
    tables = ("ablation", "ablation_effect", "ablation_difference", "ablation_position")
    for table in tables:
        assert query(db, f"select count(distinct run_id) from {table}") == [(3,)]
    assert cli("drop", "--yes", "--db", db).code == 2
    assert cli("drop", "tiny", "--corpus", "words", "--yes", "--db", db).code == 0
    assert not any(ablated_rows(db).values())


def test_merge_compact_and_lake_keep_ablations(
    made: Path, done: tuple[Path, AblateOutcome], tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    """Of two catalogs with different ablations of one entry, both go into the new one; twice the
    same is once."""
    one, other = tmp_path / "one.duckdb", tmp_path / "other.duckdb"
    for path, subset in ((one, SOME), (other, FEW)):
        shutil.copy(made / "c.duckdb", path)
        ablate(request(path, subset, kinds=("zero", "mean")), Silent())
    expected = ablated_rows(done[0])
    for order in ((one, other), (other, one)):
        target = tmp_path / f"{order[0].stem}_first.duckdb"
        merge(order, target)
        assert ablated_rows(target) == expected
        again = tmp_path / f"{order[0].stem}_again.duckdb"
        merge([target, one], again)
        assert ablated_rows(again) == expected
        assert query(again, "select count(*) from current_rows") == query(
            target, "select count(*) from current_rows"
        )
    compact(Handle(target))
    assert ablated_rows(target) == expected
    answer = cli("verify", "tiny", "--rows", "--db", target)
    assert answer.code == 0, answer.err
    export_lake(SourceRows(Handle(target)), tmp_path / "lake")
    lake = catalog.open(tmp_path / "lake")
    for view in ABLATED:
        assert len(lake.sql(f"from {view}")) == len(expected[view])


def test_the_same_ablation_of_other_rows_is_a_conflict(
    done: tuple[Path, AblateOutcome], tmp_path: Path
) -> None:
    from catalog.errors import MergeConflict

    db = Path(shutil.copy(done[0], tmp_path / "c.duckdb"))
    ablate(request(db, FEW, kinds=("zero",), n_draws=4, force=True), Silent())
    with pytest.raises(MergeConflict, match="drop --ablation"):
        merge([done[0], db], tmp_path / "merged.duckdb")
