"""The application: finds the page of an address, opens the catalog for it, closes it, answers."""

import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from catalog.api import Catalog, Remembered
from catalog.errors import (
    CatalogError,
    CheckpointError,
    Command,
    CorpusError,
    DatabaseError,
    DatabaseLocked,
    EnvironmentFault,
    HintPart,
    LimitReached,
    NotFoundError,
    Option,
    SqlError,
    UsageError,
    ran_out_of_memory,
)
from catalog.pages.addresses import address, split_path
from catalog.pages.asking import Asked
from catalog.pages.models import LoadedModel
from catalog.pages.registry import Page, page_at
from catalog.pages.rendering import HTML, MEDIA_TYPES, html, in_page, in_words, rendered
from catalog.pages.settings import Settings
from catalog.pages.shown import Moved
from catalog.pages.walls import Application, Receive, Scope, Send, Walls
from catalog.reports.html import STYLESHEET

_LOG: Final = logging.getLogger(__name__)
_RETRY_AFTER_S: Final = 5
_KEPT_BYTES: Final = 64 * 1024 * 1024
_MOST_PARAMETERS: Final = 200


@dataclass(frozen=True)
class Answer:
    """What is sent."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Pages:
    """The pages of a catalog. A cursor a request, closed before the answer is sent.

    Requests that follow each other closely share one open file, which is closed soon after the last
    (`catalog.store.shared`); one of SQL has a file of its own. Answers are kept until the catalog
    is written to: a page seen before needs no connection.
    """

    def __init__(self, catalog: Catalog, settings: Settings) -> None:
        self._catalog = catalog.sharing(settings.limits, settings.idle_s)
        self._settings = settings
        self._limiters: tuple[CapacityLimiter, CapacityLimiter] | None = None
        self._loaded = LoadedModel()
        self._answers = Remembered()
        self._lock = threading.Lock()
        self._open: set[Catalog] = set()
        self._is_ending = False
        self._state: tuple[tuple[int, ...], str] | None = None
        self._kept: OrderedDict[str, Answer] = OrderedDict()
        self._kept_bytes = 0

    @property
    def _name(self) -> str:
        """What the catalog is called: strangers need not know in which folder it lies."""
        return Path(str(self._catalog.path)).name

    def application(self) -> Application:
        """All of it, behind the walls."""
        folder = Path(str(files(__package__))) / "static"
        static = Starlette(
            routes=[
                Route("/static/report.css", _stylesheet),
                Mount("/static", StaticFiles(directory=folder)),
            ]
        )

        async def inner(scope: Scope, receive: Receive, send: Send) -> None:
            # A router would not know paths with line ends, which tokens have.
            if scope["path"].startswith("/static/"):
                await static(scope, receive, send)  # type: ignore[arg-type]
            else:
                request = Request(scope, receive)  # type: ignore[arg-type]
                await (await self._respond(request))(scope, receive, send)  # type: ignore[arg-type]

        return Walls(inner, self._settings.hosts)

    def stop(self) -> None:
        """Stop all queries that are running; what waits for its turn is refused."""
        with self._lock:
            self._is_ending = True
            running = list(self._open)
        for catalog in running:
            catalog.interrupt()
        self._catalog.close_shared()

    async def _respond(self, request: Request) -> Response:
        if self._limiters is None:
            # Texts wait for each other, and other pages not for them.
            self._limiters = CapacityLimiter(self._settings.at_once), CapacityLimiter(1)
        segments, _ = split_path(_raw_path(request))
        answer = await to_thread.run_sync(
            self._answer,
            request,
            abandon_on_cancel=True,
            limiter=self._limiters[_runs_a_model(segments)],
        )
        return Response(answer.body, answer.status, dict(answer.headers))

    def _answer(self, request: Request) -> Answer:
        raw = _raw_path(request)
        segments, ending = split_path(raw)
        query = request.scope["query_string"].decode("latin-1")
        try:
            parameters = parse_qsl(
                query, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS, errors="replace"
            )
        except ValueError:
            parameters = []
        asked = Asked(self._catalog, self._settings, {}, parameters, ending, self._loaded)
        try:
            if self._is_ending:
                raise EnvironmentFault("The server is being stopped.")
            page, path = page_at(segments if segments != ["index"] else [])
            asked = replace(asked, path=path)
            return self._answered(page, asked, request, f"{raw}?{query}")
        except CatalogError as error:
            return self._refused(asked, segments, error)
        except Exception as error:  # noqa: BLE001  whatever it is, the server goes on
            if ran_out_of_memory(error):
                said = LimitReached("There is not enough memory for this.", "Ask for less.")
                return self._refused(asked, segments, said)
            _LOG.exception("a page failed: %s", request.url)
            said_so = f"{type(error).__name__}: a fault of this program."
            return self._refused(asked, segments, CatalogError(said_so, "Its log says more."))

    def _answered(self, page: Page, asked: Asked, request: Request, key: str) -> Answer:
        mark = self._catalog.mark()
        state = self._state
        if page.is_of_sql or page.runs_a_model:
            return self._made(page, asked, {"cache-control": "no-store"}, None)
        if mark is not None and state is not None and state[0] == mark:
            tag = _tag(state[1], key)
            if _matches(request, tag):
                return Answer(304, b"", _caching(tag))
            if (kept := self._kept_answer(tag)) is not None:
                return kept
        return self._made(page, asked, {}, (request, key, mark))

    def _made(
        self,
        page: Page,
        asked: Asked,
        headers: dict[str, str],
        kept: tuple[Request, str, tuple[int, ...] | None] | None,
    ) -> Answer:
        tag = None
        with self._opened(page) as catalog:
            if kept is not None:
                request, key, mark = kept
                state = self._state_of(catalog, mark)
                if mark is not None:
                    catalog = catalog.remembering(self._answers, state)
                tag = _tag(state, key)
                headers = _caching(tag)
                if _matches(request, tag):
                    return Answer(304, b"", headers)
            shown = page.show(replace(asked, catalog=catalog))
        if isinstance(shown, Moved):
            return Answer(302, b"", {"location": shown.address, "cache-control": "no-store"})
        body = rendered(page.name, asked, shown, self._frame(asked, page))
        if asked.ending in ("csv", "parquet", "ids"):
            name = "-".join(["catalog", page.name, *asked.path.values()])
            plain = "".join(c if c.isascii() and (c.isalnum() or c in "-.@") else "_" for c in name)
            headers["content-disposition"] = f'attachment; filename="{plain}.{asked.ending}"'
        headers["content-type"] = MEDIA_TYPES[asked.ending]
        answer = Answer(200, body, headers)
        if tag is not None:
            self._keep(tag, answer)
        return answer

    def _state_of(self, catalog: Catalog, mark: tuple[int, ...] | None) -> str:
        """The digest of what the catalog holds, asked once for each state of the file."""
        known = self._state
        if mark is not None and known is not None and known[0] == mark:
            return known[1]
        state = catalog.state()
        if mark is not None:
            self._state = (mark, state)
        return state

    @contextmanager
    def _opened(self, page: Page) -> Iterator[Catalog]:
        """The catalog open for a page; for one that runs a model, opened by each question."""
        limits = self._settings.sql_limits if page.is_of_sql else self._settings.limits
        if page.runs_a_model:
            yield self._catalog.limited(limits)
            return
        with self._catalog.kept_open(limits) as catalog:
            with self._lock:
                self._open.add(catalog)
            try:
                yield catalog
            finally:
                with self._lock:
                    self._open.discard(catalog)

    def _frame(self, asked: Asked, page: Page | None) -> dict[str, Any]:
        """What every template takes."""
        segments: list[str] = []
        if page is not None:
            parts = [part for part in page.path.split("/") if part]
            segments = [asked.path[p.strip("{}")] if p.startswith("{") else p for p in parts]
        parameters = [pair for pair in asked.parameters if pair[0] not in ("embed", "page")]

        def in_format(ending: str | None, table: str | None = None) -> str:
            return address(*segments, ending=ending, parameters=[*parameters, ("table", table)])

        return {
            "catalog_name": self._name,
            "asked": asked,
            "page_name": page.name if page else "refusal",
            "is_embedded": asked.flag("embed"),
            "allow_sql": self._settings.allow_sql,
            "allow_run": self._settings.allow_run,
            "in_format": in_format,
            "this_view": address(*segments, parameters=asked.changed(embed=None)),
        }

    def _refused(self, asked: Asked, segments: list[str], error: CatalogError) -> Answer:
        status = _status(error)
        where, name = str(self._catalog.path), self._name
        said = error.said.replace(where, name)
        hint = tuple(_without(part, where, name) for part in error.hint)
        headers = {"cache-control": "no-store"}
        if isinstance(error, DatabaseLocked):
            headers["retry-after"] = str(_RETRY_AFTER_S)
        if asked.ending == "json":
            body = {"error": said, "hint": "".join(map(in_words, hint)).strip()}
            from catalog.formats.cells import dumped

            kind, text = "application/json", dumped(body, indent=2).encode() + b"\n"
        elif asked.ending is not None:
            kind, text = (
                "text/plain; charset=utf-8",
                CatalogError(said, *hint).message(in_words).encode() + b"\n",
            )
        else:
            shown = {
                "title": _TITLES.get(status, "Not possible"),
                "said": said,
                "hint": [in_page(part) for part in hint],
                "is_locked": isinstance(error, DatabaseLocked),
                "is_sql": segments[:1] == ["sql"],
            }
            kind, text = HTML, html("refusal", shown | self._frame(asked, None))
        return Answer(status, text, headers | {"content-type": kind})

    def _kept_answer(self, tag: str) -> Answer | None:
        with self._lock:
            if tag in self._kept:
                self._kept.move_to_end(tag)
                return self._kept[tag]
        return None

    def _keep(self, tag: str, answer: Answer) -> None:
        if len(answer.body) > _KEPT_BYTES // 4:
            return
        with self._lock:
            if tag in self._kept:
                return
            self._kept[tag] = answer
            self._kept_bytes += len(answer.body)
            while self._kept_bytes > _KEPT_BYTES:
                _, oldest = self._kept.popitem(last=False)
                self._kept_bytes -= len(oldest.body)


def _without(part: HintPart, where: str, name: str) -> HintPart:
    """A part of a hint that does not say where the catalog lies."""
    match part:
        case str():
            return part.replace(where, name)
        case Option(option, str(value)):
            return Option(option, value.replace(where, name))
        case Command(command, arguments, options):
            arguments = tuple(each.replace(where, name) for each in arguments)
            named = (_without(each, where, name) for each in options)
            return Command(command, arguments, tuple(o for o in named if isinstance(o, Option)))
    return part


def _status(error: CatalogError) -> int:
    match error:
        case LimitReached():
            return 422
        case UsageError() | SqlError() | CorpusError():
            return 400
        case NotFoundError() | CheckpointError():
            return 404
        case DatabaseError() | EnvironmentFault():
            return 503
    return 500


_TITLES: Final = {
    400: "This cannot be asked so",
    404: "Not here",
    422: "Stopped at a limit",
    500: "This went wrong",
    503: "The catalog cannot be read just now",
}


def _raw_path(request: Request) -> str:
    """The path as it came, still quoted."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    return raw.decode("latin-1")


def _runs_a_model(segments: list[str]) -> bool:
    try:
        return page_at(segments)[0].runs_a_model
    except NotFoundError:
        return False


def _tag(state: str, key: str) -> str:
    from importlib.metadata import version

    text = f"{version('neuron-catalog')}|{state}|{key}"
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def _caching(tag: str) -> dict[str, str]:
    return {"etag": tag, "cache-control": "private, no-cache"}


def _matches(request: Request, tag: str) -> bool:
    given = request.headers.get("if-none-match", "")
    return tag in {each.strip().removeprefix("W/") for each in given.split(",")}


async def _stylesheet(_request: Request) -> Response:
    return Response(STYLESHEET, media_type="text/css")
