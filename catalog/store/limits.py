"""What a query may use where strangers ask: time, memory and threads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.errors import EnvironmentFault, LimitReached

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Limits:
    """Of one connection: seconds until its query is stopped, memory in megabytes, threads."""

    seconds: float
    memory_mb: int
    threads: int

    @property
    def config(self) -> dict[str, Any]:
        """What DuckDB is opened with."""
        return {"memory_limit": f"{self.memory_mb}MB", "threads": str(self.threads)}


@contextmanager
def limited(connection: "duckdb.DuckDBPyConnection", limits: Limits) -> Iterator[None]:
    """Stop what the connection runs when its time is over.

    Raises:
        LimitReached: it was stopped, or needed more memory.
    """
    import duckdb

    over = threading.Event()

    def stop() -> None:
        over.set()
        connection.interrupt()

    timer = threading.Timer(limits.seconds, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except duckdb.InterruptException as error:
        after = f" after {limits.seconds:g} seconds, the limit" if over.is_set() else ""
        raise LimitReached(f"The query was stopped{after}.", *_LESS) from error
    except EnvironmentFault as error:
        if not isinstance(error.__cause__, duckdb.OutOfMemoryException):
            raise
        raise LimitReached(
            f"The query needs more than {limits.memory_mb:,} MB of memory, the limit.", *_LESS
        ) from error
    finally:
        timer.cancel()
        timer.join()  # whoever called closes the connection next, which must not meet an interrupt


_LESS = ("Ask for fewer rows, or aggregate more; in a terminal there is no limit.",)
