"""What entries are called."""

from catalog.errors import Option, UsageError
from catalog.ingest.paths import user_path
from catalog.store.lake.manifest import fits_a_folder
from catalog.taxonomy import DEMO_MODELS, WeightKind


def default_alias(source: str, kind: WeightKind) -> str:
    """Last part of the source in lower case without `-hf`, plus the kind unless folded."""
    name = source if source in DEMO_MODELS else user_path(source).resolve().name
    return name.lower().removesuffix(".gguf").removesuffix("-hf") + (
        "" if kind == "folded" else f"-{kind}"
    )


def check_alias(alias: str, *, given: bool) -> None:
    """Refuse what nobody could type, what names no folder, and, if a user gave it, `@` and `/`.

    Raises:
        UsageError: it is such a name.
    """
    if not alias.strip() or not alias.isprintable():
        raise UsageError(
            f"The alias {alias!r} cannot be read.", "Give another one with ", Option("alias"), "."
        )
    if given and any(mark in alias for mark in "@/"):
        raise UsageError(
            f"The alias {alias!r} has an @ or a /: an @ stands before the step of a series, as in "
            "pythia@1000.",
            "Give another one with ",
            Option("alias"),
            ".",
        )
    if not fits_a_folder(alias):
        raise UsageError(
            f"The alias {alias[:40]}… is too long: no folder could be named for it, as in a lake.",
            "Give a shorter one with ",
            Option("alias"),
            ".",
        )
