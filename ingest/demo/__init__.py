"""The demo: a small gated transformer that is really trained, and the frozen corpus it learned.

`build_corpus.py` made the corpus from the text that every Python 3.11 carries, `train.py` trained
the model on it; both results are shipped here, so that everyone sees the same neurons offline.
"""

from pathlib import Path

MODEL_FOLDER = Path(__file__).parent / "model"
CORPUS_FILE = Path(__file__).parent / "corpus.jsonl.gz"
