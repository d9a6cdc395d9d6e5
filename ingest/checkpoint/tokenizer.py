"""Reading the fast tokenizer of a checkpoint: a folder's, or the one inside a GGUF file."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from catalog.errors import CheckpointError, Option
from catalog.ingest.checkpoint.gguf_header import GgufHeader
from catalog.ingest.panics import naming_panics
from catalog.ingest.paths import require_plain_files

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

DEFINITION_FILE: Final = "tokenizer.json"
TOKENIZER_FILES: Final = (DEFINITION_FILE, "tokenizer.model", "vocab.json", "vocab.txt")
_UNUSED: Final = 5
"""Type of a token of a GGUF file that only fills up the embedding."""

_WAY_OUT: Final = (Option("stages", "weights"), " works without a tokenizer.")

FIXED_STRINGS: Final = (
    "The quick brown fox jumps over the lazy dog.",
    "In 1984 there were 12,345.678 of them; 3 > 2.",
    "café, naïve, Straße, Ærøskøbing",
    "\u201cCurly\u201d and \u2018single\u2019 and \"straight\" 'quotes'",
    "日本語のテキスト、中文文本",
    "for i in range(10):\n    print(i, end='\\t')\n",
    "x = {'a': [1, 2], \"b\": None}  # a comment",
    "https://example.org/a?b=c&d=%20",
    "Привет, мир! Γειά σου Κόσμε",
    "emoji 🙂 and a tab\there",
)
"""What a tokenizer rebuilt from a GGUF file must give back: digits, accents, quotes, CJK, code."""


def read_tokenizer(folder: Path) -> "PreTrainedTokenizerFast":
    """Read the fast tokenizer of a local checkpoint folder; nothing is downloaded or executed.

    Raises CheckpointError where the folder has none, or a damaged or unsupported one.
    """
    if folder.is_dir():
        require_plain_files(folder)
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise CheckpointError(
            f"{folder} has no tokenizer: none of {', '.join(TOKENIZER_FILES)} is there;",
            *_WAY_OUT,
        )
    try:
        has_definition = (folder / DEFINITION_FILE).is_file()
        with naming_panics(f"The tokenizer of {folder} cannot be read"):
            read = tokenizer_as_defined if has_definition else tokenizer_of_class
            tokenizer = read(folder)
    except CheckpointError:
        raise
    except Exception as error:  # the Rust parser of tokenizer.json raises nothing more specific
        raise CheckpointError(
            f"The tokenizer of {folder} cannot be read: {first_line(error)};", *_WAY_OUT
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
    return f"{type(error).__name__}: {error}".strip().splitlines()[0].rstrip(".")


def gguf_tokenizer(header: GgufHeader) -> "PreTrainedTokenizerFast":
    """Rebuild the tokenizer that a GGUF file holds, and try it on `FIXED_STRINGS`.

    Tokens that only fill up the embedding, and those that transformers adds, have no name in it.

    Raises:
        CheckpointError: there is none, it cannot be rebuilt, or a string does not come back.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    path = header.path
    hint = ("Name a folder with its tokenizer: ", Option("tokenizer", "DIR"), "; ", *_WAY_OUT)
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            path.parent, gguf_file=path.name, local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # transformers raises nothing more specific
        raise CheckpointError(
            f"The tokenizer in {path} cannot be read: {first_line(error)}.", *hint
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise CheckpointError(f"The tokenizer in {path} has no fast version.", *hint)
    tokenizer = _with_tokens_of(header, tokenizer)
    for text in FIXED_STRINGS:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        back = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
        if str(back).strip() != text.strip():
            raise CheckpointError(
                f"The tokenizer rebuilt from {path} does not give {text!r} back, so texts "
                "would be read wrongly.",
                *hint,
            )
    return tokenizer


def _with_tokens_of(
    header: GgufHeader, tokenizer: "PreTrainedTokenizerFast"
) -> "PreTrainedTokenizerFast":
    """The tokenizer with the tokens that the file has and uses, no others."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    n_tokens = len(header.field("tokenizer.ggml.tokens", []))
    types = header.field("tokenizer.ggml.token_type", [])
    unused = {token_id for token_id, kind in enumerate(types) if kind == _UNUSED}

    def named(token_id: int) -> bool:
        return token_id < n_tokens and token_id not in unused

    definition = json.loads(tokenizer.backend_tokenizer.to_str())
    definition["added_tokens"] = [t for t in definition["added_tokens"] if named(t["id"])]
    vocabulary = definition["model"]["vocab"]
    if isinstance(vocabulary, dict):  # in others, ids are the places in a list
        kept = {piece: token_id for piece, token_id in vocabulary.items() if named(token_id)}
        definition["model"]["vocab"] = kept
    ids = tokenizer.get_vocab()
    roles = {
        role: token
        for role, token in tokenizer.special_tokens_map.items()
        if isinstance(token, str) and named(ids[token])
    }
    core = Tokenizer.from_str(json.dumps(definition))
    return PreTrainedTokenizerFast(tokenizer_object=core, **roles)
