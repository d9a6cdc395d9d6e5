"""Every page in every format, over the registry of pages: the rows of the library, well-formed."""

import io
import json
import re
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

import catalog
from catalog.formats import FORMATS
from catalog.pages.addresses import address, segment, split_path
from catalog.pages.registry import page_at, pages
from catalog.pages.rendering import MEDIA_TYPES
from catalog.pages.settings import Settings
from catalog.store.handle import Handle
from catalog.store.upgrading import ensure_catalog
from tests import synthetic
from tests.pages.conftest import Served
from tests.support import Answer, execute

EXAMPLES = {
    "classes": ["/classes", "/classes?gate=30&in=60&out=45"],
    "compare": ["/compare?a=alpha:28.4737&b=beta:0.0", "/compare"],
    "find": [
        *("/find", "/find?model=alpha&class=depletion", "/find?token=%20again&model=alpha"),
        "/find?model=alpha&class=depletion&class=enrichment&layer=28&layer=30-31",
        "/find?model=alpha&regex=ag&set=months&ignore_case=1&order=rank&smallest=1",
        "/find?in=alpha:28.4737&in=beta:0.0&in=alpha:0.9999",
    ],
    "go": ["/go?q=alpha", "/go?q=alpha:28.4737", "/go?q=%20again"],
    "home": ["/"],
    "map": ["/m/alpha/map", "/m/alpha/map?x=norm_out&y=vocab_skew&colour=role&layer=28"],
    "model": ["/m/alpha", "/m/beta", "/m/alpha?threshold=0.3"],
    "neuron": [
        *("/m/alpha/28/4737", "/m/beta/0/1", "/m/alpha/31/9634?canonical=1"),
        "/m/alpha/28/4737?seen=beta:0.1&seen=alpha:31.9634",
    ],
    "queries": ["/queries"],
    "query": ["/queries/classes", "/queries/neurons_for_token?token=%20again"],
    "run": ["/run"],
    "sql": ["/sql?q=from+neurons", "/sql"],
    "text": ["/text?q=again", "/text?corpus=web&context=0", "/text"],
    "token": ["/tokens/%20again", "/tokens/%0A", "/tokens/nosuch?model=alpha&basis=embed"],
    "tokens": ["/tokens?contains=again", "/tokens"],
}
"""Addresses of every page; the first has rows, if the page has any."""

NEIGHBOUR = re.compile(r"/m/(alpha|beta)/\d+/\d+")
"""A page of a neuron, which the catalog need not have: it has few of each layer."""

ADDRESSES = [each for name in sorted(EXAMPLES) for each in EXAMPLES[name] if name != "go"]


class Document(HTMLParser):
    """What stands in a page: tags that were not closed, attributes, addresses."""

    VOID = ("meta", "link", "input", "br", "base", "img", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: set[str] = set()
        self.addresses: list[str] = []
        self.inline: list[str] = []
        self.text = ""
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.attributes |= set(given)
        self.addresses += [given[name] or "" for name in ("href", "src") if name in given]
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag == "style" or (tag == "script" and "src" not in given):
            self.inline.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def in_format(where: str, ending: str) -> str:
    path, _, query = where.partition("?")
    return f"{'/index' if path == '/' else path}.{ending}?{query}"


def test_every_page_has_an_example_of_its_own() -> None:
    assert EXAMPLES.keys() == {page.name for page in pages()}
    for name, examples in EXAMPLES.items():
        for each in examples:
            assert page_at(split_path(each.partition("?")[0])[0])[0].name == name


@pytest.mark.parametrize("where", ADDRESSES)
def test_a_page_is_whole_and_asks_nobody_else(client: TestClient, where: str) -> None:
    answer = client.get(where)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPES[None]
    document = Document(answer.text)
    assert document.open == []
    assert document.inline == []
    assert len(set(document.ids)) == len(document.ids)
    assert not {name for name in document.attributes if name == "style" or name.startswith("on")}
    assert all(urlsplit(each).netloc == "" for each in document.addresses)
    assert "<footer" in answer.text and "None" not in document.text


@pytest.mark.parametrize("where", ADDRESSES)
def test_a_page_embedded_is_the_same_without_the_frame(client: TestClient, where: str) -> None:
    joined = "&" if "?" in where else "?"
    answer = client.get(f"{where}{joined}embed=1")
    assert answer.status_code == 200
    assert "<header" not in answer.text and "<footer" not in answer.text
    assert Document(answer.text).open == []


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - {"go"}))
@pytest.mark.parametrize("ending", ["json", "csv", "parquet"])
def test_a_page_is_there_in_every_format(client: TestClient, name: str, ending: str) -> None:
    answer = client.get(in_format(EXAMPLES[name][0], ending))
    if ending != "json" and name in ("classes", "run"):
        assert answer.status_code == 404
        return
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPES[ending]
    if ending == "json":
        assert json.loads(answer.content)
    elif ending == "csv":
        assert answer.text.count("\n") > 1
    else:
        assert pq.read_table(io.BytesIO(answer.content)).num_rows > 0


@pytest.mark.slow
def test_links_of_all_pages_lead_somewhere(client: TestClient) -> None:
    found = {each for where in ADDRESSES for each in Document(client.get(where).text).addresses}
    leading = sorted(each for each in found if each.startswith("/") and not NEIGHBOUR.match(each))
    assert len(leading) > 100
    lost = [each for each in leading if client.get(each).status_code not in (200, 302)]
    assert lost == []


def test_rows_are_those_of_the_library(client: TestClient, known: Path) -> None:
    of = catalog.open(known)
    pairs = {
        "/index.json": of.models(),
        "/find.json?model=alpha": of.find(model="alpha"),
        "/queries/classes.json?threshold=0.4": of.query("classes", threshold=0.4),
        "/compare.json?a=alpha:28.4737&b=beta:0.0": of.compare("alpha:28.4737", "beta:0.0"),
        "/sql.json?q=from+corpora": of.sql("from corpora"),
    }
    for where, rows in pairs.items():
        expected = io.BytesIO()
        FORMATS["json"]([rows.arrow()], expected)
        assert client.get(where).content == expected.getvalue(), where


def test_the_json_of_a_neuron_is_its_record(client: TestClient, known: Path) -> None:
    record = catalog.open(known).neuron("28.4737", "alpha").as_dict()
    shown = client.get("/m/alpha/28/4737.json").json()
    assert shown.keys() == record.keys()
    assert shown["id"] == "28.4737" and shown["neuron"]["io_class"] == "enrichment"


def test_a_page_of_several_tables_gives_each(client: TestClient) -> None:
    tokens = client.get("/m/alpha/28/4737.csv?table=tokens").text
    cases = client.get("/m/alpha/28/4737.csv?table=cases").text
    assert tokens.splitlines()[0].startswith("vector,basis,sign,rank")
    assert cases.splitlines()[0].startswith("sign_case,n_positions")
    refused = client.get("/m/alpha/28/4737.csv?table=nosuch")
    assert refused.status_code == 404 and "cosines" in refused.text


def test_a_list_is_sorted_by_any_column_and_comes_in_parts(known: Path, served: Served) -> None:
    client = served(known, per_page=4)
    where = "/sql?q=from+neurons&sort=-cos_in_out"
    first, second = client.get(where), client.get(f"{where}&page=2")
    ids = [re.findall(r'class="id">([\d.]+)<', page.text) for page in (first, second)]
    rows = client.get("/sql.json?q=from+neurons&sort=-cos_in_out").json()
    assert [*ids[0], *ids[1]] == [row["neuron_id"] for row in rows][:8]
    assert 'aria-sort="descending"' in first.text
    assert 'rel="next"' in first.text and 'rel="prev"' in second.text
    assert client.get("/sql?q=from+neurons&sort=nosuch").status_code == 400


def test_found_neurons_come_in_parts_and_in_either_order(known: Path, served: Served) -> None:
    client = served(known, per_page=4)
    whole = client.get("/find.json?model=alpha&order=cos_in_out&k=100").json()
    parts = [
        client.get(f"/find.json?model=alpha&order=cos_in_out&page={page}").json() for page in (1, 2)
    ]
    assert [*parts[0], *parts[1]] == whole and len(parts[0]) == 4
    reverse = client.get("/find.json?model=alpha&order=cos_in_out&smallest=1&k=100").json()
    assert reverse == whole[::-1]


SHOWN_IN_ORDER = {
    "/find?model=alpha": 9,
    "/find?model=alpha&order=frequency": 10,
    "/find?token=%20again&model=alpha": 15,
}
"""Addresses of lists, and how many of their columns have an order."""


@pytest.mark.parametrize("where", SHOWN_IN_ORDER)
def test_found_neurons_are_sorted_by_every_column_that_has_an_order(
    client: TestClient, where: str
) -> None:
    heads = re.findall(
        r'<th scope="col"[^>]*><a href="([^"]+)" rel="nofollow">', client.get(where).text
    )
    assert len(heads) == SHOWN_IN_ORDER[where]
    for head in heads:
        answer = client.get(unescape(head))
        assert answer.status_code == 200, head
        assert len(re.findall(r'aria-sort="(?:ascending|descending)"', answer.text)) == 1, head


def test_several_classes_and_layers_are_any_of_them(client: TestClient) -> None:
    where = "/find.json?model=alpha&k=100"
    one, other = (
        client.get(f"{where}&class={name}").json() for name in ("depletion", "enrichment")
    )
    both = client.get(f"{where}&class=depletion&class=enrichment").json()
    ids = {row["neuron_id"] for row in both}
    assert ids == {row["neuron_id"] for row in [*one, *other]} and one and other
    layers = client.get(f"{where}&layer=28&layer=30-31").json()
    assert {row["neuron_id"].partition(".")[0] for row in layers} == {"28", "30", "31"}
    page = client.get("/find?model=alpha&class=depletion").text
    added = next(
        each for each in Document(page).addresses if "class=depletion&class=enrich" in each
    )
    assert "conditional" not in added and client.get(added).status_code == 200


def test_bookmarks_are_a_file_of_ids_that_the_command_line_reads(
    client: TestClient, known: Path, tmp_path: Path, cli: Callable[..., Answer]
) -> None:
    answer = client.get("/find.ids?model=alpha&class=depletion")
    assert answer.headers["content-disposition"].endswith('.ids"')
    assert answer.text.splitlines() and answer.text.startswith("alpha:")
    marked = tmp_path / "marked.ids"
    marked.write_text(f"# mine\n\n{answer.text}beta:0.0\n1.99999\n")
    listed = cli("find", "--in", marked, "--db", known, "--format", "json")
    ids = [f"{row['model']}:{row['neuron_id']}" for row in json.loads(listed.out)]
    assert sorted(ids) == sorted([*answer.text.split(), "beta:0.0"])
    assert "1 of" in listed.err and "1.99999" in listed.err
    marked.write_text("alpha:28.4737\nnonsense\n")
    refused = cli("find", "--in", marked, "--db", known)
    assert refused.code == 2 and "Line 2" in refused.err
    assert client.get("/index.ids").status_code == 404


def test_what_was_looked_at_is_in_the_address_alone(client: TestClient) -> None:
    first = Document(client.get("/m/alpha/28/4737").text)
    following = next(each for each in first.addresses if each.startswith("/m/alpha/28/4738?"))
    assert following.endswith("?seen=alpha%3A28.4737")
    page = Document(client.get("/m/beta/0/1?seen=alpha%3A28.4737&seen=beta%3A0.0").text)
    assert "/m/alpha/28/4737" in page.addresses
    listed = next(each for each in page.addresses if each.startswith("/find?in="))
    ids = [row["neuron_id"] for row in client.get(listed.replace("/find?", "/find.json?")).json()]
    assert sorted(ids) == ["0.0", "0.1", "28.4737"]
    assert client.get("/m/beta/0/1?seen=x").status_code == 400


def test_the_class_of_a_neuron_has_its_colour(client: TestClient) -> None:
    assert 'class="io-class io-enrichment">enrichment</b>' in client.get("/m/alpha/28/4737").text


def test_samples_are_drawn_and_given(client: TestClient) -> None:
    page = client.get("/m/alpha/28/4737").text
    samples = client.get("/m/alpha/28/4737.csv?table=samples").text.splitlines()[1:]
    bars = re.findall(r'class="count"><title>[^<]*: (\d+)<', page)
    assert sum(map(int, bars)) == len(samples) > 0


def test_every_view_has_a_link_to_copy(client: TestClient) -> None:
    where = "/find?model=alpha&class=depletion&page=1"
    assert where in Document(client.get(f"{where}&embed=0").text).addresses


def test_choices_have_counts_that_are_those_of_the_rows(client: TestClient) -> None:
    facets = client.get("/find.json?model=alpha&class=depletion&table=facets").json()
    counts = {(row["facet"], row["value"]): row["neurons"] for row in facets}
    assert counts["layer", "31"] == 1 and ("layer", "28") not in counts
    assert counts["io_class", "enrichment"] == 1


def test_counts_lead_to_what_they_count(client: TestClient) -> None:
    page = client.get("/m/alpha").text + client.get("/m/beta").text
    counted = re.compile(r'href="(/find\?[^"]*role=[^"]*)">([0-9,]+)<')
    found = [(unescape(where), int(n.replace(",", ""))) for where, n in counted.findall(page)]
    bars = re.compile(r'href="(/find\?[^"]*)"><rect[^>]*><title>layer [0-9]+, [^:]*: ([0-9,]+)')
    found += [(unescape(where), int(n.replace(",", ""))) for where, n in bars.findall(page)]
    assert any("layer=0" in where for where, _ in found)
    for where, n in found:
        ids = client.get(where.replace("/find?", "/find.ids?")).text.split()
        assert len(ids) == min(n, Settings().max_rows), where


def test_no_counts_stand_beside_what_they_know_nothing_of(client: TestClient) -> None:
    counted = "/find.json?model=alpha&table=facets"
    assert client.get(counted).status_code == 200
    assert client.get(f"{counted}&token=%20again").status_code == 404


def test_a_file_of_found_neurons_is_whole(known: Path, served: Served) -> None:
    client = served(known, per_page=3)
    everyone = catalog.open(known).find(model="alpha", io_class=["depletion"], k=10_000)
    assert len(client.get("/find.ids?model=alpha&class=depletion").text.split()) == len(everyone)


def test_a_token_that_is_none_is_told_what_is_near(client: TestClient) -> None:
    page = client.get("/tokens/%20agian").text
    assert "is no piece of the vocabulary" in page


def test_the_search_field_knows_neurons_models_and_tokens(client: TestClient) -> None:
    leads = {
        "/go?q=alpha": "/m/alpha",
        "/go?q=alpha:28.4737": "/m/alpha/28/4737",
        "/go?q=28.4737&model=alpha": "/m/alpha/28/4737",
        "/go?q=%20again&model=alpha": "/tokens/%20again?model=alpha",
    }
    for where, expected in leads.items():
        answer = client.get(where)
        assert (answer.status_code, answer.headers["location"]) == (302, expected)


ODD = [
    *("a/b", "..", ".", "~x", "", "olmo@1000", "x.json", "50%", "a?b#c", "<b>", "//e"),
    "é界 \u202e\n",
]


@pytest.mark.parametrize("text", ODD)
def test_any_text_is_one_segment_of_an_address(text: str) -> None:
    path = address("tokens", text)
    assert split_path(path) == (["tokens", text], None)
    assert split_path(address("tokens", text, ending="csv")) == (["tokens", text], "csv")
    assert segment(text) not in ("", ".", "..") and "/" not in segment(text)


@pytest.mark.parametrize("alias", [each for each in ODD if each])
def test_a_model_of_any_alias_has_its_pages(db: Path, served: Served, alias: str) -> None:
    quoted = alias.replace("'", "''")
    execute(db, f"update model set alias = '{quoted}' where alias = 'alpha'")
    client = served(db)
    home = Document(client.get("/").text)
    assert address("m", alias) in home.addresses
    for where in (address("m", alias), address("m", alias, 28, 4737), address("m", alias, "map")):
        assert client.get(where).status_code == 200
    assert (
        client.get(address("m", alias, 28, 4737, ending="json")).json()["model"]["model"] == alias
    )


def test_a_series_is_one_line_with_its_steps(served: Served, tmp_path: Path) -> None:
    path = tmp_path / "c.duckdb"
    ensure_catalog(Handle(path))
    for step in (0, 10, 200):
        entry = synthetic.entry(f"run@{step}", n_layers=1, d_mlp=1, series="run", step=step)
        synthetic.load_weights(path, entry, {"0.0": (0.1, 0.2, 0.9)})
    synthetic.load_weights(path, synthetic.entry("z", n_layers=1, d_mlp=1), {"0.0": (0, 0, 0)})
    home = served(path).get("/").text
    assert home.count("<tr>") == 1 + 2
    assert re.findall(r'href="/m/run@\d+">([^<]*)</a>', home) == ["run@200", "0", "10"]
