"""`catalog upgrade`: an older catalog brought up to this version's schema."""

from pathlib import Path

import click

from catalog.cli.options import catalog_options


@click.command("upgrade")
@catalog_options
def command(db: Path, wait_s: float) -> None:
    """Bring an older catalog up to the schema of this version; nothing is lost.

    \b
    Example:
      catalog upgrade --db old.duckdb
    """
    from catalog.cli.messages import note
    from catalog.store.handle import Handle
    from catalog.store.opening import missing
    from catalog.store.upgrading import ensure_catalog
    from catalog.store.version import SCHEMA_VERSION

    if not db.exists():
        raise missing(db)
    changed = ensure_catalog(Handle(db, wait_s), upgrade=True)
    done = "was upgraded to" if changed else "already has"
    note(f"{db} {done} schema {SCHEMA_VERSION}")
