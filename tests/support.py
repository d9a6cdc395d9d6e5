"""What many tests share: running the real command, and looking at a catalog from outside."""

import hashlib
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from typing import IO, Any, NamedTuple

import duckdb

REPOSITORY = Path(__file__).parent.parent
COMMAND = Path(sys.executable).with_name("catalog")
VOLATILE = {
    "run_id",
    "started_at",
    "finished_at",
    "ingested_at",
    "created_at",
    "imported_at",
    "notes",
}
"""Columns of views that differ between two ingests of the same thing."""


DUCKDB_2 = duckdb.__version__.startswith("2.")
"""Whether the tests run on DuckDB 2, as those of reading do besides on 1.5."""

Row = tuple[Any, ...]
"""Values of one row, of any DuckDB types."""


class Answer(NamedTuple):
    """What a command gave back."""

    code: int
    out: str
    err: str


def environment(**variables: str) -> dict[str, str]:
    """The process's environment without the user's catalog settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("CATALOG_")}
    return {**kept, "HF_HUB_OFFLINE": "1", **variables}


def command(
    *arguments: object,
    cwd: Path | None = None,
    stdin: IO[bytes] | int = subprocess.DEVNULL,
    **variables: str,
) -> Answer:
    """Run the installed `catalog` as a process of its own; the streams are decoded as UTF-8."""
    done = subprocess.run(
        [COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment(**variables),
        stdin=stdin,
        capture_output=True,
        timeout=120,
        check=False,
    )
    return Answer(done.returncode, done.stdout.decode(), done.stderr.decode())


_SIZE = ("LINES", "COLUMNS")


def on_terminal(
    columns: int, *arguments: object, lines: int = 50, code: int = 0, **variables: str
) -> str:
    """What the command writes to a terminal of that width; its pager shows all at once."""
    # Readline leaves the size of a terminal of its own in the environment of whoever loads it.
    own_size = {key: value for key, value in environment().items() if key not in _SIZE}
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen(
        [COMMAND, *map(str, arguments)],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=own_size | {"TERM": "xterm-256color", "PAGER": "cat"} | variables,
    )
    os.close(slave)
    written = b""
    while select.select([master], [], [], 120)[0]:
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        written += part
    os.close(master)
    assert process.wait(60) == code, written
    return written.decode().replace("\r\n", "\n")


def python(
    code: str,
    *arguments: object,
    cwd: Path | None = None,
    flags: Sequence[str] = (),
    **variables: str,
) -> str:
    """Run Python code in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, *flags, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


_HOLD = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "read")
print("held", flush=True)
sys.stdin.readline()
connection.close()
"""


@contextmanager
def held(path: Path, mode: str) -> Iterator[subprocess.Popen[str]]:
    """Another process has the file open, mode 'read' or 'write', until it is sent a line."""
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(path), mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdin is not None and holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        yield holder
    finally:
        holder.kill()
        holder.communicate()


def release(holder: subprocess.Popen[str]) -> None:
    """Let the holder of `held` close the file."""
    assert holder.stdin is not None
    holder.stdin.write("\n")
    holder.stdin.flush()


def query(path: Path, sql: str, *parameters: object) -> list[Row]:
    """Rows of one query, asked of DuckDB itself."""
    with duckdb.connect(str(path), read_only=True) as connection:
        return connection.execute(sql, parameters).fetchall()


def execute(path: Path, *statements: str) -> None:
    """Run statements on a file, asked of DuckDB itself."""
    with duckdb.connect(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)


def columns(path: Path) -> list[Row]:
    """Every column of every table and view: relation, name, type, nullable, in order."""
    return query(
        path,
        "select table_name, column_index, column_name, data_type, is_nullable "
        "from duckdb_columns() where not internal order by all",
    )


def view_names(path: Path) -> list[str]:
    """The catalog's public views."""
    rows = query(path, "select view_name from duckdb_views() where not internal order by all")
    return [name for (name,) in rows]


def public_rows(path: Path) -> dict[str, list[Row]]:
    """All rows of all public views in a fixed order, without what no two ingests share."""
    shown = {}
    for view in view_names(path):
        names = [row[0] for row in query(path, f"describe {view}")]
        kept = ", ".join(name for name in names if name not in VOLATILE)
        shown[view] = query(path, f"select {kept} from {view} order by all")
    shown["ingest_runs"] = [row for row in shown["ingest_runs"] if "finished" in row]
    return shown


@contextmanager
def one_thread() -> Iterator[None]:
    """A block in which torch adds up as a worker of Ray's does, which has one thread.

    Attributions keep 2^-40 of a nat, and see in which order the products of a row were added.
    """
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file below a folder with a digest of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def wait_until(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    """Return when the condition holds; fail if it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def last_of_each(*words: object) -> list[object]:
    """The words of a command line with, of an option that is given twice, the last alone."""
    left: list[object] = []
    seen: set[object] = set()
    for at in range(len(words) - 1, -1, -1):
        word = words[at]
        if isinstance(word, str) and word.startswith("--"):
            if word in seen:
                del left[-1]  # its value
                continue
            seen.add(word)
        left.append(word)
    return left[::-1]
