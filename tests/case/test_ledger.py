"""The ledger: what was acknowledged is there, in order, unchanged; everything else is found."""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.case import (
    GENESIS,
    LEDGER_RECOVERED,
    CaseError,
    CaseLocked,
    Event,
    EventRefused,
    Ledger,
    LedgerBroken,
    LedgerPoisoned,
    StorageError,
    read_events,
)

from .conftest import Clock, FailingDisk

json_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | json_text,
    lambda s: st.lists(s, max_size=3) | st.dictionaries(json_text, s, max_size=3),
    max_leaves=8,
)
data = st.dictionaries(json_text, values, max_size=4)


@given(groups=st.lists(st.lists(data, max_size=4), max_size=5))
def test_what_is_appended_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[dict[str, Any]]]
) -> None:
    path = tmp_path_factory.mktemp("ledger") / "ledger.jsonl"
    appended: list[Event] = []
    for group in groups:
        with Ledger.open(path, actor="ada", clock=Clock()) as ledger:
            appended += ledger.append_many([("test.data", item) for item in group])
    if not groups:
        return
    events = list(read_events(path))
    assert events == appended
    assert [e.data for e in events] == [item for group in groups for item in group]
    assert [e.seq for e in events] == list(range(len(events)))
    assert all(a.at <= b.at for a, b in itertools.pairwise(events))
    with Ledger.open(path, actor="bob") as ledger:
        assert ledger.last == (events[-1] if events else None)


def test_the_chain_is_what_the_format_says(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger.open(path, actor="ada", clock=clock) as ledger:
        ledger.append("a.b", {"z": 1, "a": 0.5})
        ledger.append("a.b", {"digest": ',"digest":"', "kind": ',"kind":"'})
    lines = path.read_bytes().splitlines()
    previous = GENESIS
    for seq, line in enumerate(lines):
        value = json.loads(line)
        assert value["schema"] == "custodes.event/1"
        assert (value["seq"], value["prev"], value["actor"]) == (seq, previous, "ada")
        digest = value.pop("digest")
        body = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
        assert hashlib.sha256(body).hexdigest() == digest
        previous = hashlib.sha256(line).hexdigest()  # type: ignore[assignment]
    assert ledger.head == previous


def test_time_never_runs_backwards_when_the_clock_does(tmp_path: Path) -> None:
    times = iter([500, 100, 900])
    with Ledger.open(tmp_path / "l", actor="a", clock=lambda: next(times)) as ledger:
        assert [ledger.append("a.b", {}).at for _ in range(3)] == [500, 500, 900]


@pytest.mark.parametrize(
    ("kind", "item", "said"),
    [
        ("nodots", {}, "dotted"),
        ("a.B", {}, "dotted"),
        ("a.b\n", {}, "dotted"),
        ("a.b", [], "object"),
        ("a.b", {"x": float("nan")}, "canonical"),
        ("a.b", {"x": 2**53}, "canonical"),
        ("a.b", {"x": b"bytes"}, "canonical"),
        ("a.b", {"x": "\ud800"}, "canonical"),
        ("a.b", {"x": "y" * (17 << 20)}, "evidence store"),
    ],
)
def test_an_event_without_a_form_is_refused_and_changes_nothing(
    tmp_path: Path, kind: str, item: Any, said: str
) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger.open(path, actor="a") as ledger:
        ledger.append("a.b", {})
        before = path.read_bytes()
        with pytest.raises(EventRefused, match=said):
            ledger.append_many([("a.b", {}), (kind, item)])
        assert path.read_bytes() == before
        assert ledger.append("a.b", {}).seq == 1


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger.open(path, actor="a"), pytest.raises(CaseLocked, match="another process"):
        Ledger.open(path, actor="b")
    Ledger.open(path, actor="b").close()


def test_a_closed_or_inherited_writer_accepts_nothing(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "l", actor="a")
    pid = os.fork()
    if pid == 0:
        try:
            ledger.append("a.b", {})
        except LedgerPoisoned:
            os._exit(7)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerPoisoned, match="closed"):
        ledger.append("a.b", {})


# Torn tails


def three_events(path: Path) -> bytes:
    with Ledger.open(path, actor="a", clock=Clock()) as ledger:
        for number in range(3):
            ledger.append("a.b", {"number": number})
    return path.read_bytes()


def tear(tmp_path: Path, step: int) -> None:
    whole = three_events(tmp_path / "whole")
    last = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(len(whole) - 1, last, -step):
        folder = tmp_path / f"cut-{cut}"
        folder.mkdir()
        path = folder / "ledger.jsonl"
        path.write_bytes(whole[:cut])
        with pytest.raises(LedgerBroken, match="after the last whole event"):
            list(read_events(path))
        assert len(list(read_events(path, ignore_tail=True))) == 2
        Ledger.open(path, actor="b").close()
        events = list(read_events(path))
        assert [e.kind for e in events] == ["a.b", "a.b", LEDGER_RECOVERED]
        assert path.read_bytes().startswith(whole[:last])
        torn = whole[last:cut]
        assert (folder / "ledger.torn-1").read_bytes() == torn
        assert events[-1].data == {
            "file": "ledger.torn-1",
            "sha256": hashlib.sha256(torn).hexdigest(),
            "bytes": len(torn),
        }


def test_some_tears_are_set_aside_and_recorded(tmp_path: Path) -> None:
    tear(tmp_path, 29)


@pytest.mark.slow
def test_every_possible_tear_is_set_aside_and_recorded(tmp_path: Path) -> None:
    tear(tmp_path, 1)


def test_tails_are_numbered_and_none_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    three_events(path)
    for number, tail in enumerate([b"{", b"\x00" * 5000, b"\xff"], 1):
        with path.open("ab") as stream:
            stream.write(tail)
        Ledger.open(path, actor="a").close()
        assert (tmp_path / f"ledger.torn-{number}").read_bytes() == tail
    assert [e.data["file"] for e in read_events(path) if e.kind == LEDGER_RECOVERED] == [
        "ledger.torn-1",
        "ledger.torn-2",
        "ledger.torn-3",
    ]


def test_recovery_may_itself_be_interrupted_at_any_call(tmp_path: Path) -> None:
    tail = b'{"actor":"a'
    for fail_at in range(100):
        folder = tmp_path / str(fail_at)
        folder.mkdir()
        path = folder / "ledger.jsonl"
        three_events(path)
        with path.open("ab") as stream:
            stream.write(tail)
        disk = FailingDisk(fail_at)
        try:
            Ledger.open(path, actor="a", disk=disk).close()
        except CaseError:
            pass
        Ledger.open(path, actor="a").close()
        events = list(read_events(path))
        assert [e.data.get("number") for e in events[:3]] == [0, 1, 2]
        recorded = {str(e.data["file"]) for e in events if e.kind == LEDGER_RECOVERED}
        kept = [p.read_bytes() for p in folder.glob("ledger.torn-*")]
        assert {p.name for p in folder.glob("ledger.torn-*")} == recorded
        assert tail in kept
        if disk.failed is None:
            assert fail_at > 5
            return
    pytest.fail("recovery makes more calls than were tried")


def broken(lines: list[bytes]) -> dict[str, list[bytes]]:
    changed = lines[1].replace(b'"number":1', b'"number":9')
    return {
        "removed": [lines[0], lines[2]],
        "first removed": lines[1:],
        "repeated": [lines[0], lines[1], lines[1], lines[2]],
        "swapped": [lines[1], lines[0], lines[2]],
        "changed": [lines[0], changed, lines[2]],
        "newest changed": [lines[0], lines[1], lines[2].replace(b'"number":2', b'"number":7')],
        "spaced": [lines[0], lines[1].replace(b":", b": ", 1), lines[2]],
        "empty line": [lines[0], b"", *lines[1:]],
        "garbage": [lines[0], b"\x00" * 40, lines[2]],
        "other schema": [lines[0].replace(b"event/1", b"event/2"), *lines[1:]],
    }


@pytest.mark.parametrize("name", broken([b"", b"", b""]))
def test_what_is_broken_refuses_to_open_and_is_left_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / "ledger.jsonl"
    lines = three_events(path).splitlines()
    bad = b"".join(line + b"\n" for line in broken(lines)[name])
    path.write_bytes(bad)
    with pytest.raises(LedgerBroken, match=r"line \d"):
        Ledger.open(path, actor="a")
    with pytest.raises(LedgerBroken, match=r"line \d"):
        list(read_events(path))
    assert path.read_bytes() == bad
    assert os.listdir(tmp_path) == ["ledger.jsonl"]


def test_a_link_or_pipe_is_no_ledger(tmp_path: Path) -> None:
    real = tmp_path / "real"
    three_events(real)
    (tmp_path / "link").symlink_to(real)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(StorageError):
            list(read_events(tmp_path / name))
    with pytest.raises(StorageError):
        Ledger.open(tmp_path / "link", actor="a")


# A disk that fails


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_failed_write_is_taken_back(tmp_path: Path, error: int) -> None:
    path = tmp_path / "ledger.jsonl"
    disk = FailingDisk(error=error)
    disk.only = frozenset({"write"})
    with Ledger.open(path, actor="a", disk=disk) as ledger:
        ledger.append("a.b", {"number": 0})
        before = path.read_bytes()
        disk.fail_at = disk.calls
        with pytest.raises(StorageError, match="cannot append to"):
            ledger.append_many([("a.b", {"number": n}) for n in range(1, 20)])
        assert path.read_bytes() == before
        assert ledger.append("a.b", {"number": 1}).seq == 1
    assert [e.data["number"] for e in read_events(path)] == [0, 1]


def test_a_write_that_falls_short_is_finished(tmp_path: Path) -> None:
    disk = FailingDisk(short=True)
    disk.only = frozenset({"write"})
    with Ledger.open(tmp_path / "l", actor="a", disk=disk) as ledger:
        disk.fail_at = disk.calls
        ledger.append("a.b", {"text": "x" * 100})
        assert disk.failed == "write"
    assert len(list(read_events(tmp_path / "l"))) == 1


def test_a_failed_flush_poisons_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    disk = FailingDisk()
    disk.only = frozenset({"fdatasync"})
    with Ledger.open(path, actor="a", disk=disk) as ledger:
        ledger.append("a.b", {"number": 0})
        disk.fail_at = disk.calls
        with pytest.raises(LedgerPoisoned, match="unknown"):
            ledger.append("a.b", {"number": 1})
        for _ in range(3):
            with pytest.raises(LedgerPoisoned):
                ledger.append("a.b", {"number": 2})
    with Ledger.open(path, actor="a") as ledger:
        ledger.append("a.b", {"number": 3})
    assert [e.data["number"] for e in read_events(path)] in ([0, 3], [0, 1, 3])


def test_a_write_that_cannot_be_taken_back_poisons_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    disk = FailingDisk()
    with Ledger.open(path, actor="a", disk=disk) as ledger:
        ledger.append("a.b", {"number": 0})

        class Broken(FailingDisk):
            def write(self, fd: int, data: memoryview) -> int:
                os.write(fd, data[:10])
                raise OSError(errno.EIO, "io")

            def truncate(self, fd: int, size: int) -> None:
                raise OSError(errno.EIO, "io")

        ledger._disk = Broken()
        with pytest.raises(LedgerPoisoned, match="take a failed write back"):
            ledger.append("a.b", {"number": 1})
        ledger._disk = disk
        with pytest.raises(LedgerPoisoned):
            ledger.append("a.b", {"number": 1})
    Ledger.open(path, actor="a").close()
    assert [e.kind for e in read_events(path)] == ["a.b", LEDGER_RECOVERED]


def test_any_single_failing_call_loses_nothing_acknowledged(tmp_path: Path) -> None:
    failures: set[str] = set()
    for fail_at in range(60):
        path = tmp_path / str(fail_at) / "ledger.jsonl"
        path.parent.mkdir()
        disk = FailingDisk(fail_at, errno.ENOSPC)
        acknowledged: list[int] = []
        for _ in range(2):
            try:
                with Ledger.open(path, actor="a", disk=disk) as ledger:
                    for _ in range(4):
                        try:
                            acknowledged.append(ledger.append("a.b", {}).seq)
                        except CaseError:
                            pass
            except CaseError:
                pass
        Ledger.open(path, actor="a").close()
        seqs = [e.seq for e in read_events(path)]
        assert set(acknowledged) <= set(seqs)
        assert seqs == list(range(len(seqs)))
        if disk.failed is None:
            assert failures >= {"open", "write", "fdatasync", "fsync"}
            return
        failures.add(disk.failed)
    pytest.fail("more calls than were tried")


def test_a_writer_notices_that_its_file_is_gone_or_changed(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "gone", actor="a") as ledger:
        ledger.append("a.b", {})
        (tmp_path / "gone").unlink()
        with pytest.raises(LedgerPoisoned, match="deleted"):
            ledger.append("a.b", {})
    with Ledger.open(tmp_path / "grown", actor="a") as ledger:
        ledger.append("a.b", {})
        with (tmp_path / "grown").open("ab") as stream:
            stream.write(b"x")
        with pytest.raises(LedgerPoisoned, match="something else wrote"):
            ledger.append("a.b", {})


def test_a_group_is_flushed_once(tmp_path: Path) -> None:
    disk = FailingDisk()
    disk.only = frozenset({"fdatasync"})
    with Ledger.open(tmp_path / "l", actor="a", disk=disk) as ledger:
        events = ledger.append_many([("a.b", {"number": n}) for n in range(100)])
        assert (len(events), disk.calls) == (100, 1)
        assert ledger.append_many([]) == ()
