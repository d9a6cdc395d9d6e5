"""`find`: neurons by token, with what matched, against the same rule in Python."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import catalog
from catalog.cli.commands.find import command as find_command
from catalog.errors import NotFoundError, UsageError
from catalog.sought import Sought
from catalog.taxonomy import CORPUS_ORDERS
from catalog.token_sets import TOKEN_SETS
from tests.support import Answer, query
from tests.synthetic import PIECES

WANTED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "digits": (("0", " 2024"), ("１", "a1", "1.5", "", "-")),
    "months": (("May", " June", "january", "MARCH"), (" may", "march", "Mayor", "Junes")),
    "weekdays": ((" Monday", "tuesday", "SUNDAYS"), ("Mon", "day", "Mondayish")),
    "quotes": (('"', " “", "''", "»"), ("'s", '".', "", " ")),
}


def found(known: Path, **sought: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = catalog.open(known).find(**sought).arrow().to_pylist()
    return rows


def expected(known: Path, pieces: set[str], **at: str) -> list[tuple[object, ...]]:
    """Lists that have any of these pieces: vector, basis, sign, best rank, its score, pieces."""
    lists: dict[tuple[str, str, str], list[tuple[int, float, str]]] = {}
    for vector, basis, sign, rank, score, token in query(
        known, "select vector, basis, sign, rank, score, token from top_tokens order by rank"
    ):
        here = {"vector": vector, "basis": basis, "sign": sign}
        if token in pieces and all(here[name] == value for name, value in at.items()):
            lists.setdefault((vector, basis, sign), []).append((rank, score, token))
    ordered = sorted(
        lists.items(),
        key=lambda item: (-len(item[1]), item[1][0][0], -abs(item[1][0][1]), item[0]),
    )
    return [(*key, *hits[0][:2], [hit[2] for hit in hits]) for key, hits in ordered]


def matches(rows: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    names = ("vector", "basis", "sign", "rank", "score", "tokens")
    return [tuple(row[name] for name in names) for row in rows]


@pytest.mark.parametrize("at", [{"basis": "unembed"}, {"basis": "embed", "sign": "-"}, {}])
@pytest.mark.parametrize("tokens", [[" again"], [" the", "界"], [" the", "absent", "\n", "\t"]])
def test_what_matched_is_shown_and_orders_the_rows(
    known: Path, tokens: list[str], at: dict[str, str]
) -> None:
    rows = found(known, token=tokens, **({"basis": "both"} | at))
    assert matches(rows) == expected(known, set(tokens), **at)
    assert all(row["n_tokens"] == len(row["tokens"]) for row in rows)
    assert {row["neuron_id"] for row in rows} == {"28.4737"}


@pytest.mark.parametrize(
    ("sought", "matching"),
    [
        ({"regex": "^ "}, lambda piece: piece.startswith(" ")),
        ({"regex": "AGAIN", "ignore_case": True}, lambda piece: "again" in piece),
        ({"regex": "AGAIN"}, lambda piece: False),
        ({"token": " AGAIN", "ignore_case": True}, lambda piece: piece == " again"),
        ({"regex": "bold|ve$", "token": " the"}, lambda piece: bool(re.search("bold|ve$", piece))
            or piece == " the"),
    ],
)  # fmt: skip
def test_regular_expressions_and_case(
    known: Path, sought: dict[str, Any], matching: Callable[[str], bool]
) -> None:
    pieces = {piece for piece in PIECES if matching(piece)}
    rows = found(known, **sought)
    assert matches(rows) == expected(known, pieces, basis="unembed")


@pytest.mark.parametrize("name", TOKEN_SETS)
def test_a_named_set_has_its_tokens_and_no_others(known: Path, name: str) -> None:
    inside, outside = WANTED[name]
    asked = "select regexp_matches($1, $2)"
    for token in inside:
        assert query(known, asked, token, TOKEN_SETS[name]) == [(True,)]
    for token in outside:
        assert query(known, asked, token, TOKEN_SETS[name]) == [(False,)]


def test_a_token_that_is_no_piece_gives_near_ones(cli: Callable[..., Answer], known: Path) -> None:
    answer = cli("find", "--token", "THE", "--token", " again", "--db", known, "--format", "csv")
    assert answer.code == 0
    assert "'THE' is no piece of the vocabulary of any model here. Near it: ' the'," in answer.err
    assert "again" in answer.out and "' again' is no piece" not in answer.err
    pieces = cli("find", "--regex", "^ ", "--db", known, "--format", "csv").err
    assert "3 pieces match: ' ', ' again', ' the'." in pieces


def test_several_classes_are_any_of_them(known: Path) -> None:
    asked = ["enrichment", "depletion"]
    rows = found(known, io_class=asked, k=100)
    classes = query(known, "select neuron_id, io_class from neurons where io_class is not null")
    assert {row["neuron_id"] for row in rows} == {n for n, io_class in classes if io_class in asked}
    assert found(known, token=" again", io_class="depletion") == []


@pytest.mark.parametrize(
    ("sought", "said"),
    [
        ({"regex": "("}, "'\\(' is no regular expression"),
        ({"token_set": "colours"}, "there is: digits, months, weekdays, quotes"),
        ({"ignore_case": True}, "is about tokens"),
        ({"io_class": ["enrichment", "none"]}, "io_class is 'none'"),
        ({"io_clas": "enrichment"}, "find takes no io_clas. It takes: model, io_class, "),
    ],
)
def test_what_cannot_be_sought_is_refused(known: Path, sought: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        found(known, **sought)


def test_a_pattern_that_nearly_every_piece_matches_is_refused(
    known: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("catalog.queries.finding._MOST_PIECES", len(PIECES) - 1)
    with pytest.raises(UsageError, match=f"{len(PIECES)} pieces of the vocabulary match"):
        found(known, regex="")


@pytest.mark.parametrize("list_file", ["/dev/zero", "/dev/null", "no.ids"])
def test_a_list_is_read_with_a_bound(
    cli: Callable[..., Answer], known: Path, list_file: str
) -> None:
    answer = cli("find", "--in", list_file, "--db", known)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.count("\n") <= 4


@pytest.mark.parametrize("order", CORPUS_ORDERS)
@pytest.mark.parametrize("smallest", [False, True])
def test_quantities_of_a_corpus_order_the_rows_and_are_shown(
    known: Path, order: str, *, smallest: bool
) -> None:
    source = {
        "frequency": "select neuron_id, sum(frequency) filter (sign_case like 'gate+%') "
        "from activation_stats join neurons using (model, layer, neuron) group by all",
        "effect": "select neuron_id, effect from attributions join neurons "
        "using (model, layer, neuron)",
        "magnitude": "select neuron_id, magnitude from attributions join neurons "
        "using (model, layer, neuron)",
    }
    wanted: dict[str, float] = dict(query(known, source[order]))
    assert wanted
    for tokens in ({}, {"token": " again"}):
        rows = found(known, order=order, smallest=smallest, model="alpha", k=100, **tokens)
        values = [row[order] for row in rows]
        assert values == [wanted.get(row["neuron_id"]) for row in rows] and rows[0][order]
        known_ones = [value for value in values if value is not None]
        assert values[: len(known_ones)] == sorted(known_ones, reverse=not smallest)
    assert order not in found(known, model="alpha")[0]


def test_a_quantity_of_a_corpus_needs_one(known: Path, cli: Callable[..., Answer]) -> None:
    with pytest.raises(NotFoundError, match="nosuch"):
        found(known, order="effect", corpus="nosuch", model="alpha")
    with pytest.raises(UsageError, match="frequency, effect, magnitude"):
        found(known, order="kurtosis", corpus="tiny", model="alpha")
    lacking = cli("find", "--order", "frequency", "--model", "beta", "--db", known)
    assert lacking.code == 0 and "beta lacks the stage activations" in lacking.err


@pytest.mark.parametrize("sought", [{"model": "alpha"}, {"token": " again"}, {"role": "entropy"}])
def test_how_many_there_are_is_known_and_said(
    known: Path, cli: Callable[..., Answer], sought: dict[str, Any]
) -> None:
    of = catalog.open(known)
    everything = of.find(k=1_000, **sought)
    first = of.find(k=1, **sought)
    assert first.total == everything.total == len(everything)
    assert of.find(k=1, skip=1_000, **sought).total is None
    words = [word for name, value in sought.items() for word in (f"--{name}", value)]
    said = cli("find", *words, "-k", "1", "--db", known).err
    assert (f"There are {len(everything)} such rows" in said) == (len(everything) > 1)


@pytest.mark.parametrize("method", [catalog.Catalog.find, catalog.Catalog.facets])
def test_python_names_and_explains_every_choice(method: Callable[..., object]) -> None:
    declared = inspect.signature(Sought).parameters
    shown = inspect.signature(method).parameters
    assert list(shown) == ["self", *declared]
    assert all(shown[name] == declared[name] for name in declared)
    explained = re.findall(r"^    (\w[\w, ]*): ", inspect.getdoc(method) or "", re.MULTILINE)
    names = [name for line in explained for name in line.split(", ")]
    assert [name for name in names if name != "UsageError"] == list(declared)


def test_an_option_for_every_choice() -> None:
    own = {"list_file", "output", "format_name", "max_rows", "columns", "force"}
    own |= {"db", "wait_s", "memory"}
    of_python = {"first_layer", "last_layer", "neurons", "skip"}
    options = {each.name for each in find_command.params} - own
    assert options == set(inspect.signature(Sought).parameters) - of_python
