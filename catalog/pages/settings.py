"""What whoever serves a catalog may choose."""

from dataclasses import dataclass, replace
from typing import Final

from catalog.api import Limits

LOOPBACK: Final = ("localhost", "127.0.0.1", "[::1]")

_OF_PAGES: Final = Limits(seconds=30, memory_mb=2048, threads=2)
_OF_SQL: Final = Limits(seconds=10, memory_mb=1024, threads=2)


@dataclass(frozen=True)
class Settings:
    """`hosts`: names under which the pages answer. `allow_sql` and `allow_run`: whether `/sql`
    and `/run` are there; a text for the latter has at most `most_characters`.

    `limits` and `sql_limits` hold for each request; `max_rows` for the rows of any answer.
    For `idle_s` seconds after a page the catalog stays open for the next one.
    """

    hosts: tuple[str, ...] = LOOPBACK
    allow_sql: bool = True
    allow_run: bool = False
    limits: Limits = _OF_PAGES
    sql_limits: Limits = _OF_SQL
    max_rows: int = 10_000
    per_page: int = 50
    at_once: int = 4
    most_characters: int = 2_000
    idle_s: float = 0.5


def settings_for(
    host: str, allowed: tuple[str, ...], *, allow_sql: bool, allow_run: bool, sql_seconds: float
) -> Settings:
    """Of a server that listens at `host`, asked under its name, loopback's and `allowed`."""
    named = f"[{host}]" if ":" in host else host
    anywhere = ("0.0.0.0", "[::]", "")
    hosts = (*LOOPBACK, *((named,) if named not in anywhere else ()), *allowed)
    defaults = Settings()
    limits = replace(defaults.sql_limits, seconds=sql_seconds)
    return Settings(tuple(dict.fromkeys(hosts)), allow_sql, allow_run, sql_limits=limits)
