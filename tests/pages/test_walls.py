"""What is refused, and what every answer carries: the tests that docs/pages.md names."""

import re
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from starlette.testclient import TestClient

import catalog
from catalog.pages.rendering import MEDIA_TYPES
from catalog.pages.walls import LONGEST_ADDRESS, without_port
from tests.cli.test_planted import Asked, Home
from tests.pages.conftest import Served
from tests.pages.test_pages import ADDRESSES, Document
from tests.store.planted import PLANTS
from tests.support import execute, fingerprint, held

HOSTILE = '</textarea><script>alert(1)</script>" onmouseover="x\' \u202e\u200b\x1b[31m'
ANYTHING = [*ADDRESSES[:4], "/nosuch", "/static/pages.css", "/static/nosuch", "/sql.json?q=x"]


@pytest.mark.parametrize("where", ANYTHING)
def test_every_answer_carries_the_headers(client: TestClient, where: str) -> None:
    sent = client.get(where).headers
    policy = dict(part.strip().split(" ", 1) for part in sent["content-security-policy"].split(";"))
    assert policy == {
        "default-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert sent["x-content-type-options"] == "nosniff"
    assert sent["x-frame-options"] == "DENY"
    assert sent["referrer-policy"] == "no-referrer"
    assert sent["cross-origin-resource-policy"] == "same-origin"
    assert sent["cross-origin-opener-policy"] == "same-origin"
    assert sent["permissions-policy"] == "camera=(), geolocation=(), microphone=()"
    assert not [name for name in sent if name.startswith("access-control-")]


def test_only_what_is_asked_for_embedded_may_stand_in_a_frame(client: TestClient) -> None:
    sent = client.get("/m/alpha/28/4737?embed=1").headers
    assert "frame-ancestors *" in sent["content-security-policy"]
    assert "x-frame-options" not in sent


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"])
@pytest.mark.parametrize("where", ["/", "/static/pages.css", "/sql?q=from+models"])
def test_the_catalog_is_only_asked_with_get(client: TestClient, method: str, where: str) -> None:
    answer = client.request(method, where)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_head_is_get_without_a_body(client: TestClient) -> None:
    assert client.head("/m/alpha").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "evil@localhost"]
)
def test_a_host_that_is_not_allowed_is_refused(client: TestClient, host: str) -> None:
    for where in ("/", "/static/pages.css", "/sql.json?q=from+models"):
        assert client.get(where, headers={"host": host}).status_code == 403


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:9", "[::1]:80", "LOCALHOST."]
)
def test_names_of_this_machine_are_allowed(client: TestClient, host: str) -> None:
    assert client.get("/queries", headers={"host": host}).status_code == 200
    assert without_port(host) in ("localhost", "127.0.0.1", "[::1]")


def test_a_page_of_another_site_may_link_and_not_read(client: TestClient) -> None:
    foreign = {"sec-fetch-site": "cross-site"}
    assert client.get("/sql.json?q=from+models", headers=foreign).status_code == 403
    link = {**foreign, "sec-fetch-mode": "navigate"}
    assert client.get("/queries", headers=link).status_code == 200


def test_a_very_long_address_is_refused(client: TestClient) -> None:
    assert client.get(f"/sql?q={'x' * LONGEST_ADDRESS}").status_code == 414
    assert client.get(f"/{'x' * LONGEST_ADDRESS}").status_code == 414


@pytest.mark.parametrize(
    "path",
    [
        "/static/../application.py",
        "/static/%2e%2e/application.py",
        "/static/..%2fapplication.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/..%2f..%2fetc/passwd",
        "/m/..%2f..%2fetc/passwd",
        "/static/%00",
    ],
)
def test_no_path_leads_out_of_the_pages(client: TestClient, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code in (404, 400)
    assert "root:" not in answer.text and "import" not in answer.text


@pytest.mark.parametrize(
    "question",
    [
        "drop table models",
        "insert into neurons values (1)",
        "select 1; select 2",
        "copy (from models) to '/tmp/x.csv'",
        "attach '/tmp/x.duckdb'",
        "from read_csv('/etc/passwd')",
        "select * from '/etc/passwd'",
        "select getenv('HOME')",
        "from catalog_file.main.model",
        "set threads = 8",
        "install httpfs",
        "",
    ],
)
def test_sql_that_does_more_than_read_is_refused(db: Path, served: Served, question: str) -> None:
    before = fingerprint(db.parent)
    answer = served(db).get("/sql.json", params={"q": question})
    assert answer.status_code in (400, 404), answer.text
    assert "error" in answer.json()
    assert fingerprint(db.parent) == before


ENDLESS = (
    "select count(*) from range(10000000) a, range(10000000) b where a.range * b.range % 7 = 3"
)


def test_sql_is_stopped_at_its_time_limit_which_is_named(known: Path, served: Served) -> None:
    limits = catalog.api.Limits(seconds=0.2, memory_mb=500, threads=1)
    answer = served(known, sql_limits=limits).get("/sql", params={"q": ENDLESS})
    assert answer.status_code == 422
    assert "stopped after 0.2 seconds, the limit" in answer.text
    assert ENDLESS[:30] in answer.text


def test_sql_is_stopped_at_its_memory_limit_which_is_named(known: Path, served: Served) -> None:
    limits = catalog.api.Limits(seconds=30, memory_mb=50, threads=1)
    question = "select list(range) from range(100000000)"
    answer = served(known, sql_limits=limits).get("/sql.json", params={"q": question})
    assert answer.status_code == 422
    assert "more than 50 MB of memory, the limit" in answer.json()["error"]


def test_sql_has_a_row_limit_which_is_named(known: Path, served: Served) -> None:
    client = served(known, max_rows=7)
    question = {"q": "from range(100)"}
    assert len(client.get("/sql.json", params=question).json()) == 7
    assert "first 7, the limit" in client.get("/sql", params=question).text


def test_a_huge_answer_is_refused(known: Path, served: Served) -> None:
    question = "select repeat('x', 100000000) as x from range(2)"
    answer = served(known).get("/sql.json", params={"q": question})
    assert answer.status_code == 422 and "MB" in answer.json()["error"]


def test_sql_can_be_left_out(known: Path, served: Served) -> None:
    client = served(known, allow_sql=False)
    assert client.get("/sql?q=from+models").status_code == 404
    assert 'href="/sql"' not in client.get("/").text


NONSENSE = [
    "/find?layer=x",
    "/find?layer=3-1",
    "/find?class=nosuch",
    "/find?page=x",
    "/find?k=-1",
    "/find?model=nosuch",
    "/m/alpha?threshold=x",
    "/m/alpha?threshold=nan",
    "/m/alpha/map?x=nosuch",
    "/m/alpha/map?lasso=1,2",
    "/m/alpha/map?lasso=x",
    "/m/alpha/x/1",
    "/m/alpha/1/99999999999",
    "/m/alpha/99/0",
    "/m/alpha/28/4737?corpus=nosuch",
    "/m/alpha/28/4737.csv?table=x",
    "/m/nosuch",
    "/m/nosuch/0/0",
    "/m",
    "/m/alpha/28",
    "/queries/nosuch",
    "/queries/classes?nosuch=1",
    "/queries/classes?threshold=2",
    "/compare?a=x&b=y",
    "/classes?gate=x",
    "/classes?gate=inf",
    "/sql?q=slect",
    "/go",
    "/nosuch",
]


@pytest.mark.parametrize("where", NONSENSE)
def test_what_makes_no_sense_is_refused_in_a_sentence(client: TestClient, where: str) -> None:
    answer = client.get(where)
    assert answer.status_code in (400, 404), answer.text
    assert "Traceback" not in answer.text
    if answer.headers["content-type"] == MEDIA_TYPES[None]:
        document = Document(answer.text)
        assert document.open == [] and document.inline == []
        assert re.search(r"<p[^>]*>[^<]{10,}</p>", answer.text)


def test_refusals_do_not_say_where_the_catalog_lies(db: Path, served: Served) -> None:
    client = served(db)
    for where in ("/m/nosuch", "/m/nosuch.json", "/m/nosuch.csv"):
        assert str(db.parent) not in client.get(where).text
    db.unlink()
    assert str(db.parent) not in client.get("/m/alpha.json").text


@pytest.fixture
def hostile(db: Path) -> Path:
    """A catalog whose names and texts are all markup and control characters."""
    quoted = HOSTILE.replace("'", "''")
    for statement in (
        f"update model set alias = '{quoted}', source = '{quoted}' where alias = 'alpha'",
        f"update model set family = '{quoted}', quantization = '{quoted}'",
        f"update token set token = '{quoted}' || token_id",
        f"update context set text = '{quoted}' || text, source_ref = '{quoted}'",
        f"update model_corpus set name = '{quoted}'",
        f"update corpus set source = '{quoted}'",
        f"update neuron set functional_role = '{quoted}'",
    ):
        execute(db, statement)
    return db


def test_a_hostile_catalog_puts_no_tag_or_attribute_into_any_page(
    hostile: Path, served: Served
) -> None:
    client = served(hostile)
    home = Document(client.get("/").text)
    model = next(each for each in home.addresses if each.startswith("/m/%3C"))
    token = client.get("/sql.json?q=from+tokens").json()[0]["token"]
    where = [
        *(
            "/",
            "/find",
            "/tokens?contains=script",
            "/text?q=script",
            "/queries",
            "/find?class=depletion",
        ),
        *(
            "/sql?q=from+exemplars",
            "/sql?q=from+tokens",
            "/sql?q=from+ingest_runs",
            "/queries/classes",
        ),
        *(model, f"{model}/map", f"{model}/28/4737", f"{model}/map?lasso=-1,-1;1,-1;1,1"),
        f"/compare?{urlencode({'a': f'{HOSTILE}:28.4737', 'b': 'beta:0.0'})}",
        f"/nosuch/{quote(HOSTILE)}",
        f"/sql?{urlencode({'q': f'slect {HOSTILE}'})}",
        f"/find?{urlencode({'token': token})}",
    ]
    for each in where:
        text = client.get(each).text
        document = Document(text)
        assert document.open == [] and document.inline == [], each
        assert not {name for name in document.attributes if name.startswith("on")}, each
        visible = re.sub(r'value="[^"]*"|<textarea[^>]*>[^<]*', "", text)
        assert not set(visible) & set("\u202e\u200b\x1b"), each
    assert "\\u202e" in client.get(f"{model}/28/4737").text


def test_a_locked_catalog_says_so_and_when_to_come_back(db: Path, served: Served) -> None:
    client = served(db, wait_s=0.1)
    with held(db, "write") as holder:
        answer = client.get("/m/alpha")
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert f"process {holder.pid}" in answer.text and "try again" in answer.text
        assert client.get("/m/alpha.json").json()["error"]
    assert client.get("/m/alpha").status_code == 200


def test_a_page_seen_before_needs_no_open_catalog(db: Path, served: Served) -> None:
    client = served(db, wait_s=0.1)
    first = client.get("/m/alpha")
    with held(db, "write"):
        assert client.get("/m/alpha").content == first.content


def test_a_catalog_that_is_deleted_and_comes_back(db: Path, served: Served) -> None:
    client = served(db)
    kept = db.read_bytes()
    assert client.get("/m/alpha").status_code == 200
    db.unlink()
    assert client.get("/m/alpha").status_code == 503
    db.write_bytes(kept)
    assert client.get("/m/alpha").status_code == 200


def test_a_catalog_of_another_version_is_refused_while_serving(db: Path, served: Served) -> None:
    client = served(db)
    assert client.get("/m/alpha").status_code == 200
    execute(db, "update alembic_version set version_num = '0001'")
    answer = client.get("/m/alpha")
    assert answer.status_code == 503 and "catalog upgrade" in answer.text


def test_tags_change_with_the_rows_and_spare_the_answer(db: Path, served: Served) -> None:
    client = served(db)
    first = client.get("/m/alpha")
    tag = first.headers["etag"]
    again = client.get("/m/alpha", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/m/alpha?threshold=0.4").headers["etag"] != tag
    assert client.get("/m/alpha.json").headers["etag"] != tag
    execute(db, "update ingest_run set finished_at = finished_at + interval 1 second")
    other = client.get("/m/alpha", headers={"if-none-match": tag})
    assert other.status_code == 200 and other.headers["etag"] != tag
    assert "etag" not in client.get("/sql?q=from+models").headers


def test_what_pages_asked_before_is_forgotten_once_the_catalog_changes(
    db: Path, served: Served
) -> None:
    client = served(db)
    counted = "/find.json?model=alpha&table=facets"
    before = client.get(counted).json()
    assert client.get(f"{counted}&order=cos_in_out").json() == before
    execute(
        db,
        "delete from neuron where layer = 31",
        "update ingest_run set finished_at = finished_at + interval 1 second",
    )
    after = client.get(f"{counted}&order=cos_in_out").json()
    assert {"facet": "layer", "value": "31"}.items() <= before[-1].items()
    assert after != before and not [row for row in after if row["value"] == "31"]


@pytest.mark.parametrize("planted", PLANTS)
def test_pages_run_nothing_planted(
    known: Path, served: Served, tmp_path: Path, planted: str
) -> None:
    home = Home(tmp_path)
    home.put(known, PLANTS[planted])
    client = served(home.db)
    pages = ("/", "/m/alpha/28/4737", "/sql.json?q=from+neurons+limit+3")
    answers = [client.get(page) for page in pages]
    home.assert_nothing_ran(Asked(0, "".join(answer.text for answer in answers), ""))
    assert {answer.status_code for answer in answers} <= {200, 404, 500, 503}
