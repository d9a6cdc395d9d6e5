"""Freeze the demo corpus: CPython 3.11's language reference and its library's docstrings.

Modules are parsed, never imported. A document is one topic of `pydoc_data.topics`, one module (its
docstring and those of its functions) or one class (its docstring and those of its methods). Each
docstring of a function, method or class stands under its signature, as `help()` prints it.
"""

import ast
import gzip
import json
import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from inspect import cleandoc
from pathlib import Path

import click

from catalog.ingest.demo import CORPUS_FILE

SKIPPED_FOLDERS = {"test", "tests", "idlelib", "lib2to3", "site-packages", "__pycache__"}
SKIPPED_MODULES = {"pydoc_data.topics"}
SKIPPED_PREFIX = "_sysconfigdata"  # written by each build
SHORTEST_DOCSTRING = 20  # characters
SHORTEST_DOCUMENT = 100

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Document:
    """A text and where it comes from, such as `pydoc:assert` or `argparse.ArgumentParser`."""

    id: str
    text: str


def topics() -> Iterator[Document]:
    """Yield the chapters of the language reference that `help()` shows, by name."""
    from pydoc_data.topics import topics as texts

    for name, text in sorted(texts.items()):
        yield Document(f"pydoc:{name}", text.strip())


def source_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and file of every module of the standard library, by name."""
    modules = {}
    for path in folder.rglob("*.py"):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        built = parts[-1].startswith(SKIPPED_PREFIX) or parts[0].startswith("config-")
        if not (built or SKIPPED_FOLDERS & set(parts) or name in SKIPPED_MODULES):
            modules[name] = path
    yield from sorted(modules.items())


def read_source(path: Path) -> str:
    """Read a source file in the encoding it declares."""
    with tokenize.open(path) as file:
        return file.read()


def signature(node: Definition) -> str:
    """Write what a function or class is called with: `name(arguments)`, `class name(bases)`."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    return f"{node.name}({ast.unparse(node.args)})"


def entries(nodes: list[ast.stmt], seen: set[str]) -> Iterator[str]:
    """Yield signature and docstring of the documented functions and classes below `nodes`."""
    for node in nodes:
        if isinstance(node, Definition):
            yield from entry(node, seen)
            yield from entries(node.body, seen)


def entry(node: Definition, seen: set[str]) -> Iterator[str]:
    """Yield signature and docstring of one definition, unless trivial or seen before."""
    text = documented(node, seen)
    if text:
        yield f"{signature(node)}\n" + "\n".join(
            f"    {line}" if line else "" for line in text.splitlines()
        )


def documented(node: Definition | ast.Module, seen: set[str]) -> str:
    """Return a docstring once: empty if it is missing, trivially short or in `seen` already."""
    text = cleandoc(ast.get_docstring(node) or "").strip()
    if len(text) < SHORTEST_DOCSTRING or text in seen:
        return ""
    seen.add(text)
    return text


def module_documents(name: str, tree: ast.Module, seen: set[str]) -> Iterator[Document]:
    """Yield the document of a module and those of its classes."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    others = [node for node in tree.body if not isinstance(node, ast.ClassDef)]
    texts = [documented(tree, seen), *entries(others, seen)]
    yield Document(name, "\n\n".join(filter(None, texts)))
    for node in classes:
        yield Document(f"{name}.{node.name}", "\n\n".join(entries([node], seen)))


def documents(library: Path) -> Iterator[Document]:
    """Yield the whole corpus in its fixed order."""
    yield from topics()
    seen: set[str] = set()
    for name, path in source_files(library):
        yield from module_documents(name, ast.parse(read_source(path)), seen)


def distinct(found: Iterator[Document]) -> Iterator[Document]:
    """Drop documents that are short or repeat the text of an earlier one."""
    seen: set[str] = set()
    for document in found:
        if len(document.text) >= SHORTEST_DOCUMENT and document.text not in seen:
            seen.add(document.text)
            yield document


def write(found: Iterator[Document], target: Path) -> tuple[int, int]:
    """Write one JSON object a line, the same bytes each time; return documents and characters."""
    count = characters = 0
    with target.open("wb") as raw, gzip.GzipFile("", "wb", 9, raw, mtime=0) as file:
        for document in found:
            file.write(json.dumps(asdict(document), ensure_ascii=False).encode() + b"\n")
            count += 1
            characters += len(document.text)
    return count, characters


@click.command()
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=CORPUS_FILE,
    help="The file to write; by default the shipped one.",
)
def main(output: Path) -> None:
    """Write the demo corpus from the running Python, which must be 3.11.

    Example: python -m catalog.ingest.demo.build_corpus --output corpus.jsonl.gz
    """
    if sys.version_info[:2] != (3, 11):
        raise click.ClickException("the demo corpus is the text of Python 3.11")
    library = Path(sysconfig.get_path("stdlib"))
    count, characters = write(distinct(documents(library)), output)
    click.echo(f"{output}: {count} documents, {characters} characters", err=True)


if __name__ == "__main__":
    main()
