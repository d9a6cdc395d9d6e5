"""Texts of the user's own, read by a model of the catalog that is loaded once."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.errors import UsageError
from catalog.neuron_id import NeuronId
from catalog.rows import Rows
from catalog.store.handle import Handle

if TYPE_CHECKING:
    from catalog.ingest.own_text import NeuronOnText, TextReader
    from catalog.queries.own_text import Ranking
    from catalog.queries.records import Entry


class Texts:
    """Runs texts through the checkpoint of an entry; made by `Catalog.texts`.

    What is asked is checked before the model is loaded, which happens with the first text.
    """

    def __init__(
        self,
        handle: Handle,
        entry: "Entry",
        device: str,
        dtype: str,
        tokenizer: Path | None,
        checkpoint: Path | None,
        *,
        may_download: bool = True,
    ) -> None:
        self._handle = handle
        self._entry = entry
        self._settings = (device, dtype, tokenizer, checkpoint)
        self._may_download = may_download
        self._reader: TextReader | None = None

    @property
    def entry(self) -> "Entry":
        """The entry, with its checkpoint's fingerprint."""
        return self._entry

    @property
    def model(self) -> str:
        """The entry's alias."""
        return self._entry.model

    def check(self, texts: Sequence[str], neurons: Sequence[str] = ()) -> list[NeuronId]:
        """Refuse texts and neurons that cannot be read, all of them before a model is loaded.

        Returns the neurons, counted through their layers.

        Raises:
            CorpusError, UsageError, NotFoundError: one cannot be read.
        """
        from catalog.queries.own_text import require_text

        sizes = self._entry.sizes
        asked = [NeuronId.parse(each).resolved(sizes, self.model) for each in neurons]
        for text in texts:
            require_text(text)
        return asked

    def run(self, text: str, neuron_id: str) -> "NeuronOnText":
        """gate, in and post of a neuron at every token of a text.

        Raises:
            CorpusError, UsageError, NotFoundError: text or neuron cannot be read.
            CheckpointError: the checkpoint is gone, or not the one that was ingested.
        """
        (asked,) = self.check([text], [neuron_id])
        return self._opened().neuron(text, asked)

    def rows(self, on_text: "NeuronOnText") -> Rows:
        """One row per token of what `run` returned."""
        from catalog.queries.own_text import neuron_rows

        return Rows(neuron_rows(on_text))

    def top(
        self,
        text: str,
        k: int = 3,
        by: str | None = None,
        first_layer: int | None = None,
        last_layer: int | None = None,
        corpus: str | None = None,
    ) -> Rows:
        """The k neurons that stand out most at each token of a text, with class and role.

        `by` ranks them: |post| (`post`), that times |w_out| (`written`), or that as a multiple of
        the neuron's mean |post| on a corpus (`unusual`; by default, where there is a corpus).

        Raises:
            CheckpointError, CorpusError, UsageError: as `run`.
        """
        from catalog.queries.own_text import require_layers, require_text, scales, top_rows

        require_text(text)
        layers = require_layers(self._entry, first_layer, last_layer)
        by, corpus, notes = self.ranking(by, corpus)
        scale = scales(self._handle, self._entry, by, corpus)
        found = self._opened().top(text, k, scale, layers)
        return Rows(top_rows(self._handle, self._entry.model, found, by, scale), notes)

    def ranking(self, by: str | None = None, corpus: str | None = None) -> "Ranking":
        """What ranks the neurons of `top`, and the corpus that says what is usual.

        Raises:
            NotFoundError, UsageError: no such corpus, or none that says what is usual.
        """
        from catalog.queries.own_text import ranking

        return ranking(self._handle, self._entry, by, corpus)

    def ablated(self, text: str, neurons: Sequence[str]) -> Rows:
        """What the model predicts after each token of a text, clean and with neurons ablated.

        Raises:
            CheckpointError, CorpusError, UsageError, NotFoundError: as `run`.
        """
        from catalog.queries.own_text import changed_rows

        if not neurons:
            raise UsageError("Which neurons? Name some, as layer.neuron.")
        asked = self.check([text], neurons)
        reader = self._opened()
        from catalog.ingest.own_text_effects import ablated_text

        return Rows(changed_rows(ablated_text(reader, text, asked)))

    def attributed(self, text: str, next_text: str, k: int = 10) -> Rows:
        """The k neurons that matter most for the first token of `next_text` after a text.

        Effects are estimates, to first order, of what each one's zero ablation would do.

        Raises:
            CheckpointError, CorpusError, UsageError: as `run`.
        """
        from catalog.queries.own_text import attributed_rows

        self.check([text])
        if not next_text:
            raise UsageError("The token to attribute is empty: write the text that comes next.")
        reader = self._opened()
        from catalog.ingest.own_text_effects import attributed_text

        found = attributed_text(reader, text, next_text, k)
        said = f"{found.token!r} comes next with probability {found.probability:.3g}"
        return Rows(attributed_rows(self._handle, self.model, found), (said,))

    def _opened(self) -> "TextReader":
        if self._reader is None:
            from catalog.ingest.own_text import TextReader

            self._reader = TextReader(self._entry, *self._settings, may_download=self._may_download)
        return self._reader
