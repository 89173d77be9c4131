"""What survives a loss of power: nothing is acknowledged, or renamed into place, before its bytes
and its name have been flushed.

A killed process does not show this, because the kernel still has its writes. A model of the disk
does: it knows which bytes and which names have not been flushed yet.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from custodes.case import SHARD_SEALED, Case, EvidenceStore, Ledger, quickstart_config, verify
from custodes.case._disk import Disk


class ModelDisk(Disk):
    """Remembers what a loss of power at this moment would take."""

    def __init__(self) -> None:
        self.dirty: set[int] = set()  # inodes with bytes that were not flushed
        self.flushed: set[int] = set()
        self.names: set[Path] = set()  # names that were not flushed

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        new = bool(flags & os.O_CREAT) and not os.path.lexists(path)
        fd = super().open(path, flags, mode)
        if new:
            self.names.add(path)
            self.dirty.add(os.fstat(fd).st_ino)
        return fd

    def write(self, fd: int, data: memoryview) -> int:
        self.dirty.add(os.fstat(fd).st_ino)
        return super().write(fd, data)

    def truncate(self, fd: int, size: int) -> None:
        self.dirty.add(os.fstat(fd).st_ino)
        super().truncate(fd, size)

    def fsync(self, fd: int) -> None:
        super().fsync(fd)
        self.dirty.discard(os.fstat(fd).st_ino)
        self.flushed.add(os.fstat(fd).st_ino)

    def fdatasync(self, fd: int) -> None:
        super().fdatasync(fd)
        self.dirty.discard(os.fstat(fd).st_ino)

    def rename(self, source: Path, target: Path) -> None:
        found = os.lstat(source)
        if stat.S_ISREG(found.st_mode):
            assert found.st_ino in self.flushed, f"{source} renamed before it was flushed"
            assert found.st_ino not in self.dirty, f"{source} renamed with unflushed bytes"
        inside = [name for name in self.names if source in name.parents]
        assert inside == [], f"{source} renamed before names in it were flushed"
        super().rename(source, target)
        self.names.discard(source)
        self.names.add(target)

    def unlink(self, path: Path) -> None:
        self.dirty.discard(os.lstat(path).st_ino)
        super().unlink(path)
        self.names.discard(path)

    def mkdir(self, path: Path) -> None:
        super().mkdir(path)
        self.names.add(path)

    def sync_folder(self, path: Path) -> None:
        super().sync_folder(path)
        self.names = {name for name in self.names if name.parent != path}

    def nothing_would_be_lost(self) -> None:
        assert self.dirty == set()
        assert self.names == set()


@pytest.fixture
def disk() -> ModelDisk:
    return ModelDisk()


def test_evidence_is_durable_when_its_reference_exists(tmp_path: Path, disk: ModelDisk) -> None:
    store = EvidenceStore(tmp_path / "evidence", disk=disk)
    disk.nothing_would_be_lost()
    store.put(b"one")
    disk.nothing_would_be_lost()
    store.put_many([b"%d" % n for n in range(40)])
    disk.nothing_would_be_lost()
    (tmp_path / "file").write_bytes(b"y" * 3_000_000)
    store.put_file(tmp_path / "file")
    disk.nothing_would_be_lost()


def test_evidence_left_by_a_killed_writer_is_flushed_before_it_is_named(
    tmp_path: Path, disk: ModelDisk
) -> None:
    blob = EvidenceStore(tmp_path / "evidence").put(b"one").blob
    folder = tmp_path / "evidence" / blob[:2]
    disk.names = {folder, folder / blob[2:]}
    EvidenceStore(tmp_path / "evidence", disk=disk).put(b"one")
    disk.nothing_would_be_lost()
    (tmp_path / "file").write_bytes(b"one")
    disk.names = {folder, folder / blob[2:]}
    EvidenceStore(tmp_path / "evidence", disk=disk).put_file(tmp_path / "file")
    disk.nothing_would_be_lost()


def test_an_event_is_durable_when_it_is_returned(tmp_path: Path, disk: ModelDisk) -> None:
    path = tmp_path / "ledger.jsonl"
    for _ in range(2):
        with Ledger.open(path, actor="a", disk=disk) as ledger:
            disk.nothing_would_be_lost()
            ledger.append("a.b", {})
            disk.nothing_would_be_lost()
            ledger.append_many([("a.b", {})] * 5)
            disk.nothing_would_be_lost()


def test_a_ledger_left_by_a_killed_writer_is_flushed_before_it_is_added_to(
    tmp_path: Path, disk: ModelDisk
) -> None:
    path = tmp_path / "ledger.jsonl"
    Ledger.open(path, actor="a").close()
    disk.names, disk.dirty = {path}, {path.stat().st_ino}
    with Ledger.open(path, actor="a", disk=disk):
        disk.nothing_would_be_lost()


def test_a_torn_tail_is_kept_before_it_is_cut_off(tmp_path: Path, disk: ModelDisk) -> None:
    path = tmp_path / "ledger.jsonl"
    with Ledger.open(path, actor="a") as ledger:
        ledger.append("a.b", {})
    with path.open("ab") as stream:
        stream.write(b"{torn")
    cut = disk.truncate

    def truncate(fd: int, size: int) -> None:
        disk.nothing_would_be_lost()
        assert (tmp_path / "ledger.torn-1").read_bytes() == b"{torn"
        cut(fd, size)

    disk.truncate = truncate  # type: ignore[method-assign]
    with Ledger.open(path, actor="a", disk=disk):
        disk.nothing_would_be_lost()


def test_a_case_and_its_logs_are_durable_when_they_are_there(
    tmp_path: Path, disk: ModelDisk
) -> None:
    with Case.create(tmp_path / "c", quickstart_config(), disk=disk) as case:
        disk.nothing_would_be_lost()
        source = case.work / "x"
        source.write_bytes(b"log")
        case.seal_log(source, "run")
        disk.nothing_would_be_lost()
        case.append(SHARD_SEALED, {"log": case.log_entry("run")})
        disk.nothing_would_be_lost()
        case.fix_plan({})
        disk.nothing_would_be_lost()
        elsewhere = Path("/dev/shm")
        if elsewhere.is_dir() and elsewhere.stat().st_dev != tmp_path.stat().st_dev:
            source = elsewhere / f"custodes-test-{os.getpid()}.eval"
            source.write_bytes(b"another log")
            case.seal_log(source, "copied")
            disk.nothing_would_be_lost()
    assert verify(tmp_path / "c").ok


def test_the_model_finds_a_store_that_does_not_flush(tmp_path: Path) -> None:
    class Lazy(ModelDisk):
        def fsync(self, fd: int) -> None:
            pass

    with pytest.raises(AssertionError, match="renamed before it was flushed"):
        EvidenceStore(tmp_path / "evidence", disk=Lazy()).put(b"x")
