"""In a real browser: no error, no request, no sideways scrolling, and a print that is whole."""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import MIXED, PROBES, Played, Rendered, make_case, render

pytestmark = pytest.mark.browser


class Trap:
    """A server on the loopback that remembers every request."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        seen = self.seen

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                seen.append(self.path)
                self.send_response(204)
                self.end_headers()

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def trap() -> Iterator[Trap]:
    trap = Trap()
    yield trap
    trap.server.shutdown()
    trap.server.server_close()


def browse(
    chromium: str, folder: Path, page: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            chromium,
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            *("--hide-scrollbars", "--enable-logging=stderr", "--allow-file-access-from-files"),
            f"--user-data-dir={folder / 'profile'}",
            *options,
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def console(output: str) -> list[str]:
    return re.findall(r"CONSOLE[^\n]*", output)


def test_the_browser_has_nothing_to_complain_of_and_asks_for_nothing(
    chromium: str, tmp_path: Path, trap: Trap
) -> None:
    url = f"http://127.0.0.1:{trap.port}"
    hostile = (
        f"<script>fetch('{url}/script')</script><img src={url}/img onerror=\"fetch('{url}/on')\">"
        f"<link rel=stylesheet href={url}/css><iframe src={url}/frame></iframe>"
        f"<style>@import '{url}/import'; body{{background:url({url}/bg)}}</style>"
        f"<meta http-equiv=refresh content='0;url={url}/meta'><form action={url}/form>"
    )
    played = [
        Played(opens=(True,), command=hostile, output=hostile, note=hostile,
               form={"summary": hostile, hostile: hostile, "declined": False})
    ]  # fmt: skip
    with make_case(tmp_path / "case", played, probes=PROBES) as case:
        rendered = render(case)
    done = browse(chromium, tmp_path, rendered.written.html_path, "--dump-dom")
    assert console(done.stderr) == []
    assert trap.seen == []
    assert "<h1>" in done.stdout  # it was the page that was loaded
    # The trap works: the same text as markup is seen.
    bait = tmp_path / "bait.html"
    bait.write_text(hostile)
    browse(chromium, tmp_path, bait, "--dump-dom", "--virtual-time-budget=2000")
    assert trap.seen


@pytest.mark.parametrize("width", [400, 1280])
def test_the_page_never_scrolls_sideways(
    chromium: str, mixed: Rendered, tmp_path: Path, width: int
) -> None:
    """Measured from outside: the page holds no script, so a frame around it asks for its width."""
    page = mixed.html.replace("<details", "<details open")
    inner = tmp_path / "inner.html"
    # The policy forbids nothing that is measured here, but it must not forbid the frame.
    inner.write_text(page, "utf-8")
    outer = tmp_path / "outer.html"
    outer.write_text(
        f"<iframe id=f src='{inner.as_uri()}' style='width:{width}px;height:900px;border:0'>"
        "</iframe><script>f.onload=()=>{const d=f.contentDocument.documentElement;"
        "document.title=d.scrollWidth+'/'+d.clientWidth}</script>",
        "utf-8",
    )
    done = browse(chromium, tmp_path, outer, "--dump-dom", "--virtual-time-budget=5000")
    found = re.search(r"<title>(\d+)/(\d+)</title>", done.stdout)
    assert found is not None, done.stdout[:300]
    assert int(found[2]) == width
    assert int(found[1]) <= int(found[2]), "something is wider than the page"


def test_a_print_shows_the_evidence_of_the_subject(
    chromium: str, mixed: Rendered, tmp_path: Path
) -> None:
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext: install Debian's package poppler-utils to run this")
    pdf = tmp_path / "report.pdf"
    browse(chromium, tmp_path, mixed.written.html_path, f"--print-to-pdf={pdf}")
    text = subprocess.run(
        ["pdftotext", "-layout", str(pdf), "-"], capture_output=True, text=True, check=True
    ).stdout
    for wanted in ("Instrument check: not an AI", "What was not measured, and why", "Limitations",
                   "Receipts that decide", "it creaks", "service.box.opened"):  # fmt: skip
        assert wanted in text, wanted
    assert len(MIXED) == 9
