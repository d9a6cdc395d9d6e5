"""Options that several commands share, each a decorator."""

import functools
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import click

from catalog.cli.interruption import nothing_to_lose
from catalog.errors import UsageError
from catalog.neuron_id import parsed_layers
from catalog.store.location import DEFAULT_WAIT_S, Location, as_location, not_a_file
from catalog.store.memory import MOST, VARIABLE, bound_process, in_bytes
from catalog.taxonomy import LARGEST_INTEGER

Command = TypeVar("Command", bound=Callable[..., Any])

COUNT: Final = click.IntRange(1, LARGEST_INTEGER)
NATURAL: Final = click.IntRange(0, LARGEST_INTEGER)
_LAYERS: Final = re.compile(r"(\d{1,6})(?:-(\d{1,6}))?", re.ASCII)


class NumberRange(click.FloatRange):
    """Numbers in a range; NaN, which compares as being in any, is in none."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value} is not a number.", param, ctx)
        return number


def layer_range(
    _ctx: click.Context, _option: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    """A layer, `N`, or a range of them, `N-M`, as first and last."""
    if text is None:
        return None
    match = _LAYERS.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is neither a layer nor a range such as 28-31")
    first, last = int(match[1]), int(match[2] or match[1])
    if first > last:
        raise click.BadParameter(f"{text} begins after its end")
    return first, last


def layers(
    _ctx: click.Context, _option: click.Parameter, texts: tuple[str, ...]
) -> tuple[int, ...]:
    """Layers and ranges of them, as the numbers of all."""
    try:
        return parsed_layers(",".join(texts)) if texts else ()
    except UsageError as error:
        raise click.BadParameter(error.said) from error


def wait_option(command: Command) -> Command:
    """`--wait`, passed on as `wait_s`."""
    return click.option(
        "--wait",
        "wait_s",
        type=NumberRange(min=0),
        default=DEFAULT_WAIT_S,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for a catalog that another process has open.",
    )(command)


def catalog_options(command: Command) -> Command:
    """`--db`, a file that may be written, and `--wait`, passed on as `catalog`."""
    return _catalog_option(command, _CatalogFile(), "The catalog file.")


def reading_options(command: Command) -> Command:
    """As `source_options`, of a command that has nothing to lose when it is asked to end."""

    @functools.wraps(command)
    def with_nothing_to_lose(**values: Any) -> Any:
        with nothing_to_lose():
            return command(**values)

    return source_options(cast(Command, with_nothing_to_lose))


def source_options(command: Command) -> Command:
    """`--db`, a file or a lake, and `--wait`, passed on as `catalog`; and `--memory`."""

    @functools.wraps(command)
    def with_memory(memory: int | None, **values: Any) -> Any:
        bound_process(memory)
        return command(**values)

    option = click.option(
        "--memory",
        callback=_as_bytes,
        envvar=VARIABLE,
        show_envvar=True,
        metavar="SIZE",
        help=f"Memory for DuckDB. [default: {MOST // 10**9}GB, or half of the machine's]",
    )
    text = "The catalog file, or a lake: the folder or URL of a catalog export."
    return _catalog_option(cast(Command, option(with_memory)), LOCATION, text)


def _as_bytes(_ctx: click.Context, _option: click.Parameter, size: str | None) -> int | None:
    try:
        return None if size is None else in_bytes(size)
    except UsageError as error:
        raise click.BadParameter(error.said) from error


def _catalog_option(command: Command, kind: click.Path, text: str) -> Command:
    @functools.wraps(command)
    def with_catalog(db: Location, wait_s: float, **values: Any) -> Any:
        from catalog.api import at

        return command(catalog=at(db, wait_s), **values)

    option = click.option(
        "--db",
        type=kind,
        default="catalog.duckdb",
        envvar="CATALOG_DB",
        show_default=True,
        show_envvar=True,
        help=text,
    )
    return cast(Command, option(wait_option(with_catalog)))


class _Location(click.Path):
    """A path, or a URL, in which a Path would make one slash of two."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Location:
        if str(value) == "":
            self.fail("It is empty: name a file or a folder.", param, ctx)
        return as_location(str(super().convert(value, param, ctx)))


class _CatalogFile(_Location):
    """A path; a URL is refused, for a lake is only read."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Location:
        location = super().convert(value, param, ctx)
        if isinstance(location, str):
            raise not_a_file(location)
        return location


LOCATION: Final = _Location()


def model_option(command: Command) -> Command:
    """`--model`: an alias; needed only where the catalog holds several models."""
    return click.option("--model", metavar="ALIAS", help="Which model; see `catalog models`.")(
        command
    )


def force_option(command: Command) -> Command:
    """`--force`: a file of another kind at `--output` is overwritten too."""
    return click.option(
        "--force",
        is_flag=True,
        help="Overwrite what is at --output even if no earlier output of this format.",
    )(command)


def device_option(command: Command) -> Command:
    """`--device`: where to compute."""
    return click.option(
        "--device", type=click.Choice(("auto", "cpu", "cuda")), default="auto", show_default=True
    )(command)


def checkpoint_option(command: Command) -> Command:
    """`--checkpoint`: where a checkpoint lies now."""
    return click.option(
        "--checkpoint",
        metavar="PATH",
        type=click.Path(path_type=Path),
        help="Where the model's checkpoint lies now, if it was moved; it must be the same one.",
    )(command)


_CORPUS_OPTIONS = {
    "source": click.option(
        "--corpus",
        "corpus_source",
        help="Texts to run the model on: demo, a file or folder, or a Hub dataset.",
    ),
    "config": click.option("--corpus-config", help="Configuration of a Hub dataset."),
    "split": click.option(
        "--corpus-split", default="train", show_default=True, help="Split of a Hub dataset."
    ),
    "field": click.option(
        "--corpus-field", default="text", show_default=True, help="Field that holds the text."
    ),
    "context_length": click.option(
        "--context-length",
        "corpus_context_length",
        type=int,
        help="Tokens of a context; by default 1024, or the model's limit if that is lower.",
    ),
    "long_documents": click.option(
        "--long-documents",
        "corpus_long_documents",
        type=click.Choice(("split", "truncate")),
        default="split",
        show_default=True,
        help="Cut long documents into consecutive contexts, or keep only the first.",
    ),
    "max_tokens": click.option(
        "--max-tokens",
        "corpus_max_tokens",
        type=int,
        default=20_000_000,
        show_default=True,
        help="Tokens of the corpus to use.",
    ),
    "start_token": click.option(
        "--start-token",
        "corpus_start_token",
        metavar="none|ID",
        help="First token of every context; by default BOS, else EOS.",
    ),
    "special_tokens": click.option(
        "--special-tokens",
        "corpus_special_tokens",
        type=click.Choice(("excluded", "counted")),
        default="excluded",
        show_default=True,
        help="Whether special tokens count in statistics and rankings.",
    ),
}


def engine_options(command: Command) -> Command:
    """Where a pass is computed, passed on as one EngineChoice `engine`."""

    @functools.wraps(command)
    def with_engine(engine: Any, ray_address: str | None, workers: int | None, **v: Any) -> Any:
        from catalog.ingest.engines.choosing import EngineChoice

        return command(engine=EngineChoice(engine, ray_address, workers), **v)

    decorated: Any = click.option(
        "--workers",
        type=COUNT,
        help="Ray workers, each with the model; by default one for each GPU, or node.",
    )(with_engine)
    decorated = click.option(
        "--ray-address", help="Cluster to use, or auto; by default Ray starts here."
    )(decorated)
    return cast(
        Command,
        click.option(
            "--engine",
            type=click.Choice(("local", "ray")),
            default="local",
            show_default=True,
            help="Where to compute: in this process, or on a Ray cluster.",
        )(decorated),
    )


def saving_option(command: Command) -> Command:
    """`--checkpoint-every`, passed on as `checkpoint_every_s`."""
    return click.option(
        "--checkpoint-every",
        "checkpoint_every_s",
        type=NumberRange(min=0),
        default=180.0,
        show_default=True,
        metavar="SECONDS",
        help="How often the pass over a corpus saves its progress.",
    )(command)


def dtype_option(command: Command) -> Command:
    """`--dtype`: of a forward pass."""
    return click.option(
        "--dtype",
        type=click.Choice(("auto", "float32", "bfloat16")),
        default="auto",
        show_default=True,
        help="Of the forward pass; auto is bfloat16 on CUDA, float32 on the CPU.",
    )(command)


def listed(choices: tuple[str, ...]) -> Callable[..., tuple[str, ...]]:
    """A callback for names separated by commas, each one of `choices`; '' is none."""

    def names(_ctx: click.Context, _option: click.Parameter, text: str) -> tuple[str, ...]:
        found = [name.strip() for name in text.split(",") if name.strip()]
        if unknown := [name for name in found if name not in choices]:
            raise click.BadParameter(f"{', '.join(unknown)}; there is: {', '.join(choices)}")
        return tuple(name for name in choices if name in found)

    return names


def corpus_options(command: Command) -> Command:
    """How a corpus is read and cut, passed on as `corpus_choice` (fields of CorpusSpec)."""

    @functools.wraps(command)
    def with_choice(**values: Any) -> Any:
        choice = {name: values.pop(f"corpus_{name}") for name in _CORPUS_OPTIONS}
        return command(corpus_choice=choice, **values)

    decorated: Any = click.option(
        "--corpus-name", help="Name of the corpus in the catalog; by default its last part."
    )(with_choice)
    for option in reversed(_CORPUS_OPTIONS.values()):
        decorated = option(decorated)
    return cast(Command, decorated)
