"""`catalog upgrade`: an older catalog brought up to this version's schema."""

from pathlib import Path

import click

from catalog.cli.options import catalog_options


@click.command("upgrade")
@catalog_options
def command(db: Path, wait_s: float) -> None:
    """Bring an older catalog up to the schema of this version; nothing is lost.

    Functional roles of an older rule are recomputed from what is stored, without the checkpoint.

    \b
    Example:
      catalog upgrade --db old.duckdb
    """
    from catalog.cli.messages import note
    from catalog.store.handle import Handle
    from catalog.store.reroling import upgrade
    from catalog.store.version import SCHEMA_VERSION

    done = upgrade(Handle(db, wait_s))
    what = "was upgraded to" if done.changed else "already has"
    note(f"{db} {what} schema {SCHEMA_VERSION}")
    for entry in done.reroled:
        note(f"{entry.model}: roles by the present rule")
        for role in sorted(entry.before | entry.after):
            note(f"  {role:24}{entry.before.get(role, 0):>10,} -> {entry.after.get(role, 0):,}")
