"""What stands before every page: who may ask, how, and what browsers may do with the answer."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
Application = Callable[[Any, Receive, Send], Awaitable[None]]

LONGEST_ADDRESS: Final = 16_384

_POLICY: Final = (
    "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors "
)
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}


class Walls:
    """An application behind checks of method, host, origin and length, whose answers carry headers.

    `hosts`: the names, without ports, under which it may be asked. A stranger's page cannot make a
    browser send another one, even where its name leads to this machine (DNS rebinding).
    """

    def __init__(self, inner: Application, hosts: Iterable[str]) -> None:
        self._inner = inner
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers = headers_for(scope)

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                added = [pair for pair in headers if pair[0] not in there]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._inner(scope, receive, send_with_headers)
            return
        status, text = refusal
        allow = [(b"allow", b"GET, HEAD")] if status == 405 else []
        body = f"{text}\n".encode()
        kind = (b"content-type", b"text/plain; charset=utf-8")
        length = (b"content-length", str(len(body)).encode())
        start = {"type": "http.response.start", "status": status, "headers": [kind, length, *allow]}
        await send_with_headers(start)
        await send({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        if scope["method"] not in ("GET", "HEAD"):
            return 405, "The catalog is only read: ask with GET."
        given = [value for name, value in scope["headers"] if name == b"host"]
        host = given[0].decode("latin-1") if len(given) == 1 else ""
        if without_port(host) not in self._hosts:
            return 403, (
                "This name of the host is not one that the catalog is served under. Whoever serves "
                "it can allow it."
            )
        sent = dict(scope["headers"])
        is_foreign = sent.get(b"sec-fetch-site") == b"cross-site"
        if is_foreign and sent.get(b"sec-fetch-mode") != b"navigate":
            return 403, "Pages of other sites may link to the catalog, and not read from it."
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > LONGEST_ADDRESS:
            return 414, f"The address is longer than {LONGEST_ADDRESS:,} characters."
        return None


def headers_for(scope: Scope) -> list[tuple[bytes, bytes]]:
    """What every answer carries; a page asked for with `embed=1` may stand in any frame."""
    is_embedded = b"embed=1" in scope["query_string"].split(b"&")
    policy = _POLICY + ("*" if is_embedded else "'none'")
    framing = {} if is_embedded else {"x-frame-options": "DENY"}
    all_headers = {"content-security-policy": policy, **_HEADERS, **framing}
    return [(name.encode(), value.encode()) for name, value in all_headers.items()]


def without_port(host: str) -> str:
    """The name in a Host header, in lower case; an IPv6 address keeps its brackets."""
    name = host.lower().removesuffix(".")
    if name.startswith("["):
        return name[: name.find("]") + 1]
    return name.partition(":")[0].removesuffix(".")
