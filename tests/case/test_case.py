"""A case: whole or not there, one writer, and errors that say what to do."""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from custodes.case import (
    CASE_CREATED,
    PLAN_FIXED,
    SHARD_SEALED,
    Case,
    CaseError,
    CaseLocked,
    ConfigError,
    EventRefused,
    LedgerBroken,
    NotACase,
    StorageError,
    quickstart_config,
    to_yaml,
    verify,
)
from custodes.types import JsonObject, sha256_of

from .conftest import Clock, FailingDisk, make_log

CONFIG = quickstart_config()


def names(folder: Path) -> set[str]:
    return set(os.listdir(folder))


def test_a_new_case_is_whole_and_verifies(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "deep" / "case"
    with Case.create(path, CONFIG, actor="ada", clock=clock) as case:
        assert case.config == CONFIG
        assert case.config_recorded
        assert case.plan is None
        (event,) = case.events()
        assert (event.kind, event.actor) == (CASE_CREATED, "ada")
        assert event.data["meaning"] == CONFIG.digest
        copy = case.evidence.ref_from_json(event.data["copy"])
        assert case.evidence.read(copy) == (path / "custodes.yaml").read_bytes()
    assert names(path) == {
        "custodes.yaml", "ledger.jsonl", "evidence", "logs", "reports", "work",
    }  # fmt: skip
    assert names(tmp_path / "deep") == {"case"}
    assert verify(path).ok
    assert verify(path).notes == ()


def test_a_hand_written_configuration_is_kept_as_it_is(tmp_path: Path) -> None:
    text = "# mine\n" + to_yaml(CONFIG)
    with Case.create(tmp_path / "c", text):
        assert (tmp_path / "c" / "custodes.yaml").read_text() == text
    with pytest.raises(ConfigError):
        Case.create(tmp_path / "d", "organisation: x\n")
    assert names(tmp_path) == {"c"}


def test_an_occupied_place_is_refused_and_left_alone(tmp_path: Path) -> None:
    Case.create(tmp_path / "case", CONFIG).close()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    before = sorted(str(p) for p in tmp_path.rglob("*"))
    for place, said in (
        ("case", "is a case already"),
        ("full", "not empty"),
        ("file", "no folder"),
        ("link", "no folder"),
    ):
        with pytest.raises(NotACase, match=said) as caught:
            Case.create(tmp_path / place, CONFIG)
        assert caught.value.exit_code == 2
    assert sorted(str(p) for p in tmp_path.rglob("*")) == before
    Case.create(tmp_path / "empty", CONFIG).close()
    assert verify(tmp_path / "empty").ok


def test_a_case_can_be_made_where_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Case.create(Path("."), CONFIG).close()
    assert "ledger.jsonl" in os.listdir(".")
    assert verify(Path(".")).ok
    assert names(tmp_path) == {"here"}


@pytest.mark.parametrize("inside", [False, True])
def test_making_a_case_leaves_all_or_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: bool
) -> None:
    for fail_at in range(80):
        place = tmp_path / str(fail_at)
        place.mkdir()
        target = place if inside else place / "case"
        monkeypatch.chdir(place)
        disk = FailingDisk(fail_at, errno.ENOSPC)
        try:
            Case.create(target, CONFIG, disk=disk).close()
        except CaseError as error:
            assert "\n" not in str(error)
            assert "no space is left" in str(error)
        left = names(place)
        if left and left != {"case"}:
            assert inside and "ledger.jsonl" in left, (fail_at, disk.failed, left)
        if left:
            assert verify(target).ok, (fail_at, disk.failed)
        if disk.failed is None:
            assert fail_at > 15
            return
    pytest.fail("more calls than were tried")


def test_what_is_no_case_says_so(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "absent"):
        for write in (True, False):
            with pytest.raises(NotACase, match="custodes init") as caught:
                Case.open(place, write=write)
            assert caught.value.exit_code == 2
    assert os.listdir(tmp_path) == []


def test_a_second_writer_is_refused_and_told_who_writes(filled: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from custodes.case import Case\n"
        "case = Case.open(Path(sys.argv[1]), write=True); print('open', flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(filled)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(CaseLocked, match=f"by process {other.pid}"):
            Case.open(filled, write=True)
        with Case.open(filled, write=False) as reader:
            assert len(list(reader.events())) == 7
        other.kill()
        other.wait()
    Case.open(filled, write=True).close()


def test_a_reader_passes_over_what_is_being_written_but_not_over_damage(filled: Path) -> None:
    ledger = filled / "ledger.jsonl"
    with Case.open(filled, write=True):
        whole = ledger.read_bytes()
        with ledger.open("ab") as stream:
            stream.write(b'{"half')
        with Case.open(filled, write=False) as reader:
            assert len(list(reader.events())) == 7
        assert verify(filled).ok
        ledger.write_bytes(whole)
    with ledger.open("ab") as stream:
        stream.write(b'{"half')
    with pytest.raises(LedgerBroken, match="open the case for writing"):
        Case.open(filled, write=False)
    assert [p.where for p in verify(filled).problems] == ["ledger.jsonl:8"]
    Case.open(filled, write=True).close()
    assert verify(filled).ok
    with Case.open(filled, write=False) as reader:
        assert len(list(reader.events())) == 8


def test_reopening_finds_logs_plan_and_evidence(filled: Path) -> None:
    with Case.open(filled, write=False) as case:
        assert case.plan is not None and case.plan.data["plan"] == {"shards": 3}
        assert sorted(case.logs) == ["shard-0", "shard-1", "shard-2"]
        for name, log in case.logs.items():
            assert sha256_of(log.path.read_bytes()) == log.sha256
            part = case.evidence.locate(
                case.evidence.ref(log.sha256), 0, 9, member="samples/1_epoch_1.json"
            )
            assert case.evidence.read(part) == b'{"id": "s'
            assert name in ("shard-0", "shard-1", "shard-2")
        with pytest.raises(StorageError, match="open for reading"):
            case.append("a.b", {})
        head = case.head
    with Case.open(filled, write=True) as case:
        assert case.head == head


def test_an_event_can_only_name_what_is_there(tmp_path: Path) -> None:
    with Case.create(tmp_path / "c", CONFIG) as case:
        ref = case.evidence.put(b"seen").to_json()
        case.append("a.b", {"deep": [{"inputs": [ref]}]})
        named: list[JsonObject] = [
            {"blob": sha256_of(b"unseen"), "locator": None},
            {"blob": "short", "locator": None},
            {**ref, "locator": {"start": 0}},
            {"file": "logs/absent.eval", "sha256": sha256_of(b""), "bytes": 0},
            {"file": "../ledger.jsonl", "sha256": sha256_of(b""), "bytes": 0},
            {"file": "/etc/passwd", "sha256": sha256_of(b""), "bytes": 0},
        ]
        for data in named:
            with pytest.raises(EventRefused):
                case.append("a.b", {"deep": [[data]]})
        assert len(list(case.events())) == 2
    assert verify(tmp_path / "c").ok


def test_an_edited_configuration_is_noticed_and_its_history_kept(tmp_path: Path) -> None:
    path = tmp_path / "c"
    with Case.create(path, CONFIG) as case:
        case.fix_plan({"version": 1})
    text = (path / "custodes.yaml").read_text()
    (path / "custodes.yaml").write_text(text.replace("seeds: [1]", "seeds: [1, 2]"))
    assert [p.where for p in verify(path).problems] == ["custodes.yaml"]
    with Case.open(path, write=True) as case:
        assert not case.config_recorded
        assert case.config.plan.seeds == (1, 2)
        event = case.fix_plan({"version": 2})
        assert case.config_recorded
        assert case.plan == event
        (path / "custodes.yaml").write_text(text)
        with pytest.raises(CaseError, match="changed while the case was open"):
            case.fix_plan({"version": 3})
        fixed = [e for e in case.events() if e.kind == PLAN_FIXED]
        copies = [case.evidence.read(case.evidence.ref_from_json(e.data["copy"])) for e in fixed]
        assert [b"[1, 2]" in copy for copy in copies] == [False, True]


# Logs


def test_a_sealed_log_is_in_place_and_never_replaced(tmp_path: Path) -> None:
    with Case.create(tmp_path / "c", CONFIG) as case:
        source = case.work / "run.eval"
        make_log(source, "first")
        data = source.read_bytes()
        assert case.seal_log(source, "run") == sha256_of(data)
        assert not source.exists()
        assert (case.path / "logs" / "run.eval").read_bytes() == data
        # Not named by an event yet: a run that was interrupted here is repeated.
        make_log(source, "second")
        blob = case.seal_log(source, "run")
        case.append(SHARD_SEALED, {"log": case.log_entry("run")})
        make_log(source, "third")
        with pytest.raises(CaseError, match="sealed by event 1"):
            case.seal_log(source, "run")
        assert source.exists()
        assert case.logs["run"].sha256 == blob
    with Case.open(tmp_path / "c", write=True) as case, pytest.raises(CaseError, match="sealed"):
        case.seal_log(case.work / "run.eval", "run")
    result = verify(tmp_path / "c")
    assert (result.ok, result.logs) == (True, 1)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", "/abs", ".hidden", "a\0b", "a\nb", "x" * 300, "a.eval"]
)
def test_a_log_cannot_be_sealed_elsewhere(tmp_path: Path, name: str) -> None:
    with Case.create(tmp_path / "c", CONFIG) as case:
        make_log(case.work / "run.eval", "x")
        with pytest.raises(CaseError, match="expected a log's name"):
            case.seal_log(case.work / "run.eval", name)
        assert (case.work / "run.eval").exists()


def test_a_link_folder_or_pipe_is_no_log(tmp_path: Path) -> None:
    with Case.create(tmp_path / "c", CONFIG) as case:
        (case.work / "link").symlink_to(case.path / "ledger.jsonl")
        (case.work / "folder").mkdir()
        os.mkfifo(case.work / "pipe")
        for odd in ("link", "folder", "pipe", "absent"):
            with pytest.raises(StorageError):
                case.seal_log(case.work / odd, "run")
        assert os.listdir(case.path / "logs") == []


def test_a_log_from_another_file_system_is_copied(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system at /dev/shm")
    source = elsewhere / f"custodes-test-{os.getpid()}.eval"
    try:
        with Case.create(tmp_path / "c", CONFIG) as case:
            make_log(source, "x")
            data = source.read_bytes()
            assert case.seal_log(source, "run") == sha256_of(data)
            assert (case.path / "logs" / "run.eval").read_bytes() == data
            assert not source.exists()
    finally:
        source.unlink(missing_ok=True)


# A disk that refuses


def needs_root(reason: str) -> None:
    if os.geteuid() != 0:
        pytest.skip(f"not root: cannot {reason}")


def test_a_folder_without_permission_gets_one_line(
    filled: Path, as_nobody: Callable[[Callable[[], None]], str]
) -> None:
    needs_root("become another user")
    here = filled.parent
    for folder in (here, *here.parents):
        if folder.stat().st_mode & 0o005 != 0o005 and folder.owner() == "root":
            folder.chmod(0o755)
        if folder.name.startswith("pytest-of"):
            break
    said = as_nobody(lambda: Case.create(here / "new", CONFIG).close())
    assert said.startswith("StorageError: cannot make a case in")
    assert "permission denied" in said
    said = as_nobody(lambda: Case.open(filled, write=True).close())
    assert said.startswith("StorageError: ")
    assert "permission denied" in said
    assert as_nobody(lambda: Case.open(filled, write=False).close()) == "nothing"
    (filled / "ledger.jsonl").chmod(0o600)
    said = as_nobody(lambda: Case.open(filled, write=False).close())
    assert said.startswith("StorageError: cannot read")
    assert names(here) == {"case"}


LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT, MNT_DETACH = 1, 32, 2


def mount(place: Path, flags: int, options: str) -> int:
    """The kernel's call itself: clean-up must not depend on being able to start a process."""
    done: int = LIBC.mount(b"tmpfs", os.fsencode(place), b"tmpfs", flags, options.encode())
    return ctypes.get_errno() if done else 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KiB."""
    needs_root("mount a small file system")
    place = tmp_path / "small"
    place.mkdir()
    if failed := mount(place, 0, "size=400k"):
        pytest.skip(f"cannot mount a tmpfs: {os.strerror(failed)}")
    try:
        yield place
    finally:
        LIBC.umount2(os.fsencode(place), MNT_DETACH)
        assert not place.is_mount()


def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    path = small_disk / "case"
    acknowledged = []
    with Case.create(path, CONFIG) as case:
        with pytest.raises(StorageError, match="no space is left on the disk"):
            for number in range(10_000):
                acknowledged.append(case.append("a.b", {"n": number, "text": "x" * 5000}).seq)
        with pytest.raises(StorageError, match="no space is left"):
            case.evidence.put(os.urandom(200_000))
        with pytest.raises(StorageError, match="no space is left"):
            Case.create(small_disk / "second", CONFIG)
        assert verify(path).ok
        assert names(small_disk) == {"case"}
    assert len(acknowledged) > 20
    # Room is made, and the same case goes on.
    assert mount(small_disk, MS_REMOUNT, "size=2m") == 0
    with Case.open(path, write=True) as case:
        assert case.append("a.b", {}).seq == acknowledged[-1] + 1
    result = verify(path)
    assert result.ok and result.events == len(acknowledged) + 2


def test_a_read_only_file_system(small_disk: Path) -> None:
    path = small_disk / "case"
    Case.create(path, CONFIG).close()
    assert mount(small_disk, MS_REMOUNT | MS_RDONLY, "") == 0
    with pytest.raises(StorageError, match="read-only") as caught:
        Case.open(path, write=True)
    assert "\n" not in str(caught.value)
    with pytest.raises(StorageError, match="read-only"):
        Case.create(small_disk / "second", CONFIG)
    with Case.open(path, write=False) as case:
        assert len(list(case.events())) == 1
    assert verify(path).ok


def test_a_ledger_without_its_beginning_is_no_case(filled: Path) -> None:
    for content in (b"", b'{"torn'):
        (filled / "ledger.jsonl").write_bytes(content)
        for write in (False, True):
            with pytest.raises(LedgerBroken):
                Case.open(filled, write=write)
        assert not verify(filled).ok
