"""What the demo model reads: documents, held-out documents, library source, and their tokens."""

import ast
import gzip
import hashlib
import json
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from catalog.ingest.demo.build_corpus import Definition, read_source, source_files

HELD_OUT_SHARE = 0.03
SHARED_PARAGRAPH = 60  # characters from which a paragraph found in two documents is a leak
START_ID, END_ID = 0, 1
IGNORED = -100  # the label that cross entropy skips


def read_corpus(path: Path) -> dict[str, str]:
    """Read a corpus file: text by document id."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        records = [json.loads(line) for line in file]
    return {record["id"]: record["text"] for record in records}


def is_held_out(name: str) -> bool:
    """Decide by a hash of its id whether a document is for validation only."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4]) < HELD_OUT_SHARE * 2**32


def paragraphs(text: str) -> list[str]:
    """Cut a text at its empty lines."""
    return text.split("\n\n")


def split_documents(corpus: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the texts to train on and the held-out ones, which share no longer paragraph.

    Topics of the language reference repeat one another; a repeated paragraph leaves training.
    """
    held_out = [text for name, text in corpus.items() if is_held_out(name)]
    leaks = {
        part.strip()
        for text in held_out
        for part in paragraphs(text)
        if len(part.strip()) >= SHARED_PARAGRAPH
    }
    kept = (
        "\n\n".join(part for part in paragraphs(text) if part.strip() not in leaks).strip()
        for name, text in corpus.items()
        if not is_held_out(name)
    )
    return [text for text in kept if text], held_out


def library_source() -> list[str]:
    """Return the source of the running Python's library without its docstrings, file by file."""
    library = Path(sysconfig.get_path("stdlib"))
    return [without_docstrings(read_source(path)) for _, path in source_files(library)]


def without_docstrings(source: str) -> str:
    """Remove the lines of every docstring."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, Definition)) and ast.get_docstring(node, clean=False):
            text = node.body[0]
            for number in range(text.lineno - 1, text.end_lineno or text.lineno):
                lines[number] = ""
    return "".join(lines).strip()


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Tensor]:
    """Turn each text into its token ids, without special tokens: a list of [n] int64."""
    found = tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [torch.tensor(encoding.ids, dtype=torch.int64) for encoding in found]


def contexts(documents: Sequence[Tensor], length: int) -> Tensor:
    """Cut documents into contexts [contexts, length] that begin with START, padded by IGNORED."""
    parts = [
        part
        for document in documents
        for part in torch.split(torch.cat([document, torch.tensor([END_ID])]), length - 1)
    ]
    rows = torch.full((len(parts), length), IGNORED)
    rows[:, 0] = START_ID
    for row, part in zip(rows, parts, strict=True):
        row[1 : 1 + len(part)] = part
    return rows


def epochs(
    documents: Sequence[Tensor],
    extra: Sequence[Tensor],
    extra_share: float,
    length: int,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Yield rows [length] without end: START, then documents in a new random order each epoch.

    An epoch holds every document once and a random `extra_share` of the extra ones. Its start is
    shifted by a random number of tokens, so that rows are cut elsewhere each time.
    """
    start, border = torch.tensor([START_ID]), torch.tensor([END_ID, START_ID])
    while True:
        picked = torch.randperm(len(extra), generator=generator)[: int(len(extra) * extra_share)]
        pool = [*documents, *(extra[i] for i in picked.tolist())]
        order = torch.randperm(len(pool), generator=generator).tolist()
        stream = torch.cat([part for i in order for part in (pool[i], border)])
        shift = int(torch.randint(length, (), generator=generator))
        for part in torch.split(stream[shift:], length - 1):
            if len(part) == length - 1:
                yield torch.cat([start, part])
