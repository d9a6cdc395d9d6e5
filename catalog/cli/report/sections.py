"""The sections of a neuron's report; adding one means adding a function to `SECTIONS`."""

from collections.abc import Callable
from typing import Final

from rich.text import Text

from catalog.cli.report.exemplars import activations
from catalog.cli.report.page import Page
from catalog.queries.neuron_record import NeuronRecord, Row
from catalog.taxonomy import VECTORS

Section = Callable[[NeuronRecord, Page], None]

_COSINE_LABELS: Final = {
    "cos_gate_in": "cos(gate,in)",
    "cos_gate_out": "cos(gate,out)",
    "cos_in_out": "cos(in,out)",
}
_BASIS_LABELS: Final = {"unembed": "W_U", "embed": "W_E"}


def title(record: NeuronRecord, page: Page) -> None:
    """Id, model, class and role."""
    model, neuron = record.model, record.neuron
    page.line(
        Text.assemble(
            (str(record.id), "bold"),
            f"  {model['model']}  {model['family']}, {model['n_layers']} layers x "
            f"{model['d_mlp']:,} neurons, {model['weights']} weights",
        )
    )
    atypical = "atypical " if neuron["atypical"] else ""
    io_class = neuron["io_class"] or "none (a weight vector is zero or not finite)"
    role = neuron["functional_role"] or "not computed"
    page.line(Text.assemble("IO class: ", (atypical + io_class, "bold"), f"   role: {role}"))
    if neuron["flipped"]:
        page.line("cos(gate,in) < 0: --canonical reads it with w_in and w_out negated.")


def cosines(record: NeuronRecord, page: Page) -> None:
    """The three cosines, each with its place among the layer's neurons."""
    chance = record.model["chance_999"]
    page.heading(f"Weight cosines, and where they stand in layer {record.id.layer}")
    track = max(20, min(page.width - 34, 81))
    scale = "-1" + "0".center(track - 4) + "+1"
    page.line(f"{'':16}{'value':>8} {'below':>7}  {scale}")
    for place in record.places:
        label = _COSINE_LABELS[place["cosine"]]
        if place["value"] is None:
            page.line(f"{label:16}{'NULL':>8}")
            continue
        below = f"{100 * place['share_below']:.1f}%"
        page.line(f"{label:16}{place['value']:>+8.4f} {below:>7}  {_strip(place, track, page)}")
    glyphs = page.glyphs
    page.line(
        f"{glyphs.own} this neuron, {glyphs.box} middle half, {glyphs.median} median, "
        f"{glyphs.whisker} range; random vectors exceed {chance:.3f} once in 1,000."
    )
    norms = "  ".join(f"|w_{v}| {_number(record.neuron[f'norm_{v}'])}" for v in VECTORS)
    page.line(f"Norms: {norms}")


def vocabulary(record: NeuronRecord, page: Page) -> None:
    """Moments of cos(w_out, W_U) and what else the functional roles are made of."""
    neuron = record.neuron
    if neuron["vocab_variance"] is None:
        return
    share = neuron["null_space_share"]
    parts = [
        f"variance {neuron['vocab_variance']:.3g}",
        f"skew {neuron['vocab_skew']:+.2f}",
        f"excess kurtosis {neuron['vocab_kurtosis']:.2f}",
        *([] if share is None else [f"null-space share {share:.3f}"]),
    ]
    page.line(f"cos(w_out, W_U): {', '.join(parts)}")


def tokens(record: NeuronRecord, page: Page) -> None:
    """Top tokens of the six directions, in both bases, one line each."""
    if not record.tokens:
        return
    page.heading("Top tokens: what each vector points towards (+) and away from (-)")
    lists: dict[tuple[str, str, str], list[str]] = {}
    for row in record.tokens:
        lists.setdefault((row["vector"], row["basis"], row["sign"]), []).append(row["token"])
    cut = False
    for vector in VECTORS:
        for basis, label in _BASIS_LABELS.items():
            for sign in "+-":
                words = lists.get((vector, basis, sign), [])
                head = f"w_{vector:<5}{label} {sign}  "
                body, was_cut = _fitted([page.visible(word) for word in words], page, len(head))
                cut |= was_cut
                page.line(Text.assemble((head, "dim"), body))
    if cut:
        page.line(f"{page.glyphs.more} cut to the width; --json lists all.")


SECTIONS: Final[tuple[Section, ...]] = (title, cosines, vocabulary, tokens, activations)


def _strip(place: Row, track: int, page: Page) -> str:
    """The layer's distribution and the neuron's own value on a line from -1 to +1."""

    def column(value: float) -> int:
        return round((max(-1.0, min(1.0, value)) + 1) / 2 * (track - 1))

    strip = [" "] * track
    for low, high, glyph in (
        ("lowest", "highest", page.glyphs.whisker),
        ("q1", "q3", page.glyphs.box),
        ("median", "median", page.glyphs.median),
        ("value", "value", page.glyphs.own),
    ):
        for at in range(column(place[low]), column(place[high]) + 1):
            strip[at] = glyph
    return "".join(strip).rstrip()


def _fitted(words: list[str], page: Page, indent: int) -> tuple[Text, bool]:
    """As many words as fit on the rest of a line, and whether some did not."""
    from rich.cells import cell_len

    text, room = Text(), page.width - indent - cell_len(page.glyphs.more) - 1
    for word in words:
        if cell_len(text.plain) + cell_len(word) + 2 > room:
            return text.append(page.glyphs.more, "dim"), True
        text.append(word).append("  ")
    return text, False


def _number(value: float | None) -> str:
    return "NULL" if value is None else f"{value:.3f}"
