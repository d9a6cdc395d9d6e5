"""The page that runs texts: what `catalog run` says, where the model is on this machine."""

import csv
import io
import shutil
from pathlib import Path
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

import catalog
from tests.pages.conftest import Served
from tests.pages.test_pages import Document
from tests.support import execute, held, python

TEXT = "the third sentence, with <b>words</b>"

pytestmark = pytest.mark.slow


@pytest.fixture
def client(measured: Path, served: Served) -> TestClient:
    return served(measured / "c.duckdb", allow_run=True)


def asking(ending: str = "", **parameters: object) -> str:
    return f"/run{ending}?{urlencode({'q': TEXT, **parameters})}"


@pytest.mark.parametrize("ending", ["", ".json", ".csv"])
def test_it_is_there_only_where_it_is_switched_on(
    measured: Path, served: Served, ending: str
) -> None:
    client = served(measured / "c.duckdb")
    answer = client.get(asking(ending))
    assert answer.status_code == 404 and "serve --run" in answer.text
    assert 'href="/run"' not in client.get("/").text
    assert "/run?" not in client.get("/m/tiny/0/0").text


def test_who_stands_out_is_what_the_library_says(measured: Path, client: TestClient) -> None:
    expected = catalog.open(measured / "c.duckdb").top(TEXT, 2).arrow().to_pylist()
    assert client.get(asking(".json", k=2)).json() == expected
    written = client.get(asking(".csv", k=2)).text
    assert [row["neuron_id"] for row in csv.DictReader(io.StringIO(written))] == [
        row["neuron_id"] for row in expected
    ]
    answer = client.get(asking(k=2))
    assert answer.status_code == 200 and answer.headers["cache-control"] == "no-store"
    document = Document(answer.text)
    assert document.open == [] and document.inline == []
    layer, _, neuron = expected[0]["neuron_id"].partition(".")
    assert f"/m/tiny/{layer}/{neuron}" in document.addresses


def test_a_neuron_is_shaded_over_the_text(measured: Path, client: TestClient) -> None:
    on_text = catalog.open(measured / "c.duckdb").run(TEXT, "1.3")
    rows = client.get(asking(".json", neuron="1.3")).json()
    assert [row["post"] for row in rows] == pytest.approx(on_text.post)
    page = client.get(asking(neuron="1.3", model="tiny")).text
    assert "1.3 of tiny; the peak is marked" in page and "<mark" in page
    assert "<b>words" not in page
    link = f"/run?{urlencode({'model': 'tiny', 'neuron': '1.3'})}"
    assert link in Document(client.get("/m/tiny/1/3").text).addresses


def test_an_ablation_and_what_matters_next(measured: Path, client: TestClient) -> None:
    opened = catalog.open(measured / "c.duckdb")
    ablated = opened.run_ablated(TEXT, ["1.3", "0.2"]).arrow().to_pylist()
    assert client.get(asking(".json", ablate="1.3, 0.2")).json() == ablated
    found = opened.run_attributed(TEXT, " more", 4)
    assert client.get(asking(".json", next=" more", k=4)).json() == found.arrow().to_pylist()
    assert "comes next with probability" in client.get(asking(next=" more")).text


@pytest.mark.parametrize(
    ("asked", "status", "said"),
    [
        ({"neuron": "1.3", "ablate": "0.2"}, 400, "neuron and ablate do not go together"),
        ({"neuron": "9.3"}, 404, "no layer 9"),
        ({"neuron": "x"}, 400, "x"),
        ({"k": "0"}, 400, "from 1 to 100"),
        ({"by": "size"}, 400, "unusual"),
        ({"model": "nosuch"}, 404, "nosuch"),
        ({"q": "word " * 401}, 422, "2,000 is the limit"),
        ({"q": "the " * 400}, 400, "tokens"),
    ],
)
def test_what_cannot_be_run_is_refused(
    client: TestClient, asked: dict[str, str], status: int, said: str
) -> None:
    answer = client.get(asking(".json", **asked))
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]


def test_a_checkpoint_that_is_not_here_is_named_and_not_fetched(
    measured: Path, served: Served, tmp_path: Path
) -> None:
    db = Path(shutil.copy(measured / "c.duckdb", tmp_path))
    client = served(db, allow_run=True)
    execute(db, "update model set source = '/nowhere/model'")
    answer = client.get(asking())
    assert answer.status_code == 404 and "/nowhere/model" in answer.text
    assert "catalog run" in answer.text
    execute(db, "update model set source = 'nobody/nothing', revision = 'main'")
    answer = client.get(asking())
    assert answer.status_code == 503 and "not in the Hub&#39;s cache" in answer.text


def test_an_ingest_is_not_kept_out_by_a_model(
    measured: Path, served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The catalog is free while the model reads."""
    from catalog.ingest.own_text import TextReader

    db = Path(shutil.copy(measured / "c.duckdb", tmp_path))
    client = served(db, allow_run=True)
    neuron = TextReader.neuron

    def watched(self: TextReader, *given: object) -> object:
        with held(db, "write"):
            return neuron(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(TextReader, "neuron", watched)
    assert client.get(asking(neuron="0.1")).status_code == 200


def test_pages_import_no_torch_before_a_text_is_run(measured: Path) -> None:
    done = python(
        "import sys; from starlette.testclient import TestClient; import catalog\n"
        "from catalog.pages.application import Pages\n"
        "from catalog.pages.settings import Settings\n"
        f"pages = Pages(catalog.at({str(measured / 'c.duckdb')!r}), Settings(allow_run=True))\n"
        "client = TestClient(pages.application(), base_url='http://localhost')\n"
        "assert client.get('/run').status_code == client.get('/m/tiny/0/1').status_code == 200\n"
        "print(*{'torch', 'transformers'} & sys.modules.keys())"
    )
    assert done.strip() == ""
