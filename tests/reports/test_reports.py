"""A neuron's report: blocks of plain values, and what a terminal and a page make of them."""

import io
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

import catalog
from catalog.formats.glyphs import UNICODE
from catalog.neuron_id import NeuronId
from catalog.queries.neuron_record import read_neuron
from catalog.queries.records import NeuronRecord, RoleCutoffs, SignCase, TopToken
from catalog.reports import NotebookNeuron, report
from catalog.reports.blocks import SHOWN_PER_CASE, Cases
from catalog.reports.html import SHADES, STYLESHEET, fragment
from catalog.reports.summary import observed_role
from catalog.reports.terminal import Page
from catalog.store.handle import Handle
from catalog.taxonomy import SIGNS, Basis, Sign
from tests.support import Answer, execute

HOSTILE = "<script>alert('1')</script>\" onclick=\"x\u202e"
SHADE_CLASSES = {"shade-0", *(f"shade-{s}{n}" for s in "pn" for n in range(1, SHADES + 1))}


class Seen(HTMLParser):
    """The tags, attributes and text of a piece of HTML."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.classes: set[str] = set()
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.classes.update(value or "" for name, value in attrs if name == "class")
        self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def record(known: Path) -> NeuronRecord:
    return read_neuron(Handle(known), NeuronId(28, 4737), "alpha")


@pytest.fixture
def plain(db: Path) -> Path:
    """A catalog whose model alpha has the rows of a model without a gate."""
    for statement in (
        "update model set gated = false where alias = 'alpha'",
        "update neuron set cos_gate_in = null, cos_gate_out = null, norm_gate = null "
        "where layer >= 28",
        "delete from top_token where direction < 4",
        "delete from activation_stat",
    ):
        execute(db, statement)
    return db


def printed(record: NeuronRecord, width: int = 80, *, shows_all: bool = False) -> str:
    page = Page(Console(file=io.StringIO(), width=width), UNICODE, shows_all)
    page.show(report(record))
    assert isinstance(page.console.file, io.StringIO)
    return page.console.file.getvalue()


def hostile(record: NeuronRecord) -> NeuronRecord:
    """The same neuron where every text is markup."""
    cases = {
        name: replace(
            case,
            exemplars=[
                replace(each, text=HOSTILE, window_tokens=[HOSTILE], window_post=[each.post],
                        position=each.window_start, next_token=HOSTILE)
                for each in case.exemplars
            ],
        )
        for name, case in record.cases.items()
    }  # fmt: skip
    return replace(
        record,
        model=replace(record.model, model=HOSTILE, family=HOSTILE, quantization=HOSTILE),
        neuron=replace(record.neuron, io_class=HOSTILE, functional_role=HOSTILE),
        tokens=[replace(token, token=HOSTILE) for token in record.tokens],
        corpus=record.corpus and replace(record.corpus, corpus=HOSTILE),
        cases=cases,
    )


def test_blocks_are_plain_values(record: NeuronRecord) -> None:
    blocks = [asdict(block) for block in report(record)]
    assert len(json.loads(json.dumps(blocks))) == len(blocks)


def test_a_page_has_what_the_terminal_has(record: NeuronRecord) -> None:
    seen = Seen(fragment(report(record)))
    assert seen.open == []
    for text in ("28.4737", "enrichment", "cos(gate,out)", "+0.5048", "␣the", "gate- in-", "«"):
        assert (text in seen.text) == (text != "«")
        assert text in printed(record)


def test_ipython_prints_what_show_prints(
    cli: Callable[..., Answer], known: Path, record: NeuronRecord
) -> None:
    class Printer:
        def text(self, text: str) -> None:
            self.printed = text

    printer = Printer()
    NotebookNeuron(**vars(record))._repr_pretty_(printer, False)
    assert printer.printed == cli("show", "28.4737", "--model", "alpha", "--db", known).out


def test_whatever_texts_say_a_page_has_no_tag_or_attribute_of_theirs(record: NeuronRecord) -> None:
    usual, seen = (Seen(fragment(report(each))) for each in (record, hostile(record)))
    assert seen.open == []
    assert seen.tags <= usual.tags
    assert seen.attributes <= usual.attributes
    assert {"style", "onclick"}.isdisjoint(seen.attributes) and "script" not in seen.tags
    assert "<script>alert('1')</script>" in seen.text
    assert "\u202e" not in seen.text and "\\u202e" in seen.text


def test_shades_are_classes_that_the_stylesheet_knows(record: NeuronRecord) -> None:
    seen = Seen(fragment(report(record)))
    assert len(SHADE_CLASSES) == 21
    assert {each for each in seen.classes if each.startswith("shade-")} <= SHADE_CLASSES
    assert f"shade-p{SHADES}" in seen.classes
    assert all(f".{name} " in STYLESHEET for name in SHADE_CLASSES - {"shade-0"})
    assert "<" not in STYLESHEET


def test_many_exemplars_are_all_in_the_blocks_and_a_few_shown_at_first(
    record: NeuronRecord,
) -> None:
    case = record.cases["gate+_in+"]
    many = replace(case, exemplars=case.exemplars[:1] * 5)
    longer = replace(record, cases=record.cases | {"gate+_in+": many})
    (cases,) = (block for block in report(longer) if isinstance(block, Cases))
    assert [len(each.exemplars) for each in cases.cases] == [5, 0, 0, 0]
    assert printed(longer).count("Once again") == SHOWN_PER_CASE
    assert "The first 3 of up to 5 exemplars a case; --all shows all." in printed(longer)
    assert "<summary>2 more</summary>" in fragment(report(longer))


def test_an_option_is_worded_by_each_skin(record: NeuronRecord) -> None:
    flipped = replace(record, neuron=replace(record.neuron, flipped=True))
    assert "cos(gate,in) < 0: --canonical reads it" in printed(flipped)
    assert "cos(gate,in) < 0: canonical= reads it" in Seen(fragment(report(flipped))).text


def test_the_canonical_reading_says_so_and_does_not_offer_itself(record: NeuronRecord) -> None:
    flipped = replace(record, neuron=replace(record.neuron, flipped=True), is_canonical=True)
    for text in (printed(flipped), Seen(fragment(report(flipped))).text):
        assert "The canonical reading: w_in and w_out are negated" in text
        assert "canonical=" not in text and "--canonical" not in text


def with_case(record: NeuronRecord, name: str, *, extreme_post: float) -> NeuronRecord:
    """The record with another extreme of a case, and exemplars as the first case has them."""
    exemplars = [
        replace(each, sign_case=name, post=extreme_post)
        for each in record.cases["gate+_in+"].exemplars
    ]
    stated = replace(
        record.cases[name].statistics, frequency=0.1, mean_post=0.1, extreme_post=extreme_post
    )
    return replace(record, cases=record.cases | {name: SignCase(stated, exemplars)})


def cases_of(record: NeuronRecord) -> Cases:
    (cases,) = (block for block in report(record) if isinstance(block, Cases))
    return cases


def test_small_posts_are_shown_with_digits_that_mean_something(record: NeuronRecord) -> None:
    small = with_case(record, "gate+_in+", extreme_post=0.0012345)
    assert "+0.00123 Once" in printed(small, shows_all=True)
    assert "extreme +0.00123" in printed(small)


def test_the_strongest_case_comes_first_and_near_noise_is_folded(record: NeuronRecord) -> None:
    strong = with_case(record, "gate-_in-", extreme_post=-20.0)
    cases = cases_of(strong).cases
    assert [(each.name, each.is_faint) for each in cases] == [
        ("gate- in-", False), ("gate+ in+", True), ("gate+ in-", True), ("gate- in+", True)
    ]  # fmt: skip
    assert printed(strong).count("Once again") == 2
    assert "None where the extreme is below 5% of the neuron's; --all" in printed(strong)
    assert printed(strong, shows_all=True).count("Once again") == 4
    assert "--all" not in printed(strong, shows_all=True)
    page = Seen(fragment(report(strong)))
    assert page.text.count("Once again") == 4 and "details" in page.tags


def test_shades_are_shares_of_the_neurons_extreme(record: NeuronRecord) -> None:
    """A window whose own peak is 0.38 beside an exemplar of -5.53 is hardly shaded."""
    weak = record.cases["gate+_in+"].exemplars[0]
    n = len(weak.window_tokens)
    exemplars = [
        replace(weak, post=-5.53, window_post=[-5.53] * n),
        replace(weak, post=0.38, window_post=[0.38, *[0.1] * (n - 1)]),
    ]
    case = replace(record.cases["gate+_in+"], exemplars=exemplars)
    (shown,) = (
        each
        for each in cases_of(replace(record, cases=record.cases | {"gate+_in+": case})).cases
        if each.exemplars
    )
    assert {piece.strength for piece in shown.exemplars[0].pieces} == {1.0}
    strengths = [piece.strength for piece in shown.exemplars[1].pieces]
    assert strengths == pytest.approx([0.38 / 5.53, *[0.1 / 5.53] * (len(strengths) - 1)])
    assert sum(piece.is_peak for piece in shown.exemplars[1].pieces) == 1


def test_lists_that_agree_in_both_bases_are_shown_once(record: NeuronRecord) -> None:
    """W_E's four tokens of w_gate, three of them W_U's; other vectors' differ in more."""

    def listed(basis: Basis, tokens: str) -> list[TopToken]:
        return [
            TopToken("gate", basis, sign, rank, ord(token), token, 1.0)
            for sign in SIGNS
            for rank, token in enumerate(tokens, 1)
        ]

    others = [row for row in record.tokens if row.vector != "gate"]
    for theirs, is_once in (("abcd", True), ("dcbx", True), ("abxy", False)):
        rows = [*listed("unembed", "abcd"), *listed("embed", theirs), *others]
        text = printed(replace(record, tokens=rows))
        assert ("w_gate both +" in text) == is_once
        assert ("w_gate W_E +" not in text) == is_once
        assert ("both: the lists in W_U" in text) == is_once
        page = Seen(fragment(report(replace(record, tokens=rows)))).text
        assert ("w_gate W_U, W_E +" in page) == is_once
        assert "w_out  W_E +" in text


def test_one_sentence_says_what_the_evidence_says(record: NeuronRecord) -> None:
    def token(sign: Sign, rank: int, text: str) -> TopToken:
        return TopToken("out", "unembed", sign, rank, rank, text, 1.0)

    first = record.cases["gate+_in+"].exemplars[0]
    exemplars = [
        replace(first, token=peak, next_token=following)
        for peak, following in (("x", "down"), ("x", "down"), ("y", "up"), ("x", None))
    ]
    case = SignCase(
        replace(record.cases["gate+_in-"].statistics, frequency=0.2, extreme_post=-7.0), exemplars
    )
    said = replace(
        record,
        neuron=replace(record.neuron, functional_role="suppression", vocab_kurtosis=12.34),
        role_cutoffs=RoleCutoffs(None, 5.678, None, None),
        tokens=[token("+", 1, "up"), token("-", 1, "down"), token("-", 2, " below")],
        cases=record.cases | {"gate+_in-": case},
    )
    sentence = (
        "IO class enrichment, role suppression (kurtosis 12.3, above 5.68). Strongest in gate+ in- "
        "(post up to -7), where it writes towards «down» «␣below» and away from «up»; 3 of its 4 "
        "exemplars there peak at «x»; 2 of 4 go on with a top token that it writes towards, 1 with "
        "one that it writes away from."
    )
    assert sentence in " ".join(printed(said).split())
    silent = replace(said, cases={}, corpus=None)
    assert "Where post is positive it writes towards «up» and away from «down»" in " ".join(
        printed(silent).split()
    )
    nothing = replace(silent, tokens=[], neuron=replace(said.neuron, io_class=None))
    assert "No IO class (a weight vector is zero or not finite), role suppression" in printed(
        nothing
    )


def test_a_notebook_shows_the_report_with_its_stylesheet(known: Path) -> None:
    shown = catalog.open(known).neuron("28.4737", "alpha")
    assert shown._repr_html_() == f"<style>{STYLESHEET}</style>{fragment(report(shown))}"  # type: ignore[attr-defined]


def test_a_neuron_without_a_gate_is_reported_without_one(
    plain: Path, cli: Callable[..., Answer]
) -> None:
    record = read_neuron(Handle(plain), NeuronId(28, 4737), "alpha")
    without = replace(record, cases={})
    for text in (printed(without), Seen(fragment(report(without))).text):
        assert "gate" not in text
        assert "cos(in,out)" in text and "|w_in| 2.500  |w_out| 3.500" in text
    answer = cli("compare", "alpha:28.4737", "alpha:28.9766", "--format", "csv", "--db", plain)
    assert answer.code == 0
    assert "gate" not in answer.out and "cos_in_out" in answer.out
    beside = cli("compare", "alpha:28.4737", "beta:0.0", "--format", "csv", "--db", plain)
    assert "cos_gate_in" in beside.out


@pytest.mark.parametrize(
    ("role", "cos_gate_in", "means", "extremes", "said"),
    [
        ("prediction", 0.5, (0.4, -0.1), (6.0, -3.0), None),
        ("other", 0.5, (-0.4, -0.1), (6.0, -3.0), None),
        ("prediction", 0.5, (-0.4, -0.1), (-6.0, -3.0), "suppression."),
        ("suppression", -0.5, (-0.4, -0.1), (6.0, -3.0), "suppression too,"),
        ("suppression", 0.5, (-0.4, -0.1), (6.0, -3.0), "prediction,"),
    ],
)  # fmt: skip
def test_a_role_that_activations_contradict_is_told_with_numbers(
    record: NeuronRecord,
    role: str,
    cos_gate_in: float,
    means: tuple[float, float],
    extremes: tuple[float, float],
    said: str | None,
) -> None:
    neuron = replace(record.neuron, functional_role=role, cos_gate_in=cos_gate_in)
    cases = dict(record.cases)
    for case, mean, extreme in zip(("gate+_in+", "gate+_in-"), means, extremes, strict=True):
        statistics = replace(
            cases[case].statistics, frequency=0.25, mean_post=mean, extreme_post=extreme
        )
        cases[case] = replace(cases[case], statistics=statistics)
    found = observed_role(replace(record, neuron=neuron, cases=cases))
    if said is None:
        assert found is None
        return
    numbers = (
        "where the gate is open (gate+ in+ at 25% of positions with mean post -0.4, gate+ in- at "
        "25% of positions with mean post -0.1)"
    )
    assert found is not None and f"less than 0 {numbers}: as observed it would be {said}" in found
    turned = "strongest positions are of the other sign (gate+ in+, post up to +6): they are fewer"
    assert (turned in found) == said.endswith(",")
