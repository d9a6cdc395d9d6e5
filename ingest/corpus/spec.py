"""What a user may choose about a corpus."""

from dataclasses import asdict, dataclass
from typing import Literal

from catalog.errors import CorpusError, Option, UsageError

DEFAULT_CONTEXT_LENGTH = 1024
DEFAULT_MAX_TOKENS = 20_000_000

LongDocuments = Literal["split", "truncate"]
SpecialTokens = Literal["excluded", "counted"]


@dataclass(frozen=True)
class CorpusSpec:
    """A source of documents and how they become contexts.

    `source`: 'demo', a local .txt, .jsonl (both also .gz) or .parquet file, a folder of such, or
    the name of a Hub dataset, of which `config` and `split` choose a part. `field` holds the text
    of a record. `context_length` counts tokens, the start token included; None is 1024 or the
    model's limit if that is lower. `long_documents`: 'split' into consecutive contexts, or
    'truncate' to the first. `max_tokens`: the context that reaches it is the last. `start_token`:
    'none', an id, or None for the tokenizer's own (docs/definitions.md). `special_tokens`: whether
    statistics and rankings leave them out; they stay in the contexts either way.
    """

    source: str
    config: str | None = None
    split: str = "train"
    field: str = "text"
    context_length: int | None = None
    long_documents: LongDocuments = "split"
    max_tokens: int = DEFAULT_MAX_TOKENS
    start_token: str | None = None
    special_tokens: SpecialTokens = "excluded"

    def length_for(self, model_limit: int | None) -> int:
        """Return the tokens of a full context for a model that takes `model_limit` (None: any).

        Raises CorpusError above the limit, UsageError where no text would fit.
        """
        limit = DEFAULT_CONTEXT_LENGTH if model_limit is None else model_limit
        length = min(DEFAULT_CONTEXT_LENGTH, limit)
        if self.context_length is not None:
            length = self.context_length
        if model_limit is not None and length > model_limit:
            raise CorpusError(
                f"Contexts of {length} tokens are longer than the {model_limit} that the model"
                " takes.",
                "Choose ",
                Option("context_length", str(model_limit)),
                " or less.",
            )
        if length < 2:
            raise UsageError(f"A context has at least 2 tokens, not {length}.")
        if self.max_tokens < 1:
            raise UsageError(f"A corpus has at least 1 token, not {self.max_tokens}.")
        return length

    def parameters(self, context_length: int) -> dict[str, object]:
        """Return every choice by name, with the context length that was settled on."""
        return asdict(self) | {"context_length": context_length}
