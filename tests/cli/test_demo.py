"""The demo, as its user meets it: ingested once with a few contexts, then shown, run, verified."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

import catalog
from tests.support import Answer

MAX_TOKENS = 12_000
NEURON, OTHER = "3.161", "demo:0.12"
TEXT = "read(self, size) returns bytes."
OPTIONS = ("--max-tokens", MAX_TOKENS, "--exemplars", 4, "--device", "cpu", "--yes")


@pytest.fixture(scope="session")
def demo(once: Callable[..., Path]) -> Path:
    from catalog.cli.main import run

    def make(folder: Path) -> None:
        db = folder / "demo.duckdb"
        assert run([str(each) for each in ("ingest", "demo", *OPTIONS, "--db", db)]) == 0

    return once("demo", make) / "demo.duckdb"


@pytest.fixture
def copy(demo: Path, tmp_path: Path) -> Path:
    target = tmp_path / "copy.duckdb"
    target.write_bytes(demo.read_bytes())
    return target


def rows(db: Path, sql: str) -> list[tuple[Any, ...]]:
    return catalog.open(db).sql(sql).fetchall()


def test_every_stage_is_there_and_nothing_is_left_beside_the_file(demo: Path) -> None:
    found = rows(demo, "select stage, status from ingest_runs order by run_id")
    assert found == [(stage, "finished") for stage in ("weights", "vocab", "roles", "activations")]
    assert {path.name for path in demo.parent.iterdir()} <= {demo.name, f"{demo.name}.lock"}


def test_every_neuron_has_four_cases_and_shares_that_sum_to_one(demo: Path) -> None:
    ((n, lowest, highest),) = rows(
        demo,
        "select count(*), min(total), max(total) from (select sum(frequency) as total, count(*) "
        "as n from activation_stats group by layer, neuron having n = 4)",
    )
    assert n == 4 * 512
    # gate or in being exactly zero is in no case, and all but never happens.
    assert 0.999 < lowest <= highest <= 1 + 1e-9


def test_exemplars_are_ranked_and_of_their_sign_case(demo: Path) -> None:
    ((wrong,),) = rows(
        demo,
        """
        select count(*) from exemplars
        where sign_case != (case when x_gate > 0 then 'gate+' else 'gate-' end)
                || (case when x_in > 0 then '_in+' else '_in-' end)
            or len(window_tokens) != len(window_post)
            or not contains(text, window_tokens[position - window_start + 1])
        """,
    )
    ((unordered,),) = rows(
        demo,
        "select count(*) from (select abs(post) as p, lag(abs(post)) over (partition by layer, "
        "neuron, sign_case order by rank) as before from exemplars) where p > before",
    )
    assert (wrong, unordered) == (0, 0)


def test_the_peak_token_stands_in_the_text(demo: Path) -> None:
    pairs = rows(
        demo,
        "select token, window_tokens[position - window_start + 1] from exemplars "
        "where token not like '%<0x%' using sample 500 rows (reservoir, 1)",
    )
    assert all(token == piece for token, piece in pairs)


def test_show_says_all_of_it(cli: Callable[..., Answer], demo: Path) -> None:
    answer = cli("show", NEURON, "--db", demo)
    assert answer.code == 0
    for said in (
        "IO class ",
        "role ",
        "Weight cosines",
        "Top tokens",
        "Activations on demo",
        "gate+ in+",
    ):
        assert said in answer.out
    record = json.loads(cli("show", NEURON, "--json", "--db", demo).out)
    assert set(record["cases"]) == {"gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-"}
    assert len(record["cases"]["gate+_in+"]["exemplars"]) == 4


def test_run_shades_a_text_and_stores_nothing(cli: Callable[..., Answer], demo: Path) -> None:
    before = demo.read_bytes()
    answer = cli("run", TEXT, "--neuron", NEURON, "--format", "json")
    assert answer.code == 6  # no catalog.duckdb here
    answer = cli("run", TEXT, "--neuron", NEURON, "--db", demo, "--format", "json")
    values = json.loads(answer.out)
    assert "".join(row["token"] for row in values[1:]) == TEXT
    peak = max(values, key=lambda row: abs(row["post"]))
    assert peak["token"] == "self"
    top = cli("run", "Call x", "--top", 2, "--db", demo, "--format", "json")
    assert [row["rank"] for row in json.loads(top.out)][:2] == [1, 2]
    assert all(row["io_class"] for row in json.loads(top.out))
    assert demo.read_bytes() == before


def test_run_shows_a_character_of_several_tokens_once(
    cli: Callable[..., Answer], demo: Path
) -> None:
    answer = cli("run", "é 漢字 🙂 the", "--neuron", NEURON, "--db", demo)
    assert answer.code == 0
    line = answer.out.splitlines()[1]
    assert re.sub("[«»]", "", line) == "<|start|>é 漢字 🙂 the"


def test_run_refuses_what_is_no_text(cli: Callable[..., Answer], demo: Path) -> None:
    answer = cli("run", "caf\udce9", "--neuron", NEURON, "--db", demo)
    assert answer.code == 2 and "no valid Unicode" in answer.err


def test_verify_agrees_then_fails_loudly_on_a_changed_row(
    cli: Callable[..., Answer], copy: Path
) -> None:
    assert cli("verify", "--rows", "--exemplars", 8, "--device", "cpu", "--db", copy).code == 0
    with duckdb.connect(str(copy)) as connection:
        connection.execute("update exemplar set post = post * 1.5")
    assert cli("verify", "--db", copy).code == 8
    answer = cli("verify", "--exemplars", 4, "--device", "cpu", "--db", copy)
    assert answer.code == 8
    assert "neuron" in answer.err


def test_of_two_corpora_the_largest_is_shown_and_the_other_named(
    cli: Callable[..., Answer], copy: Path, tmp_path: Path
) -> None:
    text = tmp_path / "letters.txt"
    text.write_text("The method __init__ is called first. " * 20)
    options = ("--stages", "activations", "--device", "cpu", "--db", copy)
    assert cli("ingest", "demo", "--corpus", text, *options).code == 0
    shown = cli("show", NEURON, "--db", copy).out
    assert "Activations on demo" in shown and "letters" in shown
    assert "Activations on letters" in cli("show", NEURON, "--corpus", "letters", "--db", copy).out
    again = cli("ingest", "demo", "--corpus", text, "--corpus-name", "other", *options)
    assert (again.code, "'letters'" in again.err) == (4, True)
    text.write_text("Something else altogether, under the same name.")
    changed = cli("ingest", "demo", "--corpus", text, *options)
    assert (changed.code, "changed" in changed.err) == (4, True)
    assert rows(copy, "select corpus from corpora order by corpus") == [("demo",), ("letters",)]


def test_find_and_compare(cli: Callable[..., Answer], demo: Path) -> None:
    answer = cli(
        "find", "--token", ")", "--vector", "out", "--sign", "-", "--layer", "3",
        "--db", demo, "--format", "json",
    )  # fmt: skip
    assert NEURON in [row["neuron_id"] for row in json.loads(answer.out)]
    compared = cli("compare", NEURON, OTHER, "--db", demo, "--format", "json")
    first = json.loads(compared.out)[0]
    assert first[f"demo:{NEURON}"] == first[OTHER] == "demo"


def test_published_counts_are_of_other_models(cli: Callable[..., Answer], demo: Path) -> None:
    answer = cli("verify", "--published", "--db", demo)
    assert (answer.code, "OLMo-7B-0424" in answer.err) == (3, True)
