"""Running text in reports: every character once, however a tokenizer has split it."""

import io
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

import catalog
from catalog.cli.output import Output
from catalog.cli.running_text import Asked, prompt
from catalog.formats.glyphs import UNICODE
from catalog.reports.blocks import ShadedText
from catalog.reports.shading import shaded
from catalog.reports.terminal import Page


def tokens_between(text: str, cuts: set[int]) -> list[str]:
    """The characters that each token stands for, if the text's bytes are cut there."""
    owner = [at for at, character in enumerate(text) for _ in character.encode()]
    edges = sorted({0, len(owner), *(cut for cut in cuts if cut < len(owner))})
    return [text[owner[a] : owner[b - 1] + 1] for a, b in pairwise(edges)]


def shown(text: str, tokens: list[str], peak: int) -> str:
    page = Page(Console(file=io.StringIO(), width=1000), UNICODE)
    page.show([ShadedText(shaded(text, tokens, [1.0] * len(tokens), peak))])
    assert isinstance(page.console.file, io.StringIO)
    return page.console.file.getvalue().rstrip("\n")


@given(st.text("aé漢🙂", max_size=12), st.sets(st.integers(1, 48)))
def test_every_character_stands_once(text: str, cuts: set[int]) -> None:
    assert shown(text, tokens_between(text, cuts), -1) == text


def test_a_split_character_is_marked_whole() -> None:
    tokens = ["a", "漢", "漢", "漢", "字"]
    for peak in (1, 2, 3):
        assert shown("a漢字", tokens, peak) == "a«漢»字"
    assert shown("a漢字", tokens, 4) == "a漢«字»"


def test_a_character_that_stands_twice_is_not_one_that_was_split() -> None:
    assert shown("字字a", ["字", "字", "a"], 1) == "字«字»a"


def test_a_prompt_answers_text_after_text_until_its_end(
    measured: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """An empty line asks nothing, and a text that is refused ends nothing."""
    reader = catalog.open(measured / "c.duckdb").texts("tiny")
    asked = Asked((), 1, None, (1, 2), None, None, None)
    with create_pipe_input() as typed, create_app_session(input=typed, output=DummyOutput()):
        typed.send_text("the end\r\r" + "e" * 500 + "\rof words\r\x04")
        prompt(reader, asked, Output("csv", None, 0))
    shown = capsysbinary.readouterr()
    tables = shown.out.decode().split("position,token,rank,neuron_id,unusual,")[1:]
    assert len(tables) == 2
    assert b"tokens, start token included; the model takes" in shown.err
    neurons = [line.split(",")[3] for table in tables for line in table.split("\n")[1:-1]]
    assert neurons and all(each.startswith(("1.", "2.")) for each in neurons)
