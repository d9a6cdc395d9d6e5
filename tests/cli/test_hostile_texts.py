"""Texts of strangers that a terminal would obey or hide: shown there, kept in files and pipes."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.formats import FORMATS
from catalog.ingest.demo import MODEL_FOLDERS
from catalog.visible import visible
from tests.support import Answer, command, execute, on_terminal

OSC, CURSOR, C1, BIDI, HIDDEN = "\x1b]0;owned\x07", "\x1b[9;9H", "\x9b31m", "\u202e", "\u200b\ufeff"
HOSTILE = f"a{OSC}{CURSOR}{C1}{BIDI}{HIDDEN}\x7f\r\x08\U000e0041b"
SPELLED = (r"\x1b]0;owned\x07", r"\x1b[9;9H", r"\u009b31m", r"\u202e", r"\u200b\ufeff", r"\u007f")

OURS = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[0-9]?[AK]|\r(?=\x1b\[|\n|\Z)|\r\n")
"""Styles, and the cursor of bars of progress: what Rich and the terminal's driver write."""


def obeyed(written: str) -> set[str]:
    """Characters that a terminal obeys or hides, besides those of Rich."""
    rest = OURS.sub("", written)
    return {each for each in rest if each not in "\n\t" and visible(each) != each}


@pytest.fixture(scope="session")
def hostile(known: Path, once: Callable[..., Path]) -> Path:
    """A catalog in which every text that a file can bring is hostile."""

    def make(folder: Path) -> None:
        path = Path(shutil.copy(known, folder / "hostile.duckdb"))
        quoted = HOSTILE.replace("'", "''")
        execute(
            path,
            f"update model set alias = '{quoted}', source = '{quoted}' where alias = 'alpha'",
            f"update model set family = '{quoted}', activation_fn = '{quoted}'",
            f"update token set token = '{quoted}'",
            f"update model_corpus set name = '{quoted}'",
            f"update corpus set source = '{quoted}'",
            f"update context set source_ref = '{quoted}', text = '{quoted}' || text",
        )

    return once("hostile", make) / "hostile.duckdb"


SQL = "select c.text, t.token, m.model from contexts c, top_tokens t, models m limit 2"
NAMED = f'select 1 as "{HOSTILE}", 1 as b'
TEXT_FORMATS = sorted(FORMATS.keys() - {"parquet"})
COMMANDS = [
    *(["sql", sql, "--format", name] for sql in (SQL, NAMED) for name in TEXT_FORMATS),
    ["models"],
    ["show", "28.4737", "--model", HOSTILE],
    ["show", "28.4737", "--model", HOSTILE, "--json"],
    ["query", "classes"],
    ["find", "--model", HOSTILE],
]


@pytest.mark.parametrize("columns", [80, 300])
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda words: " ".join(map(ascii, words))[:40])
def test_a_terminal_is_shown_what_it_would_obey(
    hostile: Path, arguments: list[str], columns: int
) -> None:
    written = on_terminal(columns, *arguments, "--db", hostile)
    assert obeyed(written) == set()
    assert CURSOR not in written
    if columns == 300:
        assert r"\x1b]0;owned" in written or r"\u001b]0;owned" in written


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["show", "0.0", "--model", HOSTILE + "x"], 3),
        (["sql", f"select '{HOSTILE}' from {HOSTILE}"], 5),
        (["sql", f"select 'x' as x, error('{HOSTILE}')"], 5),
        (["query", HOSTILE], 3),
        ([HOSTILE], 2),
        (["--debug", "query", HOSTILE], 1),
        (["models", f"--{HOSTILE}"], 2),
    ],
)
def test_messages_are_shown(hostile: Path, arguments: list[object], code: int) -> None:
    more = ["--db", hostile] if len(arguments) > 1 and "--debug" not in arguments else []
    written = on_terminal(80, *arguments, *more, code=code)
    assert obeyed(written) == set()
    assert CURSOR not in written


def test_files_and_pipes_keep_the_bytes(hostile: Path, tmp_path: Path) -> None:
    sql = "select distinct token from top_tokens"
    for name in ("csv", "json"):
        target = tmp_path / f"t.{name}"
        piped = command("sql", sql, "--db", hostile, "--format", name)
        assert command("sql", sql, "--db", hostile, "--output", target).code == 0
        assert target.read_bytes().decode() == piped.out
        found = json.loads(piped.out)[0]["token"] if name == "json" else piped.out[7:-2]
        assert found == HOSTILE


def test_json_on_a_terminal_is_the_same_json(hostile: Path) -> None:
    sql = "select distinct token from top_tokens"
    written = on_terminal(80, "sql", sql, "--db", hostile, "--format", "json")
    assert json.loads(written) == [{"token": HOSTILE}]


def test_descriptions_are_shown(known: Path, tmp_path: Path) -> None:
    """Of a stranger's file: while it is imported, and wherever what it says is shown."""
    db, file = Path(shutil.copy(known, tmp_path / "c.duckdb")), tmp_path / f"f{OSC}{BIDI}.jsonl"
    said = dict.fromkeys(("description", "explainer", "scorer", "source"), HOSTILE)
    at = {"layer": 28, "neuron": 4737}
    rows = [{**said, **at, "model": "alpha"}, {**said, **at, "model": HOSTILE}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    imported = ("import", "descriptions", file, "--format", "table", "--db", db)
    written = on_terminal(300, *imported)
    file.write_text(json.dumps({**at, "description": "a", "layer": HOSTILE}))
    written += on_terminal(300, *imported, code=2)
    shown = ("28.4737", "--model", "alpha", "--db", db)
    for asked in (["show", *shown], ["show", *shown, "--json"], ["find", "--describes", "owned"]):
        more = ["--db", db] if asked[0] == "find" else []
        answer = on_terminal(300, *asked, *more)
        assert r"\x1b]0;owned" in answer or r"\u001b]0;owned" in answer
        written += answer
    written += on_terminal(80, "sql", "from descriptions", "--format", "csv", "--db", db)
    assert obeyed(written) == set()
    assert CURSOR not in written


@given(st.text(st.characters() | st.sampled_from(HOSTILE)))
def test_what_is_visible_prints_and_means_the_same(text: str) -> None:
    assert obeyed(visible(text)) == set()
    assert visible(visible(text)) == visible(text)
    dumped = json.dumps({text: text}, ensure_ascii=False)
    assert json.loads(visible(dumped, keep="\n\t")) == {text: text}


@pytest.mark.parametrize("figure", ["classes", "cosines", "medians", "scatter", "swiglu"])
def test_figures_show_it_and_set_no_formula(
    cli: Callable[..., Answer], hostile: Path, tmp_path: Path, figure: str
) -> None:
    path = Path(shutil.copy(hostile, tmp_path / "h.duckdb"))
    name = HOSTILE + r"$\frac$"
    execute(path, f"update model set alias = '{name}', activation_fn = 'silu' where model_id = 1")
    target = tmp_path / "f.svg"
    answer = cli("plot", figure, "--model", name, "--output", target, "--db", path)
    assert answer.code == 0, answer.err
    assert obeyed(target.read_text()) == set()


def test_progress_shows_a_tokenizer_and_a_corpus(tmp_path: Path) -> None:
    """An ingest on a terminal, of a checkpoint and a corpus whose names and texts are hostile."""
    folder = tmp_path / f"model{OSC}{BIDI}[bold]"
    shutil.copytree(MODEL_FOLDERS["demo"], folder)
    _rename_last_token(folder / "tokenizer.json")
    corpus = tmp_path / f"corpus{OSC}{BIDI}[red].txt"
    corpus.write_text(f"class {HOSTILE} raises a KeyError when it is not found. " * 20)
    db = tmp_path / "c.duckdb"
    named = ("--alias", "x", "--corpus", corpus, "--max-tokens", 200, "--device", "cpu", "--yes")
    written = on_terminal(80, "ingest", folder, *named, "--db", db)
    written += on_terminal(80, "sql", "from contexts", "--db", db, "--format", "csv")
    written += on_terminal(80, "sql", "from corpora", "--db", db, "--format", "json")
    written += on_terminal(300, "show", "0.1", "--db", db)
    written += on_terminal(80, "ingest", folder / "none", "--db", db, code=4)
    assert obeyed(written) == set()
    assert CURSOR not in written
    assert r"\x1b]0;owned" in written and "[red]" in written


def _rename_last_token(definition: Path) -> None:
    """Make the last token of a tokenizer's vocabulary a hostile one."""
    stated: dict[str, Any] = json.loads(definition.read_text())
    pieces, merges = stated["model"]["vocab"], stated["model"]["merges"]
    last, token_id = max(pieces.items(), key=lambda item: item[1])
    del pieces[last]
    stated["model"]["merges"] = [each for each in merges if "".join(each) != last]
    kind = {"special": False, "lstrip": False, "rstrip": False, "single_word": False}
    token = {"id": token_id, "content": HOSTILE, "normalized": False, **kind}
    stated["added_tokens"].append(token)
    definition.write_text(json.dumps(stated))
