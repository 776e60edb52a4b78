"""The server of the page. It listens on this machine's own address only, and answers only the page that it has given.

Another site in the same browser can send requests here, too; they are refused by their `Host` (a name that was made
to lead here), their `Origin` and their kind of content, and no answer allows anybody else to read it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any, Final

from moec.cli.playground.compiling import Compiling

ADDRESS: Final = "127.0.0.1"
MAX_TEXT_BYTES: Final = 256 << 10
"""Assumption: thirty times the longest spec that anybody has typed into a page."""
MAX_BODY_BYTES: Final = 2 * MAX_TEXT_BYTES
SOCKET_SECONDS: Final = 30.0

PAGES: Final[Mapping[str, tuple[str, str]]] = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    **{
        f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8")
        for name in ("page", "editor", "colours", "view")
    },
}
HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
JSON: Final = "application/json"


@dataclass(frozen=True, slots=True)
class Opened:
    """The spec that the page begins with; `name` says in which of the two forms it is."""

    name: str
    text: str


class Refusal(Exception):
    """A request that is not answered, and why."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Server(ThreadingHTTPServer):
    """Holds what requests are answered from."""

    daemon_threads = True

    def __init__(self, port: int, opened: Opened, compiling: Compiling) -> None:
        super().__init__((ADDRESS, port), Handler)
        self.opened = opened
        self.compiling = compiling
        self.hosts = frozenset(f"{name}:{self.server_port}" for name in (ADDRESS, "localhost"))

    @property
    def address(self) -> str:
        return f"http://{ADDRESS}:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    server_version = "moec"
    sys_version = ""
    timeout = SOCKET_SECONDS

    def do_GET(self) -> None:
        """The page and its parts, and the spec that it begins with."""
        try:
            self._check_sender()
            if self.path == "/spec":
                self._send(JSON, json.dumps({"name": self.server.opened.name, "text": self.server.opened.text}))
            elif self.path in PAGES:
                name, kind = PAGES[self.path]
                self._send(kind, _page_file(name))
            else:
                raise Refusal(HTTPStatus.NOT_FOUND, "there is no such page")
        except Refusal as refusal:
            self._refuse(refusal)

    def do_POST(self) -> None:
        """The answer to a text."""
        try:
            self._check_sender()
            if self.path != "/answer":
                raise Refusal(HTTPStatus.NOT_FOUND, "there is no such page")
            question = _question(self._body())
        except Refusal as refusal:
            self._refuse(refusal)
            return
        found = self.server.compiling.ask(**question)
        self._send(JSON, json.dumps(found))

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: the terminal shows the address and no more."""

    def _check_sender(self) -> None:
        hosts = self.server.hosts
        if self.headers.get("Host") not in hosts:
            raise Refusal(HTTPStatus.FORBIDDEN, "this server answers to its own address only")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in {f"http://{host}" for host in hosts}:
            raise Refusal(HTTPStatus.FORBIDDEN, "this server answers its own page only")

    def _body(self) -> bytes:
        if self.headers.get("Content-Type") != JSON:
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"a question is {JSON}")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "a question says how long it is")
        if int(length) > MAX_BODY_BYTES:
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a question has at most {MAX_BODY_BYTES} bytes")
        return self.rfile.read(int(length))

    def _send(self, kind: str, text: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        content = text.encode("utf-8")
        self.send_response(status)
        for name, value in {**HEADERS, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def _refuse(self, refusal: Refusal) -> None:
        self.close_connection = True
        self._send(JSON, json.dumps({"fault": refusal.why}), refusal.status)


def serve(opened: Opened, port: int, ready: Callable[[str], None]) -> None:
    """Serves the page until it is interrupted; `ready` is told the address. Raises OSError where the port is taken."""
    with Compiling() as compiling, Server(port, opened, compiling) as server:
        ready(server.address)
        server.serve_forever()


def _page_file(name: str) -> str:
    return resources.files("moec.cli.playground").joinpath("page", name).read_text(encoding="utf-8")


def _question(body: bytes) -> dict[str, Any]:
    """`name`, `text` and `run` of a question, as `Compiling.ask` takes them."""
    try:
        question = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(HTTPStatus.BAD_REQUEST, "a question is a JSON object") from None
    if not isinstance(question, dict) or not isinstance(question.get("text"), str):
        raise Refusal(HTTPStatus.BAD_REQUEST, "a question has a `text`")
    text, run = question["text"], question.get("run")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a text has at most {MAX_TEXT_BYTES} bytes")
    name = "spec.moe.yaml" if question.get("form") == "yaml" else "spec.moe"
    return {"name": name, "text": text, "run": run if isinstance(run, str) else None}
