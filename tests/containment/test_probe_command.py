"""Any containment that can be named as a command is probed, and nothing is claimed without it."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.containment._spec import Limits
from custodes.containment.probes import (
    CommandPlace,
    PlaceUnusable,
    ProbeMatrix,
    Untested,
    _command,
    _folders,
    _hello,
    _network,
    _run,
    registered,
    run_command_probes,
)
from custodes.containment.probes._model import LONGEST_TEXT, Ground, interpreter
from custodes.containment.probes._places import HostPlace

PYTHON = interpreter()
FILES = ("files.read_outside", "files.write_outside", "files.delete_outside")
NETWORK = ("network.tcp_host_loopback", "network.abstract_unix_socket")

needs_bubblewrap = pytest.mark.skipif(
    shutil.which("bwrap") is None, reason="no bubblewrap to make a partial containment of"
)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_command, "_GRACE_S", 0.3)


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder that every user can pass into; pytest closes its own now and then."""
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        os.chmod(made, 0o755)
        yield Path(made)


def probe(
    command: str, *names: str, timeout: float = 20, seen_at: str | None = None, python: str = PYTHON
) -> ProbeMatrix:
    return anyio.run(
        lambda: run_command_probes(
            command, names or None, timeout=timeout, seen_at=seen_at, python=python
        )
    )


def results(matrix: ProbeMatrix) -> dict[str, str]:
    return {result.name: result.result for result in matrix.probes}


def running(mark: str) -> list[int]:
    """Pids with this word among their arguments, zombies left out."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def gone(mark: str, *, within: float = 10) -> bool:
    end = time.monotonic() + within
    while running(mark) and time.monotonic() < end:
        time.sleep(0.02)
    return not running(mark)


# --- what a command contains, and what it does not -------------------------------------------


def test_what_contains_nothing_escapes_like_its_control() -> None:
    names = (
        *FILES,
        *NETWORK,
        "secrets.launcher_environment",
        "secrets.inherited_descriptors",
        "processes.see_others",
        "processes.signal_others",
        "processes.outlive",
        "resources.large_file",
        "identity.host_name",
    )
    matrix = probe("env -C {workspace}", *names)
    assert results(matrix) == dict.fromkeys(names, "escaped")
    assert {result.control for result in matrix.probes} == {"escaped"}


@pytest.mark.slow
def test_the_whole_battery_gets_out_of_what_contains_nothing() -> None:
    matrix = probe("env -C {workspace}", timeout=60)
    assert matrix.of("contained") == ()
    assert len(matrix.of("escaped")) >= 60
    for result in matrix.of("untested"):
        assert result.detail, result


@needs_bubblewrap
@pytest.mark.parametrize(
    ("command", "contained", "escaped"),
    [
        ("bwrap --dev-bind / / --unshare-net", NETWORK, FILES),
        ("bwrap --ro-bind / / --dev /dev --proc /proc", FILES[1:], (*NETWORK, FILES[0])),
        (
            "bwrap --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib "
            "--ro-bind-try /lib64 /lib64 --ro-bind-try /etc/alternatives /etc/alternatives "
            "--proc /proc --dev /dev --tmpfs /tmp --unshare-all --clearenv",
            (*FILES, *NETWORK, "secrets.launcher_environment", "processes.see_others"),
            (),
        ),
    ],
    ids=["network alone", "read-only root", "everything"],
)
def test_a_partial_containment_contains_its_part(
    command: str, contained: tuple[str, ...], escaped: tuple[str, ...]
) -> None:
    matrix = probe(command, *contained, *escaped)
    wanted = dict.fromkeys(contained, "contained") | dict.fromkeys(escaped, "escaped")
    assert results(matrix) == wanted, [result.to_json() for result in matrix.probes]


@pytest.mark.parametrize("command", ["timeout 60 {probe}", "sh -c 'cd / && exec {probe}'", "nice"])
def test_the_program_is_put_where_the_command_wants_it(command: str) -> None:
    assert results(probe(command, FILES[0])) == {FILES[0]: "escaped"}


def test_what_needs_something_in_charge_is_untested() -> None:
    names = [name for name, cls in registered().items() if cls.family.value == "harness"]
    chosen = [name for name in names if name in ("harness.kill_executor", "harness.pipe_as_file")]
    matrix = probe("env -C {workspace}", *chosen, "resources.output_flood")
    for result in matrix.probes:
        assert (result.result, result.detail) == (
            "untested",
            "the command has no executor to attack",
        )


def test_the_document_says_that_it_was_a_command() -> None:
    document = json.loads(json.dumps(probe("env", FILES[0]).to_json()))
    assert (document["tier"], document["command"]) == ("command", "env")
    assert document["schema"] == "custodes.probes/1"


# --- the workspace ---------------------------------------------------------------------------


def test_without_a_workspace_what_needs_it_is_untested() -> None:
    (result,) = probe("env", "resources.large_file").probes
    assert (result.result, result.control) == ("untested", "escaped")
    assert result.detail == "the command names no {workspace} that the host sees"


@needs_bubblewrap
def test_the_workspace_is_found_wherever_it_is_seen() -> None:
    """The host sees what was done in it, under a path of its own."""
    command = "bwrap --dev-bind / / --bind {workspace} /mnt --chdir /"
    assert results(probe(command, "resources.large_file")) == {"resources.large_file": "escaped"}
    assert results(probe(command, "resources.large_file", seen_at="/mnt")) == {
        "resources.large_file": "escaped"
    }


@needs_bubblewrap
@pytest.mark.parametrize(
    ("command", "seen_at"),
    [
        ("bwrap --dev-bind / / --ro-bind {workspace} {workspace}", None),
        ("bwrap --dev-bind / / --bind {workspace} /mnt", "/srv"),
        ("bwrap --ro-bind / / --dev /dev --proc /proc --tmpfs /tmp env A={workspace}", None),
    ],
    ids=["read-only", "named wrongly", "not mounted"],
)
def test_a_workspace_that_cannot_be_written_and_seen_is_none(
    command: str, seen_at: str | None
) -> None:
    """Else a refused write there would pass for containment."""
    (result,) = probe(command, "resources.large_file", seen_at=seen_at).probes
    assert result.result == "untested"
    assert "does not let the workspace be found and written" in result.detail


# --- a command that tests nothing claims nothing ---------------------------------------------


@pytest.mark.parametrize(
    ("command", "timeout", "said"),
    [
        ("false", 20, "ended with 1 without an answer"),
        ("true", 20, "ended with 0 without an answer"),
        ("echo hello", 20, "it said: 'hello"),
        ("sh -c 'printf \"\\033[31mred\\n\"'", 20, r"it said: '\x1b[31mred'"),
        ("no-such-program-here {probe}", 20, "found 'no-such-program-here'"),
        ("/etc/passwd", 20, "Permission denied"),
        ("sh -c 'exec no-such-python {probe}'", 20, "no-such-python"),
        ("sh -c 'sleep 60'", 1, "did not end within 1 s and was stopped"),
        ("sh -c 'trap \"\" TERM; sleep 60 & wait; sleep 60'", 0.5, "within 0.5 s and was stopped"),
        ("sh -c yes", 20, "wrote more than 16 MiB and was stopped"),
        ("sh -c 'cat; true'", 20, "ended with 0 without an answer"),
    ],
)
def test_a_command_that_does_not_run_the_attempts_is_refused_in_one_line(
    command: str, timeout: float, said: str
) -> None:
    began = time.monotonic()
    with pytest.raises(PlaceUnusable) as refused:
        probe(command, FILES[0], timeout=timeout)
    line = str(refused.value)
    assert said in line and "\n" not in line and "\x1b" not in line
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("command", "settings", "said"),
    [
        ("", {}, "found none"),
        ("sh -c 'x", {}, "No closing quotation"),
        ("sh {probe} {probe}", {}, "found more"),
        ("env", {"seen_at": "/w"}, "expected {workspace} in the command"),
        ("env -C {workspace}", {"seen_at": "w"}, "absolute path"),
        ("env", {"timeout": 0}, "more than 0 s"),
        ("env", {"python": ""}, "expected a Python"),
    ],
)
def test_a_command_that_cannot_be_taken_apart_is_refused(
    command: str, settings: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match="expected") as refused:
        CommandPlace(command, **settings)  # type: ignore[arg-type]
    assert said in str(refused.value)


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "containment.py"
        path.write_text(textwrap.dedent(text))
        return f"{PYTHON} {path} {tmp_path}"

    return write


def test_a_command_that_works_once_and_then_fails_is_refused(script: Callable[[str], str]) -> None:
    command = script("""
        import os, subprocess, sys
        seen = os.path.join(sys.argv[1], "seen")
        if os.path.exists(seen):
            sys.exit("the second time it fails")
        open(seen, "w").close()
        sys.exit(subprocess.call(sys.argv[2:]))
    """)
    with pytest.raises(PlaceUnusable, match=r"ended with 1 without an answer.*the second"):
        probe(command, FILES[0])


def test_a_command_that_ends_half_way_leaves_the_rest_untested(
    script: Callable[[str], str],
) -> None:
    """What came back counts; what did not is not called contained."""
    command = script("""
        import subprocess, sys
        child = subprocess.Popen(sys.argv[2:], stdout=subprocess.PIPE)
        for line in child.stdout:
            sys.stdout.buffer.write(line)
            sys.stdout.flush()
            if b"files.read_outside" in line:
                child.kill()
                sys.exit(3)
    """)
    names = ("files.read_outside", "identity.host_name", "network.raw_socket")
    found = results(probe(command, *names))
    assert found.pop("files.read_outside") == "escaped"
    assert set(found.values()) == {"untested"}


LIAR = """
    import hashlib, json, re, sys
    program = sys.stdin.read()
    told = json.loads(eval(re.search(r"hello\\\\(json.loads\\\\((.*)\\\\)\\\\)", program).group(1)))
    answer = hashlib.sha256(told["nonce"].encode()).hexdigest()
    print(json.dumps({"hello": answer, "workspace": "/", "python": "9"}))
    for name in NAMES:
        print(json.dumps({"name": name, "how": HOW, "text": TEXT}))
"""


def liar(names: tuple[str, ...], how: str, text: str | None) -> str:
    return (
        LIAR.replace("\\\\", "\\")
        .replace("NAMES", repr(names))
        .replace("HOW", repr(how))
        .replace("TEXT", repr(text))
    )


def test_boasting_is_not_believed(script: Callable[[str], str]) -> None:
    """What is claimed from inside must bring back what was planted; the host sees the rest."""
    names = (*FILES, "secrets.launcher_environment", "network.tcp_host_loopback")
    found = probe(script(liar(names, "returned", "I have read and changed it all")), *names)
    assert found.of("escaped") == ()


def test_a_denial_does_not_undo_what_the_host_sees(script: Callable[[str], str]) -> None:
    command = script("""
        import json, subprocess, sys
        done = subprocess.run(sys.argv[2:], stdin=sys.stdin, capture_output=True)
        for line in done.stdout.splitlines():
            found = json.loads(line)
            if "name" in found:
                found.update(how="refused", text="PermissionError: Operation not permitted")
            print(json.dumps(found))
    """)
    matrix = probe(command, "files.read_outside", "files.write_outside")
    by_name = {result.name: result for result in matrix.probes}
    assert (by_name["files.write_outside"].result, by_name["files.write_outside"].receipt) == (
        "escaped",
        "host",
    )
    # Nobody but the program inside can tell what was read: its word is labelled as such.
    assert (by_name["files.read_outside"].result, by_name["files.read_outside"].receipt) == (
        "contained",
        "self",
    )


def test_control_characters_and_long_words_do_not_leave_the_document(
    script: Callable[[str], str],
) -> None:
    text = "\x1b]0;owned\x07" + "x" * 60_000
    (result,) = probe(
        script(liar(("privilege.raw_socket",), "returned", text)), "network.raw_socket"
    ).probes
    assert len(result.detail) < 500
    assert "\x1b" not in json.dumps(result.to_json())


# --- reports are somebody else's words -------------------------------------------------------


def line(name: str, how: str = "refused", text: object = "no") -> bytes:
    return json.dumps({"name": name, "how": how, "text": text}).encode() + b"\n"


@given(st.binary(max_size=400) | st.text(max_size=200).map(str.encode))
def test_any_output_can_be_read(noise: bytes) -> None:
    found = _run.parse_reports(noise + b"\n" + line("a.b") + noise, {"a.b"})
    assert found.keys() <= {"a.b"}


@pytest.mark.parametrize(
    "noise",
    [
        line("other.probe"),
        line("a.b", how="contained"),
        line("a.b", text=["no"]),
        line("a.b", text="x" * (LONGEST_TEXT + 1)),
        b'{"name": "a.b"}\n',
        b'{"name": ["a.b"], "how": "refused", "text": null}\n',
        b"[" * 100_000 + b"\n",
        b'{"name": "a.b", "how": "refused", "text": ' + b"9" * 10_000 + b"}\n",
        b"null\n1\n\xff\xfe\n",
    ],
)
def test_what_is_no_report_is_none(noise: bytes) -> None:
    assert _run.parse_reports(noise, {"a.b"}) == {}


def test_a_probe_that_is_reported_twice_is_not_believed() -> None:
    found = _run.parse_reports(line("a.b") + line("a.b", how="returned"), {"a.b"})
    assert (found["a.b"].how, found["a.b"].text) == ("broke", "it was reported twice")


def test_a_planted_process_that_ended_by_itself_shows_nothing() -> None:
    place = HostPlace(Limits())
    ground = Ground(place, uid=None, lasting=0)
    try:
        victim = ground.victim()
        victim.process.wait(10)
        with pytest.raises(Untested, match="ended by itself"):
            _ = victim.state
        killed = Ground.victim(Ground(place, uid=None))
        killed.process.send_signal(signal.SIGKILL)
        killed.process.wait(10)
        assert killed.state is None and not killed.over
    finally:
        ground.clear()
        place.remove()


# --- nothing is left -------------------------------------------------------------------------


def test_what_the_command_leaves_is_ended() -> None:
    """In a session of its own, with an empty environment, and orphaned."""
    mark = f"{600 + os.getpid() / 1e7:.7f}"
    left = f'setsid env -i sh -c "sleep {mark} & sleep {mark} &" >/dev/null 2>&1 </dev/null'
    matrix = probe(f"sh -c '{left} & exec {{probe}}'", FILES[0])
    assert results(matrix) == {FILES[0]: "escaped"}
    assert gone(mark)


def test_what_hangs_is_ended_with_all_that_it_started() -> None:
    mark = f"{700 + os.getpid() / 1e7:.7f}"
    inner = f'trap "" TERM; setsid sleep {mark} & sleep {mark}'
    with pytest.raises(PlaceUnusable, match="did not end"):
        probe(f"sh -c {shlex.quote(inner)}", FILES[0], timeout=0.5)
    assert gone(mark)


def test_nothing_outlives_a_harness_that_is_killed(tmp_path: Path) -> None:
    mark = f"{800 + os.getpid() / 1e7:.7f}"
    program = (
        "import anyio\n"
        "from custodes.containment.probes import run_command_probes\n"
        f"anyio.run(lambda: run_command_probes('sh -c \"setsid sleep {mark} & sleep {mark}\"'))\n"
    )
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    harness = subprocess.Popen([sys.executable, "-c", program], env=environment)
    try:
        end = time.monotonic() + 30
        while len(running(mark)) < 3 and time.monotonic() < end:  # the shell and both
            time.sleep(0.02)
        assert len(running(mark)) >= 3
    finally:
        harness.kill()
        harness.wait()
    assert gone(mark)


@needs_bubblewrap
def test_the_program_inside_has_an_end_of_its_own() -> None:
    """Whoever started it may be gone: also as the first process of a container, which the kernel
    spares from a signal that it does not handle."""
    told = {"nonce": "", "leaf": "", "token": "", "folders": [], "search": False, "seconds": 1}
    script = f"{inspect.getsource(_hello)}\nhello({told!r})\nimport time\ntime.sleep(60)\n"
    command = ["bwrap", "--dev-bind", "/", "/", "--unshare-pid", "--as-pid-1", PYTHON]
    began = time.monotonic()
    done = subprocess.run([*command, "-I", "-S", "-"], input=script.encode(), check=False)
    assert done.returncode == 1 and 0.9 < time.monotonic() - began < 40


def test_no_folder_or_descriptor_is_left(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(shared))
    before = set(os.listdir("/proc/self/fd"))
    probe("env -C {workspace}", *FILES)
    with pytest.raises(PlaceUnusable):
        probe("env -C {workspace} false", *FILES)
    with pytest.raises(ValueError, match="no probe"):
        probe("env -C {workspace}", "no.such")
    assert list(shared.iterdir()) == []
    assert len(set(os.listdir("/proc/self/fd")) - before) <= 2


# --- real places, and nothing of the user's touched ------------------------------------------

BARE = (
    "bwrap --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib "
    "--ro-bind-try /lib64 /lib64 --ro-bind-try /etc/alternatives /etc/alternatives "
    "--proc /proc --dev /dev --tmpfs /tmp --unshare-all --clearenv"
)


@needs_bubblewrap
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may write to the host's directories")
@pytest.mark.parametrize(
    ("bind", "name"),
    [
        ("--bind /usr /usr", "files.write_system_directories"),
        ("--bind /etc /etc", "files.write_system_directories"),
        ("--bind /opt /elsewhere", "files.write_system_directories"),
        ("--bind /root /root", "files.write_system_directories"),
        ("--ro-bind /root /root", "files.list_home"),
        ("--ro-bind / /host", "files.list_home"),
        ("--bind /run /run", "network.file_unix_socket"),
    ],
)
def test_a_real_place_of_the_host_that_shows_inside_is_caught(bind: str, name: str) -> None:
    both = (name, "files.write_outside")
    assert results(probe(f"{BARE} {bind}", *both)) == {name: "escaped", both[1]: "contained"}


@needs_bubblewrap
def test_where_no_real_place_shows_they_are_contained() -> None:
    names = ("files.write_system_directories", "files.list_home", "network.file_unix_socket")
    matrix = probe(BARE, *names)
    assert results(matrix) == dict.fromkeys(names, "contained"), matrix.to_json()


@needs_bubblewrap
def test_an_engines_socket_is_caught_wherever_it_is_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(path))
        engine.listen(4)
        engine.setblocking(False)
        monkeypatch.setattr(_network, "_engines", lambda: [str(path)])
        (result,) = probe(
            f"{BARE} --bind {path} /tmp/other.sock", "network.file_unix_socket"
        ).probes
        assert (result.result, result.receipt) == ("escaped", "self")
        assert "/tmp/other.sock" in result.detail
        said = []
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = engine.accept()
                with connection:
                    said.append(connection.recv(16))
        assert set(said) == {b""}  # connected to, and told nothing


def test_the_folder_for_canaries_keeps_its_files_and_its_mode(shared: Path) -> None:
    shared.chmod(0o755)
    (shared / "home").mkdir()
    kept = {"notes.txt": "mine", "ledger.txt": "mine", "home/.profile": "mine"}
    for name, text in kept.items():
        (shared / name).write_text(text)
    names = ("files.read_outside", "files.write_outside", "files.plant_start_up_file")
    matrix = anyio.run(
        lambda: run_command_probes("env", names, python=PYTHON, canaries=shared, timeout=20)
    )
    assert results(matrix) == dict.fromkeys(names, "escaped")
    assert {name: (shared / name).read_text() for name in kept} == kept
    assert sorted(each.name for each in shared.iterdir()) == ["home", "ledger.txt", "notes.txt"]
    assert shared.stat().st_mode & 0o7777 == 0o755


def test_canaries_that_a_mode_bit_would_protect_are_refused(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    (closed / "shared").mkdir(parents=True)
    closed.chmod(0o700)
    for folder, said in ((closed / "shared", "every user can pass"), (closed / "no", "existing")):
        run_there = partial(run_command_probes, "env", FILES, python=PYTHON, canaries=folder)
        with pytest.raises(ValueError, match=said) as refused:
            anyio.run(run_there)
        assert "\n" not in str(refused.value)


def test_canaries_are_planted_where_others_can_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Below a closed TMPDIR a mode bit would keep another user out, and look like containment."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr("tempfile.tempdir", str(closed))
    place = HostPlace(Limits())
    ground = Ground(place, uid=None)
    try:
        for folder in (ground.root, place.workspace_host):
            assert closed not in folder.parents
            assert all(each.stat().st_mode & 0o001 for each in (folder, *folder.parents))
        root = ground.root
    finally:
        ground.clear()
        place.remove()
    assert not root.parent.exists()
    monkeypatch.setattr(_folders, "temporary_folders", lambda: [str(closed)])
    with pytest.raises(Untested, match="every user can pass"):
        _ = Ground(place, uid=None).root


@pytest.mark.slow
def test_a_control_leaves_no_process_behind() -> None:
    """Not even one that was stopped before it became what it was to be."""
    names = [name for name in registered() if name.startswith("harness.")]
    before = set(stopped())
    for _ in range(3):
        probe("env -C {workspace}", *names)
    assert set(stopped()) - before == set()


def stopped() -> list[int]:
    found = []
    for pid in running("kill -STOP $!"):
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T":
                found.append(pid)
    return found


def test_what_the_bare_host_ran_ends_with_it_even_when_stopped() -> None:
    mark = f"{500 + os.getpid() / 1e7:.7f}"
    place = HostPlace(Limits())
    try:
        with contextlib.suppress(TimeoutError):
            script = f"sleep {mark} & kill -STOP $!; sleep {mark}"
            anyio.run(lambda: place.run(["sh", "-c", script], timeout=0.2, output_limit=1))
        assert running(mark)
    finally:
        place.remove()
    assert gone(mark, within=1)


def test_a_harness_that_is_killed_leaves_no_process_and_its_folders_to_the_next(
    shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mark = f"{400 + os.getpid() / 1e7:.7f}"
    program = (
        "import anyio, os, signal\n"
        "from pathlib import Path\n"
        "from custodes.containment._spec import Limits\n"
        "from custodes.containment.probes._folders import name_in\n"
        "from custodes.containment.probes._model import Ground\n"
        "from custodes.containment.probes._places import HostPlace\n"
        "place = HostPlace(Limits())\n"
        f"place_root = Ground(place, uid=None, root=Path({str(shared)!r})).root\n"
        f"name_in(Path({str(shared)!r})).touch()\n"
        "try:\n"
        f"    anyio.run(lambda: place.run(['sh', '-c', 'sleep {mark} & kill -STOP $!; "
        f"sleep {mark}'], timeout=0.3, output_limit=1))\n"
        "except TimeoutError:\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {**os.environ, "TMPDIR": str(shared)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert gone(mark)
    assert len(list(shared.iterdir())) == 3  # a workspace, canaries and a named file
    (shared / "mine.txt").write_text("mine")
    monkeypatch.setattr("tempfile.tempdir", str(shared))
    _folders.remove_folder(_folders.make_folder(shared))
    assert not _folders.name_in(shared).exists()
    assert [each.name for each in shared.iterdir()] == ["mine.txt"]


# --- container engines -----------------------------------------------------------------------


def root_file_system(folder: Path) -> Path:
    """A tar of what a container needs to run the attempts: Python, a shell, a few programs."""
    programs = [
        path
        for name in ("sh", "env", "sleep", "head", "cat", "true", "timeout", "mkdir", "rm")
        if (path := shutil.which(name, path="/usr/bin:/bin")) is not None
    ]
    asked = subprocess.run(
        [PYTHON, "-I", "-S", "-c",
         "import os, sysconfig\nprint(sysconfig.get_path('stdlib'))\n"
         "import _ctypes, _hashlib, _json\nprint(os.path.dirname(_ctypes.__file__))"],
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    library = Path(asked[0])
    modules = [str(module) for module in Path(asked[1]).glob("*.so")]
    needed: set[str] = set()
    for program in [PYTHON, *programs, *modules]:
        told = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        needed |= {word for word in told.stdout.split() if word.startswith("/")}
    target = folder / "root.tar"
    with tarfile.open(target, "w") as tar:
        for name in (PYTHON, *programs, *needed):
            tar.add(os.path.realpath(name), arcname=name)
        skipped = {"test", "__pycache__", "idlelib", "dist-packages", "site-packages"}
        for source in library.rglob("*"):
            if source.is_file() and not skipped & set(source.parts):
                tar.add(os.path.realpath(source), arcname=str(source))
        for name in ("tmp", "proc", "sys", "dev", "w", "etc"):
            made = tarfile.TarInfo(name)
            made.type, made.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(made)
    return target


@pytest.fixture(scope="module", params=["docker", "podman"])
def engine(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A command line of an engine up to the image, which is imported for these tests."""
    client = shutil.which(request.param)
    if client is None:
        pytest.skip(f"no {request.param} here")
    folder = tmp_path_factory.mktemp("engine")
    image = "localhost/custodes-probe-test:latest"
    front = [client]
    settings = ["--rm", "-i", "--network", "none", "--ulimit", "nofile=1024:4096"]
    if request.param == "podman":
        # In a mount namespace with version 2 control groups alone, whatever the host has.
        front = ["unshare", "-m", "sh", "-c",
                 "umount -R /sys/fs/cgroup 2>/dev/null; mount -t cgroup2 none /sys/fs/cgroup; "
                 'exec "$@"', "sh", client, "--root", f"{folder}/store", "--runroot",
                 f"{folder}/run", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs",
                 "--events-backend", "file"]  # fmt: skip
        settings += ["--cgroups", "disabled", "--ulimit", "nproc=1000:1000"]
    if subprocess.run([*front, "version"], capture_output=True, check=False).returncode:
        pytest.skip(f"no {request.param} engine answers")
    tar = root_file_system(folder)
    subprocess.run([*front, "import", str(tar), image], check=True, capture_output=True)
    run = [*front, "run", *settings]
    tried = subprocess.run([*run, image, "true"], capture_output=True, text=True, check=False)
    try:
        if tried.returncode:
            pytest.skip(f"{request.param} starts nothing here: {tried.stderr.strip()[-200:]}")
        yield shlex.join(run) + " OPTIONS " + image
    finally:
        subprocess.run([*front, "rmi", "-f", image], capture_output=True, check=False)


@pytest.mark.slow
def test_a_container_is_probed_as_it_is_started(engine: str) -> None:
    names = (*FILES, *NETWORK, "processes.see_others", "processes.outlive", "resources.large_file")
    closed = engine.replace("OPTIONS", "-v {workspace}:/w")
    matrix = probe(closed, *names, "identity.boot_identity", timeout=60)
    found = results(matrix)
    assert found.pop("identity.boot_identity") == found.pop("resources.large_file") == "escaped"
    # On a busy machine an attempt may run out of time, which is untested and never an escape.
    assert "escaped" not in found.values(), matrix.to_json()
    assert list(found.values()).count("contained") >= 5, matrix.to_json()
    ground = Path("/var/tmp") if Path("/var/tmp").is_dir() else Path("/tmp")
    opened = ground / f"shared-{os.getpid()}"
    opened.mkdir()
    try:
        found = results(
            anyio.run(
                lambda: run_command_probes(
                    engine.replace("OPTIONS", f"-v {opened}:{opened}"),
                    FILES,
                    python=PYTHON,
                    canaries=opened,
                )
            )
        )
        assert found == dict.fromkeys(FILES, "escaped")
    finally:
        shutil.rmtree(opened)


@pytest.mark.slow
def test_a_container_that_does_not_end_is_given_up(engine: str) -> None:
    command = engine.replace("OPTIONS", "")
    with pytest.raises(PlaceUnusable, match="without an answer"):
        probe(f"{command} sh -c 'sleep 20'", FILES[0], timeout=3)
