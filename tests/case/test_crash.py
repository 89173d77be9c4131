"""A writer that dies: what it had acknowledged is there, and what is there verifies."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from custodes.case import Case, Event, quickstart_config, verify
from custodes.case._disk import Disk
from custodes.types import sha256_of

WRITER = """
import os, sys
from pathlib import Path
from custodes.case import Case
number = int(sys.argv[2])
with Case.open(Path(sys.argv[1]), write=True) as case:
    for i in range(10**6):
        # Large ones are torn by a kill in the middle of a write.
        text = f"{number}:{i}:" + "x" * (3_000_000 if i % 4 == 3 else 2000)
        ref = case.evidence.put(text[:5000].encode())
        source = case.work / f"{number}-{i}.eval"
        source.write_bytes(text.encode())
        case.seal_log(source, f"{number}-{i}")
        events = case.append_many([
            ("shard.sealed", {"log": case.log_entry(f"{number}-{i}"), "ref": ref.to_json()}),
            ("test.text", {"text": text}),
        ])
        os.write(1, f"{events[-1].seq} {ref.blob}\\n".encode())
"""


def kill_writers(case: Path, kills: int, seed: int) -> int:
    """Start and kill writers; returns how many tails were torn."""
    rng = random.Random(seed)
    acknowledged: dict[int, str] = {}
    events: dict[int, bytes] = {}
    for number in range(kills):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(case), str(number)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline() if number % 3 else b""
            time.sleep(rng.uniform(0, 0.12 if number % 3 else 0.4))
            writer.send_signal(signal.SIGKILL)
            output = first + writer.stdout.read()
            assert writer.wait() == -signal.SIGKILL
        for line in output.decode().splitlines():
            said = line.split()
            acknowledged[int(said[0])] = said[1]
        with Case.open(case, write=True) as recovered:
            found: dict[int, Event] = {}
            for event in recovered.events():
                digest = event.head.encode()
                # Nothing that was there before may have changed.
                assert events.setdefault(event.seq, digest) == digest
                found[event.seq] = event
            for seq, blob in acknowledged.items():
                assert found[seq].kind == "test.text"
                ref = recovered.evidence.ref_from_json(found[seq - 1].data["ref"])
                assert ref.blob == blob
                assert len(recovered.evidence.read(ref)) > 2000
        result = verify(case)
        assert result.ok, result.problems[:5]
        for old in (case / "work").iterdir():
            old.unlink()
    assert len(acknowledged) > kills / 3
    return len(list(case.glob("ledger.torn-*")))


def test_ten_killed_writers_lose_nothing_acknowledged(tmp_path: Path) -> None:
    Case.create(tmp_path / "c", quickstart_config()).close()
    kill_writers(tmp_path / "c", 10, seed=3)


@pytest.mark.slow
def test_two_hundred_killed_writers_lose_nothing_acknowledged(tmp_path: Path) -> None:
    torn = 0
    for part in range(10):  # a fresh case now and then, so that reading it stays quick
        Case.create(tmp_path / str(part), quickstart_config()).close()
        torn += kill_writers(tmp_path / str(part), 20, seed=part)
    # Otherwise the kills never hit a write, and the test has not tested what it says.
    assert torn > 0


class DyingDisk(Disk):
    """Kills its own process at the n-th call, before or half-way through it."""

    def __init__(self, die_at: int) -> None:
        self.left = die_at

    def _step(self) -> bool:
        self.left -= 1
        return self.left < 0

    def _die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)
        signal.pause()

    def write(self, fd: int, data: memoryview) -> int:
        if self._step():
            os.write(fd, data[: len(data) // 2])
            self._die()
        return super().write(fd, data)

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        if self._step():
            self._die()
        return super().open(path, flags, mode)

    def fsync(self, fd: int) -> None:
        if self._step():
            self._die()
        super().fsync(fd)

    def fdatasync(self, fd: int) -> None:
        if self._step():
            self._die()
        super().fdatasync(fd)

    def truncate(self, fd: int, size: int) -> None:
        if self._step():
            self._die()
        super().truncate(fd, size)

    def rename(self, source: Path, target: Path) -> None:
        if self._step():
            self._die()
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        if self._step():
            self._die()
        super().unlink(path)

    def mkdir(self, path: Path) -> None:
        if self._step():
            self._die()
        super().mkdir(path)


def work_and_die(place: Path, die_at: int) -> tuple[list[int], bool]:
    """In a child: make or open a case and write to it until it dies. Returns what it said."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read)
            disk = DyingDisk(die_at)
            if (place / "ledger.jsonl").exists():
                case = Case.open(place, write=True, disk=disk)
            else:
                case = Case.create(place, quickstart_config(), disk=disk)
            for number in range(2):
                ref = case.evidence.put(f"{die_at} {number}".encode())
                source = case.work / "x.eval"
                source.write_bytes(b"log")
                case.seal_log(source, f"{die_at}-{number}")
                event = case.append(
                    "shard.sealed",
                    {"log": case.log_entry(f"{die_at}-{number}"), "ref": ref.to_json()},
                )
                os.write(write, f"{event.seq}\n".encode())
            case.close()
        except BaseException as error:
            os.write(write, f"error {error!r}\n".encode())
            os._exit(3)
        os._exit(0)
    os.close(write)
    with open(read, "rb") as stream:
        said = stream.read().decode().splitlines()
    status = os.waitpid(pid, 0)[1]
    assert not any(line.startswith("error") for line in said), said
    return [int(line) for line in said], os.WIFSIGNALED(status)


def check(place: Path, acknowledged: list[int]) -> None:
    with Case.open(place, write=True) as case:
        seqs = {event.seq for event in case.events()}
    assert set(acknowledged) <= seqs
    result = verify(place)
    assert result.ok, result.problems
    assert not any("unfinished" in note for note in result.notes)


def die_while_making(tmp_path: Path, step: int) -> int:
    died = True
    die_at = 0
    while died:
        place = tmp_path / str(die_at)
        acknowledged, died = work_and_die(place, die_at)
        if place.exists():
            check(place, acknowledged)
        else:
            assert acknowledged == []
        die_at += step
        assert die_at < 300
    return die_at


def test_death_at_some_calls_while_a_case_is_made_and_filled(tmp_path: Path) -> None:
    assert die_while_making(tmp_path, 5) > 40


@pytest.mark.slow
def test_death_at_every_single_call_while_a_case_is_made_and_filled(tmp_path: Path) -> None:
    assert die_while_making(tmp_path, 1) > 40


def die_while_opening(place: Path, step: int) -> None:
    Case.create(place, quickstart_config()).close()
    acknowledged: list[int] = []
    tears: list[str] = []
    died = True
    die_at = 0
    while died:
        tail = f'{{"torn":{die_at}'
        with (place / "ledger.jsonl").open("ab") as stream:
            stream.write(tail.encode())
        tears.append(sha256_of(tail.encode()))
        said, died = work_and_die(place, die_at)
        acknowledged += said
        check(place, acknowledged)
        die_at += step
        assert die_at < 300
    kept = {sha256_of(p.read_bytes()) for p in place.glob("ledger.torn-*")}
    assert set(tears) <= kept, "a torn tail was lost"
    recorded = [
        json.loads(line)["data"]["sha256"]
        for line in (place / "ledger.jsonl").read_bytes().splitlines()
        if b'"kind":"ledger.recovered"' in line
    ]
    assert set(recorded) == kept


def test_death_at_some_calls_while_a_torn_case_is_opened(tmp_path: Path) -> None:
    die_while_opening(tmp_path / "c", 4)


@pytest.mark.slow
def test_death_at_every_single_call_while_a_torn_case_is_opened(tmp_path: Path) -> None:
    die_while_opening(tmp_path / "c", 1)
