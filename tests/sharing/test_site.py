"""A site of chosen neurons: pages that stand alone, an index that finds them, nothing lost."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import catalog
from catalog.errors import SqlError, UsageError
from catalog.sharing import folder as folders
from catalog.sharing import site as sites
from tests.reports.test_reports import Seen
from tests.support import Answer, execute

Cli = Callable[..., Answer]
HOSTILE = "<script>document.title='x'</script><img src=x onerror=alert(1)>\" onclick=\"x\u202e\x1b"


class Site(Seen):
    """What stands in a page, and where its links lead."""

    VOID = ("meta",)

    def __init__(self, path: Path) -> None:
        self.links: list[str] = []
        super().__init__(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("href", "src")]
        super().handle_starttag(tag, attrs)
        if tag in self.VOID:
            self.open.pop()


def files(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def test_the_chosen_neurons_have_pages_and_the_index_leads_to_them(
    cli: Cli, known: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "site"
    where = "io_class = 'depletion' or neuron_id = '28.4737'"
    done = cli("export", "site", folder, "--model", "alpha", "--where", where, "--db", known)
    assert done.code == 0 and "2 neurons" in done.err
    assert files(folder) == {"index.html", "28.4737.html", "31.9634.html"}
    index = Site(folder / "index.html")
    assert index.links == ["28.4737.html", "31.9634.html"]
    assert where in index.text and "enrichment" in index.text
    for name in index.links:
        shown = Site(folder / name)
        assert shown.open == [] and shown.links == ["index.html"]
        assert name.removesuffix(".html") in shown.text
        assert "default-src 'none'" in (folder / name).read_text()


def test_a_page_is_what_show_writes_and_what_a_notebook_shows(
    cli: Cli, known: Path, tmp_path: Path
) -> None:
    folder, alone = tmp_path / "site", tmp_path / "alone.html"
    asked = ("--model", "alpha", "--db", known)
    assert cli("export", "site", folder, "--where", "neuron_id = '28.4737'", *asked).code == 0
    assert cli("show", "28.4737", "--html", alone, *asked).code == 0
    page = (folder / "28.4737.html").read_text()
    assert re.sub("<nav>.*?</nav>", "", page) == alone.read_text()
    notebook: Any = catalog.open(known).neuron("28.4737", "alpha")
    cell = notebook._repr_html_().partition("</style>")[2]
    assert cell.replace("h2>", "h1>") in page


def test_a_long_index_lists_layers(
    known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sites, "PER_INDEX", 2)
    catalog.open(known).export_site(tmp_path / "site", "alpha", "layer >= 28")
    index = Site(tmp_path / "site" / "index.html")
    assert index.links == [f"layer-{layer}.html" for layer in (28, 29, 30, 31)]
    layer = Site(tmp_path / "site" / "layer-28.html")
    assert layer.open == [] and layer.links == ["index.html", "28.4737.html", "28.9766.html"]
    assert Site(tmp_path / "site" / "28.4737.html").links == ["layer-28.html"]


def test_thousands_of_pages_are_made_when_wanted(
    known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folders, "MANY", 3)
    opened = catalog.open(known)
    n = len(opened.sql("from neurons where model = 'alpha'"))
    with pytest.raises(UsageError, match=rf"^{n} neurons of alpha .* \d+ MB.*where=.*yes="):
        opened.export_site(tmp_path / "site", "alpha")
    assert files(tmp_path) == set()
    opened.export_site(tmp_path / "site", "alpha", yes=True)
    assert len(files(tmp_path / "site")) == n + 1


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("layer = 99", "There is no neuron of alpha"),
        ("lyer = 1", "lyer"),
        ("layer", "no condition"),
        ("true; drop table neuron", "statements"),
        ("true union select 1", "no condition"),
        ("layer in (select layer from read_csv('/etc/passwd'))", "refused"),
    ],
)
def test_a_condition_that_chooses_nothing_or_is_none_makes_no_folder(
    cli: Cli, known: Path, tmp_path: Path, where: str, said: str
) -> None:
    done = cli(
        *("export", "site", tmp_path / "site", "--model", "alpha", "--where", where, "--db", known)
    )
    assert done.code in (UsageError.exit_code, SqlError.exit_code)
    assert said in done.err and done.err.startswith("Error: ")
    assert files(tmp_path) == set()


def test_a_folder_that_holds_anything_else_is_left_alone(
    cli: Cli, known: Path, tmp_path: Path
) -> None:
    asked = ("--model", "alpha", "--where", "neuron_id = '28.4737'", "--db", known)
    mine = tmp_path / "mine"
    mine.mkdir()
    assert cli("export", "site", mine, *asked).code == 0
    refused = cli("export", "site", mine, *asked)
    assert refused.code == 2 and "--force" in refused.err
    assert cli("export", "site", mine, *asked, "--force").code == 0
    (mine / "notes.txt").write_text("mine")
    for more in ((), ("--force",)):
        refused = cli("export", "site", mine, *asked, *more)
        assert refused.code == 2 and "notes.txt" in refused.err
    assert (mine / "notes.txt").read_text() == "mine"
    file = tmp_path / "file"
    file.write_text("mine")
    assert cli("export", "site", file, *asked, "--force").code == 2
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    "arguments",
    [
        ("lake", "--where", "layer = 1"),
        ("lake", "--yes"),
        ("site", "folder", "--format", "csv"),
        ("site", "a", "b"),
        ("site", "folder", "--model", "alpha", "--model", "beta"),
        ("site", "folder"),
        ("site", "s3://bucket/site", "--model", "alpha"),
    ],
    ids=" ".join,
)
def test_what_does_not_go_together_is_refused(
    cli: Cli, known: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: tuple[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = cli("export", *arguments, "--db", known)
    assert refused.code == 2, refused.err
    assert files(tmp_path) == set()


def test_a_hostile_catalog_puts_no_tag_or_attribute_into_a_site(db: Path, tmp_path: Path) -> None:
    chosen = "neuron_id in ('28.4737', '31.9634')"
    catalog.open(db).export_site(tmp_path / "usual", "alpha", chosen)
    quoted = HOSTILE.replace("'", "''")
    for statement in (
        f"update model set alias = '{quoted}', source = '{quoted}' where alias = 'alpha'",
        f"update model set family = '{quoted}', quantization = '{quoted}'",
        f"update token set token = '{quoted}' || token_id",
        f"update context set text = '{quoted}' || text, source_ref = '{quoted}'",
        f"update model_corpus set name = '{quoted}'",
        f"update neuron set functional_role = '{quoted}'",
    ):
        execute(db, statement)
    opened = catalog.open(db)
    opened.describe_neuron("28.4737", HOSTILE, HOSTILE)
    opened.export_site(tmp_path / "hostile", HOSTILE, f"{chosen} and '{quoted}' <> ''")
    assert files(tmp_path / "hostile") == files(tmp_path / "usual")
    usual = [Site(tmp_path / "usual" / name) for name in sorted(files(tmp_path / "usual"))]
    for name in sorted(files(tmp_path / "hostile")):
        seen = Site(tmp_path / "hostile" / name)
        assert seen.open == []
        assert seen.tags <= set().union(*(each.tags for each in usual), {"code"})
        assert seen.attributes <= set().union(*(each.attributes for each in usual))
        assert "<script>" in seen.text and not set(seen.text) & {"\u202e", "\x1b"}
        assert all(re.fullmatch(r"[\w.-]+\.html", each) for each in seen.links)
