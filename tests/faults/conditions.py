"""Circumstances under which a process of the catalog has to work, set up inside that process."""

import os
import resource
from pathlib import Path


def files_at_most(n_bytes: int) -> None:
    """No file may grow beyond this, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))


def open_files_left(n: int) -> None:
    """The process may open this many files beside those it has open now."""
    import catalog.cli.main  # noqa: F401  Python itself needs a file to import it

    used = {int(path.name) for path in Path("/proc/self/fd").iterdir()}
    limit = [number for number in range(1024) if number not in used][n]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))


def memory_left(n_bytes: int) -> None:
    """The process may take this much memory beyond what it has mapped by now."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + n_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def nobody() -> None:
    """The process belongs to a user without rights."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)


def no_home() -> None:
    """Neither HOME nor anything else says where the user's files are."""
    for name in ("HOME", "HF_HOME", "XDG_CACHE_HOME", "USER", "LOGNAME"):
        os.environ.pop(name, None)


def home_in(folder: Path) -> None:
    """HOME and the Hub's cache are in this folder."""
    os.environ |= {"HOME": str(folder), "HF_HOME": str(folder / "hf")}


def no_temporary_folder() -> None:
    """There is no folder for temporary files."""
    import tempfile

    tempfile.tempdir = "/nowhere"
    os.environ["TMPDIR"] = "/nowhere"
