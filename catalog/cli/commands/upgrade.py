"""`catalog upgrade`: an older catalog brought up to this version's schema."""

import click

from catalog.api import Catalog
from catalog.cli.options import catalog_options


@click.command("upgrade")
@catalog_options
def command(catalog: Catalog) -> None:
    """Bring an older catalog up to the schema of this version; nothing is lost.

    Functional roles of an older rule are recomputed from what is stored, without the checkpoint.

    \b
    Example:
      catalog upgrade --db old.duckdb
    """
    from catalog.cli.messages import note

    done = catalog.upgrade()
    what = "was upgraded to" if done.changed else "already has"
    note(f"{catalog.path} {what} schema {done.schema}")
    for entry in done.reroled:
        note(f"{entry.model}: roles by the present rule")
        for role in sorted(entry.before | entry.after):
            note(f"  {role:24}{entry.before.get(role, 0):>10,} -> {entry.after.get(role, 0):,}")
