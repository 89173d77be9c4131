"""What a tier A sandbox does for its owner, with either executor."""

from __future__ import annotations

import errno
import importlib.util
import os
import shutil
import socket
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
import pytest

from custodes.containment import (
    AnySandbox,
    Limits,
    ReadLimitExceeded,
    Sandbox,
    SandboxFrozen,
    SandboxGone,
    SandboxSpec,
    SandboxUnavailable,
)
from custodes.containment._spec import OnOutput
from custodes.types import Tier

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
]

Kind = Literal["c", "python"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["c", "python"])
def kind(request: pytest.FixtureRequest) -> Kind:
    if request.param == "c":
        if shutil.which("cc") is None:
            pytest.skip("no C compiler here")
        return "c"
    if not os.access("/usr/bin/python3", os.X_OK):
        pytest.skip("no /usr/bin/python3 here, which the Python executor needs")
    return "python"


@pytest.fixture
async def box(kind: Kind) -> AsyncIterator[Sandbox]:
    async with await Sandbox.start(SandboxSpec(executor=kind)) as sandbox:
        yield sandbox


async def shell(box: AnySandbox, command: str, **more: float | int) -> bytes:
    done = await box.exec(["/bin/sh", "-c", command], **more)  # type: ignore[arg-type]
    assert done.returncode == 0, done
    return done.stdout


# ---------------------------------------------------------------------- commands


async def test_says_which_tier_and_executor_it_is(box: Sandbox, kind: Kind) -> None:
    checked: AnySandbox = box
    assert checked.tier is Tier.A
    assert box.executor == kind


async def test_output_error_exit_code_and_input_are_the_commands_own(box: Sandbox) -> None:
    done = await box.exec(["sh", "-c", "cat; echo no >&2; exit 7"], input=b"yes\0\xff")
    assert (done.returncode, done.stdout, done.stderr) == (7, b"yes\0\xff", b"no\n")
    assert not done.success and not done.timed_out


async def test_a_command_ended_by_a_signal_gives_128_and_its_number(box: Sandbox) -> None:
    assert (await box.exec(["sh", "-c", "kill -TERM $$"])).returncode == 128 + 15


async def test_arguments_and_environment_arrive_byte_for_byte(box: Sandbox) -> None:
    odd = "a b\n'\"$(id)\\ \u00e4\udcff"
    show = "import os,sys; print(ascii([sys.argv[1:], os.environ['ODD']]))"
    done = await box.exec(["python3", "-c", show, odd, ""], env={"ODD": odd})
    assert done.stdout.decode() == ascii([[odd, ""], odd]) + "\n"


async def test_many_arguments(box: Sandbox) -> None:
    words = [f"word-{number}" for number in range(20_000)]
    done = await box.exec(["printf", "%s\n", *words])
    assert done.stdout.decode().split() == words


async def test_input_larger_than_a_pipe_and_a_command_that_ignores_it(box: Sandbox) -> None:
    data = os.urandom(3 << 20)
    assert (await box.exec(["cat"], input=data)).stdout == data
    assert (await box.exec(["true"], input=data)).returncode == 0


async def test_relative_folders_start_at_the_workspace(box: Sandbox) -> None:
    await shell(box, "mkdir -p a/b")
    assert (await box.exec(["pwd"], cwd="a/b")).stdout == b"/workspace/a/b\n"
    assert (await box.exec(["pwd"])).stdout == b"/workspace\n"
    assert (await box.exec(["pwd"], cwd="/tmp")).stdout == b"/tmp\n"


async def test_what_cannot_be_run_says_why(box: Sandbox) -> None:
    missing = await box.exec(["no-such-program"])
    assert missing.returncode == 127 and missing.stderr.startswith(b"no-such-program: No such")
    nowhere = await box.exec(["true"], cwd="/nowhere")
    assert nowhere.returncode == 127 and nowhere.stderr.startswith(b"/nowhere: No such")
    await box.write_file("plain.txt", b"not a program")
    with pytest.raises(PermissionError):
        await box.exec(["./plain.txt"])
    with pytest.raises(ValueError, match="empty argv"):
        await box.exec([])
    with pytest.raises(ValueError, match="NUL"):
        await box.exec(["echo", "a\0b"])


async def test_a_script_without_an_interpreter_line_is_run_by_the_shell(box: Sandbox) -> None:
    await shell(box, "printf 'echo got $1' > job && chmod +x job")
    assert (await box.exec(["./job", "it"])).stdout == b"got it\n"


async def test_the_last_bytes_of_a_flood_are_kept_and_no_more(box: Sandbox) -> None:
    done = await box.exec(
        ["sh", "-c", "head -c 50000000 /dev/zero | tr '\\0' x; echo end"], output_limit=1000
    )
    assert done.stdout == b"x" * 996 + b"end\n"
    assert done.stdout_truncated and not done.stderr_truncated
    exact = await box.exec(["printf", "12345"], output_limit=5)
    assert exact.stdout == b"12345" and not exact.stdout_truncated
    assert (await box.exec(["echo", "x"], output_limit=0)).stdout == b""


async def test_a_timeout_kills_the_session_and_keeps_what_was_written(box: Sandbox) -> None:
    before = time.monotonic()
    done = await box.exec(
        ["bash", "-c", "trap '' TERM INT HUP; sleep 100 & echo begun; echo hm >&2; sleep 100"],
        timeout=0.3,
    )
    assert done.timed_out and done.returncode == 124
    assert (done.stdout, done.stderr) == (b"begun\n", b"hm\n")
    assert time.monotonic() - before < 5
    assert all(process.init or process.ended for process in box.processes())


async def test_a_timeout_reaches_the_other_process_groups_of_the_session(box: Sandbox) -> None:
    done = await box.exec(
        ["bash", "-c", "set -m; sleep 100 & sleep 101 & cut -d' ' -f5 /proc/$!/stat; wait"],
        timeout=0.5,
    )
    assert done.timed_out and int(done.stdout) > 1
    assert all(process.init or process.ended for process in box.processes())


async def test_a_timeout_of_almost_nothing_leaves_nothing(box: Sandbox) -> None:
    for _ in range(20):
        assert (await box.exec(["sleep", "100"], timeout=0.0001)).timed_out
    with anyio.fail_after(5):
        while len(box.processes()) > 1:
            await anyio.sleep(0.01)


async def test_cancelling_a_command_kills_it(box: Sandbox) -> None:
    with anyio.move_on_after(0.3) as scope:
        await box.exec(["bash", "-c", "sleep 100 & sleep 100"])
    assert scope.cancelled_caught
    assert all(process.init or process.ended for process in box.processes())
    assert await shell(box, "echo still here") == b"still here\n"


async def test_background_processes_live_on_between_commands(box: Sandbox) -> None:
    await shell(box, "(while :; do echo tick >> ticks; sleep 0.02; done) >/dev/null 2>&1 &")
    await anyio.sleep(0.3)
    first = len(await box.read_file("ticks"))
    await anyio.sleep(0.3)
    assert len(await box.read_file("ticks")) > first > 0


async def test_a_background_process_that_holds_the_output_does_not_hold_up(box: Sandbox) -> None:
    before = time.monotonic()
    # It writes more than a pipe holds after its command has ended, and lives to tell.
    flood = "(sleep 0.2; head -c 1000000 /dev/zero; echo done > survived) &"
    assert await shell(box, f"{flood} echo out") == b"out\n"
    assert time.monotonic() - before < 5
    with anyio.fail_after(10):
        while True:
            with anyio.CancelScope():
                try:
                    assert await box.read_file("survived") == b"done\n"
                    break
                except (FileNotFoundError, AssertionError):
                    await anyio.sleep(0.02)


async def test_twenty_commands_at_once(box: Sandbox) -> None:
    seen: dict[int, bytes] = {}

    async def one(number: int) -> None:
        text = f"echo {number}; sleep 0.2; head -c 200000 /dev/zero | wc -c"
        seen[number] = await shell(box, text)

    before = time.monotonic()
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(one, number)
    assert seen == {number: f"{number}\n200000\n".encode() for number in range(20)}
    assert time.monotonic() - before < 10


async def test_fifty_commands_at_once_keep_apart(box: Sandbox) -> None:
    seen: dict[int, tuple[bytes, bytes, int]] = {}

    async def one(number: int) -> None:
        text = f"cat; sleep 0.05; echo e{number} >&2; exit {number}"
        data = bytes([number]) * 100_000
        done = await box.exec(["sh", "-c", text], input=data)
        seen[number] = (done.stdout, done.stderr, done.returncode)

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(one, number)
    for number in range(50):
        assert seen[number] == (bytes([number]) * 100_000, f"e{number}\n".encode(), number)


async def test_output_is_handed_on_as_it_comes(box: Sandbox) -> None:
    seen: list[tuple[str, bytes]] = []
    first = anyio.Event()

    def take(stream: Literal["stdout", "stderr"], chunk: bytes) -> None:
        seen.append((stream, chunk))
        first.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow, box, take)
        with anyio.fail_after(10):
            await first.wait()
        assert seen == [("stdout", b"one\n")], "while the command waits"
        await box.write_file("go", b"")
    assert seen[1:] == [("stderr", b"two\n")]


async def follow(box: AnySandbox, take: OnOutput) -> None:
    text = "echo one; until [ -e go ]; do sleep 0.02; done; echo two >&2"
    done = await box.exec(["sh", "-c", text], on_output=take, output_limit=2, timeout=20)
    assert (done.stdout, done.stderr, done.stdout_truncated) == (b"e\n", b"o\n", True)


async def test_all_of_a_flood_is_handed_on_though_little_is_kept(box: Sandbox) -> None:
    sizes: list[int] = []
    done = await box.exec(
        ["head", "-c", "20000000", "/dev/zero"],
        on_output=lambda _, chunk: sizes.append(len(chunk)),
        output_limit=10,
    )
    assert sum(sizes) == 20_000_000 and len(done.stdout) == 10


async def test_a_timeout_keeps_what_was_handed_on(box: Sandbox) -> None:
    seen: list[bytes] = []
    done = await box.exec(
        ["sh", "-c", "echo a; sleep 100"], timeout=0.3, on_output=lambda _, c: seen.append(c)
    )
    assert done.timed_out and done.stdout == b"".join(seen) == b"a\n"


async def test_what_the_taker_of_output_raises_ends_the_command(box: Sandbox) -> None:
    def refuse(stream: str, chunk: bytes) -> None:
        raise LookupError(chunk.decode().strip())

    with anyio.fail_after(10), pytest.raises(LookupError, match="no"):
        await box.exec(["sh", "-c", "echo no; sleep 100"], on_output=refuse)
    assert all(process.init or process.ended for process in box.processes())
    assert await shell(box, "echo on") == b"on\n"


@pytest.mark.slow
async def test_two_hundred_megabytes_go_both_ways(box: Sandbox) -> None:
    data = os.urandom(1 << 20) * 200
    await box.write_file("big", data)
    assert await box.read_file("big", limit=len(data)) == data
    done = await box.exec(["cat"], input=data, output_limit=len(data), timeout=120)
    assert done.stdout == data
    await shell(box, "cat big big > twice && cmp -n 209715200 big twice")


@pytest.mark.slow
async def test_a_job_in_the_background_lives_until_the_end(box: Sandbox) -> None:
    await shell(box, "(while :; do date +%s >> ticks; sleep 0.05; done) >/dev/null 2>&1 &")
    for _ in range(200):
        await shell(box, "true")
        await anyio.sleep(0.02)
    before = len(await box.read_file("ticks"))
    await anyio.sleep(0.3)
    assert len(await box.read_file("ticks")) > before > 0
    await box.kill()
    size = (box.workspace_host / "ticks").stat().st_size
    await anyio.sleep(0.3)
    assert (box.workspace_host / "ticks").stat().st_size == size


async def test_no_descriptor_of_the_host_is_left_open(box: Sandbox) -> None:
    await shell(box, "true")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(10):
        await shell(box, "cat /etc/passwd")
        await box.exec(["no-such-program"])
        await box.exec(["sleep", "9"], timeout=0.001)
        await box.write_file("f", b"x")
        await box.read_file("f")
        with pytest.raises(FileNotFoundError):
            await box.read_file("missing")
        with anyio.move_on_after(0.005):
            await box.exec(["sleep", "9"], input=b"x" * 100_000)
    await only_so_many_descriptors(before)


async def only_so_many_descriptors(number: int) -> None:
    """In the end: the thread that watches sandboxes opens and closes some of its own."""
    with anyio.fail_after(10):
        while len(os.listdir("/proc/self/fd")) > number:
            await anyio.sleep(0.01)


# ---------------------------------------------------------------------- files


async def test_files_of_any_bytes_come_back(box: Sandbox) -> None:
    for data in (b"", b"\0\xff\r\n", os.urandom(2 << 20)):
        await box.write_file("deep/er/file.bin", data)
        assert await box.read_file("/workspace/deep/er/file.bin") == data
    await box.write_file("deep/er/file.bin", b"short")
    assert await box.read_file("deep/er/file.bin") == b"short"
    assert (box.workspace_host / "deep/er/file.bin").read_bytes() == b"short"


async def test_a_file_written_is_the_users_own(box: Sandbox) -> None:
    await box.write_file("new/file", b"x")
    assert await shell(box, "stat -c '%U:%G %a' new new/file") == b"dev:dev 755\ndev:dev 644\n"


async def test_files_above_the_limit_are_refused_not_cut(box: Sandbox) -> None:
    await box.write_file("file", b"12345")
    assert await box.read_file("file", limit=5) == b"12345"
    with pytest.raises(ReadLimitExceeded, match="at most 4 bytes") as refused:
        await box.read_file("file", limit=4)
    assert (refused.value.errno, refused.value.filename) == (errno.EFBIG, "file")
    assert refused.value.limit == 4


async def test_a_hundred_megabytes_and_one_byte_more() -> None:
    async with await Sandbox.start() as box:
        await shell(box, "truncate -s 100M big; truncate -s 104857601 bigger")
        assert len(await box.read_file("big")) == 100 << 20
        with pytest.raises(ReadLimitExceeded):
            await box.read_file("bigger")


async def test_errors_of_files_have_their_usual_classes(box: Sandbox) -> None:
    await shell(box, "mkdir folder; touch shut; chmod 000 shut")
    with pytest.raises(FileNotFoundError):
        await box.read_file("missing")
    with pytest.raises(FileNotFoundError):
        await box.read_file("")
    with pytest.raises(IsADirectoryError):
        await box.read_file("folder")
    with pytest.raises(IsADirectoryError):
        await box.write_file("folder", b"")
    with pytest.raises(PermissionError):
        await box.read_file("shut")
    with pytest.raises(PermissionError):
        await box.write_file("/usr/bin/true", b"")
    with pytest.raises(PermissionError):
        await box.write_file("/etc/passwd", b"")


async def test_files_elsewhere_are_read_when_the_workspace_was_shut(box: Sandbox) -> None:
    await shell(box, "echo x > /tmp/kept; chmod 000 /workspace", timeout=10)
    assert await box.read_file("/tmp/kept") == b"x\n"
    with pytest.raises(PermissionError):
        await box.read_file("kept")


async def test_a_full_file_system_is_an_error(kind: Kind) -> None:
    spec = SandboxSpec(executor=kind, limits=Limits(tmpfs_mb=1))
    async with await Sandbox.start(spec) as box:
        with pytest.raises(OSError, match="No space left"):
            await box.write_file("/tmp/big", bytes(3 << 20))
        assert await shell(box, "head -c 3000000 /dev/zero > /dev/shm/x || echo full") == b"full\n"


# ---------------------------------------------------------------------- network


async def test_a_connection_made_inside_is_accepted_outside(box: Sandbox) -> None:
    fd = await box.listen(8123)
    heard: list[bytes] = []

    def serve() -> None:
        with socket.socket(fileno=fd) as server:
            server.settimeout(10)
            peer, address = server.accept()
            with peer:
                heard.append(peer.recv(100))
                heard.append(str(address[0]).encode())
                peer.sendall(b"pong")

    thread = threading.Thread(target=serve)
    thread.start()
    client = (
        "import socket; s = socket.create_connection(('localhost', 8123), 5);"
        "s.sendall(b'ping'); print(s.recv(100))"
    )
    done = await box.exec(["python3", "-c", client])
    await anyio.to_thread.run_sync(thread.join, 10)
    assert done.stdout == b"b'pong'\n", done
    assert heard == [b"ping", b"127.0.0.1"]


async def test_ports_that_cannot_be_listened_on_say_so(box: Sandbox) -> None:
    fd = await box.listen(8123)
    with pytest.raises(OSError, match="in use"):
        await box.listen(8123)
    os.close(fd)
    with pytest.raises(PermissionError):
        await box.listen(80)
    with pytest.raises(ValueError, match=r"1\.\.65535"):
        await box.listen(0)


# ---------------------------------------------------------------------- the house


async def test_it_looks_as_the_spec_says(kind: Kind) -> None:
    spec = SandboxSpec(
        executor=kind,
        workspace="/home/mira/ledger",
        hostname="ci-12",
        user="mira",
        home="/home/mira",
        environment={"TEAM": "payments"},
    )
    async with await Sandbox.start(spec) as box:
        seen = await shell(
            box, "id -un; id -u; hostname; cat /etc/hostname; pwd; echo $HOME $TEAM; echo ~mira"
        )
        assert seen.decode().split("\n")[:-1] == [
            "mira", "1000", "ci-12", "ci-12", "/home/mira/ledger", "/home/mira payments",
            "/home/mira",
        ]  # fmt: skip
        assert await shell(box, "getent hosts localhost | wc -l") == b"1\n"
        assert await shell(box, "touch ~/x /tmp/x /var/tmp/x /dev/shm/x && echo ok") == b"ok\n"


async def test_a_workspace_filled_before_is_the_users_own(kind: Kind, tmp_path: Path) -> None:
    folder = Path("/tmp") / f"ws-{os.getpid()}-{kind}"
    shutil.copytree(Path(__file__).parent, folder / "src", symlinks=True)
    (folder / "link").symlink_to("/etc/shadow")
    (folder / "folder").symlink_to("/etc")
    outside = tmp_path / "outside"
    outside.write_text("kept")
    (folder / "out").symlink_to(outside)
    try:
        spec = SandboxSpec(executor=kind, workspace_host=folder)
        async with await Sandbox.start(spec) as box:
            assert await shell(box, "find . ! -user dev | wc -l") == b"0\n"
            done = await shell(
                box,
                "git init -q . && git add -A && git -c user.name=a -c user.email=a@b commit -qm x"
                " && git status --short | wc -l",
            )
            assert done == b"0\n"
            (folder / "later").mkdir()
            (folder / "later/file").write_text("x")
            box.own("later")
            assert await shell(box, "stat -c %U later later/file") == b"dev\ndev\n"
            box.own(folder / "later/file")
            with pytest.raises(ValueError, match="inside the workspace"):
                box.own("../x")
        assert outside.stat().st_uid == os.getuid(), "a link was followed outside"
        assert Path("/etc/shadow").stat().st_uid == Path("/etc").stat().st_uid == 0
        assert (folder / "src").is_dir(), "a caller's workspace is not removed"
    finally:
        shutil.rmtree(folder)


async def test_folders_are_bound_read_only_and_scratch_ones_are_writable(kind: Kind) -> None:
    folder = Path("/tmp") / f"ro-{os.getpid()}-{kind}"
    folder.mkdir()
    folder.chmod(0o755)
    (folder / "data").write_text("given")
    try:
        spec = SandboxSpec(
            executor=kind,
            read_only=((folder, "/srv/data"), (folder / "data", "/opt/one/file")),
            tmpfs=("/srv/scratch",),
        )
        async with await Sandbox.start(spec) as box:
            assert await shell(box, "cat /srv/data/data /opt/one/file") == b"givengiven"
            assert await shell(box, "touch /srv/data/x 2>/dev/null || echo no") == b"no\n"
            assert await shell(box, "echo hi > /srv/scratch/x && cat /srv/scratch/x") == b"hi\n"
    finally:
        shutil.rmtree(folder)


async def test_a_workspace_behind_closed_folders_works_or_says_why(tmp_path: Path) -> None:
    folder = tmp_path / "closed" / "ws"
    folder.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    if os.geteuid() == 0:  # which launches under another uid
        with pytest.raises(SandboxUnavailable, match=r"can reach, found .*/closed/ws; put it"):
            await Sandbox.start(SandboxSpec(workspace_host=folder))
    else:
        async with await Sandbox.start(SandboxSpec(workspace_host=folder)) as box:
            await shell(box, "echo in > file")
            assert (folder / "file").read_text() == "in\n"


async def test_inspects_tools_are_there_when_asked_for() -> None:
    if importlib.util.find_spec("inspect_ai") is None:
        pytest.skip("inspect-ai is not installed")
    async with await Sandbox.start(SandboxSpec(inspect_tools=True)) as box:
        listing = await shell(box, "ls -A /var/tmp/.da7be258e003d428")
        assert b"inspect-sandbox-tools" in listing
        assert await shell(box, "touch /var/tmp/.da7be258e003d428/.server/x && echo ok") == b"ok\n"
        assert await shell(box, "touch /var/tmp/.da7be258e003d428/x 2>&- || echo no") == b"no\n"


async def test_bad_specs_are_refused_when_they_are_made() -> None:
    for bad in (
        {"workspace": "relative"},
        {"home": "/"},
        {"workspace": "/a/../../b"},
        {"hostname": "a b"},
        {"user": "a:b"},
        {"environment": {"A=B": "c"}},
        {"tmpfs": ("x",)},
    ):
        with pytest.raises(ValueError, match="expected"):
            SandboxSpec(**bad)
    with pytest.raises(ValueError, match=r"limits\.processes"):
        Limits(processes=-1)
    with pytest.raises(SandboxUnavailable, match="make it"):
        await Sandbox.start(SandboxSpec(workspace_host=Path("/nowhere/at/all")))
    with pytest.raises(SandboxUnavailable, match="check read_only"):
        await Sandbox.start(SandboxSpec(read_only=((Path("/nowhere"), "/srv/x"),)))


async def test_no_room_for_its_own_files_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with pytest.raises(SandboxUnavailable, match="No space left on device; free some") as refused:
        await Sandbox.start()
    assert "\n" not in str(refused.value)
    monkeypatch.undo()
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(SandboxUnavailable, match="No space left on device; free some"):
        await Sandbox.start()
    await only_so_many_descriptors(before)


# ---------------------------------------------------------------------- stopping


async def test_processes_are_listed_from_outside(box: Sandbox) -> None:
    await shell(box, "sleep 101 >/dev/null 2>&1 & setsid sleep 102 >/dev/null 2>&1 &")
    with anyio.fail_after(5):
        while [p.comm for p in box.processes()].count("sleep") < 2:
            await anyio.sleep(0.01)
    listed = box.processes()
    assert [p.init for p in listed].count(True) == 1
    (init,) = (p for p in listed if p.init)
    assert init.pid == box.init_pid and init.comm == "init"
    assert {p.ppid for p in listed if p.comm == "sleep"} == {init.pid}


async def test_frozen_means_that_nothing_happens_until_thawed(box: Sandbox) -> None:
    for number in range(5):
        await shell(
            box, f"setsid sh -c 'while :; do echo x >> beat{number}; done' >/dev/null 2>&1 &"
        )
    await anyio.sleep(0.2)
    receipt = await box.freeze()
    assert receipt.verified and receipt.processes >= 5
    sizes = [(box.workspace_host / f"beat{n}").stat().st_size for n in range(5)]
    await anyio.sleep(0.3)
    assert sizes == [(box.workspace_host / f"beat{n}").stat().st_size for n in range(5)]
    for request in (box.exec(["true"]), box.read_file("beat0"), box.listen(9000)):
        with pytest.raises(SandboxFrozen):
            await request
    assert await box.thaw() >= 6  # and the first process
    await anyio.sleep(0.2)
    assert all((box.workspace_host / f"beat{n}").stat().st_size > sizes[n] for n in range(5))
    assert await shell(box, "echo on") == b"on\n"


async def test_a_request_that_was_under_way_starts_nothing_in_a_frozen_sandbox(
    box: Sandbox,
) -> None:
    async def late(number: int) -> None:
        try:
            await box.exec(["touch", f"late{number}"])
        except SandboxFrozen:
            pass

    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(late, number)
        await anyio.sleep(0)
        receipt = await box.freeze()
        assert receipt.verified
        made = sorted(os.listdir(box.workspace_host))
        await anyio.sleep(0.3)
        assert sorted(os.listdir(box.workspace_host)) == made
        assert {p.state for p in box.processes() if not p.ended} == {"T"}
        await box.thaw()
    assert await shell(box, "echo on") == b"on\n"


async def test_a_frozen_sandbox_can_be_killed(box: Sandbox) -> None:
    await shell(box, "setsid sleep 100 >/dev/null 2>&1 &")
    await box.freeze()
    receipt = await box.kill()
    assert receipt.verified and receipt.guaranteed and receipt.processes_before == 1


async def test_after_a_kill_nothing_is_left_and_every_request_says_so(box: Sandbox) -> None:
    await shell(box, "for i in 1 2 3 4 5 6 7 8; do setsid sleep 100 >/dev/null 2>&1 & done")
    pids = [process.pid for process in box.processes()]
    assert len(pids) == 9 and box.alive
    receipt = await box.kill()
    assert receipt.verified and receipt.guaranteed and receipt.mechanism == "namespace"
    assert receipt.processes_before == 8
    assert 0 < receipt.elapsed_us < 2_000_000
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids[1:])
    assert not box.alive and box.processes() == ()
    assert await box.kill() == receipt, "a second order finds the same receipt"
    assert box.workspace_host.is_dir(), "the workspace is evidence until close"
    for request in (
        box.exec(["true"]), box.read_file("x"), box.write_file("x", b""), box.listen(9000),
    ):  # fmt: skip
        with pytest.raises(SandboxGone):
            await request
    for order in (box.freeze, box.thaw):
        with pytest.raises(SandboxGone):
            await order()


async def test_a_command_that_is_running_when_the_kill_comes_raises(box: Sandbox) -> None:
    async def later() -> None:
        await anyio.sleep(0.2)
        await box.kill()

    with pytest.raises(SandboxGone):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(later)
            try:
                await box.exec(["sleep", "100"])
            except SandboxGone as error:
                gone = error
        raise gone


async def test_several_that_wait_for_the_end_do_not_get_in_each_others_way(box: Sandbox) -> None:
    ended: list[str] = []

    async def wait() -> None:
        with pytest.raises(SandboxGone):
            await box.exec(["sleep", "100"])
        ended.append("command")

    async def kill() -> None:
        assert (await box.kill()).verified
        ended.append("kill")

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(wait)
        await anyio.sleep(0.2)
        for _ in range(3):
            tasks.start_soon(kill)
    assert sorted(ended) == ["command"] * 5 + ["kill"] * 3


async def test_closing_removes_everything_and_may_be_repeated(kind: Kind) -> None:
    box = await Sandbox.start(SandboxSpec(executor=kind))
    volume = box.workspace_host.parent
    await shell(box, "mkdir -p a/b && touch a/b/c && chmod 000 a/b a")
    await box.close()
    await box.close()
    assert not volume.exists() and not box.alive


async def test_a_sandbox_started_in_a_thread_that_ends_lives_on(kind: Kind) -> None:
    boxes: list[Sandbox] = []

    def other_thread() -> None:
        async def start() -> None:
            boxes.append(await Sandbox.start(SandboxSpec(executor=kind)))

        anyio.run(start)

    thread = threading.Thread(target=other_thread)
    thread.start()
    await anyio.to_thread.run_sync(thread.join)
    await anyio.sleep(0.1)
    try:
        assert boxes[0].alive
    finally:
        await boxes[0].close()


async def test_sixteen_sandboxes_at_once_do_not_see_each_other(kind: Kind) -> None:
    boxes: list[Sandbox] = []

    async def one(number: int) -> None:
        box = await Sandbox.start(SandboxSpec(executor=kind))
        boxes.append(box)
        await box.write_file("/tmp/mine", str(number).encode())
        await shell(box, f"setsid sleep {1000 + number} >/dev/null 2>&1 &")
        look = "cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '; cat /tmp/mine"
        seen = await shell(box, look)
        with anyio.fail_after(10):
            while f"sleep {1000 + number}".encode() not in seen:  # not started yet
                seen = await shell(box, look)
        assert seen.count(b"sleep 10") == 1 and seen.endswith(str(number).encode())

    try:
        async with anyio.create_task_group() as tasks:
            for number in range(16):
                tasks.start_soon(one, number)
    finally:
        for box in boxes:
            await box.close()
