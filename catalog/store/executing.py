"""What surrounds DuckDB's execution of a query in Python: Ctrl-C that works, pandas left alone."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import duckdb

from catalog.store.memory import bounded

_Answer = TypeVar("_Answer")
_AGAIN_S: Final = 0.05


def interruptibly(connection: duckdb.DuckDBPyConnection, query: Callable[[], _Answer]) -> _Answer:
    """What `query` returns, within the memory of a reader; Ctrl-C stops it, mostly at once.

    DuckDB looks for signals between the pieces of a plan only, which may be minutes apart. So the
    query has a thread of its own, and the main thread, which signals come to, waits for it. Some
    functions look at nothing until they are done: the command line then ends the process.
    """
    if threading.current_thread() is not threading.main_thread():
        return query()
    from concurrent.futures import ThreadPoolExecutor, wait

    with bounded(), ThreadPoolExecutor(1) as thread:
        running = thread.submit(query)
        try:
            return running.result()
        except KeyboardInterrupt:
            # Again, for what comes before the query has begun is not heard.
            while not running.done():
                connection.interrupt()
                wait([running], _AGAIN_S)
            raise


@contextmanager
def without_pandas() -> Iterator[None]:
    """Keep DuckDB from importing pandas (0.3 s) when it looks at the first bound value.

    It does without where pandas cannot be imported. Other threads might be importing it just now,
    so with any of them it may have its way.
    """
    if "pandas" in sys.modules or threading.active_count() > 1:
        yield
        return
    sys.modules["pandas"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["pandas"]
