"""Progress without a terminal: lines while a step is at work, and one at its end."""

from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.cli.ingesting import ProgressBars
from catalog.cli.progress_lines import ProgressLines
from catalog.ingest.within import heard_by, tell_done, told
from tests.support import command, wait_until
from tests.tiny_checkpoints import build, save_tokenizer


def test_a_step_tells_how_far_it_is_while_one_unit_takes_long(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said: list[str] = []

    def seen(text: str) -> Callable[[], bool]:
        def look() -> bool:
            said.append(capsys.readouterr().err)
            return text in "".join(said)

        return look

    with ProgressLines(assume_yes=True, every_s=0.01) as lines:
        lines.begin("weights", 1200, done=1)
        wait_until(seen("weights: 1 of 1,200, 0 s\n"))
        lines.advance(2)
        wait_until(seen("weights: 3 of 1,200, "))
        lines.end()
        wait_until(seen("weights: done, "))
    capsys.readouterr()
    assert not lines._clock.is_alive()


def test_an_ingest_into_a_pipe_draws_no_bar(tmp_path: Path) -> None:
    folder = save_tokenizer(build("llama", tmp_path / "tiny"))
    texts = tmp_path / "texts.txt"
    texts.write_text("the first sentence of several")
    answer = command(
        "ingest", folder, "--db", tmp_path / "c.duckdb", "--corpus", texts, "--context-length", 8
    )
    assert answer.code == 0, answer.err
    assert "weights: done, " in answer.err and "\u2501" not in answer.err
    measured, estimate = "measures one batch", "tokens a second"
    assert answer.err.index(measured) < answer.err.index(estimate)


def test_a_step_tells_how_far_its_unit_is_and_what_is_to_come(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with ProgressLines(assume_yes=True, every_s=60) as lines:
        lines.begin("vocab", 4)
        lines.advance()
        with heard_by(lines.within):
            for _ in told(range(4), 4):
                assert lines._reached().startswith("1")
            tell_done(0.25)  # a half that is redone takes nothing back
        assert lines._reached() == "2 of 4"
        lines.within(0.31)
        lines.advance()
        lines.within(0.31)
        assert lines._reached() == "2.3 of 4"
        assert lines._to_come().endswith(" to come")
        lines.end()
    tell_done(0.5)  # nobody listens


def test_between_steps_the_last_line_is_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []

    def seen() -> bool:
        said.append(capsys.readouterr().err)
        return "still at work, 0 s after: measures one batch\n" in "".join(said)

    with ProgressLines(assume_yes=True, every_s=0.01) as lines:
        lines.note("measures one batch")
        wait_until(seen)


def test_a_bar_moves_within_a_unit() -> None:
    bars = ProgressBars(assume_yes=True)
    with bars:
        bars.begin("vocab", 4, done=1)
        bars.within(0.5)
        (task,) = bars._bars.tasks
        assert task.completed == 1.5
        bars.advance()
        assert task.completed == 2
