"""What a tokenizer says: the text of every vocabulary piece, the special ids, the start token.

docs/definitions.md, "Vocabulary projection" (`token`) and "Start token".
"""

import codecs
import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from catalog.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

UNDECODABLE = "catalog-hex"


class Vocabulary(NamedTuple):
    """The tokens of a model that have a name, by id.

    `token_ids`: int32 [n], ascending, each below d_vocab; `tokens`: their n texts
    (docs/definitions.md);
    `digest`: sha256 of both, in hexadecimal.
    """

    token_ids: npt.NDArray[np.int32]
    tokens: list[str]
    digest: str


def start_token(tokenizer: "PreTrainedTokenizerFast", override: str | None = None) -> int | None:
    """Return the id every context begins with : BOS, else EOS, else none.

    `override` is 'none' or the decimal id of a token that the tokenizer has; else UsageError.
    """
    if override is None:
        bos: int | None = tokenizer.bos_token_id
        eos: int | None = tokenizer.eos_token_id
        return eos if bos is None else bos
    if override == "none":
        return None
    if not (override.isascii() and override.isdecimal()):
        raise UsageError(f"The start token is 'none' or a token id, not {override!r}.")
    if tokenizer.backend_tokenizer.id_to_token(int(override)) is None:
        raise UsageError(f"The start token {override} is no id of the model's tokenizer.")
    return int(override)


def special_token_ids(tokenizer: "PreTrainedTokenizerFast") -> list[int]:
    """Return the ids of all tokens that are no text, ascending: those with a role, and reserved."""
    added = tokenizer.backend_tokenizer.get_added_tokens_decoder()
    reserved = {token_id for token_id, token in added.items() if token.special}
    return sorted(reserved.union(tokenizer.all_special_ids))


def vocabulary_pieces(tokenizer: "PreTrainedTokenizerFast", d_vocab: int) -> Vocabulary:
    """Read the text of every token id that both the tokenizer and the model (d_vocab rows) have.

    The text is the vocabulary piece with the tokenizer's space marker as a space and byte-level
    letters as the characters they spell; bytes that are no valid UTF-8 alone stand as `<0xE6>`.
    """
    texts = dict(piece_texts(tokenizer))
    known = sorted(token_id for token_id in texts if token_id < d_vocab)
    token_ids = np.array(known, np.int32)
    tokens = [texts[token_id] for token_id in known]
    return Vocabulary(token_ids, tokens, vocabulary_digest(token_ids, tokens))


def vocabulary_digest(token_ids: npt.NDArray[np.int32], tokens: list[str]) -> str:
    """Return sha256 over the ids, the lengths of the texts in bytes, and the texts."""
    encoded = [token.encode() for token in tokens]
    digest = hashlib.sha256(token_ids.astype("<i4").tobytes())
    digest.update(np.array([len(text) for text in encoded], "<i4").tobytes())
    digest.update(b"".join(encoded))
    return digest.hexdigest()


def piece_texts(tokenizer: "PreTrainedTokenizerFast") -> Iterator[tuple[int, str]]:
    """Yield id and text of every token; where an added token replaces a piece, the added one."""
    backend = tokenizer.backend_tokenizer
    pieces = backend.get_vocab(with_added_tokens=False)
    added = backend.get_added_tokens_decoder()
    byte_level, marker = spelling(json.loads(backend.to_str()))

    def spelled(piece: str) -> str:
        if byte_level:
            return spell_bytes(piece)
        return piece.replace(marker, " ") if marker else piece

    for piece, token_id in pieces.items():
        if token_id not in added:
            yield token_id, spelled(piece)
    for token_id, token in added.items():
        # Gemma repeats its runs of spaces (`▁▁`) among the added tokens; they are still pieces.
        repeated = not (byte_level or token.special) and token.content in pieces
        yield token_id, spelled(token.content) if repeated else token.content


def spelling(definition: dict[str, Any]) -> tuple[bool, str]:
    """Read from a tokenizer.json whether pieces are byte-level, and the marker of a space or ''."""
    steps = [
        step
        for name in ("normalizer", "pre_tokenizer", "decoder")
        for step in flat_steps(definition.get(name))
    ]
    byte_level = any(step["type"] == "ByteLevel" for step in steps)
    return byte_level, next(filter(None, map(space_marker, steps)), "")


def flat_steps(step: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Yield a processing step of a tokenizer.json, or those inside it if it is a Sequence."""
    if step is None:
        return
    if step["type"] != "Sequence":
        yield step
    for key in ("normalizers", "pretokenizers", "decoders"):
        for inner in step.get(key, ()):
            yield from flat_steps(inner)


def space_marker(step: dict[str, Any]) -> str:
    """Return what a step writes for a space, or reads as one; '' if it does neither."""
    if step["type"] == "Metaspace":
        return str(step["replacement"])
    if step["type"] == "Replace":
        replaced, content = step["pattern"].get("String", ""), step["content"]
        return content if replaced == " " else replaced if content == " " else ""
    return ""


def byte_letters() -> dict[str, int]:
    """Return the byte that each letter of a byte-level vocabulary stands for (GPT-2's table)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(others)}


BYTES = byte_letters()


def spell_bytes(piece: str) -> str:
    """Return the text that a byte-level piece spells; one with other letters stands for itself."""
    if not BYTES.keys() >= set(piece):
        return piece
    return bytes(BYTES[letter] for letter in piece).decode("utf-8", UNDECODABLE)


def hexadecimal(data: Iterable[int]) -> str:
    """Write bytes as sentencepiece does: `<0xE6><0x97>`."""
    return "".join(f"<0x{byte:02X}>" for byte in data)


def keep_visible(error: UnicodeError) -> tuple[str, int]:
    """Replace the bytes that cannot be decoded by their hexadecimal form."""
    assert isinstance(error, UnicodeDecodeError)
    return hexadecimal(error.object[error.start : error.end]), error.end


codecs.register_error(UNDECODABLE, keep_visible)
