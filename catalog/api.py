"""The library: open a catalog, ask it anything, look at a neuron; the command line is a skin of it.

Nothing stays open between two calls, so a notebook never keeps an ingest from writing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import CatalogError, NotFoundError, SqlError
from catalog.neuron_id import NeuronId
from catalog.rows import Rows
from catalog.store.handle import Handle
from catalog.store.limits import Limits as Limits
from catalog.store.location import DEFAULT_WAIT_S, Location, as_location

if TYPE_CHECKING:
    from catalog.ingest.ablation.request import AblateOutcome, AblateRequest
    from catalog.ingest.descriptions.importing import Imported
    from catalog.ingest.own_text import NeuronOnText
    from catalog.ingest.progress import Progress
    from catalog.ingest.request import IngestOutcome, IngestRequest
    from catalog.queries import NamedQuery
    from catalog.queries.comparison import Pair, VectorCosines
    from catalog.queries.records import Model
    from catalog.queries.records import NeuronRecord as NeuronRecord
    from catalog.queries.verification import Verification
    from catalog.store.combining import Combined
    from catalog.store.compacting import Compacted
    from catalog.store.dropping import Drop
    from catalog.store.reroling import Upgrade
    from catalog.texts import Texts


class Catalog:
    """A catalog, a file or a lake; made by `catalog.open`.

    Every method raises NotFoundError for a model, neuron, corpus or query that is not there, and
    DatabaseError where the file cannot be used; the message says what there is.
    """

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    @property
    def handle(self) -> Handle:
        """What an IngestRequest takes."""
        return self._handle

    @property
    def path(self) -> Location:
        """Where it is: a path, or the URL of a lake."""
        return self._handle.location

    @contextmanager
    def kept_open(self, limits: Limits) -> Iterator["Catalog"]:
        """The same catalog with one connection for all that is asked in the block, and limits.

        Raises:
            LimitReached: a query took more than the limits allow.
        """
        with self._handle.kept_open(limits) as handle:
            yield Catalog(handle)

    def interrupt(self) -> None:
        """Stop what a catalog that is kept open is asked just now; from any thread."""
        if self._handle.kept is not None:
            self._handle.kept.interrupt()

    def mark(self) -> tuple[int, ...] | None:
        """Numbers that differ once the file was written to; None of a lake."""
        from catalog.store.reading import file_state

        where = self._handle.location
        return file_state(where) if isinstance(where, Path) and where.is_file() else None

    def state(self) -> str:
        """A digest of all that the entries hold, from those of their rows."""
        from catalog.queries.sql import sql_text

        return str(self._handle.rows(sql_text("state"))[0]["state"])

    def sql(
        self,
        query: str,
        parameters: Sequence[object] | Mapping[str, object] = (),
        max_rows: int | None = None,
    ) -> Rows:
        """Run one SELECT over the public views; `$1` or `$name` are bound.

        Raises:
            SqlError: the SQL is wrong, or more than one SELECT.
        """
        try:
            return Rows(self._handle.fetch_checked(query, parameters, max_rows))
        except SqlError as error:
            from catalog.queries.near_columns import near_columns

            near = near_columns(error.said, self.columns())
            if near is None:
                raise
            raise SqlError(f"{error.said}\n{near}") from error

    def describe(self, view: str | None = None) -> Rows:
        """The columns of a public view with their types and meanings; without one, the views.

        Raises:
            NotFoundError: there is no such view; the message says which there are.
        """
        from catalog.queries.sql import sql_text

        if view is None:
            return Rows(self._handle.fetch_checked(sql_text("public_views")))
        asked = {"view": view.lower()}
        found = self._handle.fetch_checked(sql_text("view_columns"), asked)
        if not found.num_rows:
            raise NotFoundError(
                f"There is no view {view!r}. There is: {', '.join(self.columns())}."
            )
        return Rows(found)

    def query(self, name: str, *settings: str, **parameters: Any) -> Rows:
        """Run a named query, e.g. `query("classes_by_layer", threshold=0.4)`.

        Parameters are given by name, or as texts `key=value`. `notes` name stages that the rows
        need and nobody ingested yet.

        Raises:
            UsageError: an unknown or missing parameter, or a value of the wrong type.
        """
        from catalog.queries import named_query
        from catalog.queries.asking import answered

        asked = named_query(name)
        texts = [f"{key}={_as_text(value)}" for key, value in parameters.items()]
        return Rows(*answered(self._handle, asked, asked.bound([*settings, *texts])))

    def models(self) -> Rows:
        """One row per entry, with its finished stages."""
        from catalog.queries.sql import sql_text

        return Rows(self._handle.fetch(sql_text("models")))

    def entry(self, model: str | None = None) -> "Model":
        """The row of `models` of an alias, which may be left out where there is only one."""
        from catalog.queries.neuron_record import chosen_model

        with self._handle.reading() as connection:
            return chosen_model(connection, self._handle.location, model)

    def corpora(self, model: str) -> list[str]:
        """Names of the corpora on which a model's activations are shown."""
        from catalog.queries.sql import sql_text

        return [row["corpus"] for row in self._handle.rows(sql_text("corpora"), {"model": model})]

    def tokens_with(self, text: str, model: str | None = None, k: int = 50) -> Rows:
        """Tokens of the vocabularies that contain a text, the shortest first, at most `k`."""
        from catalog.queries.sql import sql_text

        parameters = {"text": text, "model": model, "k": k}
        return Rows(self._handle.fetch(sql_text("tokens_with"), parameters))

    def columns(self) -> dict[str, list[str]]:
        """The names of the public views, each with those of its columns."""
        from catalog.queries.sql import sql_text

        views: dict[str, list[str]] = {}
        for row in self._handle.rows(sql_text("columns")):
            views.setdefault(row["view"], []).append(row["column"])
        return views

    def keywords(self) -> list[str]:
        """The words of the SQL dialect."""
        from catalog.queries.sql import sql_text

        return [row["word"] for row in self._handle.rows(sql_text("keywords"))]

    def named(self, name: str) -> "NamedQuery":
        """A named query: what it answers, its parameters, its SQL."""
        from catalog.queries import named_query

        return named_query(name)

    def queries(self) -> Rows:
        """The named queries: name, parameters, what each answers."""
        from catalog.queries import listing

        return Rows(listing())

    def find(self, **sought: Any) -> Rows:
        """Neurons by class, role, layer and token: `find(token=[" May", " June"], vector="out")`.

        Takes the fields of `catalog.queries.finding.Sought`. `notes` say which pieces of the
        vocabulary matched, and which are near where none did.

        Raises:
            UsageError: a choice that there is not.
        """
        from catalog.queries.finding import Sought, found

        return Rows(*found(self._handle, Sought(**sought)))

    def choices(self) -> "Mapping[str, Sequence[str]]":
        """What there is to choose among in `find`, by the name of the choice."""
        from catalog.queries.finding import CHOICES

        return CHOICES

    def facets(self, **sought: Any) -> Rows:
        """How many neurons of a model there are by class, role and layer, for the same choices."""
        from catalog.queries.finding import Sought, facets

        return Rows(facets(self._handle, Sought(**sought)))

    def plane_choices(self) -> "Mapping[str, Sequence[str]]":
        """What `points` may be placed and coloured by: quantities and colours."""
        from catalog.queries.points import COLOURS, QUANTITIES

        return {"quantities": QUANTITIES, "colours": COLOURS}

    def classified(
        self, cos_gate_in: float, cos_gate_out: float, cos_in_out: float
    ) -> tuple[str, bool]:
        """The IO class that three cosines have at 0.5, and whether it is atypical."""
        from catalog.queries.sql import sql_text

        given = {"gate_in": cos_gate_in, "gate_out": cos_gate_out, "in_out": cos_in_out}
        (row,) = self._handle.rows(sql_text("classified"), given)
        return row["io_class"], row["atypical"]

    def points(self, **plane: Any) -> Rows:
        """Neurons as points of two quantities; takes the fields of `catalog.queries.points.Plane`.

        Raises:
            UsageError: a quantity that there is not.
        """
        from catalog.queries.points import Plane, points

        return Rows(points(self._handle, Plane(**plane)))

    def compare(
        self,
        first: str,
        second: str,
        model: str | None = None,
        corpus: str | None = None,
        checkpoint: Path | None = None,
    ) -> Rows:
        """Two neurons side by side, each written `layer.neuron` or `model:layer.neuron`.

        Of one model, with the cosines between their vectors where its checkpoint is at hand, in
        the place of its ingest or at `checkpoint`; `notes` say where it is not.

        Raises:
            CheckpointError: `checkpoint` is not the one that was ingested.
        """
        from catalog.queries.comparison import compared, read_pair

        pair = read_pair(self._handle, first, second, model, corpus)
        cosines, notes = self._vector_cosines(pair, checkpoint) if pair.share_a_model else ({}, ())
        return Rows(compared(self._handle, pair, cosines), notes)

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

        `model` and `corpus` may be left out where there is only one. `canonical` reads a neuron of
        negative cos(w_gate, w_in) with w_in and w_out negated.

        Raises:
            UsageError: it is no neuron id, or not clear of which model.
        """
        from catalog.queries.neuron_record import read_neuron
        from catalog.reports import NotebookNeuron

        asked = NeuronId.parse(neuron_id)
        found = read_neuron(self._handle, asked, model, corpus, canonical=canonical)
        return NotebookNeuron(**vars(found))

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
    ) -> "Texts":
        """What runs texts of your own through a model that is loaded once.

        `checkpoint` is where the model lies now, if it was moved since it was ingested.
        """
        from catalog.queries.neuron_record import read_entry
        from catalog.texts import Texts

        entry = read_entry(self._handle, model)
        return Texts(self._handle, entry, device, dtype, tokenizer, checkpoint)

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
        from catalog.ingest.threads import sleep_while_waiting

        sleep_while_waiting()
        from catalog.ingest.firing import neurons_firing_on

        found, n = neurons_firing_on(held, k, device, dtype, checkpoint=checkpoint)
        return Rows(firing_rows(self._handle, held, found), (said(held, n),))

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

    def plot(
        self,
        figure: str,
        models: Sequence[str] = (),
        file_format: str = "png",
        **options: Any,
    ) -> bytes:
        """A figure of the paper as the bytes of a .png, .svg or .pdf; without `models`, of all.

        Raises:
            UsageError: an option that the figure does not have.
        """
        from catalog.figures import render
        from catalog.figures.data import FigureData

        return render(figure, FigureData(self._handle, models), file_format, **options)

    def verify(
        self,
        model: str | None = None,
        *,
        rows: bool = True,
        exemplars: int | None = None,
        published: bool = False,
        corpus: str | None = None,
        device: str = "auto",
        checkpoint: Path | None = None,
    ) -> "list[Verification]":
        """Check digests of `rows`, so many `exemplars`, class counts that were `published`.

        `checkpoint` is where the model lies now, if it was moved since it was ingested.
        `require_agreement` raises what is wrong with the answer.
        """
        from catalog.queries import verification

        checks = []
        if rows:
            checks.append(verification.of_rows(self._handle, model))
        if exemplars is not None:
            drawn = verification.drawn_exemplars(self._handle, model, corpus, exemplars)
            from catalog.ingest.threads import sleep_while_waiting

            sleep_while_waiting()
            from catalog.ingest.recheck import recheck_exemplars

            checks.append(verification.of_exemplars(*recheck_exemplars(drawn, device, checkpoint)))
        if published:
            checks.append(verification.of_published(self._handle, model))
        return checks

    def require_agreement(self, checks: "Sequence[Verification]") -> None:
        """Raise MismatchError if anything differs in what `verify` answered, or was not checked."""
        from catalog.queries import verification

        verification.require_agreement(self._handle, checks)

    def export(
        self,
        target: str | Path,
        models: Sequence[str] = (),
        file_format: str = "parquet",
        *,
        force: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Write models to a folder or URL: a lake (parquet), text files (csv, jsonl), or a catalog
        file of their own (duckdb); without `models`, all.

        Raises:
            UsageError, AliasTaken, EnvironmentFault: the target cannot be so, or be written.
        """
        from catalog.store.exporting import export

        where = as_location(target)
        export(self._handle, where, models, file_format, force=force, say=say)

    def summary(self, model: str) -> list[tuple[str | None, int]]:
        """Neurons of an entry by IO class, the largest class first; None for those without one."""
        from catalog.queries.sql import sql_text

        rows = self._handle.rows(sql_text("class_counts"), [model])
        return [(row["io_class"], row["neurons"]) for row in rows]

    def ablation_places(self, ablation_id: str, metric: str = "loss", k: int = 3) -> Rows:
        """The k positions where an ablated subset raised a metric most, and lowered it, with their
        text."""
        from catalog.queries.sql import sql_text
        from catalog.store.reading import run_query

        parameters = {"ablation": ablation_id, "metric": metric, "k": k}
        sql = sql_text("ablation_places")
        with self._handle.tables(sql) as connection:
            return Rows(run_query(connection, sql, parameters, self._handle.location))

    def find_drop(
        self, model: str | None = None, corpus: str | None = None, ablation: str | None = None
    ) -> "Drop":
        """What `drop` would take; nothing is changed yet. An `ablation` needs no model."""
        from catalog.store.dropping import find_drop

        return find_drop(self._handle, model, corpus, ablation)

    def drop(self, found: "Drop") -> None:
        """Take an entry, one corpus or one ablation of it, out of the catalog."""
        from catalog.store.dropping import drop

        drop(found)

    def compact(self) -> "Compacted":
        """Rewrite the file to what it holds."""
        from catalog.store.compacting import compact

        return compact(self._handle)

    def upgrade(self) -> "Upgrade":
        """Bring an older catalog up to this version's schema and rule for roles."""
        from catalog.store.reroling import upgrade

        return upgrade(self._handle)

    def __repr__(self) -> str:
        return f"Catalog({str(self.path)!r})"


def open(  # noqa: A001  the name that users expect
    path: str | Path = "catalog.duckdb", wait_s: float = DEFAULT_WAIT_S
) -> Catalog:
    """Open a catalog for reading.

    Args:
        path: the DuckDB file, or a lake: the folder or URL of a `catalog export`.
        wait_s: how long each query waits for an ingest that is writing, in seconds.

    Raises:
        DatabaseMissing, SchemaOutdated, SchemaTooNew, DatabaseCorrupt: it cannot be read.
    """
    handle = Handle(as_location(path), wait_s)
    with handle.reading():
        return Catalog(handle)


def at(path: str | Path, wait_s: float = DEFAULT_WAIT_S) -> Catalog:
    """A catalog that need not be there yet, or may be of an older version; nothing is opened."""
    return Catalog(Handle(as_location(path), wait_s))


def ingest(request: "IngestRequest", progress: "Progress") -> "IngestOutcome":
    """Bring one checkpoint into a catalog, through all the stages asked for.

    Raises:
        CheckpointError, CorpusError: it cannot be ingested.
        DatabaseError: the catalog cannot take it.
    """
    from catalog.ingest.threads import sleep_while_waiting

    sleep_while_waiting()
    from catalog.ingest.driver import ingest as run

    return run(request, progress)


def ablate(request: "AblateRequest", progress: "Progress") -> "AblateOutcome":
    """Ablate neurons of an entry, compare with the clean pass, and keep the effects.

    Raises:
        UsageError, NotFoundError, SqlError: a subset, baseline or corpus that cannot be had.
        CheckpointError, CorpusError: the model or the corpus cannot be read.
    """
    from catalog.ingest.threads import sleep_while_waiting

    sleep_while_waiting()
    from catalog.ingest.ablation.ablating import ablate as run

    return run(request, progress)


def merge(sources: Sequence[Path], target: Path, wait_s: float = DEFAULT_WAIT_S) -> "Combined":
    """Make a new catalog file of several; the same entry in several becomes one.

    Raises:
        MergeConflict: they state different things of an entry; all of it is named.
    """
    from catalog.store.combining import merge as run

    return run(sources, target, wait_s)


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
