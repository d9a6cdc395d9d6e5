"""Corpora: documents from files or the Hub, cut into the tokenised contexts that a model reads.

`documents` reads texts one at a time, `contexts` tokenises and cuts them, `tokenise` writes the
folder that `TokenisedCorpus` maps into memory.
"""

from catalog.ingest.corpus.spec import CorpusSpec
from catalog.ingest.corpus.tokenise import tokenise_corpus
from catalog.ingest.corpus.tokenised import TokenisedCorpus

__all__ = ["CorpusSpec", "TokenisedCorpus", "tokenise_corpus"]
