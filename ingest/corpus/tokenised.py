"""A tokenised corpus on disk: `contexts.arrow`, written in batches and mapped into memory, and
`corpus.json`, what is to be known about it as a whole."""

import json
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from catalog.errors import CorpusError
from catalog.ingest.corpus.contexts import Context
from catalog.ingest.corpus.encoding import Int32s

CONTEXTS_FILE = "contexts.arrow"
SUMMARY_FILE = "corpus.json"

CONTEXTS_AT_ONCE = 1024
TOKENS_AT_ONCE = 1 << 20  # a batch ends here too, so that long contexts stay affordable

TOKEN_LIST = pa.list_(pa.field("item", pa.int32(), nullable=False))
SCHEMA = pa.schema(
    [
        pa.field("context_id", pa.int32(), nullable=False),
        pa.field("source_ref", pa.string(), nullable=False),
        pa.field("text", pa.string(), nullable=False),
        pa.field("token_ids", TOKEN_LIST, nullable=False),
        pa.field("token_starts", TOKEN_LIST, nullable=False),
        pa.field("token_ends", TOKEN_LIST, nullable=False),
        pa.field("next_token_id", pa.int32()),
    ]
)


class ContextWriter:
    """Writes contexts in batches, numbering them from 0; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._file = pa.ipc.new_file(str(path), SCHEMA)
        self._waiting: list[Context] = []
        self._n_waiting_tokens = 0
        self.n_contexts = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._flush()
        self._file.close()

    def add(self, context: Context) -> None:
        """Append a context."""
        self._waiting.append(context)
        self._n_waiting_tokens += len(context.tokens.ids)
        self.n_contexts += 1
        full = len(self._waiting) == CONTEXTS_AT_ONCE
        if full or self._n_waiting_tokens >= TOKENS_AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if not self._waiting:
            return
        lengths = [len(context.tokens.ids) for context in self._waiting]
        edges = pa.array(np.cumsum([0, *lengths], dtype=np.int32))
        columns = (
            np.concatenate(column)
            for column in zip(*(context.tokens for context in self._waiting), strict=True)
        )
        first = self.n_contexts - len(self._waiting)
        self._file.write_batch(
            pa.record_batch(
                [
                    pa.array(np.arange(first, self.n_contexts, dtype=np.int32)),
                    pa.array([context.source_ref for context in self._waiting], pa.string()),
                    pa.array([context.text for context in self._waiting], pa.string()),
                    *(pa.ListArray.from_arrays(edges, column, TOKEN_LIST) for column in columns),
                    pa.array([context.next_token_id for context in self._waiting], pa.int32()),
                ],
                schema=SCHEMA,
            )
        )
        self._waiting, self._n_waiting_tokens = [], 0


@dataclass(frozen=True)
class CorpusSummary:
    """What `corpus.json` says of a corpus as tokenised.

    `digest`: sha256 over the token ids of all contexts, what follows them, and the parameters that
    statistics depend on; equal digests mean the same corpus. `n_tokens` counts all tokens of the
    stored contexts, start tokens included. `n_documents`: documents with text that were read;
    `n_empty`: those without; `n_invalid`: those with invalid Unicode, replaced by U+FFFD;
    `n_duplicates`: contexts dropped because an earlier one has the same token ids; `n_truncated`:
    documents of which only the first context was kept. `stopped`: whether `max_tokens` was reached.
    `position_0_special`: whether the first position of a context is to be treated as special, as
    it is where there is a start token or the user chose one or none (docs/definitions.md).
    """

    source: str
    digest: str
    n_contexts: int
    n_tokens: int
    n_documents: int
    n_duplicates: int
    n_empty: int
    n_invalid: int
    n_truncated: int
    stopped: bool
    context_length: int
    start_token_id: int | None
    position_0_special: bool
    special_token_ids: list[int]
    special_tokens: str
    parameters: dict[str, Any]
    notes: list[str]

    def write(self, folder: Path) -> None:
        """Write `corpus.json`."""
        text = json.dumps(asdict(self), ensure_ascii=False, indent=1, sort_keys=True)
        (folder / SUMMARY_FILE).write_text(text + "\n", encoding="utf-8")


@dataclass(frozen=True)
class TokenisedCorpus(CorpusSummary):
    """A tokenised corpus in `folder`; its contexts stay on disk until they are asked for."""

    folder: Path
    contexts: pa.Table = field(repr=False, compare=False)

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Open a folder that `tokenise_corpus` wrote; CorpusError if it is none or damaged."""
        try:
            summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
            contexts = pa.ipc.open_file(pa.memory_map(str(folder / CONTEXTS_FILE))).read_all()
            return cls(**summary, folder=folder, contexts=contexts)
        except (OSError, ValueError, TypeError) as error:
            raise CorpusError(f"{folder} holds no tokenised corpus: {error}") from error

    @cached_property
    def lengths(self) -> Int32s:
        """Tokens of each context, by context id: int32 [n_contexts]."""
        return as_int32(pc.list_value_length(self.contexts["token_ids"]))

    @cached_property
    def next_token_ids(self) -> Int32s:
        """The document's token after each context, by context id: int32 [n_contexts], -1: none."""
        return as_int32(pc.fill_null(self.contexts["next_token_id"], -1))

    def tokens(self, context_ids: Iterable[int]) -> list[Int32s]:
        """Return the token ids of contexts: for each an int32 [length] that must not be changed."""
        found = []
        for context_id in context_ids:
            batch = bisect_right(self._first_ids, context_id) - 1
            edges, values = self._token_batches[batch]
            row = context_id - self._first_ids[batch]
            found.append(values[edges[row] : edges[row + 1]])
        return found

    def table(self, start: int, stop: int) -> pa.Table:
        """Return the rows of the contexts from `start` up to and without `stop`, uncopied."""
        return self.contexts.slice(start, stop - start)

    @cached_property
    def _first_ids(self) -> list[int]:
        chunks = self.contexts["context_id"].chunks
        return [chunk[0].as_py() for chunk in chunks]

    @cached_property
    def _token_batches(self) -> list[tuple[Int32s, Int32s]]:
        chunks = self.contexts["token_ids"].chunks
        return [(chunk.offsets.to_numpy(), chunk.values.to_numpy()) for chunk in chunks]


def as_int32(column: pa.ChunkedArray) -> npt.NDArray[np.int32]:
    """Copy a column without NULLs into one array."""
    return column.to_numpy().astype(np.int32, copy=False)  # type: ignore[no-any-return]
