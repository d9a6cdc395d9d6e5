"""Digests of everything that can be asked of a catalog, to prove what a change of the code kept.

With the code to look at on PYTHONPATH (from its root: checkpoints are made as its tests make them):

    python benchmarks/promises.py make DIR [--checkpoints OTHER_DIR/checkpoints]
    python benchmarks/promises.py digest DIR/demo.duckdb DIR/families.duckdb > out.json
    python benchmarks/promises.py compare old.json new.json [--expect 'PATTERN' ...]

Digests are named CATALOG/ENTRY/ITEM, where an item is `view.column`, `query NAME.column` or
`show.KEY.KEY`; the entry `*` stands for the whole catalog. Only the command line is used.
"""

import fnmatch
import hashlib
import importlib.util
import io
import json
import os
import random
import re
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import click
import duckdb
import pyarrow.parquet as pq

_NEURON: Final = ("model", "layer", "neuron")
KEYS: Final[dict[str, tuple[str, ...]]] = {
    "models": ("model",),
    "neurons": _NEURON,
    "io_classes(0.4)": _NEURON,
    "top_tokens": (*_NEURON, "vector", "basis", "sign", "rank"),
    "attention_scores": (*_NEURON, "head_layer", "head"),
    "wires": (*_NEURON, "reads", "to_layer", "to_neuron"),
    "twins": (*_NEURON, "vector", "rank"),
    "activation_stats": (*_NEURON, "corpus", "sign_case"),
    "exemplars": (*_NEURON, "corpus", "sign_case", "rank"),
    "activation_samples": (*_NEURON, "corpus", "context_id", "position"),
    "corpora": ("model", "corpus"),
    "contexts": ("model", "corpus", "context_id"),
    "ingest_runs": ("model", "corpus", "stage"),
}
"""The public views, and what names a row: a value is hashed together with its row's name."""

VOLATILE: Final = {"started_at", "finished_at", "ingested_at", "versions", "notes"}
"""Columns and keys that two ingests of the same thing do not share."""

WHOLE: Final = "*"
QUERIES: Final = {
    "classes": ([], ["threshold=0.2"]),
    "contingency": ([], ["partition=30000"]),
    "cosine_quartiles": ([], ["absolute=false"]),
    "extremes": ([], ["cosine=cos_gate_in"]),
    "neurons_firing_on": (["token= class"],),
    "neurons_for_token": (["token= class"],),
    "rarely_firing": ([], ["below=0.3"]),
    "roles": ([], ["partition=30000"]),
    "similar_neurons": (["neuron=1.7"],),
}
"""What named queries are asked for beside the model; the others, once with their defaults."""

SHOWN_PER_LAYER: Final = 8
WEIGHTS: Final = ("folded", "effective", "raw")
UNKNOWN: Final = "novel"  # a checkpoint of no known family, which goes in raw and without a corpus

Digests = dict[str, str]


@click.group()
def main() -> None:
    """Make catalogs, digest what can be asked of them, compare the digests of two versions."""


@main.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--checkpoints", type=click.Path(path_type=Path), help="Default: FOLDER/checkpoints.")
@click.option("--demo/--no-demo", default=True, show_default=True)
def make(folder: Path, checkpoints: Path | None, demo: bool) -> None:
    """Make FOLDER/demo.duckdb and FOLDER/families.duckdb."""
    made = (checkpoints or folder / "checkpoints").absolute()
    for name in ("families.duckdb", *(("demo.duckdb",) if demo else ())):
        if (folder / name).exists():
            raise click.UsageError(f"{folder / name} is there already.")
    folder.mkdir(parents=True, exist_ok=True)
    make_checkpoints(made)
    known = sorted(
        path.parent for path in made.glob("*/config.json") if path.parent.name != UNKNOWN
    )
    corpus = ("--corpus", made / "corpus.jsonl", "--context-length", "64")
    for kind in WEIGHTS:
        ingest(folder / "families.duckdb", *known, "--weights", kind, *corpus)
    ingest(folder / "families.duckdb", made / UNKNOWN, "--weights", "raw")
    if demo:
        ingest(folder / "demo.duckdb", "demo")


def make_checkpoints(folder: Path) -> None:
    """Make the tiny checkpoints, and the corpus; nothing is made anew if all are there."""
    corpus = folder / "corpus.jsonl"  # written last
    if corpus.exists():
        return
    import torch

    from tests.tiny_checkpoints import TINY, build, save_tokenizer

    special: dict[str, tuple[str, dict[str, Any]]] = {
        **{each: (each, {}) for each in TINY},
        "llama-sharded": ("llama", {"dtype": torch.bfloat16, "max_shard_size": "40KB"}),
        UNKNOWN: ("llama", {}),
    }
    for name, (family, options) in special.items():
        build(family, folder / name, **options)
        save_tokenizer(folder / name)
    config = folder / UNKNOWN / "config.json"
    config.write_text(config.read_text().replace('_type": "llama"', f'_type": "{UNKNOWN}"'))
    text = "the class returns a new value, and key items are naïve: print(日本) 🙂\n next"
    draw = random.Random(0)
    texts = [" ".join(draw.choices(text.split(" "), k=draw.randint(1, 60))) for _ in range(80)]
    corpus.write_text("".join(json.dumps({"text": each}) + "\n" for each in texts))


def ingest(catalog: Path, *arguments: str | Path) -> None:
    """Run `catalog ingest`, on the CPU, with one thread: sums have one order."""
    command = [sys.executable, "-m", "catalog", "ingest", *arguments]
    subprocess.run(
        [*command, "--device", "cpu", "--yes", "--db", catalog],
        check=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
    )


@main.command()
@click.argument("catalogs", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
def digest(catalogs: tuple[Path, ...]) -> None:
    """Print the digests of all that can be asked of CATALOGS, as JSON."""
    digests: Digests = {}
    for catalog in catalogs:
        found = {
            f"{catalog.stem}/{name}": value
            for part in (view_digests, query_digests, show_digests)
            for name, value in part(str(catalog)).items()
        }
        if digests.keys() & found.keys():
            raise click.UsageError(f"There are two catalogs named {catalog.stem}.")
        digests |= found
    code = importlib.util.find_spec("catalog")
    about = {"code": code and code.origin, "duckdb": duckdb.__version__, "digests": len(digests)}
    click.echo(json.dumps({"about": about, "digests": digests}, indent=1, sort_keys=True))


class Answer(NamedTuple):
    """What a command gave back."""

    code: int
    out: bytes
    err: bytes


def run(arguments: Sequence[str], out: Path, err: Path) -> NoReturn:
    """Do what `python -m catalog ARGUMENTS` does, and end this process."""
    for name in [name for name in os.environ if name.startswith("CATALOG_")]:
        del os.environ[name]
    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = (
        io.TextIOWrapper(io.FileIO(number, "w", closefd=False), "utf-8") for number in (1, 2)
    )
    sys.argv = ["catalog", *arguments]
    code = 1
    try:
        runpy.run_module("catalog", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def answers(catalog: str, commands: Sequence[Sequence[str]]) -> list[Answer]:
    """Run commands, each in a fork of this process, where what they import of others is there.

    This process must have one thread: a fork would take over locks that another holds.
    """
    running: dict[int, int] = {}
    codes: dict[int, int] = {}

    def reap() -> None:
        pid, status = os.wait()
        codes[running.pop(pid)] = os.waitstatus_to_exitcode(status)

    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for number, words in enumerate(commands):
            if len(running) == os.cpu_count():
                reap()
            pid = os.fork()
            if pid == 0:
                run([*words, "--db", catalog], folder / f"{number}.out", folder / f"{number}.err")
            running[pid] = number
        while running:
            reap()
        return [
            Answer(codes[n], *((folder / f"{n}.{kind}").read_bytes() for kind in ("out", "err")))
            for n in range(len(commands))
        ]


def asked(catalog: str, statements: Sequence[str]) -> list[list[dict[str, Any]]]:
    """Rows of `catalog sql`, per statement."""
    given = answers(catalog, [("sql", each, "--format", "json") for each in statements])
    for answer in given:
        if answer.code:
            raise click.ClickException(answer.err.decode())
    return [json.loads(answer.out) for answer in given]


def view_digests(catalog: str) -> Digests:
    """Per view and entry: count of rows; per column: its type, and an order-free hash."""
    sql = "select view_name from duckdb_views() where not internal order by all"
    (there,) = asked(catalog, [sql])
    present = [row["view_name"] for row in there]
    keyed = [name for name in KEYS if name.partition("(")[1] or name in present]
    views = dict.fromkeys([*keyed, *present])
    columns = {
        view: {row["column_name"]: row["column_type"] for row in rows}
        for view, rows in zip(
            views, asked(catalog, [f"describe from {view}" for view in views]), strict=True
        )
    }
    digests: Digests = {}
    statements = []
    for view, types in columns.items():
        keys = [name for name in KEYS.get(view, ()) if name in types]
        hashes = ", ".join(
            f"sum(hash({', '.join([*keys, as_value(name, kind)])}))::varchar as {name}_"
            for name, kind in types.items()
            if name not in VOLATILE
        )
        entry = "model" if "model" in types else f"'{WHOLE}'"
        counted = f"{entry} as entry, count(*) as n"
        statements.append(f"select {counted}, {hashes} from {view} group by 1")
        digests |= {f"{WHOLE}/{view}.{name} type": kind for name, kind in types.items()}
    for view, rows in zip(columns, asked(catalog, statements), strict=True):
        for row in rows:
            start = f"{row.pop('entry')}/{view}"
            digests[f"{start} rows"] = str(row.pop("n"))
            digests |= {f"{start}.{name[:-1]}": value for name, value in row.items()}
    return digests


def as_value(name: str, kind: str) -> str:
    """SQL for a column's value: the same for FLOAT and DOUBLE, ENUM and VARCHAR, any folder."""
    if name == "source":
        return f"regexp_replace({name}, '^/.*/', '')"
    if kind == "JSON":  # whatever the order of its keys
        return f"list_transform(list_sort(json_keys({name})), lambda k: [k, {name} ->> k])"
    wide = re.sub(r"ENUM\(.*\)", "VARCHAR", kind.replace("FLOAT", "DOUBLE"))
    return name if wide == kind else f"{name}::{wide}"


def query_digests(catalog: str) -> Digests:
    """Per named query, for the whole catalog and by entry: exit code, rows, and each column."""
    listed, models = answers(
        catalog, [("query", "--format", "json"), ("models", "--format", "json")]
    )
    names = [row["query"] for row in json.loads(listed.out)]
    entries = [WHOLE, *(row["model"] for row in json.loads(models.out))]
    runs = [
        (name, given, entry)
        for name in names
        for given in QUERIES.get(name, ([],))
        for entry in entries
    ]
    commands = []
    for name, given, entry in runs:
        parameters = [*given, *([] if entry == WHOLE else [f"model={entry}"])]
        options = [word for each in parameters for word in ("-p", each)]
        commands.append(("query", name, *options, "--format", "parquet"))
    digests: Digests = {}
    for (name, given, entry), answer in zip(runs, answers(catalog, commands), strict=True):
        start = f"{entry}/query {' '.join([name, *given])}"
        digests[f"{start} exit code"] = str(answer.code)
        if answer.code == 0:
            rows = pq.read_table(io.BytesIO(answer.out))
            digests[f"{start} rows"] = str(rows.num_rows)
            for column in rows.column_names:
                values = [plain(value, column) for value in rows[column].to_pylist()]
                digests[f"{start}.{column}"] = hashed(values)
    return digests


def show_digests(catalog: str) -> Digests:
    """Per entry, over some neurons of every layer: every key of `catalog show --json`."""
    (models,) = asked(catalog, ["select model, n_layers, d_mlp from models order by model"])
    runs = [
        (row["model"], f"{layer}.{(number * row['d_mlp']) // SHOWN_PER_LAYER + layer}")
        for row in models
        for layer in range(row["n_layers"])
        for number in range(SHOWN_PER_LAYER)
    ]
    commands = [("show", neuron, "--model", entry, "--json") for entry, neuron in runs]
    found: defaultdict[str, list[Any]] = defaultdict(list)
    for (entry, neuron), answer in zip(runs, answers(catalog, commands), strict=True):
        found[f"{entry}/show exit code"].append(answer.code)
        record = json.loads(answer.out) if answer.code == 0 else {}
        for path, value in leaves(record, f"{entry}/show", ""):
            found[path].append((neuron, value))
    return {path: hashed(values) for path, values in found.items()}


def leaves(value: Any, path: str, key: str) -> Iterator[tuple[str, Any]]:
    """Values below a JSON value, by their path; objects in a list share theirs."""
    if isinstance(value, dict):
        for name, child in value.items():
            if name not in VOLATILE:
                yield from leaves(child, f"{path}.{name}", name)
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        yield f"{path} length", len(value)
        for each in value:
            yield from leaves(each, path, key)
    else:
        yield path, plain(value, key)


def plain(value: Any, name: str) -> Any:
    """A value as it is compared: 1.0 as 1, a path without its folder."""
    if isinstance(value, list):
        return [plain(each, name) for each in value]
    if name == "source" and isinstance(value, str):
        return re.sub("^/.*/", "", value)
    return int(value) if isinstance(value, float) and value.is_integer() else value


def hashed(values: object) -> str:
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@main.command()
@click.argument("old", type=click.File())
@click.argument("new", type=click.File())
@click.option("--expect", multiple=True, help="Digests that may change or go (fnmatch).")
def compare(old: io.TextIOBase, new: io.TextIOBase, expect: tuple[str, ...]) -> None:
    """Print what differs, by item; exit with 1 if a digest of OLD changed or vanished."""
    before, after = (json.loads(file.read())["digests"] for file in (old, new))
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name):
            continue
        kind = "NEW" if name not in before else "VANISHED" if name not in after else "CHANGED"
        if kind != "NEW" and any(fnmatch.fnmatchcase(name, pattern) for pattern in expect):
            kind = f"expected, {kind.lower()}"
        catalog, entry, item = name.split("/", 2)
        found[kind, item].append(f"{catalog}/{entry}")
    for (kind, item), where in sorted(found.items()):
        click.echo(f"{kind}: {item}   in {len(where)}: {', '.join(where)}")
    bad = [where for (kind, _), where in found.items() if kind in ("CHANGED", "VANISHED")]
    broken = sum(map(len, bad))
    same = sum(before[name] == after.get(name) for name in before)
    click.echo(f"{len(before)} digests: {same} the same, {broken} changed or vanished unexpectedly")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
