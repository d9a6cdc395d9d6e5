"""From texts to tokens with character offsets, by the checkpoint's own fast tokenizer."""

import copy
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from catalog.ingest.panics import naming_panics

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

Int32s = npt.NDArray[np.int32]

SLICE = 1 << 18  # characters of a longer text that are tokenised in one piece
OVERLAP = 1 << 12  # characters that neighbouring slices share
SLICES_AT_ONCE = 4
AGREEMENT = 16  # tokens before and after a seam on which both slices must agree


class Tokens(NamedTuple):
    """The n tokens of a text: ids and the characters (code points) they stand for, int32 [n]."""

    ids: Int32s
    starts: Int32s
    ends: Int32s

    def part(self, first: int, last: int | None = None) -> "Tokens":
        """Return the tokens from `first` up to and without `last`."""
        return Tokens(*(column[first:last] for column in self))


def text_encoder(tokenizer: "PreTrainedTokenizerFast") -> "Tokenizer":
    """Return a copy of the tokenizer that adds, cuts and pads nothing and keeps true offsets."""
    encoder: Tokenizer = copy.deepcopy(tokenizer.backend_tokenizer)
    encoder.no_truncation()
    encoder.no_padding()
    encoder.encode_special_tokens = tokenizer.split_special_tokens
    # Post-processors add special tokens, and trim the space off a token's offsets.
    encoder.post_processor = None
    return encoder


def encode(encoder: "Tokenizer", texts: Sequence[str]) -> Iterator[Tokens]:
    """Tokenise texts; the tokens of each stand for all its characters up to the last token's.

    Characters that a normalizer drops fall to the token after them.
    """
    short = encode_whole(encoder, [text for text in texts if len(text) <= SLICE])
    for text in texts:
        yield next(short) if len(text) <= SLICE else encode_long(encoder, text)


def encode_whole(encoder: "Tokenizer", texts: Sequence[str]) -> Iterator[Tokens]:
    """Tokenise texts in parallel, each in one piece.

    Raises:
        CheckpointError: the tokenizer fails on them.
    """
    with naming_panics("The checkpoint's tokenizer cannot read the texts"):
        encodings = encoder.encode_batch(texts, add_special_tokens=False)
    for encoding in encodings:
        ids = np.array(encoding.ids, np.int32)
        edges = np.fromiter(chain.from_iterable(encoding.offsets), np.int32, 2 * len(ids))
        starts, ends = edges[::2], np.maximum.accumulate(edges[1::2])
        starts[:1] = 0
        np.minimum(starts[1:], ends[:-1], out=starts[1:])
        yield Tokens(ids, starts, ends)


def encode_long(encoder: "Tokenizer", text: str) -> Tokens:
    """Tokenise a long text in overlapping slices, with the tokens it has as a whole.

    A tokenizer takes hundreds of bytes for each character that it reads at once. Where two slices
    do not come to agree (one word longer than their overlap), the text is read at once after all.
    """
    parts: list[Tokens] = []
    begins = range(0, len(text) - OVERLAP, SLICE - OVERLAP)
    for first in range(0, len(begins), SLICES_AT_ONCE):
        group = begins[first : first + SLICES_AT_ONCE]
        slices = encode_whole(encoder, [text[begin : begin + SLICE] for begin in group])
        for begin, (ids, starts, ends) in zip(group, slices, strict=True):
            part = Tokens(ids, starts + begin, ends + begin)
            if parts:
                seam = find_seam(parts[-1], part, begin + OVERLAP // 2)
                if seam is None:
                    return next(encode_whole(encoder, [text]))
                parts[-1], part = parts[-1].part(0, seam[0]), part.part(seam[1])
            parts.append(part)
    return Tokens(*map(np.concatenate, zip(*parts, strict=True)))


def find_seam(left: Tokens, right: Tokens, middle: int) -> tuple[int, int] | None:
    """Return the first token from character `middle` on in both, if both agree around it."""
    i, j = (int(np.searchsorted(tokens.starts, middle)) for tokens in (left, right))
    near = left.part(max(i - AGREEMENT, 0), i + AGREEMENT)
    same = right.part(max(j - AGREEMENT, 0), j + AGREEMENT)
    agree = all(map(np.array_equal, near, same))
    return (i, j) if agree and len(near.ids) == 2 * AGREEMENT else None
