"""What a checkpoint's tokenizer says: the text of every vocabulary piece, and the special ids.

DESIGN section 1, "Vocabulary projection" (`token`) and "Start token".
"""

import codecs
import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from catalog.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

DEFINITION_FILE = "tokenizer.json"
TOKENIZER_FILES = (DEFINITION_FILE, "tokenizer.model", "vocab.json", "vocab.txt")
UNDECODABLE = "catalog-hex"


class Vocabulary(NamedTuple):
    """The tokens of a model that have a name, by id.

    `token_ids`: int32 [n], ascending, each below d_vocab; `tokens`: their n texts (DESIGN `token`);
    `digest`: sha256 of both, in hexadecimal; `n_beyond`: how many ids of the tokenizer are
    d_vocab or more and therefore left out; `special_token_ids`: ascending, below d_vocab;
    `start_token_id`: what every context begins with unless overridden, None if nothing.
    """

    token_ids: npt.NDArray[np.int32]
    tokens: list[str]
    digest: str
    n_beyond: int
    special_token_ids: list[int]
    start_token_id: int | None


def read_tokenizer(folder: Path) -> "PreTrainedTokenizerFast":
    """Read the fast tokenizer of a local checkpoint folder; nothing is downloaded or executed.

    Raises CheckpointError where the folder has none, or a damaged or unsupported one.
    """
    way_out = "`--stages weights` works without a tokenizer"
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise CheckpointError(
            f"{folder} has no tokenizer: none of {', '.join(TOKENIZER_FILES)} is there; {way_out}"
        )
    try:
        has_definition = (folder / DEFINITION_FILE).is_file()
        tokenizer = tokenizer_as_defined(folder) if has_definition else tokenizer_of_class(folder)
    except Exception as error:  # the Rust parser of tokenizer.json raises nothing more specific
        raise CheckpointError(
            f"the tokenizer of {folder} cannot be read: {first_line(error)}; {way_out}"
        ) from error
    return tokenizer


def tokenizer_as_defined(folder: Path) -> "PreTrainedTokenizerFast":
    """Read `tokenizer.json` as it stands, which AutoTokenizer of transformers 5 does not.

    That one rebuilds the steps around the vocabulary from the class named in the configuration:
    other ids than in training for OLMo-2, Yi, SmolLM (huggingface/transformers#45920, #44463).
    """
    from transformers import PreTrainedTokenizerFast

    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(
        folder, local_files_only=True
    )
    if tokenizer.bos_token is None or tokenizer.eos_token is None:
        take_roles(tokenizer, folder)
    return tokenizer


def take_roles(tokenizer: "PreTrainedTokenizerFast", folder: Path) -> None:
    """Give BOS and EOS to the tokens that the named class has for them, if the files say nothing.

    A class that transformers does not have leaves them open.
    """
    try:
        by_class = tokenizer_of_class(folder)
    except (OSError, ValueError, ImportError):
        return
    known = tokenizer.get_vocab()
    for role in ("bos_token", "eos_token"):
        token = getattr(by_class, role)
        if getattr(tokenizer, role) is None and token in known:
            setattr(tokenizer, role, token)


def tokenizer_of_class(folder: Path) -> "PreTrainedTokenizerFast":
    """Let transformers build the tokenizer from whatever files there are.

    Raises ValueError where that gives no fast tokenizer, and what transformers raises.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        name = type(tokenizer).__name__
        raise ValueError(f"{name} has no fast version, and only that gives character offsets")
    return tokenizer


def first_line(error: Exception) -> str:
    """Return the class of an error and the first line of its text."""
    return f"{type(error).__name__}: {error}".strip().splitlines()[0]


def start_token(tokenizer: "PreTrainedTokenizerFast", override: str | None = None) -> int | None:
    """Return the id every context begins with (DESIGN "Start token"): BOS, else EOS, else none.

    `override` is 'none' or the decimal id of a token that the tokenizer has; else UsageError.
    """
    if override is None:
        bos: int | None = tokenizer.bos_token_id
        eos: int | None = tokenizer.eos_token_id
        return eos if bos is None else bos
    if override == "none":
        return None
    if not (override.isascii() and override.isdecimal()):
        raise UsageError(f"the start token is 'none' or a token id, not {override!r}")
    if tokenizer.backend_tokenizer.id_to_token(int(override)) is None:
        raise UsageError(f"the start token {override} is no id of the model's tokenizer")
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
    return Vocabulary(
        token_ids,
        tokens,
        vocabulary_digest(token_ids, tokens),
        len(texts) - len(known),
        [token_id for token_id in special_token_ids(tokenizer) if token_id < d_vocab],
        start_token(tokenizer),
    )


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
