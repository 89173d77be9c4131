"""The broker's log: every change to it is found, and named by its line."""

from __future__ import annotations

import json
import os
import random
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from custodes.containment._broker_log import BrokerLog, BrokerLogError, LogHead, verify_broker_log
from custodes.types import canonical_json, sha256_of


def written(path: Path, count: int = 12) -> LogHead:
    log = BrokerLog(path)
    for number in range(count):
        log("net.request", {"host": "h\u00e9\u2028", "number": number, "canaries": ["a"]})
    return log.close()


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    head = written(tmp_path / "log")
    verified = verify_broker_log(tmp_path / "log", expected=head)
    assert verified.closed
    assert verified.head == head
    assert [data["number"] for _, data in verified.events] == list(range(12))


def test_the_file_is_new_and_its_owners_alone(tmp_path: Path) -> None:
    written(tmp_path / "log")
    assert stat.S_IMODE(os.stat(tmp_path / "log").st_mode) == 0o600
    with pytest.raises(FileExistsError):
        BrokerLog(tmp_path / "log")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        BrokerLog(tmp_path / "link")


def test_every_changed_byte_is_found_by_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    head = written(path)
    whole = path.read_bytes()
    source = random.Random(3)
    for _ in range(200):
        at = source.randrange(len(whole))
        changed = bytearray(whole)
        changed[at] ^= 1 << source.randrange(8)
        path.write_bytes(changed)
        with pytest.raises(BrokerLogError) as caught:
            verify_broker_log(path, expected=head)
        # A change shows in its own line, or at latest in the next one's naming of it.
        line = whole.count(b"\n", 0, at) + 1
        assert line <= caught.value.line <= line + 1


def test_lines_removed_repeated_or_moved_are_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    head = written(path)
    lines = path.read_bytes().splitlines(keepends=True)
    for index in range(len(lines) - 1):
        for forged in (
            lines[:index] + lines[index + 1 :],
            lines[: index + 1] + lines[index:],
            [*lines[:index], lines[index + 1], lines[index], *lines[index + 2 :]],
        ):
            path.write_bytes(b"".join(forged))
            with pytest.raises(BrokerLogError):
                verify_broker_log(path)
            with pytest.raises(BrokerLogError):
                verify_broker_log(path, expected=head)


def test_a_missing_end_shows_against_a_head_kept_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "log"
    head = written(path)
    lines = path.read_bytes().splitlines(keepends=True)
    for count in range(1, len(lines)):
        path.write_bytes(b"".join(lines[:count]))
        assert not verify_broker_log(path).closed
        with pytest.raises(BrokerLogError, match=f"expected {head.lines} lines"):
            verify_broker_log(path, expected=head)
    path.write_bytes(b"".join(lines)[:-1])
    with pytest.raises(BrokerLogError, match="incomplete"):
        verify_broker_log(path)
    path.write_bytes(b"")
    with pytest.raises(BrokerLogError, match="found nothing"):
        verify_broker_log(path)


def test_a_log_written_anew_shows_against_a_head_kept_elsewhere(tmp_path: Path) -> None:
    head = written(tmp_path / "log")
    other = written(tmp_path / "other")
    assert verify_broker_log(tmp_path / "other").closed
    assert head != other
    with pytest.raises(BrokerLogError):
        verify_broker_log(tmp_path / "other", expected=head)


def test_a_forged_line_in_other_spelling_is_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    written(path, 1)
    lines = path.read_bytes().splitlines()
    entry = json.loads(lines[1])
    spaced = json.dumps(entry).encode()
    last = json.loads(lines[2])
    last["previous"] = sha256_of(spaced)
    path.write_bytes(b"\n".join([lines[0], spaced, canonical_json(last), b""]))
    with pytest.raises(BrokerLogError, match="canonical") as caught:
        verify_broker_log(path)
    assert caught.value.line == 2


def test_a_closing_line_that_counts_other_events_is_found(tmp_path: Path) -> None:
    path = tmp_path / "log"
    written(path, 3)
    lines = path.read_bytes().splitlines()
    last = json.loads(lines[-1])
    last["data"]["events"] = 2
    path.write_bytes(b"\n".join([*lines[:-1], canonical_json(last), b""]))
    with pytest.raises(BrokerLogError, match="counts other events") as caught:
        verify_broker_log(path)
    assert caught.value.line == 5


@pytest.mark.parametrize(
    "line",
    [b"[]", b"null", b"{}", b"nonsense", b"\xff", b"1e400", b"[" * 100_000, b'{"seq":NaN}', b""],
)
def test_lines_that_are_no_entries_are_named(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "log"
    written(path, 1)
    first = path.read_bytes().splitlines()[0]
    path.write_bytes(first + b"\n" + line + b"\n")
    with pytest.raises(BrokerLogError) as caught:
        verify_broker_log(path)
    assert caught.value.line == 2


def test_fractions_foreign_kinds_and_late_lines_are_refused(tmp_path: Path) -> None:
    log = BrokerLog(tmp_path / "log")
    with pytest.raises(TypeError):
        log("net.request", {"seconds": 0.5})
    for kind in ("log.opened", "log.closed"):
        with pytest.raises(ValueError, match="by the log itself"):
            log(kind, {})
    log("net.request", {})
    head = log.close()
    assert log.close() == head
    with pytest.raises(ValueError, match="closed"):
        log("net.request", {})
    assert len(verify_broker_log(tmp_path / "log", expected=head).events) == 1


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from custodes.containment._broker_log import BrokerLog
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = BrokerLog(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
failed = 0
for number in range(20):
    try:
        log("net.request", {"number": number})
    except OSError:
        failed += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log("net.request", {"number": 99})
log.close()
print(failed)
"""


def test_a_line_that_does_not_fit_on_the_disk_leaves_no_half_line(tmp_path: Path) -> None:
    path = tmp_path / "log"
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    failed = int(done.stdout)
    assert 10 < failed < 20
    verified = verify_broker_log(path)
    numbers = [data["number"] for _, data in verified.events]
    assert numbers == [*range(20 - failed), 99]
    assert verified.closed
    assert resource.getrlimit(resource.RLIMIT_FSIZE)  # the limit was the child's own


KILLED = """
import os, sys
from pathlib import Path
from custodes.containment._broker_log import BrokerLog
log = BrokerLog(Path(sys.argv[1]))
number = 0
while True:
    log("net.request", {"number": number, "text": "x" * 500})
    number += 1
    if number % 50 == 0:
        print(number, flush=True)
"""


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_writer_killed_in_the_middle_leaves_a_chain_without_its_end(
    tmp_path: Path, kills: int
) -> None:
    for turn in range(kills):
        path = tmp_path / f"log-{turn}"
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            promised = 0
            for _ in range(1 + turn):
                promised = int(writer.stdout.readline())
            writer.kill()
        verified = verify_broker_log(path)
        assert not verified.closed
        numbers = [data["number"] for _, data in verified.events]
        # Each line that was written before the call returned is there.
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= promised


@pytest.mark.parametrize("torn", [b"{", b'{"data":{},"host_us":1,', b"\0" * 40, b"\n"])
def test_a_line_torn_by_a_crash_is_named_and_the_lines_before_it_hold(
    tmp_path: Path, torn: bytes
) -> None:
    path = tmp_path / "log"
    written(path, 3)
    whole = b"".join(path.read_bytes().splitlines(keepends=True)[:4])
    path.write_bytes(whole + torn)
    with pytest.raises(BrokerLogError) as caught:
        verify_broker_log(path)
    assert caught.value.line == 5
    path.write_bytes(whole)
    assert len(verify_broker_log(path).events) == 3
    assert not verify_broker_log(path).closed
