"""Only the holder of the page's address can answer, and nothing he sends does more than answer."""

from __future__ import annotations

import http.client
import http.server
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custodes.response import Kind
from custodes.response import _server as server_module
from custodes.response._drill import _told
from custodes.response._page import Alert, render
from custodes.response._receipts import Receipts
from custodes.response._server import PageServer

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>&amp;"
ALERT = Alert(
    why=HOSTILE,
    monitor="rules",
    rule="persists",
    task=HOSTILE,
    evidence=(("bash", HOSTILE), ("bash", "ls\nls")),
)


class Client:
    """A client of one page server, with the server at hand."""

    def __init__(self) -> None:
        self.receipts = Receipts()
        self.rung = 0
        self.server = PageServer(self.receipts, self._ring)
        address = urllib.parse.urlsplit(self.server.url)
        assert address.hostname is not None and address.port is not None
        self.host, self.port, self.path = address.hostname, address.port, address.path

    def _ring(self) -> None:
        self.rung += 1

    def ask(
        self,
        method: str,
        path: str,
        body: str | bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, str, Mapping[str, str]]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), dict(answer.getheaders())
        finally:
            connection.close()

    def post(self, what: str, body: str | bytes, **headers: str) -> tuple[int, str]:
        given = {"Content-Type": "application/x-www-form-urlencoded"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        status, text, _ = self.ask("POST", f"{self.path}/{what}", body, given)
        return status, text

    def raw(self, request: bytes) -> bytes:
        with socket.create_connection((self.host, self.port), timeout=20) as connection:
            connection.sendall(request)
            connection.shutdown(socket.SHUT_WR)
            found = b""
            while chunk := connection.recv(65536):
                found += chunk
            return found

    @property
    def untouched(self) -> bool:
        return (
            self.server.acknowledged is None
            and self.server.ordered is None
            and self.receipts.all() == ()
            and self.rung == 0
        )


@pytest.fixture
def client() -> Iterator[Client]:
    found = Client()
    found.server.start()
    found.server.open(ALERT)
    yield found
    found.server.close()


# --- who may answer ----------------------------------------------------------------------------


def test_answers_are_taken_with_name_kind_and_time(client: Client) -> None:
    before = client.receipts.now_us()
    status, text = client.post("acknowledge", "by=Mira+K&kind=person")
    assert (status, json.loads(text)) == (200, {"said": ["Acknowledged by Mira K."]})
    client.server.finish("Stopped.")
    status, text = client.post(
        "stop", json.dumps({"by": "Juno", "reason": "enough"}), Content_Type="application/json"
    )
    assert status == 200
    assert json.loads(text)["said"][1:] == ["Stop ordered by Juno.", "Stopped."]
    who, order = client.server.acknowledged, client.server.ordered
    assert who is not None and order is not None
    assert (who.by, who.kind) == ("Mira K", Kind.PERSON)
    assert (order.by, order.kind, order.reason) == ("Juno", Kind.PROGRAM, "enough")
    assert before <= who.us <= order.us <= client.receipts.now_us()
    assert client.rung == 2


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/stop",
        "/wrong",
        "/wrong/stop",
        "/{token}x/stop",
        "/{token}/stop/",
        "/{token}/../{token}/stop",
        "/{token}/stop?x=1",
        "/{short}/stop",
        "http://a/{token}/stop",
        "/%74oken/stop",
        "/{upper}/stop",
        "/\u00ff\u00fe/stop",
    ],
    ids=lambda path: path.encode("ascii", "backslashreplace").decode(),
)
def test_another_path_is_not_found_and_nothing_happens(client: Client, path: str) -> None:
    token = client.path[1:]
    full = path.format(token=token, short=token[:-1], upper=token.swapcase())
    request = f"POST {full} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nby=bot"
    answer = client.raw(request.encode("latin-1"))
    assert answer.split(b" ")[1:2] in ([b"404"], [b"400"]), answer
    assert token.encode() not in answer
    assert client.untouched


def test_before_there_is_an_alert_there_is_nothing_to_answer() -> None:
    client = Client()
    client.server.start()
    try:
        assert client.post("stop", "by=early")[0] == 404
        assert client.untouched
    finally:
        client.server.close()


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil.example:80",
        "127.0.0.1:99999999",
        "localhost@evil.example",
        "127.0.0.2",
        "[::1]",
        "2130706433",
        "",
        "localhost, evil.example",
    ],
)
def test_a_rebound_or_forged_host_is_refused(client: Client, host: str) -> None:
    assert client.post("stop", "by=x&kind=person", Host=host)[0] == 421
    assert client.ask("GET", client.path, None, {"Host": host})[0] == 421
    assert client.untouched


def test_two_hosts_or_none_are_refused(client: Client) -> None:
    line = f"POST {client.path}/stop HTTP/1.1\r\n"
    body = "Content-Length: 4\r\n\r\nby=x"
    for hosts in ("", "Host: localhost\r\nHost: evil.example\r\n"):
        assert b" 421 " in client.raw(f"{line}{hosts}{body}".encode())
    assert client.untouched


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8443", "localhost:1"])
def test_a_tunnel_to_another_port_of_the_loopback_works(client: Client, host: str) -> None:
    assert client.ask("GET", client.path, None, {"Host": host})[0] == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://localhost:1", "file://"]
)
def test_a_form_on_another_page_is_refused(client: Client, origin: str) -> None:
    assert client.post("stop", "by=x&kind=person", Origin=origin)[0] == 403
    assert client.untouched


def test_no_other_page_may_read_and_nothing_is_kept(client: Client) -> None:
    status, text, headers = client.ask("GET", client.path)
    assert status == 200
    assert not any(name.lower().startswith("access-control") for name in headers)
    assert headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "no-store" in client.ask("POST", f"{client.path}/acknowledge", "by=x")[2].values()
    assert "<script" not in text and "<img" not in text
    assert "onerror=alert(1)&gt;" in text


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_a_post_acts(client: Client, method: str) -> None:
    """A chat's preview of a link, or a browser that fetches ahead, must not stop anything."""
    for what in ("acknowledge", "stop"):
        assert client.ask(method, f"{client.path}/{what}?by=x&kind=person")[0] in (404, 405, 501)
        assert client.ask(method, f"{client.path}/{what}")[0] in (405, 501)
    assert client.untouched


# --- what he may send --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("", ""),
        ("by=", ""),
        ("by=%20%0a%00", ""),
        ("kind=person", ""),
        ("by=x&kind=drill", ""),
        ("by=x&kind=PERSON", ""),
        ("by=x&" + "&".join(f"a{i}=1" for i in range(50)), ""),
        ("[]", "application/json"),
        ('"by"', "application/json"),
        ("{", "application/json"),
        ('{"by": ["x"]}', "application/json"),
        ('{"by": {"by": "x"}}', "application/json"),
        ("[" * 8000, "application/json"),
        (b"by=\xff\xfe", ""),
    ],
)
def test_what_names_nobody_is_refused(client: Client, body: str | bytes, kind: str) -> None:
    headers = {"Content_Type": kind} if kind else {}
    for what in ("acknowledge", "stop"):
        status, text = client.post(what, body, **headers)
        # Bytes that are no UTF-8 are a name that cannot be read, or one that says nothing.
        assert status == 400, text
    assert client.untouched


def test_names_are_one_printable_line_of_bounded_length(client: Client) -> None:
    hostile = "Mi\x1b[31mra\r\nX-Evil: 1 \u202e" + "x" * 5000
    assert client.post("acknowledge", urllib.parse.urlencode({"by": hostile}))[0] == 200
    who = client.server.acknowledged
    assert who is not None
    assert len(who.by) == 100
    assert who.by.isprintable() and who.by.startswith("Mi [31mra X-Evil: 1")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ("Content-Length: 9000\r\n", b"413"),
        ("Content-Length: 99999999999999\r\n", b"411"),
        ("Content-Length: -1\r\n", b"411"),
        ("Content-Length: +4\r\n", b"411"),
        ("Content-Length: 4\r\nContent-Length: 4\r\n", b"411"),
        ("Transfer-Encoding: chunked\r\n", b"411"),
        ("", b"411"),
        ("Content-Length: 50\r\n", b"400"),
    ],
)
def test_a_body_of_unknown_or_large_size_is_refused(
    client: Client, headers: str, status: bytes
) -> None:
    line = f"POST {client.path}/stop HTTP/1.1\r\nHost: localhost\r\n{headers}\r\nby=x"
    assert client.raw(line.encode()).split(b" ")[1] == status
    assert client.untouched


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"\r\n" * 100,
        b"GET\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 500 + b"\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\n: \r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\0" * 1000,
    ],
    ids=["tls", "empty", "short", "http2", "many", "long", "nameless", "version", "zeros"],
)
def test_what_is_no_simple_request_is_refused_and_the_server_goes_on(
    client: Client, request_bytes: bytes
) -> None:
    try:
        answer = client.raw(request_bytes)
    except ConnectionError:
        answer = b""
    assert not answer.startswith(b"HTTP/1.0 200")
    assert client.untouched
    assert client.ask("GET", client.path)[0] == 200


def test_slow_clients_lose_their_place(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_REQUEST_S", 0.3)
    slow = []
    for _ in range(server_module._AT_ONCE):
        connection = socket.create_connection((client.host, client.port), timeout=20)
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        slow.append(connection)
    end = time.monotonic() + 20
    status = 0
    while status != 200 and time.monotonic() < end:
        for connection in slow:
            try:
                connection.sendall(b"y")  # a byte now and then, for ever
            except OSError:
                pass
        try:
            status = client.ask("GET", client.path)[0]
        except (OSError, http.client.HTTPException):
            time.sleep(0.05)
    for connection in slow:
        connection.close()
    assert status == 200


def test_the_server_is_on_the_loopback_alone_and_gone_afterwards() -> None:
    client = Client()
    client.server.start()
    client.server.open(ALERT)
    assert client.host == "127.0.0.1"
    descriptors = len(os.listdir("/proc/self/fd"))
    client.server.close()
    assert len(os.listdir("/proc/self/fd")) < descriptors
    with pytest.raises(OSError):
        client.ask("GET", client.path)


def test_addresses_are_secret_and_never_alike() -> None:
    paths = set()
    for _ in range(8):
        client = Client()
        client.server.start()
        client.server.close()
        paths.add(client.path)
    assert len(paths) == 8
    assert all(len(path) >= 33 for path in paths)


# --- the page ----------------------------------------------------------------------------------

# Of what an attacker would write, so that small examples hit something.
_TEXT = st.text(st.sampled_from("<>\"'&/=ab \n\x00\u202e"), max_size=40)


@given(why=_TEXT, task=_TEXT, given_=_TEXT, said=_TEXT, name=_TEXT)
@settings(max_examples=60)
def test_no_text_becomes_markup(why: str, task: str, given_: str, said: str, name: str) -> None:
    plain = Alert(why="", monitor="m", rule=None, task="", evidence=(("t", ""),))
    hostile = Alert(why=why, monitor="m", rule=None, task=task, evidence=(("t", given_),))
    empty = render(plain, address="/a", said=["x"], over=False, name="n")
    full = render(hostile, address="/a", said=[said], over=False, name=name or "n")
    for mark in (b"<", b">", b'"'):
        assert full.count(mark) == empty.count(mark)


def test_what_was_ordered_cannot_be_ordered_again_from_the_page(client: Client) -> None:
    assert client.ask("GET", client.path)[1].count("<form") == 2
    client.post("acknowledge", "by=Mira&kind=person")
    assert client.ask("GET", client.path)[1].count("<form") == 1
    client.server.finish("Stopped.")
    _, text, _ = client.ask(
        "POST",
        f"{client.path}/stop",
        "by=Mira&kind=person",
        {"Accept": "text/html", "Origin": f"http://127.0.0.1:{client.port}"},
    )
    assert "<form" not in text
    assert "Stop ordered by Mira." in text and "Stopped." in text


# --- the documentation -------------------------------------------------------------------------


def test_the_documented_chat_script_posts_the_alert(repository: Path, tmp_path: Path) -> None:
    """Against a webhook on the loopback."""
    text = (repository / "docs" / "page_drill.md").read_text("utf-8")
    (script,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "page_slack.py").write_text(script, "utf-8")
    got: list[bytes] = []

    class Webhook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Webhook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        alert = _told(ALERT, "http://127.0.0.1:1/secret")
        subprocess.run(
            [sys.executable, "-I", str(tmp_path / "page_slack.py")],
            input=json.dumps(alert).encode(),
            env={"SLACK_WEBHOOK": f"http://127.0.0.1:{server.server_address[1]}/hook"},
            check=True,
            timeout=60,
        )
    finally:
        server.shutdown()
        server.server_close()
    (body,) = got
    assert set(json.loads(body)) == {"text"}
    assert "http://127.0.0.1:1/secret" in json.loads(body)["text"]
