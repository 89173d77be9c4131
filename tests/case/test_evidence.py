"""The evidence store: a reference exists only for bytes that are there, and reads those bytes."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.case import (
    CaseError,
    EvidenceCorrupt,
    EvidenceMissing,
    EvidenceStore,
    LocatorInvalid,
    StorageError,
    parse_document,
)
from custodes.case._archive import span_digests
from custodes.case._evidence import blob_path
from custodes.types import EvidenceRef, sha256_of

from .conftest import FailingDisk


@pytest.fixture
def store(tmp_path: Path) -> EvidenceStore:
    return EvidenceStore(tmp_path / "evidence")


@given(blobs=st.lists(st.binary(max_size=300), max_size=6))
def test_what_is_kept_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, blobs: list[bytes]
) -> None:
    root = tmp_path_factory.mktemp("e") / "evidence"
    store = EvidenceStore(root)
    refs = store.put_many(blobs)
    assert [store.read(ref) for ref in refs] == blobs
    assert sorted(set(store)) == sorted({sha256_of(b) for b in blobs})
    for ref in refs:
        assert blob_path(root, ref.blob).read_bytes() == store.read(ref)
        assert EvidenceStore(root, writable=False).ref_from_json(ref.to_json()) == ref


def test_keeping_again_changes_nothing(store: EvidenceStore) -> None:
    first = store.put(b"x")
    before = blob_path(store.root, first.blob).stat()
    assert store.put_many([b"x", b"x"]) == (first, first)
    assert EvidenceStore(store.root).put(b"x") == first
    after = blob_path(store.root, first.blob).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert not before.st_mode & 0o222


def test_a_large_file_is_kept_by_streaming(store: EvidenceStore, tmp_path: Path) -> None:
    source = tmp_path / "log"
    source.write_bytes(os.urandom(1 << 20) * 5 + b"end")
    ref = store.put_file(source)
    assert ref.blob == hashlib.sha256(source.read_bytes()).hexdigest()
    assert store.read(ref) == source.read_bytes()
    assert store.put_file(source) == ref == store.put(source.read_bytes())
    link = tmp_path / "link"
    link.symlink_to(source)
    for odd in (link, tmp_path, tmp_path / "absent"):
        with pytest.raises(StorageError):
            store.put_file(odd)


def test_nothing_can_be_named_that_is_not_there(store: EvidenceStore) -> None:
    absent = sha256_of(b"never kept")
    with pytest.raises(EvidenceMissing, match=absent):
        store.ref(absent)
    for odd in ("", "../../etc/passwd", absent[:-1], absent.upper(), absent + "\n"):
        with pytest.raises(ValueError):
            store.ref(odd)
        assert odd not in store


def test_a_changed_blob_is_found_by_name(store: EvidenceStore) -> None:
    ref = store.put(b"what was observed")
    part = store.locate(ref, 5, 8)
    path = blob_path(store.root, ref.blob)
    path.chmod(0o644)
    path.write_bytes(b"what has observed")
    with pytest.raises(EvidenceCorrupt, match=str(ref.blob)):
        store.read(ref)
    with pytest.raises(EvidenceCorrupt, match="bytes 5 to 8"):
        store.read(part)
    # The right bytes, kept again, take the place of the wrong ones.
    assert EvidenceStore(store.root).put(b"what was observed") == ref
    assert store.read(part) == b"was"
    path.unlink()
    with pytest.raises(EvidenceMissing):
        store.read(ref)


def test_a_whole_member_is_read_only_from_the_archive_that_was_sealed(
    store: EvidenceStore, tmp_path: Path
) -> None:
    source = tmp_path / "log.eval"
    with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("one", b"first " * 100)
        archive.writestr("two", b"second")
    ref = store.put_file(source)
    assert store.read_member(ref, "one") == b"first " * 100
    assert store.read_member(ref, "two") == b"second"
    with pytest.raises(LocatorInvalid, match="longer than 5 bytes"):
        store.read_member(ref, "one", most=5)
    with pytest.raises(LocatorInvalid, match="no member"):
        store.read_member(ref, "three")
    # Another archive in its place, after the first was found right: nothing of it is read.
    path = blob_path(store.root, ref.blob)
    path.chmod(0o644)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("two", b"forged")
    for attempt in (store, EvidenceStore(store.root, writable=False)):
        with pytest.raises(EvidenceCorrupt, match=str(ref.blob)):
            attempt.read_member(ref, "two")
        with pytest.raises(EvidenceCorrupt, match=str(ref.blob)):
            attempt.locate(ref, 0, 3, member="two")
        with pytest.raises(EvidenceCorrupt, match=str(ref.blob)):
            attempt.locate(ref, 0, 3)


def test_a_link_or_folder_in_place_of_a_blob_is_not_followed(
    store: EvidenceStore, tmp_path: Path
) -> None:
    ref = store.put(b"x")
    path = blob_path(store.root, ref.blob)
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    path.unlink()
    path.symlink_to(secret)
    reader = EvidenceStore(store.root, writable=False)
    assert ref.blob not in reader
    with pytest.raises(StorageError, match="links are not followed"):
        reader.read(ref)
    with pytest.raises(EvidenceMissing):
        reader.ref(ref.blob)


@given(data=st.binary(min_size=1, max_size=200), ends=st.tuples(st.integers(), st.integers()))
def test_spans(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, ends: tuple[int, int]
) -> None:
    store = EvidenceStore(tmp_path_factory.mktemp("e") / "evidence")
    ref = store.put(data)
    start, end = ends[0] % (len(data) + 3), ends[1] % (len(data) + 3)
    if not start < end <= len(data):
        with pytest.raises(LocatorInvalid):
            store.locate(ref, start, end)
        return
    part = store.locate(ref, start, end)
    assert store.read(part) == data[start:end]
    assert part.locator is not None
    assert part.locator.excerpt == sha256_of(data[start:end])


def test_spans_of_members_by_every_compression(
    store: EvidenceStore,
    tmp_path: Path,
    zstandard_maker: Callable[[dict[str, bytes]], bytes],
) -> None:
    content = os.urandom(1000) * 3000 + b"the very end"
    source = tmp_path / "log.eval"
    with zipfile.ZipFile(source, "w") as archive:
        archive.writestr("stored", content, compress_type=zipfile.ZIP_STORED)
        archive.writestr("deflated", content, compress_type=zipfile.ZIP_DEFLATED)
        archive.writestr("empty", b"")
    zip_ref = store.put_file(source)
    zstd_ref = store.put(zstandard_maker({"first": b"1", "zstandard": content}))
    for ref, member in ((zip_ref, "stored"), (zip_ref, "deflated"), (zstd_ref, "zstandard")):
        for start, end in ((0, 1), (999_990, 1_100_000), (len(content) - 12, len(content))):
            part = store.locate(ref, start, end, member=member)
            assert store.read(part) == content[start:end]
        with pytest.raises(LocatorInvalid, match="beyond its end"):
            store.locate(ref, len(content) - 1, len(content) + 1, member=member)
        with pytest.raises(LocatorInvalid, match="no member"):
            store.locate(ref, 0, 1, member="absent")
    with pytest.raises(LocatorInvalid, match="beyond"):
        store.locate(zip_ref, 0, 1, member="empty")
    with pytest.raises(LocatorInvalid, match="archive"):
        store.locate(store.put(b"no zip"), 0, 1, member="x")


def test_recorded_inspect_logs_can_be_pointed_into(store: EvidenceStore, shared_data: Path) -> None:
    pointed = 0
    for log in sorted((shared_data / "inspect_logs").glob("*.eval"))[:12]:
        if log.stat().st_size > 3_000_000:
            continue
        ref = store.put_file(log)
        with zipfile.ZipFile(log) as archive:
            for info in archive.infolist()[:6]:
                if info.file_size < 10 or archive.namelist().count(info.filename) > 1:
                    continue
                part = store.locate(ref, 0, info.file_size, member=info.filename)
                whole = store.read(part)
                assert len(whole) == info.file_size
                if info.filename.endswith(".json"):
                    assert whole[:1] in b"{["
                pointed += 1
    assert pointed > 10


@given(spans=st.lists(st.tuples(st.integers(0, 90), st.integers(1, 60)), max_size=8))
def test_many_spans_in_one_pass_are_the_same_as_one_by_one(
    tmp_path_factory: pytest.TempPathFactory, spans: list[tuple[int, int]]
) -> None:
    data = bytes(range(120))
    path = tmp_path_factory.mktemp("z") / "zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m", data)
    wanted = [(start, start + size) for start, size in spans]
    fd = os.open(path, os.O_RDONLY)
    try:
        found = span_digests(fd, "m", wanted)
    finally:
        os.close(fd)
    assert found == {(a, b): sha256_of(data[a:b]) if b <= len(data) else None for a, b in wanted}


@given(noise=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=8))
def test_a_damaged_archive_gives_bytes_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, noise: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("z")
    with zipfile.ZipFile(folder / "zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m", b"content " * 40)
    data = bytearray((folder / "zip").read_bytes())
    for at, byte in noise:
        data[at % len(data)] = byte
    store = EvidenceStore(folder / "evidence")
    ref = store.put(bytes(data))
    try:
        store.locate(ref, 3, 30, member="m")
    except CaseError:
        pass


def test_two_members_of_one_name_are_not_guessed_between(
    store: EvidenceStore, tmp_path: Path
) -> None:
    source = tmp_path / "zip"
    with zipfile.ZipFile(source, "w") as archive, pytest.warns(UserWarning):
        archive.writestr("m", b"one")
        archive.writestr("m", b"two")
    with pytest.raises(LocatorInvalid, match="which is meant"):
        store.locate(store.put_file(source), 0, 1, member="m")


def test_unfinished_files_are_cleared_and_are_not_evidence(store: EvidenceStore) -> None:
    ref = store.put(b"x")
    for folder in (store.root, store.root / ref.blob[:2]):
        (folder / ".tmp-1-a").write_bytes(b"half")
    assert list(store) == [ref.blob]
    assert store.clear_temporaries() == 2
    assert store.read(ref) == b"x"
    assert store.clear_temporaries() == 0


def test_a_store_opened_for_reading_accepts_nothing(store: EvidenceStore) -> None:
    reader = EvidenceStore(store.root, writable=False)
    with pytest.raises(StorageError, match="open for reading"):
        reader.put(b"x")
    with pytest.raises(StorageError, match="open for reading"):
        reader.clear_temporaries()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_no_reference_exists_when_any_call_fails(tmp_path: Path, error: int) -> None:
    failures: set[str] = set()
    for fail_at in range(60):
        root = tmp_path / str(fail_at)
        disk = FailingDisk(fail_at, error)
        minted: list[tuple[bytes, EvidenceRef]] = []
        try:
            store = EvidenceStore(root, disk=disk)
            for data in ([b"one"], [b"two", b"three"]):
                try:
                    minted += [(d, r) for d, r in zip(data, store.put_many(data), strict=True)]
                except StorageError:
                    assert disk.failed is not None
        except StorageError:
            pass
        for kept, ref in minted:
            assert EvidenceStore(root).read(ref) == kept
        for blob in EvidenceStore(root):
            assert sha256_of(blob_path(root, blob).read_bytes()) == blob
        if disk.failed is None:
            assert failures >= {"mkdir", "open", "write", "fsync", "rename"}
            return
        failures.add(disk.failed)
    pytest.fail("more calls than were tried")


def test_a_store_whose_flush_failed_accepts_nothing_more(tmp_path: Path) -> None:
    EvidenceStore(tmp_path / "evidence").put(b"before")
    flushes = 0
    while True:
        disk = FailingDisk(flushes)
        disk.only = frozenset({"fsync"})
        store = EvidenceStore(tmp_path / "evidence", disk=disk)
        try:
            store.put(b"first %d" % flushes)
        except StorageError:
            for attempt in (b"first", b"second", b"before"):
                with pytest.raises(StorageError, match="unknown"):
                    store.put(attempt)
            with pytest.raises(StorageError, match="unknown"):
                store.put_file(Path(__file__))
        else:
            break
        flushes += 1
    assert flushes == 3  # the folder of the folders, the blob, the blob's folder


def test_nothing_is_left_behind_by_a_full_disk(tmp_path: Path) -> None:
    disk = FailingDisk(error=errno.ENOSPC)
    disk.only = frozenset({"write"})
    store = EvidenceStore(tmp_path / "evidence", disk=disk)
    (tmp_path / "big").write_bytes(b"y" * 5000)
    for streamed in (False, True):
        disk.fail_at = disk.calls
        with pytest.raises(StorageError, match="no space is left"):
            if streamed:
                store.put_file(tmp_path / "big")
            else:
                store.put(b"x" * 1000)
        left = [p for p in (tmp_path / "evidence").rglob("*") if not stat.S_ISDIR(p.stat().st_mode)]
        assert left == []
    assert store.read(store.put(b"x" * 1000)) == b"x" * 1000


def test_a_reference_in_json_must_be_one(store: EvidenceStore) -> None:
    ref = store.put(b"some bytes")
    other = store.put(b"other bytes")
    good = store.locate(ref, 0, 4).to_json()
    assert store.ref_from_json(good).locator == store.locate(ref, 0, 4).locator
    locator = good["locator"]
    assert isinstance(locator, dict)
    bad: list[object] = [
        None,
        [],
        {"blob": ref.blob},
        {**good, "more": 1},
        {**good, "blob": other.blob},
        {**good, "locator": {**locator, "start": 4}},
        {**good, "locator": {**locator, "start": True}},
        {**good, "locator": {**locator, "start": 0.0}},
        {**good, "locator": {**locator, "excerpt": "x"}},
        {**good, "locator": {**locator, "member": 3}},
        {**good, "locator": {}},
        parse_document(b'{"blob":"../x","locator":null}'),
    ]
    for value in bad:
        with pytest.raises(ValueError):
            store.ref_from_json(value)  # type: ignore[arg-type]


def test_a_whole_member_is_read_by_every_compression(
    store: EvidenceStore,
    tmp_path: Path,
    zstandard_maker: Callable[[dict[str, bytes]], bytes],
) -> None:
    body = "größer als ein Puffer, ".encode() * 20_000
    archives = [zstandard_maker({"samples/1.json": body, "other": b"x"})]
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        path = tmp_path / f"{method}.zip"
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("samples/1.json", body)
        archives.append(path.read_bytes())
    for data in archives:
        assert store.read_member(store.put(data), "samples/1.json") == body


def test_a_member_of_changed_or_wrong_bytes_is_not_read(
    store: EvidenceStore, zstandard_maker: Callable[[dict[str, bytes]], bytes]
) -> None:
    ref = store.put(zstandard_maker({"a": b"first" * 100, "b": b"second" * 100}))
    assert store.read_member(ref, "a") == b"first" * 100
    with pytest.raises(LocatorInvalid, match="no member 'c'"):
        store.read_member(ref, "c")
    with pytest.raises(LocatorInvalid, match="longer than 10 bytes"):
        store.read_member(ref, "a", most=10)
    with pytest.raises(LocatorInvalid, match="not a readable zip"):
        store.read_member(store.put(b"no archive"), "a")
    path = blob_path(store.root, ref.blob)
    data = bytearray(path.read_bytes())
    data[-30] ^= 1  # in the directory: a name, a size or a place would be another
    path.chmod(0o644)
    path.write_bytes(data)
    with pytest.raises(EvidenceCorrupt, match="were changed"):
        store.read_member(ref, "b")
