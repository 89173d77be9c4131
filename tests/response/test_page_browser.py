"""In a real browser: readable at both widths, nothing fetched, and its forms do what they say."""

from __future__ import annotations

import http.server
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from custodes.response import Kind
from custodes.response._page import Alert, render
from custodes.response._receipts import Receipts
from custodes.response._server import PageServer

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LONG = "printf '%s' " + "x" * 300


def alert(hostile: str = "") -> Alert:
    return Alert(
        why=f"arranges for something to run after the session{hostile}",
        monitor="rules",
        rule="persists",
        task=f"Bring the notes of the release up to date.{hostile}",
        evidence=(("bash", "ls -la"), ("bash", LONG), ("bash", f"cat README.md{hostile}")),
    )


def browse(chromium: str, folder: Path, url: str, *options: str) -> str:
    done = subprocess.run(
        [
            chromium,
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--hide-scrollbars", "--enable-logging=stderr", "--allow-file-access-from-files"),
            f"--user-data-dir={folder / 'profile'}",
            *options,
            url,
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert re.findall(r"CONSOLE[^\n]*", done.stderr) == []
    return done.stdout


@pytest.fixture
def trap() -> Iterator[tuple[str, list[str]]]:
    """A server on the loopback, and every request it got."""
    seen: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.path)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", seen
    server.shutdown()
    server.server_close()


@pytest.fixture
def server() -> Iterator[PageServer]:
    found = PageServer(Receipts(), lambda: None)
    found.start()
    yield found
    found.close()


def test_hostile_evidence_is_shown_and_fetches_nothing(
    chromium: str, tmp_path: Path, server: PageServer, trap: tuple[str, list[str]]
) -> None:
    url, seen = trap
    server.open(
        alert(
            f"<script src={url}/a></script><img src={url}/b onerror=fetch('{url}/c')>"
            f"<meta http-equiv=refresh content='0;url={url}/d'><style>@import '{url}/e'</style>"
        )
    )
    page = browse(chromium, tmp_path, server.url, "--dump-dom", "--virtual-time-budget=2000")
    assert "An agent was flagged" in page
    assert page.count("<form") == 2
    assert not re.search(r"<(?:script|img|iframe|meta http)\b", page)
    assert seen == []


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_never_scrolls_sideways(chromium: str, tmp_path: Path, width: int) -> None:
    inner = tmp_path / "inner.html"
    said = ["Acknowledged by " + "M" * 100 + "."]
    inner.write_bytes(render(alert(), address="/t", said=said, over=False))
    outer = tmp_path / "outer.html"
    outer.write_text(
        f"<iframe id=f src='{inner.as_uri()}' style='width:{width}px;height:900px;border:0'>"
        "</iframe><script>f.onload=()=>{const d=f.contentDocument.documentElement;"
        "document.title=d.scrollWidth+'/'+d.clientWidth}</script>",
        "utf-8",
    )
    page = browse(chromium, tmp_path, outer.as_uri(), "--dump-dom", "--virtual-time-budget=5000")
    found = re.search(r"<title>(\d+)/(\d+)</title>", page)
    assert found is not None, page[:300]
    assert int(found[1]) <= int(found[2]) == width


def test_a_persons_form_acknowledges_in_the_persons_name(
    chromium: str, tmp_path: Path, server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page forbids scripts, so a copy of it that only clicks is sent in its place."""
    server.open(alert())
    own = server.page

    def clicked() -> bytes:
        page = own()
        if server.acknowledged is None:
            page = page.replace(b'value=""', b'value="Mira K"', 1)
            page += b"<script>document.querySelector('form button').click()</script>"
        return page

    monkeypatch.setattr(server, "page", clicked)
    monkeypatch.setattr(
        "custodes.response._server.POLICY", "script-src 'unsafe-inline'; form-action 'self'"
    )
    page = browse(chromium, tmp_path, server.url, "--dump-dom", "--virtual-time-budget=3000")
    assert server.acknowledged is not None
    assert (server.acknowledged.by, server.acknowledged.kind) == ("Mira K", Kind.PERSON)
    assert "Acknowledged by Mira K." in page
    assert server.ordered is None
