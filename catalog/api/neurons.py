"""Questions of single neurons: what is known of one, and what it does on texts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.api.opened import Opened
from catalog.errors import CatalogError
from catalog.neuron_id import NamedNeuron, NeuronId
from catalog.rows import Rows

if TYPE_CHECKING:
    from catalog.ingest.descriptions.importing import Imported
    from catalog.ingest.own_text import NeuronOnText
    from catalog.queries.comparison import Pair, VectorCosines
    from catalog.queries.records import NeuronRecord
    from catalog.texts import Texts


class Neurons(Opened):
    """Single neurons of a catalog, and texts of your own."""

    def compare(
        self,
        first: str,
        second: str,
        model: str | None = None,
        corpus: str | None = None,
        checkpoint: Path | None = None,
        *,
        brief: bool = False,
    ) -> Rows:
        """Two neurons side by side, each written `layer.neuron` or `model:layer.neuron`.

        The first of `notes` says in a sentence what is the same and what differs. Of one model,
        with the cosines between their vectors where its checkpoint is at hand, in the place of its
        ingest or at `checkpoint`; `notes` say where it is not. Without `corpus` activations are
        those on the largest that both have, which `notes` name. `brief` leaves out what says least:
        cosines of unlike vectors within chance, and tokens after the first five of a list.

        Raises:
            CheckpointError: `checkpoint` is not the one that was ingested.
        """
        from catalog.queries.comparison import compared, read_pair

        pair = read_pair(self._handle, first, second, model, corpus)
        cosines, notes = self._vector_cosines(pair, checkpoint) if pair.share_a_model else ({}, ())
        found = compared(self._handle, pair, cosines, brief=brief)
        return Rows(found.rows, (found.said, *pair.notes, *notes))

    def _vector_cosines(
        self, pair: "Pair", checkpoint: Path | None
    ) -> "tuple[VectorCosines, tuple[str, ...]]":
        from catalog.queries.neuron_record import read_entry

        try:
            entry = read_entry(self._handle, pair.first.model.model)
            from catalog.ingest.two_neurons import vector_cosines

            return vector_cosines(entry, pair.first.id, pair.second.id, checkpoint), ()
        except CatalogError as error:
            if checkpoint is not None:
                raise
            return {}, (f"Cosines between their vectors need the checkpoint. {error.said}",)

    def neuron(
        self,
        neuron_id: str,
        model: str | None = None,
        corpus: str | None = None,
        *,
        canonical: bool = False,
    ) -> "NeuronRecord":
        """Everything the catalog knows of one neuron, e.g. `neuron("28.4737")`.

        `model`, which may also stand before the id, as in `alpha:28.4737`, may be left out where
        there is only one; without `corpus` the largest is shown. `canonical` reads a neuron of
        negative cos(w_gate, w_in) with w_in and w_out negated.

        Raises:
            UsageError: it is no neuron id, or not clear of which model; or two are named.
        """
        from catalog.queries.neuron_record import read_neuron
        from catalog.reports import NotebookNeuron

        named = NamedNeuron.parse(neuron_id)
        of = named.model_or(model)
        found = read_neuron(self._handle, named.id, of, corpus, canonical=canonical)
        return NotebookNeuron(**vars(found))

    def samples(self, neuron_id: str, model: str, corpus: str) -> Rows:
        """post of a neuron at the sampled positions of a corpus: context_id, position, post.

        Raises:
            UsageError: it is no neuron id.
            NotFoundError: there is no such model or neuron.
        """
        from catalog.queries.neuron_record import read_model
        from catalog.queries.sql import sql_text

        sizes = read_model(self._handle, model).sizes
        asked = NeuronId.parse(neuron_id).resolved(sizes, model)
        at = {"model": model, "corpus": corpus, "layer": asked.layer, "neuron": asked.neuron}
        return Rows(self._handle.fetch(sql_text("neuron_samples"), at))

    def import_descriptions(
        self,
        path: str | Path,
        file_format: str,
        names: Mapping[str, str] | None = None,
        model: str | None = None,
    ) -> "Imported":
        """Load descriptions of neurons that another tool, or you, wrote; what is there stays.

        `names`: aliases by the names that the file has for models. `model`: of whom a file is that
        names none.

        Raises:
            UsageError: the file is not of this format, or too large; nothing was imported.
        """
        from catalog.ingest.descriptions.importing import import_descriptions

        return import_descriptions(self._handle, Path(path), file_format, names, model)

    def describe_neuron(
        self,
        neuron_id: str,
        text: str,
        model: str | None = None,
        sign_case: str = "any",
        author: str | None = None,
    ) -> bool:
        """Keep what you say of a neuron, e.g. `describe_neuron("28.4737", "writes again")`.

        `sign_case`: a case, `+` or `-` for positions of that sign of post, or any. Returns whether
        it was new.

        Raises:
            UsageError: it is no neuron id, or there is nothing that could be kept.
        """
        from catalog.ingest.descriptions.importing import describe

        return describe(self._handle, neuron_id, text, model, sign_case, author)

    def texts(
        self,
        model: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        tokenizer: Path | None = None,
        checkpoint: Path | None = None,
        *,
        may_download: bool = True,
    ) -> "Texts":
        """What runs texts of your own through a model that is loaded once.

        `checkpoint` is where the model lies now, if it was moved since it was ingested. Without
        `may_download` it must be on this machine.
        """
        from catalog.queries.neuron_record import read_entry
        from catalog.texts import Texts

        entry = read_entry(self._handle, model)
        return Texts(
            self._handle,
            entry,
            device,
            dtype,
            tokenizer,
            checkpoint,
            may_download=may_download,
        )

    def run(
        self, text: str, neuron_id: str, model: str | None = None, **settings: Any
    ) -> "NeuronOnText":
        """gate, in and post of a neuron at every token of a text; `settings` are those of `texts`.

        Raises:
            CheckpointError: the checkpoint is gone, or not the one that was ingested.
            CorpusError, UsageError: the text cannot be read by the model.
        """
        return self.texts(model, **settings).run(text, neuron_id)

    def top(
        self,
        text: str,
        k: int = 3,
        model: str | None = None,
        by: str | None = None,
        **settings: Any,
    ) -> Rows:
        """The k neurons that stand out most at each token of a text, as `Texts.top` ranks them.

        `settings` are those of `texts`.

        Raises:
            CheckpointError, CorpusError, UsageError: as `run`.
        """
        return self.texts(model, **settings).top(text, k, by)

    def firing(
        self,
        token: str,
        model: str | None = None,
        corpus: str | None = None,
        k: int = 20,
        max_tokens: int = 10_000,
        device: str = "auto",
        dtype: str = "auto",
        checkpoint: Path | None = None,
    ) -> Rows:
        """The k neurons that a token drives most, by the model's checkpoint on stored contexts.

        Read are the first contexts of the corpus that hold the piece `token`, some `max_tokens` of
        them; `notes` say how many.

        Raises:
            NotFoundError: no context holds the token; the message names pieces near it.
            CheckpointError: the checkpoint is gone, or not the one that was ingested.
        """
        from catalog.queries.firing import firing_rows, held_token, said

        held = held_token(self._handle, token, model, corpus, max_tokens)
        from catalog.ingest.firing import neurons_firing_on

        found, n = neurons_firing_on(held, k, device, dtype, checkpoint=checkpoint)
        return Rows(firing_rows(self._handle, held, found), (*held.notes, said(held, n)))

    def run_ablated(
        self, text: str, neurons: Sequence[str], model: str | None = None, **settings: Any
    ) -> Rows:
        """What the model predicts after each token of a text, clean and with neurons ablated.

        `settings` are those of `texts`.

        Raises:
            CheckpointError, CorpusError, UsageError: as `run`.
        """
        return self.texts(model, **settings).ablated(text, neurons)

    def run_attributed(
        self, text: str, next_text: str, k: int = 10, model: str | None = None, **settings: Any
    ) -> Rows:
        """The k neurons that matter most for the first token of `next_text` after a text.

        Effects are estimates, to first order, of what each one's zero ablation would do.
        `settings` are those of `texts`.

        Raises:
            CheckpointError, CorpusError, UsageError: as `run`.
        """
        return self.texts(model, **settings).attributed(text, next_text, k)
