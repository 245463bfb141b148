"""The page of a project on this machine: `usseg open`.

Only this machine reaches the server: it listens on 127.0.0.1. Every address begins with a random token, so that neither
other users of the machine nor other pages in the browser can read the page. The server sends the files of the page and
writes nothing but names.yaml and its copy, report/names.js.

    GET /TOKEN/index.html, /TOKEN/page/...  the files of the report
    GET /TOKEN/served.js                    tells the page its project, and whether and why not names can be saved
    GET /TOKEN/names.js                     names and colours; as the file report/names.js
    GET /TOKEN/api/names                    as JSON: {"clustering": digest, "names": {"3": "grass"}, "colors": {}}
    PUT /TOKEN/api/names                    replaces names.yaml; `clustering` must be that of the project
"""

import json
import secrets
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from usseg.pipeline.errors import ParamsError, reason
from usseg.results.names_script import names_script, script
from usseg.results.page_files import PAGE, content_type, file_of_page
from usseg.results.run_record import record_or_none
from usseg.results.saved_names import Refused, names_or_none, replace_names

ADDRESS = "127.0.0.1"
LARGEST_BODY = 2**20  # bytes
PATIENCE = 60  # seconds that an idle connection stays open
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'self' data: blob: 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address holds the token
}
JSON, SCRIPT, TEXT = content_type(".json"), content_type(".js"), content_type(".txt")


class PageServer(ThreadingHTTPServer):
    """The server of one project.

    Attributes:
        project: the folder of the project.
        token: the first part of every address.
        writing: held while names.yaml is replaced.
    """

    def __init__(self, project: Path, port: int) -> None:
        self.project, self.token, self.writing = project, secrets.token_urlsafe(24), threading.Lock()
        super().__init__((ADDRESS, port), PageHandler)

    def server_bind(self) -> None:
        """Bind the socket. `HTTPServer` would look up the name of the machine, which may ask the network."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = ADDRESS, int(self.server_address[1])

    @property
    def address(self) -> str:
        """The address of the page."""
        return f"http://{ADDRESS}:{self.server_port}/{self.token}/{PAGE}"

    @property
    def hosts(self) -> set[str]:
        """What the header Host may be. Another host means that a foreign name leads to this machine (DNS rebinding)."""
        names = {ADDRESS, "localhost"}
        return {f"{name}:{self.server_port}" for name in names} | (names if self.server_port == 80 else set())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print an unexpected error. A browser that closes a connection is none."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class PageHandler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: PageServer
    protocol_version = "HTTP/1.1"  # many small files: a connection is kept
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Send a file of the page, a script, or the names."""
        parts = self.checked_path()
        match parts:
            case None:
                return
            case ["served.js"]:
                refusal = names_or_none(self.server.project)[1]
                values: dict[str, Any] = {
                    "SERVED": refusal is None,
                    "READ_ONLY": refusal or "",
                    "PROJECT": self.server.project.name,
                }
                values["RUN"] = record_or_none(self.server.project)
                lines = [script(f"USSEG_{name}", value) for name, value in values.items()]
                self.send(HTTPStatus.OK, b"".join(lines), SCRIPT)
            case ["names.js"]:
                self.send(HTTPStatus.OK, names_script(names_or_none(self.server.project)[0]), SCRIPT)
            case ["api", "names"]:
                names, refusal = names_or_none(self.server.project)
                if refusal is None:
                    self.send_json(HTTPStatus.OK, names)
                else:
                    self.refuse(HTTPStatus.CONFLICT, refusal)
            case _:
                self.send_file(parts)

    do_HEAD = do_GET  # `send` leaves out the body

    def do_PUT(self) -> None:
        """Replace the names."""
        self.close_connection = True  # a body that is refused is not read
        parts = self.checked_path()
        if parts is None:
            return
        if self.headers.get("Origin") not in {f"http://{host}" for host in self.server.hosts}:
            return self.refuse(HTTPStatus.FORBIDDEN, "another page may not change names")
        if parts != ["api", "names"]:
            return self.refuse(HTTPStatus.NOT_FOUND, "not found")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            return self.refuse(HTTPStatus.LENGTH_REQUIRED, "Content-Length is needed")
        if len(length) > len(str(LARGEST_BODY)) or int(length) > LARGEST_BODY:
            return self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {LARGEST_BODY} bytes of names are read")
        body = self.rfile.read(int(length))
        try:
            with self.server.writing:
                self.send_json(HTTPStatus.OK, replace_names(self.server.project, body))
        except Refused as error:
            self.refuse(HTTPStatus.CONFLICT if error.outdated else HTTPStatus.BAD_REQUEST, reason(error))
        except OSError as error:
            self.refuse(HTTPStatus.INTERNAL_SERVER_ERROR, f"names.yaml cannot be written: {reason(error)}")

    def checked_path(self) -> list[str] | None:
        """The parts of the path behind the token. None: the request has been refused."""
        if self.headers.get("Host") not in self.server.hosts:
            self.refuse(HTTPStatus.FORBIDDEN, "another host")
            return None
        first, *parts = self.path.partition("?")[0].removeprefix("/").split("/")
        if not self.path.startswith("/") or not secrets.compare_digest(first.encode(), self.server.token.encode()):
            self.refuse(HTTPStatus.NOT_FOUND, "not found")
            return None
        return parts

    def send_file(self, parts: list[str]) -> None:
        """Send a file of the page. A browser that has it already gets the status 304."""
        file = file_of_page(self.server.project, parts)
        if file is None:
            return self.refuse(HTTPStatus.NOT_FOUND, "not found")
        content, tag = file
        if self.headers.get("If-None-Match") == tag:
            self.send(HTTPStatus.NOT_MODIFIED, b"", "", {"ETag": tag, "Cache-Control": "no-cache"})
        else:
            kind = content_type(Path(parts[-1]).suffix)
            self.send(HTTPStatus.OK, content, kind, {"ETag": tag, "Cache-Control": "no-cache"})

    def send_json(self, status: HTTPStatus, content: Any) -> None:
        """Send a JSON document."""
        self.send(status, json.dumps(content).encode(), JSON)

    def refuse(self, status: HTTPStatus, line: str) -> None:
        """Send the reason of a refusal: {"error": line}."""
        self.send_json(status, {"error": line})

    def send(self, status: HTTPStatus, body: bytes, kind: str, headers: dict[str, str] | None = None) -> None:
        """Send a response. Without other headers the browser does not keep it."""
        self.send_response(status)
        for name, value in (HEADERS | (headers or {"Cache-Control": "no-store"})).items():
            self.send_header(name, value)
        if status != HTTPStatus.NOT_MODIFIED:
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse a request that is no HTTP or has another method."""
        self.close_connection = True
        self.refuse(HTTPStatus(code), message or HTTPStatus(code).phrase)

    def version_string(self) -> str:
        """The header Server. It does not name the version of Python."""
        return "usseg"

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: an address holds the token."""


@contextmanager
def page_server(project: Path, port: int) -> Iterator[PageServer]:
    """A server that has its address and does not serve yet.

    Args:
        project: the folder of the project.
        port: the port; 0: a free one.

    Raises:
        ParamsError: the port is in use, or belongs to the system.
    """
    try:
        server = PageServer(project, port)
    except OSError as error:
        raise ParamsError(f"--port {port}: {error.strerror}; choose another one, or 0 for a free one") from None
    with server:
        yield server
