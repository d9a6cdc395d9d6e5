"""From what is asked to what is to be computed: subsets resolved, statistics read, draws made."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
from jaxtyping import Float
from numpy import ndarray

from catalog.errors import Command, Option, UsageError
from catalog.ingest.ablation.arms import Ablation, Arm, Kind, ablation_id, arms_of
from catalog.ingest.ablation.corpus import FirstContexts
from catalog.ingest.ablation.request import AblateRequest
from catalog.ingest.ablation.subsets import EntryNeurons, Subset, SubsetSpec, all_neurons, resolved
from catalog.ingest.progress import Progress
from catalog.queries.records import Entry
from catalog.queries.sql import sql_text
from catalog.store.reading import run_for_dicts, run_query
from catalog.taxonomy import BASELINES, IO_CLASSES, PLAIN_IO_CLASSES, SIGNS

_KINDS = ("zero", "mean")


@dataclass(frozen=True)
class Statistics:
    """Of every neuron on the corpus, by layer."""

    mean_post: dict[int, Float[ndarray, " d_mlp"]]  # float32
    frequency: dict[int, Float[ndarray, " d_mlp"]]


@dataclass(frozen=True)
class Order:
    """What an `ablate` is about, but the model and its corpus."""

    neurons: EntryNeurons
    ablations: tuple[Ablation, ...]
    statistics: Statistics | None

    def arms(self, ablations: Sequence[Ablation], request: AblateRequest) -> list[Arm]:
        """The passes that some of the ablations need."""
        layers = self.neurons.layer
        d_mlp = dict(
            zip(*(each.tolist() for each in np.unique(layers, return_counts=True)), strict=True)
        )
        frequencies = None if self.statistics is None else self.statistics.frequency
        return arms_of(ablations, request.baselines, request.n_draws, d_mlp, frequencies)


def check_choices(request: AblateRequest, *, gated: bool) -> None:
    """Refuse choices that mean nothing.

    Raises:
        UsageError: an unknown kind, baseline or sign; no subset; a gate that the MLP has not.
    """
    for what, given, known in (
        ("kind", request.kinds, _KINDS),
        ("baseline", request.baselines, BASELINES),
        ("sign", [each for each in (request.gate_sign, request.post_sign) if each], SIGNS),
    ):
        if unknown := [each for each in given if each not in known]:
            raise UsageError(f"There is no {what} {unknown[0]!r}. There is: {', '.join(known)}.")
    if not (request.subsets or request.all_classes):
        raise UsageError(
            "Which neurons? Name a subset: ",
            *(
                part
                for each in ("class", "role", "neurons", "where")
                for part in (Option(each), ", ")
            ),
            "or ",
            Option("all_classes"),
            ".",
        )
    if not request.kinds:
        raise UsageError("There is no kind of ablation to do: zero, mean or both.")
    if request.gate_sign is not None and not gated:
        raise UsageError(
            f"{request.model} has plain MLPs, whose neurons have no gate.",
            "Leave out ",
            Option("gate"),
            ".",
        )
    if request.n_draws < 1 or request.max_tokens < 1 or request.seed < 0:
        raise UsageError("Draws and tokens are counted from 1, seeds from 0.")


def make_order(
    request: AblateRequest, entry: Entry, contexts: FirstContexts, progress: Progress
) -> Order:
    """Resolve subsets and read what their ablations need.

    Raises:
        UsageError: a subset that is empty or the whole model; statistics that are not there.
        NotFoundError, SqlError: neurons that are not there; a condition that is none.
    """
    with request.catalog.reading() as connection:
        where = request.catalog.location
        neurons = all_neurons(connection, entry, where)
        specs = [*request.subsets]
        if request.all_classes:
            specs += _classes(connection, request, entry, progress)
        subsets = [resolved(connection, spec, neurons, where) for spec in dict.fromkeys(specs)]
        statistics = None
        if "frequency" in request.baselines or "mean" in request.kinds:
            statistics = _statistics(connection, request, entry, contexts.corpus.name, neurons)
    ablations = [
        _ablation(request, entry, contexts, subset, kind)
        for kind in dict.fromkeys(request.kinds)
        for subset in subsets
    ]
    return Order(neurons, tuple(ablations), statistics)


def _ablation(
    request: AblateRequest, entry: Entry, contexts: FirstContexts, subset: Subset, kind: Kind
) -> Ablation:
    signs = (request.gate_sign, request.post_sign)
    found = ablation_id(
        entry.fingerprint,
        entry.weights,
        contexts.corpus.digest,
        len(contexts.token_ids),
        subset,
        kind,
        *signs,
        request.seed,
    )
    return Ablation(found, subset, kind, *signs, request.seed)


def _classes(
    connection: duckdb.DuckDBPyConnection, request: AblateRequest, entry: Entry, progress: Progress
) -> list[SubsetSpec]:
    """The IO classes that have neurons."""
    rows = run_for_dicts(
        connection,
        "select distinct io_class from neurons where model = $1 and io_class is not null "
        "and (not $2 or not atypical) order by io_class",
        [entry.model, request.typical],
        request.catalog.location,
    )
    there = {row["io_class"] for row in rows}
    possible = IO_CLASSES if entry.gated else PLAIN_IO_CLASSES
    if lacking := [name for name in possible if name not in there]:
        progress.note(f"{entry.model} has no neuron of {', '.join(lacking)}, which is left out")
    return [SubsetSpec(io_class=n, typical=request.typical) for n in IO_CLASSES if n in there]


def _statistics(
    connection: duckdb.DuckDBPyConnection,
    request: AblateRequest,
    entry: Entry,
    corpus: str,
    neurons: EntryNeurons,
) -> Statistics:
    """What `mean` and `frequency` need.

    Raises:
        UsageError: the entry has no activations on the corpus.
    """
    parameters = {"model": entry.model, "corpus": corpus}
    rows = run_query(connection, sql_text("neuron_means"), parameters, request.catalog.location)
    if rows.num_rows != len(neurons.layer):
        needs = "The baseline frequency needs" if "mean" not in request.kinds else "mean needs"
        options = [Option("stages", "activations"), Option("corpus", corpus)]
        raise UsageError(
            f"{needs} activation statistics of {entry.model} on the corpus {corpus!r}, which the "
            "catalog does not hold.",
            "Make them: ",
            Command("ingest", (entry.source,), tuple(options)),
            "; or ask for ",
            Option("kind", "zero"),
            " and ",
            Option("baseline", "layer"),
            ".",
        )
    layer, _, mean_post, frequency = (column.to_numpy() for column in rows.columns)
    by_layer = {at: layer == at for at in neurons.layers}
    return Statistics(
        {at: mean_post[own].astype(np.float32) for at, own in by_layer.items()},
        {at: frequency[own] for at, own in by_layer.items()},
    )
