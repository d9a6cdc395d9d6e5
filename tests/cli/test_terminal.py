"""What a terminal, a pipe or an old locale shows: widths, colours, encodings."""

import re
from pathlib import Path
from subprocess import DEVNULL

import pytest
from rich.cells import cell_len

from catalog.store.reading import fetch
from tests.support import Answer, command, on_terminal

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
SHOW = ["show", "28.4737", "--model", "alpha"]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_show_fits_the_terminal(known: Path, columns: int) -> None:
    shown = ANSI.sub("", on_terminal(columns, *SHOW, "--db", known))
    assert "28.4737" in shown
    assert max(cell_len(line) for line in shown.splitlines()) <= columns


@pytest.mark.parametrize("columns", [40, 80])
def test_a_table_fits_the_terminal(known: Path, columns: int) -> None:
    sql = "select neuron_id, io_class, cos_in_out from neurons limit 3"
    shown = ANSI.sub("", on_terminal(columns, "sql", sql, "--db", known))
    assert max(cell_len(line) for line in shown.splitlines()) <= columns


@pytest.mark.parametrize("columns", [40, 80, 120, 200])
def test_numbers_stay_whole_however_narrow_the_terminal(known: Path, columns: int) -> None:
    sql = "from neurons order by model, layer, neuron limit 4"
    rows = fetch(known, sql)
    asked = ("--columns", ",".join(rows.column_names))
    shown = ANSI.sub("", on_terminal(columns, "sql", sql, *asked, "--db", known))
    assert max(cell_len(line) for line in shown.splitlines()) <= columns
    for row in rows.to_pylist():
        for value in row.values():
            if isinstance(value, float):
                assert f"{value:.4g}" in shown


def test_a_narrow_terminal_drops_columns_before_it_makes_a_record_of_each_row(known: Path) -> None:
    sql = "from neurons order by model, layer, neuron limit 4"
    shown = ANSI.sub("", on_terminal(80, "sql", sql, "--db", known))
    table, said = shown.split("Not shown, for the terminal is too narrow: ")
    assert "row 1" not in table
    assert "28.4737" in table and "cos_in_" in table
    left_out = said.split(". --columns")[0].replace("\n", "").split(", ")
    names = fetch(known, sql).column_names
    assert names[-len(left_out) :] == left_out and 3 <= len(left_out) < len(names) - 3
    chosen = ("--columns", "neuron_id,functional_role,vocab_kurtosis")
    narrow = ANSI.sub("", on_terminal(80, "sql", sql, *chosen, "--db", known))
    assert "3.5" in narrow and "Not shown" not in narrow


def test_a_column_that_is_not_there_is_refused_with_those_that_are(known: Path) -> None:
    answer = command("models", "--columns", "model,size", "--db", known)
    assert (answer.code, answer.out) == (2, "")
    assert "There is no column 'size' here. There is: model, source" in answer.err
    csv = command("models", "--columns", "neurons,model", "--format", "csv", "--db", known)
    assert csv.out == "neurons,model\n352256,alpha\n6,beta\n"


def test_a_pipe_has_all_columns(known: Path) -> None:
    answer = command("sql", "from neurons limit 1", "--db", known)
    assert "functional_role" in answer.out and answer.err == ""


def test_a_token_with_a_space_before_it_is_not_folded(known: Path) -> None:
    sql = "select ' first' as token, repeat('many words ', 9) as a, repeat('and more ', 9) as b"
    shown = ANSI.sub("", on_terminal(40, "sql", sql, "--db", known))
    assert " first " in shown


def test_compare_folds_lines_between_tokens_alone(known: Path) -> None:
    pair = ("alpha:28.4737", "alpha:28.4737")
    shown = ANSI.sub("", on_terminal(60, "compare", *pair, "--db", known))
    words = {word for line in shown.splitlines() for word in line.split()}
    assert {"[b]bold[/b]", "␣again", "\\x1b[31m", "<0xE6>"} <= words


def test_a_report_that_does_not_fit_is_paged(known: Path, tmp_path: Path) -> None:
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho paged\ncat\n")
    pager.chmod(0o700)
    small = on_terminal(80, *SHOW, "--db", known, lines=24, PAGER=str(pager))
    large = on_terminal(80, *SHOW, "--db", known, lines=200, PAGER=str(pager))
    assert small.startswith("paged\n") and "paged" not in large
    assert "28.4737" in small and "gate- in-" in small
    as_json = on_terminal(80, *SHOW, "--json", "--db", known, lines=24, PAGER=str(pager))
    assert "paged" not in as_json


def test_a_terminal_gets_colours_unless_it_refuses_them(known: Path) -> None:
    assert ANSI.search(on_terminal(80, *SHOW, "--db", known))
    plain = on_terminal(80, *SHOW, "--db", known, NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*(3|4)[0-9](;|m)", plain)


@pytest.mark.parametrize(
    "arguments", [SHOW, ["sql", "from neurons"], ["models"], ["query", "classes"], ["--help"]]
)
def test_a_pipe_gets_no_escapes(known: Path, arguments: list[str]) -> None:
    more = [] if "--help" in arguments else ["--db", known]
    answer = command(*arguments, *more, TERM="xterm-256color")
    assert answer.code == 0
    assert "\x1b" not in answer.out + answer.err


def test_show_is_80_columns_in_a_pipe(known: Path) -> None:
    lines = command(*SHOW, "--db", known).out.splitlines()
    assert max(cell_len(line) for line in lines) <= 80


def test_a_wide_table_stays_whole_in_a_pipe(known: Path) -> None:
    answer = command("sql", "select repeat('x', 300) as a, 1 as b", "--db", known)
    assert "x" * 300 in answer.out


@pytest.mark.parametrize(
    "arguments", [SHOW, ["sql", "from top_tokens"], ["sql", "select '界' as a", "--format", "csv"]]
)
@pytest.mark.parametrize("settings", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C"}])
def test_a_locale_without_unicode_is_no_fault(
    known: Path, arguments: list[str], settings: dict[str, str]
) -> None:
    answer = command(*arguments, "--db", known, cwd=None, stdin=DEVNULL, **settings)
    assert answer.code == 0, answer.err
    assert answer.out


def test_a_control_character_never_reaches_the_terminal(known: Path) -> None:
    """A token that holds an escape sequence is shown, not obeyed."""
    for arguments in (SHOW, ["sql", "select token from top_tokens"]):
        answer: Answer = command(*arguments, "--db", known)
        assert "\x1b" not in answer.out
        assert "x1b" in answer.out


def test_markup_in_a_token_is_shown_as_it_is(known: Path) -> None:
    assert "[b]bold[/b]" in command(*SHOW, "--db", known).out
