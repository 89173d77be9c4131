"""Cases to attack, and a disk that fails on demand."""

from __future__ import annotations

import errno
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from custodes.case import (
    MEASUREMENT_RECORDED,
    SHARD_SEALED,
    Case,
    quickstart_config,
)
from custodes.case._disk import Disk


class Clock:
    """A clock that moves by one millisecond with each look."""

    def __init__(self) -> None:
        self.now = 1_760_000_000_000_000

    def __call__(self) -> int:
        self.now += 1000
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class FailingDisk(Disk):
    """Fails the n-th call that changes the disk (from 0), with an error or by falling short."""

    def __init__(self, fail_at: int = -1, error: int = errno.EIO, short: bool = False) -> None:
        self.fail_at, self.error, self.short = fail_at, error, short
        self.calls = 0
        self.failed: str | None = None
        self.only: frozenset[str] = frozenset()

    def _step(self, name: str) -> bool:
        if self.only and name not in self.only:
            return False
        this, self.calls = self.calls, self.calls + 1
        if this == self.fail_at:
            self.failed = name
            return True
        return False

    def _fail(self, name: str) -> None:
        if self._step(name):
            raise OSError(self.error, os.strerror(self.error))

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        if flags & os.O_CREAT:
            self._fail("open")
        return super().open(path, flags, mode)

    def write(self, fd: int, data: memoryview) -> int:
        if self._step("write"):
            # Half the bytes reach the disk before the error, as on a disk that fills up.
            half = len(data) // 2
            if half:
                os.write(fd, data[:half])
            if self.short and half:
                return half
            raise OSError(self.error, os.strerror(self.error))
        return super().write(fd, data)

    def fsync(self, fd: int) -> None:
        self._fail("fsync")
        super().fsync(fd)

    def fdatasync(self, fd: int) -> None:
        self._fail("fdatasync")
        super().fdatasync(fd)

    def truncate(self, fd: int, size: int) -> None:
        self._fail("truncate")
        super().truncate(fd, size)

    def rename(self, source: Path, target: Path) -> None:
        self._fail("rename")
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._fail("unlink")
        super().unlink(path)

    def mkdir(self, path: Path) -> None:
        self._fail("mkdir")
        super().mkdir(path)


@pytest.fixture
def failing_disk() -> type[FailingDisk]:
    return FailingDisk


def make_log(path: Path, text: str, *, zstandard: bool = False) -> bytes:
    """A zip like an Inspect log: a header and one sample. Returns the sample's bytes."""
    sample = json.dumps({"id": text, "events": [text] * 40}).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.json", json.dumps({"eval": text}))
        archive.writestr("stored.json", sample, compress_type=zipfile.ZIP_STORED)
        archive.writestr("samples/1_epoch_1.json", sample)
    if zstandard:
        path.write_bytes(zstandard_zip({"samples/1_epoch_1.json": sample}))
    return sample


def zstandard_zip(members: dict[str, bytes]) -> bytes:
    """A zip whose members use method 93, written by hand."""
    import zlib

    import zstandard

    out, directory = io.BytesIO(), io.BytesIO()
    for name, data in members.items():
        packed = zstandard.compress(data)
        at = out.tell()
        common = (63, 0, 93, 0, 33, zlib.crc32(data), len(packed), len(data), len(name), 0)
        out.write(struct.pack("<4s5H3I2H", b"PK\x03\x04", *common) + name.encode() + packed)
        directory.write(
            struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 63, *common, 0, 0, 0, 0, at) + name.encode()
        )
    start, entries = out.tell(), directory.getvalue()
    out.write(entries)
    n = len(members)
    out.write(struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, n, n, len(entries), start, 0))
    return out.getvalue()


@pytest.fixture
def log_maker() -> Callable[..., bytes]:
    return make_log


@pytest.fixture
def zstandard_maker() -> Callable[[dict[str, bytes]], bytes]:
    return zstandard_zip


def fill_case(case: Case, shards: int = 3) -> None:
    """Seal logs, store observations, and name both by whole blobs and by spans."""
    for number in range(shards):
        source = case.work / f"shard-{number}.eval"
        make_log(source, f"shard {number}", zstandard=number % 2 == 1)
        blob = case.seal_log(source, f"shard-{number}")
        observation = case.evidence.put(
            "".join(f'{{"receipt":{i},"shard":{number}}}\n' for i in range(50)).encode()
        )
        line = case.evidence.locate(observation, 0, 22)
        message = case.evidence.locate(
            case.evidence.ref(blob), 5, 40, member="samples/1_epoch_1.json"
        )
        case.append(
            SHARD_SEALED,
            {
                "shard": f"s{number}",
                "log": case.log_entry(f"shard-{number}"),
                "outcomes": [{"evidence": [line.to_json(), message.to_json()]}],
            },
        )
    case.append(
        MEASUREMENT_RECORDED,
        {"estimand": "P(attempted)", "value": 0.1 + 0.2, "tiny": 1e-9, "inputs": []},
    )


@pytest.fixture
def filled(tmp_path: Path, clock: Clock) -> Path:
    """A closed case with a plan, three sealed logs, evidence, a measurement and a report."""
    path = tmp_path / "case"
    with Case.create(path, quickstart_config(), clock=clock) as case:
        case.fix_plan({"shards": 3})
        fill_case(case)
        (case.reports / "report.html").write_text("<p>report</p>" * 20)
        case.report_rendered(["report.html"], {"sections": 1})
    return path


@pytest.fixture
def as_nobody() -> Iterator[Callable[[Callable[[], None]], str]]:
    """Runs a function as a user without rights; returns what it raised, as ``Type: text``."""

    def run(function: Callable[[], None]) -> str:
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            said = "nothing"
            try:
                if os.geteuid() == 0:
                    os.setgid(65534)
                    os.setuid(65534)
                function()
            except BaseException as error:
                said = f"{type(error).__name__}: {error}"
            os.write(write, said.encode())
            os._exit(0)
        os.close(write)
        with open(read, "rb") as stream:
            said = stream.read().decode()
        os.waitpid(pid, 0)
        return said

    yield run
