"""The demo: a small gated transformer that is really trained, its plain twin, and their corpus.

`build_corpus.py` made the corpus from the text that every Python 3.11 carries, `train.py` trained
both models on it; the results are shipped here, so that everyone sees the same neurons offline.
"""

from pathlib import Path
from typing import Final

from catalog.taxonomy import DEMO_MODELS

MODEL_FOLDERS: Final = {
    name: Path(__file__).parent / folder for name, folder in DEMO_MODELS.items()
}
CORPUS_FILE: Final = Path(__file__).parent / "corpus.jsonl.gz"
