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
from catalog.taxonomy import WEIGHT_KINDS

if TYPE_CHECKING:
    from catalog.ingest.engines.choosing import EngineChoice


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
    "--alias", help="Name of the entry; by default the last part of MODEL, with -raw or -effective."
)
@click.option("--revision", help="Branch, tag or commit of a Hub repository.")
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
    **settings: Any,
) -> None:
    """Compute the neurons of each MODEL and put them into the catalog.

    MODEL is a Hub id, a local folder, a GGUF file, or `demo`; `paper` stands for the paper's
    twelve. With a corpus, the texts that drive each neuron are found too (`demo` brings its own). A
    finished stage is left alone, an interrupted one is carried on.

    \b
    Example:
      catalog ingest allenai/OLMo-7B-0424-hf --corpus wikitext.parquet --max-tokens 2000000
    """
    from catalog.cli.ingesting import ingest_all
    from catalog.errors import UsageError
    from catalog.ingest.corpus.spec import CorpusSpec
    from catalog.ingest.request import IngestRequest
    from catalog.queries.published import paper_models

    sources = [each for name in models for each in (paper_models() if name == "paper" else [name])]
    alone = ("revision", "file", "tokenizer")
    if len(sources) > 1 and (alias or any(settings[name] for name in alone)):
        raise UsageError("--alias, --revision, --file and --tokenizer go with one MODEL.")
    requests = []
    for source in sources:
        corpus = corpus_choice["source"] or ("demo" if source == "demo" else None)
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
    ingest_all(catalog, requests, assume_yes=yes)
