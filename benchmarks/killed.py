"""Kills `catalog ingest demo` at random moments; compares the resumed rows with undisturbed ones.

python benchmarks/killed.py --kills 10
"""

import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

import catalog

VIEWS = (
    "neurons",
    "top_tokens",
    "attention_scores",
    "activation_stats",
    "exemplars",
    "activation_samples",
    "corpora",
    "contexts",
)


def ingest(db: Path, max_tokens: int) -> list[str]:
    """The command line of one ingest."""
    options = ["--max-tokens", str(max_tokens), "--checkpoint-every", "1", "--yes"]
    return [sys.executable, "-m", "catalog", "ingest", "demo", "--db", str(db), *options]


def digests(db: Path) -> dict[str, tuple[object, ...]]:
    """Rows and their order-free hash, per public view."""
    opened = catalog.open(db)
    query = "select count(*), sum(hash(t)::hugeint)::varchar from {} t"
    return {view: opened.sql(query.format(view)).fetchall()[0] for view in VIEWS}


@click.command()
@click.option("--kills", default=10, show_default=True)
@click.option("--max-tokens", default=60_000, show_default=True)
@click.option("--seed", default=0, show_default=True)
def main(kills: int, max_tokens: int, seed: int) -> None:
    """Run the comparison; exit code 1 if any rows differ or a reader fails."""
    folder = Path(tempfile.mkdtemp())
    undisturbed = folder / "undisturbed.duckdb"
    started = time.monotonic()
    subprocess.run(ingest(undisturbed, max_tokens), check=True, capture_output=True)
    seconds = time.monotonic() - started
    expected = digests(undisturbed)
    click.echo(f"undisturbed: {seconds:.1f} s, {expected['neurons'][0]} neurons")
    chance = random.Random(seed)
    failed = 0
    for kill in range(kills):
        db = folder / f"{kill}.duckdb"
        after = seconds * (kill + chance.random()) / kills
        process = subprocess.Popen(
            ingest(db, max_tokens), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(after)
        process.send_signal(signal.SIGKILL)
        process.wait()
        shown = digests(db) if db.exists() and db.stat().st_size > 100_000 else {}
        whole = [view for view, rows in shown.items() if rows == expected[view]]
        partial = [v for v, r in shown.items() if r not in (expected[v], (0, None))]
        subprocess.run(ingest(db, max_tokens), check=True, capture_output=True)
        same = digests(db) == expected
        # `neurons` gains columns stage by stage, so it may differ and still be whole.
        failed += not same
        click.echo(
            f"killed after {after:5.1f} s: readers saw {len(whole)} of {len(VIEWS)} views "
            f"complete, in between {partial or 'none'}; resumed rows "
            f"{'same' if same else 'DIFFER'}"
        )
        db.unlink()
    shutil.rmtree(folder)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
