"""Finding what a corpus is called: the demo, a local file or folder, or a Hub dataset."""

from pathlib import Path

from catalog.errors import CorpusError
from catalog.ingest.corpus.documents import Documents
from catalog.ingest.corpus.hub import open_hub
from catalog.ingest.corpus.local import file_documents, open_local
from catalog.ingest.demo import CORPUS_FILE
from catalog.ingest.paths import is_there, user_path
from catalog.taxonomy import DEMO_CORPUS

FILE_ENDINGS = {".txt", ".json", ".jsonl", ".csv", ".parquet", ".gz", ".zst"}


def looks_local(source: str) -> bool:
    """Tell a path from the name of a Hub dataset (`name` or `owner/name`)."""
    path = Path(source)
    return source.startswith((".", "/", "~")) or len(path.parts) > 2 or path.suffix in FILE_ENDINGS


def open_documents(source: str, config: str | None, split: str, field: str) -> Documents:
    """Find a source by name: 'demo', then a local file or folder, then a Hub dataset.

    Raises CorpusError, for the Hub also EnvironmentFault; the stream does too while it is read.
    """
    if source == DEMO_CORPUS:
        return Documents(file_documents(CORPUS_FILE, source, field), source, [])
    path = user_path(source)
    if is_there(path):
        return open_local(path, field)
    if looks_local(source):
        raise CorpusError(f"There is no file or folder {source}.")
    return open_hub(source, config, split, field)
