"""The server of `usseg open`: what it sends, what it saves, and what it refuses."""

import http.client
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from usseg.pipeline.errors import ParamsError
from usseg.results.page_server import LARGEST_BODY, PageServer, page_server


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """A browser with the address of the page. Every request has its own connection."""

    def __init__(self, server: PageServer) -> None:
        self.server, self.host = server, f"127.0.0.1:{server.server_port}"
        self.prefix = f"/{server.token}"

    def send(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send a request; `target` is not changed in any way. A header of None is left out."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=20)
        given = {"Host": self.host, **({} if body is None else {"Content-Length": str(len(body))})}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in given.items():
                if value:
                    connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", self.prefix + path, **headers)

    def put(self, content: Any, **headers: str) -> Answer:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.send("PUT", f"{self.prefix}/api/names", body, **{"Origin": f"http://{self.host}", **headers})


@pytest.fixture
def client(finished_project) -> Iterator[Client]:
    """The page of a finished project, on a free port."""
    parts = finished_project.path / "report/page"
    parts.mkdir(exist_ok=True)
    for name in ("a b.jpg", "code.js", "data.json", ".hidden", "odd.xyz"):
        (parts / name).write_text(f"content of {name}")
    with page_server(finished_project.path, 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Client(server)
        server.shutdown()
        thread.join()


@pytest.fixture
def digest(finished_project) -> str:
    return finished_project.artifact("cluster").attrs["content"]


def names_file(project: Path) -> Any:
    return YAML(typ="safe").load((project / "names.yaml").read_text())


def test_the_page_and_its_files_are_sent(client: Client, finished_project) -> None:
    page = client.get("/index.html")
    assert page.body == (finished_project.path / "report/index.html").read_bytes()
    kinds = {
        "/index.html": "text/html; charset=utf-8",
        "/page/a%20b.jpg": "image/jpeg",
        "/page/code.js?3": "text/javascript; charset=utf-8",
        "/page/data.json": "application/json",
        "/page/odd.xyz": "application/octet-stream",
        "/served.js": "text/javascript; charset=utf-8",
        "/names.js": "text/javascript; charset=utf-8",
        "/api/names": "application/json",
    }
    for path, kind in kinds.items():
        answer = client.get(path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'self' data: blob: 'unsafe-inline'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] in ("no-cache", "no-store")
    assert client.get("/page/a%20b.jpg").body == b"content of a b.jpg"
    head = client.send("HEAD", f"{client.prefix}/page/code.js")
    assert (head.status, head.headers["Content-Length"], head.body) == (200, "18", b"")


def test_a_file_that_the_browser_has_is_not_sent_again(client: Client, finished_project) -> None:
    tag = client.get("/page/code.js").headers["ETag"]
    again = client.get("/page/code.js", If_None_Match=tag)
    assert (again.status, again.body) == (304, b"")
    (finished_project.path / "report/page/code.js").write_text("longer than it was before")
    changed = client.get("/page/code.js", If_None_Match=tag)
    assert (changed.status, changed.body) == (200, b"longer than it was before")


@pytest.mark.parametrize(
    "path",
    [
        *("/", "", "/page", "/page/", "/page/missing.js", "/page/.hidden", "/page//code.js", "/page/./code.js"),
        *(
            "/../names.yaml",
            "/page/../../params.yaml",
            "/page/%2e%2e/%2e%2e/params.yaml",
            "/page/..%2f..%2fparams.yaml",
        ),
        *("/page/%2fetc/passwd", "//etc/passwd", "/page/..\\..\\params.yaml", "/page/code.js%00.jpg", "/page/%ff"),
        *("/page/link.yaml", "/page/folder/params.yaml", "/page/circle", "/other.html", "/api", "/api/names/"),
    ],
)
def test_other_files_are_not_sent(client: Client, finished_project, path: str) -> None:
    parts = finished_project.path / "report/page"
    (parts / "link.yaml").symlink_to(finished_project.path / "params.yaml")
    (parts / "folder").symlink_to(finished_project.path, target_is_directory=True)
    (parts / "circle").symlink_to(parts / "circle")
    (finished_project.path / "report/other.html").write_text("not of the page")
    answer = client.get(path)
    assert (answer.status, answer.json) == (404, {"error": "not found"})


def test_without_the_token_there_is_nothing(client: Client, digest: str, finished_project) -> None:
    token = client.server.token
    assert len(token) >= 32
    for first in ("", token[:-1], token + "a", "é", token.swapcase()):
        for path in ("index.html", "served.js", "api/names"):
            target = f"/{first}/{path}".encode().decode("latin-1") if first.isascii() else f"/%C3%A9/{path}"
            assert client.send("GET", target).status == 404
    body = json.dumps({"clustering": digest, "names": {"1": "x"}}).encode()
    assert client.send("PUT", "/api/names", body, Origin=f"http://{client.host}").status == 404
    assert client.send("GET", f"http://{client.host}{client.prefix}/index.html").status == 404
    assert not (finished_project.path / "names.yaml").exists()
    assert client.get("/index.html").status == 200


@pytest.mark.parametrize("host", ["", "evil.example", "127.0.0.1", "evil.example:PORT", "127.0.0.1:1"])
def test_a_foreign_name_of_this_machine_is_refused(client: Client, digest: str, host: str) -> None:
    host = host.replace("PORT", str(client.server.server_port))
    assert client.get("/index.html", Host=host).status == 403
    assert client.put({"clustering": digest, "names": {}}, Host=host, Origin=f"http://{host}").status == 403
    assert client.get("/index.html", Host=f"localhost:{client.server.server_port}").status == 200


@pytest.mark.parametrize("origin", ["", "null", "http://evil.example", "https://127.0.0.1:PORT", "http://127.0.0.1"])
def test_another_page_changes_no_names(client: Client, digest: str, origin: str, finished_project) -> None:
    origin = origin.replace("PORT", str(client.server.server_port))
    assert client.put({"clustering": digest, "names": {"1": "x"}}, Origin=origin).status == 403
    assert not (finished_project.path / "names.yaml").exists()


def test_names_are_saved(client: Client, digest: str, finished_project) -> None:
    before = finished_project.files()
    assert client.get("/api/names").json == {"clustering": digest, "names": {}, "colors": {}}
    *served, run = client.get("/served.js").body.decode().splitlines()
    assert run.startswith('window.USSEG_RUN = {"stages": [{"stage": "index", "split": "train", "seconds": ')
    assert served == [
        "window.USSEG_SERVED = true;",
        'window.USSEG_READ_ONLY = "";',
        f'window.USSEG_PROJECT = "{finished_project.path.name}";',
    ]
    content = {"clustering": digest, "names": {"1": " <b>grass ", "2": ""}, "colors": {"2": "#AABBCC"}}
    saved = {"clustering": digest, "names": {"1": "<b>grass"}, "colors": {"2": "#aabbcc"}}
    answer = client.put(content)
    assert (answer.status, answer.json) == (200, saved)
    assert client.get("/api/names").json == saved
    assert names_file(finished_project.path) == {
        "clustering": digest,
        "names": {1: "<b>grass"},
        "colors": {2: "#aabbcc"},
    }
    script = (finished_project.path / "report/names.js").read_bytes()
    assert client.get("/names.js").body == script
    assert json.loads(script.removeprefix(b"window.USSEG_NAMES = ").removesuffix(b";\n")) == saved
    assert client.put({"clustering": digest, "names": {"2": "sky"}}).json["names"] == {"2": "sky"}
    assert names_file(finished_project.path) == {"clustering": digest, "names": {2: "sky"}}
    assert finished_project.files() == before


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ({"1": "a:b"}, "found the name 'a:b'"),
        ({"1": 5}, "found the name 5"),
        ({"9": "grass"}, "no cluster has label 9"),
        ({"0": "grass"}, "label 0 is the background"),
        ({"01": "grass"}, "found the key '01'; a label such as 3 is needed"),
        ({"x" * 99: "grass"}, "a label such as 3 is needed"),
        (["grass"], "`clustering` and `names` are needed"),
        (None, "`clustering` and `names` are needed"),
    ],
)
def test_bad_names_are_refused_on_one_line(client: Client, digest: str, names, line: str, finished_project) -> None:
    client.put({"clustering": digest, "names": {"1": "grass"}})
    before = (finished_project.path / "names.yaml").read_bytes()
    answer = client.put({"clustering": digest, "names": names})
    assert answer.status == 400
    assert line in answer.json["error"]
    assert "\n" not in answer.json["error"]
    assert (finished_project.path / "names.yaml").read_bytes() == before
    assert client.put({"clustering": digest, "names": {}, "colors": {"1": "red"}}).status == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b"\xff", 400), (b"[]", 400), (b"[" * 100_000, 400), (b"", 400), (b" " * (LARGEST_BODY + 1), 413)],
)
def test_what_is_no_json_is_refused(client: Client, body: bytes, status: int) -> None:
    assert client.put(body).status == status


def test_the_length_of_a_body_is_needed(client: Client) -> None:
    for headers in ({"Content-Length": ""}, {"Content-Length": "-1"}, {"Transfer-Encoding": "chunked"}):
        assert client.put({}, **headers).status == 411
    assert client.put({}, **{"Content-Length": "9" * 5000}).status == 413


def test_names_of_another_clustering_are_refused(client: Client, digest: str, finished_project) -> None:
    answer = client.put({"clustering": "f" * 64, "names": {"1": "grass"}})
    assert (answer.status, answer.json) == (409, {"error": "the clustering has changed since; reload the page"})
    client.put({"clustering": digest, "names": {"1": "grass"}})
    path = finished_project.path / "names.yaml"
    path.write_text(path.read_text().replace(digest, "f" * 64))
    for answer in (client.get("/api/names"), client.put({"clustering": digest, "names": {"1": "sky"}})):
        assert answer.status == 409
        assert "names of another clustering" in answer.json["error"]
    assert "f" * 64 in path.read_text()
    served = client.get("/served.js").body
    assert served.startswith(b"window.USSEG_SERVED = false;\n")
    assert b"names of another clustering" in served
    assert b'"names": {}' in client.get("/names.js").body


def test_a_new_clustering_is_seen_without_a_restart(client: Client, digest: str, finished_project) -> None:
    finished_project.set({"cluster.k": 1})
    assert client.put({"clustering": digest, "names": {"1": "grass"}}).status == 409
    finished_project.run_all("cluster")
    new = client.get("/api/names").json["clustering"]
    assert new not in ("", digest)
    assert client.put({"clustering": digest, "names": {"1": "grass"}}).status == 409
    assert client.put({"clustering": new, "names": {"1": "grass"}}).status == 200
    assert client.put({"clustering": new, "names": {"2": "grass"}}).status == 400


@pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_other_methods_are_refused(client: Client, method: str) -> None:
    assert client.send(method, f"{client.prefix}/api/names").status == 501
    assert client.send("PUT", f"{client.prefix}/index.html", b"x", Origin=f"http://{client.host}").status == 404


def test_only_this_machine_reaches_the_server(client: Client) -> None:
    assert client.server.server_address[0] == "127.0.0.1"
    assert client.server.address == f"http://{client.host}/{client.server.token}/index.html"


def test_a_port_in_use_is_one_line(client: Client, finished_project) -> None:
    port = client.server.server_port
    with (
        pytest.raises(ParamsError, match=f"--port {port}: Address already in use; choose another"),
        page_server(finished_project.path, port),
    ):
        pass


def test_two_servers_have_two_tokens(finished_project) -> None:
    with page_server(finished_project.path, 0) as first, page_server(finished_project.path, 0) as second:
        assert first.token != second.token
        assert first.server_port != second.server_port
