"""`describe` and `\\d`: the public views and their columns, each with what it means."""

from collections.abc import Callable
from pathlib import Path

import pytest

import catalog
from catalog.cli.describing import described
from catalog.errors import NotFoundError, SqlError
from catalog.queries import named_query, query_names
from catalog.views import VIEWS
from tests.support import Answer, columns, view_names


@pytest.mark.parametrize("statement", ["describe", "\\d", "\\d;", "DESC ;", "show tables"])
def test_all_public_views_and_nothing_else(known: Path, statement: str) -> None:
    rows = described(catalog.open(known), statement)
    assert rows is not None
    assert [row[0] for row in rows.fetchall()] == view_names(known)
    assert all(comment for _, comment in rows.fetchall())


@pytest.mark.parametrize("view", [each.name for each in VIEWS])
def test_the_columns_of_a_view_with_their_meaning(known: Path, view: str) -> None:
    rows = described(catalog.open(known), f"\\d {view}")
    assert rows is not None
    wanted = [row[2] for row in columns(known) if row[0] == view]
    assert [row[0] for row in rows.fetchall()] == wanted
    assert all(comment for *_, comment in rows.fetchall())


def test_a_private_table_is_no_view(known: Path, cli: Callable[..., Answer]) -> None:
    with pytest.raises(NotFoundError, match=r"There is: .*activation_samples, "):
        catalog.open(known).describe("top_token")
    answer = cli("sql", "describe neurons", "--db", known, "--format", "csv")
    assert "functional_role,varchar," in answer.out
    assert cli("sql", "describe top_token", "--db", known).code == 3


@pytest.mark.parametrize("statement", ["describe select 1", "from neurons", "summarize neurons"])
def test_other_statements_are_left_to_sql(known: Path, statement: str) -> None:
    assert described(catalog.open(known), statement) is None


@pytest.mark.parametrize(
    ("sql", "offered"),
    [
        ("select role from neurons", "functional_role (of neurons)"),
        ("select n.role from neurons n", "functional_role (of neurons)"),
        ("select 1 from neurons where cos_gate_ni > 0", "cos_gate_in (of neurons)"),
        ("select 1 from neuron", "neurons"),
    ],
)
def test_a_name_that_was_meant_is_offered(known: Path, sql: str, offered: str) -> None:
    with pytest.raises(SqlError) as refused:
        catalog.open(known).sql(sql)
    assert f"Did you mean {offered}" in str(refused.value)
    assert "catalog_file" not in str(refused.value)


def test_nothing_is_offered_where_nothing_is_near(known: Path) -> None:
    for sql in ("select xyz from neurons", "selec", "select 1 from nothing"):
        with pytest.raises(SqlError) as refused:
            catalog.open(known).sql(sql)
        assert "Did you mean functional" not in str(refused.value)


@pytest.mark.parametrize("name", query_names())
def test_help_of_a_query_tells_what_its_parameters_mean(
    cli: Callable[..., Answer], name: str
) -> None:
    answer = cli("query", name, "--help")
    assert (answer.code, answer.err) == (0, "")
    said = " ".join(answer.out.split())
    query = named_query(name)
    assert " ".join(query.doc.split()) in said
    for parameter in query.parameters:
        assert f"-p {parameter.usage}" in said
        assert parameter.doc
        assert " ".join(parameter.meaning.split()) in said


def test_help_of_a_query_that_is_not_there_names_near_ones(cli: Callable[..., Answer]) -> None:
    answer = cli("query", "classes_by_layers", "--help")
    assert answer.code == 3
    assert "classes_by_layer" in answer.err
