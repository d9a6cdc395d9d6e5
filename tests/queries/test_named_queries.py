"""Named queries: every one documented, ordered, and running on any catalog."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import NotFoundError, UsageError
from catalog.queries import NamedQuery, listing, named_query, query_names
from catalog.store.handle import Handle
from catalog.store.reading import fetch
from catalog.store.upgrading import ensure_catalog
from tests.support import Answer

GIVEN = {
    "token": " again",
    "neuron": "28.4737",
    "model": "alpha",
    "text": "again",
    "corpus": "web",
    "context": "0",
}
"""Values for the parameters that have no default."""


def settings(query: NamedQuery) -> list[str]:
    return [f"{each.name}={GIVEN[each.name]}" for each in query.parameters if each.required]


def answer_of(path: Path, name: str, *more: str) -> list[dict[str, Any]]:
    query = named_query(name)
    given = {each.partition("=")[0]: each for each in (*settings(query), *more)}
    values = query.bound(list(given.values()))
    rows: list[dict[str, Any]] = fetch(path, query.sql, values).to_pylist()
    return rows


@pytest.fixture(scope="module")
def empty(once: Callable[..., Path]) -> Path:
    folder = once("empty", lambda folder: ensure_catalog(Handle(folder / "empty.duckdb")))
    return folder / "empty.duckdb"


@pytest.mark.parametrize("name", query_names())
def test_a_query_runs_on_an_empty_catalog(empty: Path, name: str) -> None:
    assert answer_of(empty, name) == []


@pytest.mark.parametrize("name", query_names())
def test_a_query_answers_on_a_catalog_with_what_it_needs(known: Path, name: str) -> None:
    rows = answer_of(known, name)
    assert rows or "-- needs: " in named_query(name).sql


@pytest.mark.parametrize("name", query_names())
def test_a_query_can_be_kept_to_one_model(known: Path, name: str) -> None:
    if "model" in {parameter.name for parameter in named_query(name).parameters}:
        own = [row for row in answer_of(known, name) if row.get("model") == "alpha"]
        kept = answer_of(known, name, "model=alpha")
        assert {row["model"] for row in kept} <= {"alpha"}
        assert len(kept) >= len(own)


@pytest.mark.parametrize("name", query_names())
def test_a_query_is_documented(name: str) -> None:
    query = named_query(name)
    assert query.doc.endswith(".") and len(query.doc) > 20
    assert all(parameter.doc for parameter in query.parameters)


@pytest.mark.parametrize("name", query_names())
def test_a_query_has_an_order(name: str) -> None:
    """The rows of the outermost select come in an order of their own."""
    outermost = re.sub(r"--[^\n]*", "", named_query(name).sql)
    while re.search(r"\([^()]*\)", outermost):
        outermost = re.sub(r"\([^()]*\)", "", outermost)
    assert "order by" in outermost


@pytest.mark.parametrize("name", query_names())
def test_a_query_uses_the_parameters_it_names(name: str) -> None:
    query = named_query(name)
    body = re.sub(r"--[^\n]*", "", query.sql)
    assert set(re.findall(r"\$(\w+)", body)) == {p.name for p in query.parameters}


def test_the_listing_has_every_query(cli: Callable[..., Answer], tmp_path: Path) -> None:
    assert listing().column("query").to_pylist() == query_names()
    answer = cli("query", "--format", "csv", "--db", tmp_path / "none.duckdb")
    assert answer.code == 0
    assert [line.split(",")[0] for line in answer.out.splitlines()[1:]] == query_names()


def test_an_unknown_query_is_told_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="Did you mean classes"):
        named_query("clases")


@pytest.mark.parametrize("name", ["../classes", "own/models", "classes.sql", "", "/etc/passwd"])
def test_a_name_is_no_path(name: str) -> None:
    with pytest.raises(NotFoundError):
        named_query(name)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["threshold"], "KEY=VALUE"),
        (["treshold=0.4"], "treshold"),
        (["threshold=high"], "threshold=high"),
        (["threshold=0.4", "threshold=0.5"], "threshold is given more than once"),
    ],
)
def test_wrong_parameters_are_named(wrong: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        named_query("classes").bound(wrong)


WRONG = {
    "integer": ["-1", "2.5", "99999999999"],
    "double": ["nan", "inf", "x"],
    "fraction": ["7", "nan", "x"],
    "boolean": ["x"],
    "layer": ["-1", "99"],
    "neuron": ["28", "99.1", "28.999999"],
}
NAMES = ("vector", "basis", "sign", "sign_case", "role", "cosine", "model", "corpus")


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        (name, f"{parameter.name}={value}")
        for name in query_names()
        for parameter in named_query(name).parameters
        for value in WRONG.get(parameter.type, ["nonsense"] if parameter.type in NAMES else [])
    ],
)
def test_a_wrong_value_is_refused_and_not_answered_with_nothing(
    cli: Callable[..., Answer], known: Path, name: str, setting: str
) -> None:
    given = [f"-p{each}" for each in [*settings(named_query(name)), setting]]
    answer = cli("query", name, *given, "--db", known)
    assert answer.code in (2, 3), answer
    assert answer.err.startswith("Error: ") and answer.err.count("\n") == 1
    assert answer.out == ""


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (("--layer", "3-1"), 2),
        (("--layer", "99"), 3),
        (("-k", "99999999999"), 2),
        (("--model", "x"), 3),
    ],
)
def test_find_refuses_what_no_neuron_can_be(
    cli: Callable[..., Answer], known: Path, wrong: tuple[str, str], code: int
) -> None:
    assert cli("find", *wrong, "--db", known).code == code


def test_a_missing_parameter_is_named_with_the_command() -> None:
    with pytest.raises(UsageError, match=r"catalog query neurons_for_token -p token="):
        named_query("neurons_for_token").bound([])


def test_the_threshold_changes_the_classes(known: Path) -> None:
    def orthogonal(threshold: float) -> int:
        rows = answer_of(known, "classes", f"threshold={threshold}", "model=alpha")
        return sum(row["neurons"] for row in rows if row["io_class"] == "orthogonal output")

    assert (orthogonal(0.99), orthogonal(0.5), orthogonal(0.0)) == (6, 1, 0)


def test_a_token_is_found_with_its_space(cli: Callable[..., Answer], known: Path) -> None:
    def found(token: str) -> int:
        answer = cli("query", "neurons_for_token", "-p", f"token={token}", "-p", "vector=out",
                     "--format", "csv", "--db", known)  # fmt: skip
        return len(answer.out.splitlines()) - 1

    assert found(" again") > 0
    assert found("again") == 0


@pytest.mark.parametrize("cosine", ["cos_gate_in", "cos_gate_out", "cos_in_out"])
def test_extremes_are_the_extremes(known: Path, cosine: str) -> None:
    rows = answer_of(known, "extremes", f"cosine={cosine}", "model=alpha", "k=2")
    everything = (
        fetch(known, f"select {cosine} as c from neurons where model = 'alpha' order by c")
        .column("c")
        .to_pylist()
    )
    by_side = {
        side: [r[cosine] for r in rows if r["side"] == side] for side in ("highest", "lowest")
    }
    assert by_side == {"highest": everything[:-3:-1], "lowest": everything[:2]}
