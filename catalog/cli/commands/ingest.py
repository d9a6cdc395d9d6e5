"""`catalog ingest`: from a checkpoint to rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from catalog.api import Catalog
from catalog.cli.options import (
    catalog_options,
    corpus_options,
    device_option,
    dtype_option,
    engine_options,
    saving_option,
)
from catalog.stages import STAGES, default_stages
from catalog.taxonomy import DEMO_CORPUS, DEMO_MODELS, WEIGHT_KINDS

if TYPE_CHECKING:
    from catalog.ingest.engines.choosing import EngineChoice
    from catalog.ingest.request import IngestRequest
    from catalog.ingest.series import StepChoice


def _stages(_ctx: click.Context, _option: click.Parameter, text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = [stage.name for stage in STAGES]
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise click.BadParameter(f"{', '.join(unknown) or 'nothing'}; stages: {', '.join(known)}")
    return tuple(name for name in known if name in names)


@click.command("ingest")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--alias",
    help="Name of the entry, or of the series; by default the last part of MODEL, with -raw or "
    "-effective.",
)
@click.option("--revision", help="Branch, tag or commit of a Hub repository.")
@click.option(
    "--revisions",
    metavar="GLOB",
    help="A training run as a series: revisions of a Hub repository, or folders and GGUF files of "
    "a folder, that are named so and tell a step.",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of a series every N-th checkpoint, and the last.",
)
@click.option(
    "--log-spaced",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of a series N checkpoints, evenly spaced in the logarithm of their steps.",
)
@click.option(
    "--step",
    type=click.IntRange(min=0),
    metavar="N",
    help="The step at which one checkpoint joins a series, as `main` of a repository.",
)
@click.option(
    "--file", metavar="NAME", help="Which GGUF file, where a folder or repository has several."
)
@click.option(
    "--tokenizer",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder with the tokenizer, where a GGUF file's own cannot be used.",
)
@click.option(
    "--weights",
    type=click.Choice(WEIGHT_KINDS),
    default="folded",
    show_default=True,
    help="Norms folded in (as the paper), as effective in the model, or as stored.",
)
@click.option(
    "--stages",
    callback=_stages,
    help="Which stages, separated by commas; by default weights, vocab, roles, and with a corpus "
    "activations.",
)
@click.option(
    "--top-tokens",
    type=click.IntRange(1, 1000),
    default=16,
    show_default=True,
    help="Tokens kept at either end of each vector's scores.",
)
@corpus_options
@click.option(
    "--exemplars",
    type=click.IntRange(1, 1000),
    default=16,
    show_default=True,
    help="Contexts kept per neuron and sign case.",
)
@click.option(
    "--detectors",
    is_flag=True,
    help="Also count which few tokens each neuron fires on: the stage detectors, two more readings "
    "of the corpus.",
)
@dtype_option
@device_option
@saving_option
@engine_options
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--force", is_flag=True, help="Redo stages that are finished.")
@catalog_options
def command(
    catalog: Catalog,
    models: tuple[str, ...],
    alias: str | None,
    stages: tuple[str, ...],
    corpus_choice: dict[str, Any],
    corpus_name: str | None,
    engine: "EngineChoice",
    detectors: bool,
    yes: bool,
    step: int | None,
    revisions: str | None,
    every: int | None,
    log_spaced: int | None,
    **settings: Any,
) -> None:
    """Compute the neurons of each MODEL and put them into the catalog.

    MODEL is a Hub id, a local folder, a GGUF file, `demo` or its twin without a gate, `demo-plain`;
    `paper` stands for the paper's twelve. With a corpus, the texts that drive each neuron are found
    too (the demo brings its own). A finished stage is left alone, an interrupted one is carried on.

    Checkpoints of one training run become a series, an entry for each step: --revisions of a Hub
    repository, a folder of `step-N` folders, or several GGUF files that differ in `step-N` alone.

    \b
    Example:
      catalog ingest allenai/OLMo-7B-0424-hf --corpus wikitext.parquet --max-tokens 2000000
      catalog ingest EleutherAI/pythia-160m --revisions 'step*' --log-spaced 12
    """
    from catalog.cli.ingesting import ingest_all
    from catalog.errors import UsageError
    from catalog.ingest.corpus.spec import CorpusSpec
    from catalog.ingest.request import IngestRequest
    from catalog.ingest.series import StepChoice, are_steps
    from catalog.queries.published import paper_models

    sources = [each for name in models for each in (paper_models() if name == "paper" else [name])]
    alone = ("revision", "file", "tokenizer")
    several = len(sources) > 1 and not are_steps(sources)
    if several and (alias or any(settings[name] for name in alone)):
        raise UsageError("--alias, --revision, --file and --tokenizer go with one MODEL.")
    requests = []
    for source in sources:
        corpus = corpus_choice["source"] or (DEMO_CORPUS if source in DEMO_MODELS else None)
        requests.append(
            IngestRequest(
                catalog=catalog.handle,
                source=source,
                alias=alias,
                stages=(
                    *(stages or default_stages(with_corpus=corpus is not None)),
                    *(["detectors"] if detectors else []),
                ),
                corpus=CorpusSpec(**{**corpus_choice, "source": corpus}) if corpus else None,
                corpus_name=corpus_name,
                engine=engine,
                **settings,
            )
        )
    sought = StepChoice(revisions, every, log_spaced)
    ingest_all(catalog, _planned(requests, sought, step, assume_yes=yes), assume_yes=yes)


def _planned(
    requests: "list[IngestRequest]", sought: "StepChoice", step: int | None, *, assume_yes: bool
) -> "list[IngestRequest]":
    """Those of single checkpoints as they are, those of series with one for each step."""
    from catalog.cli.messages import confirmed, note
    from catalog.errors import Declined
    from catalog.ingest.series import MANY, planned

    found = planned(requests, sought, step, note)
    n_steps = sum(each.place is not None for each in found)
    if n_steps >= MANY:
        question = f"{n_steps} checkpoints match. Ingest all of them?"
        if not confirmed(question, assume_yes=assume_yes):
            raise Declined("Nothing was ingested.")
    return found
