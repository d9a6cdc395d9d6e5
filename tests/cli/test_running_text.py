"""Running text in reports: every character once, however a tokenizer has split it."""

import io
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

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
