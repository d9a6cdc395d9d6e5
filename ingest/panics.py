"""Failures of libraries written in Rust, which are no `Exception` and pass every handler."""

from collections.abc import Iterator
from contextlib import contextmanager

from catalog.errors import CheckpointError


@contextmanager
def naming_panics(said: str) -> Iterator[None]:
    """Turn a panic into an error of the checkpoint that caused it.

    A regular expression of a tokenizer that gives up on a text is one.

    Raises:
        CheckpointError: `said`, and what the library says.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise CheckpointError(f"{said}: {str(error).rstrip('.')}.") from error
