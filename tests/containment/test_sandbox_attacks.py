"""Attacks from inside a tier A sandbox, each on one promise.

Every attack is a small program in Python that prints what it reached. Where an empty answer could
also come from an attack that does not work at all, it is run outside too, where it must succeed.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest

from custodes.containment import (
    Limits,
    Sandbox,
    SandboxError,
    SandboxGone,
    SandboxSpec,
    _priority,
    _sandbox,
)

from .executor_attacks import ATTACKS
from .executor_attacks import command as attack_command

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
    pytest.mark.skipif(
        not os.access("/usr/bin/python3", os.X_OK),
        reason="the attacks are Python programs, and there is no /usr/bin/python3",
    ),
]

Kind = Literal["c", "python"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["c", "python"])
async def box(request: pytest.FixtureRequest) -> AsyncIterator[Sandbox]:
    """For attacks on the executor."""
    if request.param == "c" and shutil.which("cc") is None:
        pytest.skip("no C compiler here")
    async with await Sandbox.start(SandboxSpec(executor=request.param)) as sandbox:
        yield sandbox


@pytest.fixture
async def cell() -> AsyncIterator[Sandbox]:
    """For attacks on the walls, which are the same with either executor."""
    async with await Sandbox.start(SandboxSpec()) as sandbox:
        yield sandbox


PREAMBLE = """
import ctypes, errno, fcntl, json, os, resource, signal, socket, struct, sys, time
libc = ctypes.CDLL(None, use_errno=True)
found = {}
def call(name, *arguments):
    ctypes.set_errno(0)
    result = getattr(libc, name)(*arguments)
    found[name] = "done" if result != -1 else errno.errorcode[ctypes.get_errno()]
def system(name, number, *arguments):
    ctypes.set_errno(0)
    result = libc.syscall(number, *arguments)
    found[name] = "done" if result != -1 else errno.errorcode[ctypes.get_errno()]
def attempt(name, work):
    try:
        found[name] = work() or "done"
    except OSError as error:
        found[name] = errno.errorcode[error.errno]
"""


def program(text: str) -> list[str]:
    return ["python3", "-c", f"{PREAMBLE}\n{text}\nprint(json.dumps(found))"]


async def attack(box: Sandbox, text: str, **more: Any) -> dict[str, Any]:
    done = await box.exec(program(text), timeout=30, **more)
    assert done.returncode == 0, done
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def outside(text: str) -> dict[str, Any]:
    """The same program as a plain subprocess: the positive control."""
    done = subprocess.run(
        ["/usr/bin/python3", *program(text)[1:]], capture_output=True, check=True, timeout=30
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


async def answers(box: Sandbox) -> None:
    """The sandbox is as it was: it runs commands, from the same first process."""
    with anyio.fail_after(10):
        done = await box.exec(["echo", "well"])
    assert (done.returncode, done.stdout) == (0, b"well\n")
    assert box.alive


# ---------------------------------------------------------------------- the first process


async def test_no_signal_from_inside_reaches_the_first_process(box: Sandbox) -> None:
    found = await attack(
        box,
        """
for number in range(1, 65):
    try: os.kill(1, number)
    except OSError: pass
try: signal.pidfd_send_signal(os.pidfd_open(1), signal.SIGKILL)
except OSError: pass
time.sleep(0.1)
found["state"] = open("/proc/1/stat").read().rsplit(")", 1)[1].split()[0]
""",
    )
    assert found["state"] in "SR"
    await answers(box)


async def test_killing_everything_kills_the_killer_alone(box: Sandbox) -> None:
    await box.exec(["sh", "-c", "sleep 100 >/dev/null 2>&1 &"])
    done = await box.exec(["python3", "-c", "import os; os.kill(-1, 9); print('alive')"])
    assert done.stdout == b"alive\n"  # kill(-1) spares the caller
    with anyio.fail_after(5):
        while not all(process.init or process.ended for process in box.processes()):
            await anyio.sleep(0.01)
    await answers(box)


async def test_a_fault_signal_by_file_owner_does_not_reach_it(box: Sandbox) -> None:
    await attack(
        box,
        """
a, b = socket.socketpair()
for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV, signal.SIGIO):
    attempt(str(number), lambda: fcntl.fcntl(a, fcntl.F_SETOWN, 1))
    attempt(str(number), lambda: fcntl.fcntl(a, 10, number))
    fcntl.fcntl(a, fcntl.F_SETFL, os.O_ASYNC)
    b.send(b"x")
""",
    )
    await answers(box)


LIMITS_ATTACK = """
TARGET = TARGET_PID
class Rlimit(ctypes.Structure):
    _fields_ = [("soft", ctypes.c_ulong), ("hard", ctypes.c_ulong)]
three = Rlimit(3, 3)
param = ctypes.c_int(0)
mask = ctypes.c_ulong(1)
call("prlimit", TARGET, resource.RLIMIT_NOFILE, ctypes.byref(three), None)
call("sched_setscheduler", TARGET, 5, ctypes.byref(param))
call("sched_setparam", TARGET, ctypes.byref(param))
call("sched_setaffinity", TARGET, 8, ctypes.byref(mask))
call("setpriority", 0, TARGET, 19)
system("ioprio_set", IOPRIO, 1, TARGET, 3 << 13)
system("migrate_pages", MIGRATE, TARGET, 64, ctypes.byref(mask), ctypes.byref(mask))
"""


def _with_numbers(text: str, target: str) -> str:
    ioprio, migrate = {"x86_64": (251, 256), "aarch64": (30, 238)}[platform.machine()]
    text = text.replace("TARGET_PID", target)
    return text.replace("IOPRIO", str(ioprio)).replace("MIGRATE", str(migrate))


async def test_it_cannot_be_crippled_by_limits_and_priorities(box: Sandbox) -> None:
    found = await attack(box, _with_numbers(LIMITS_ATTACK, "1"))
    assert set(found.values()) == {"EPERM"}, found
    by_user = await attack(
        box,
        """
call("setpriority", 2, 0, 19)
found["user"] = found.pop("setpriority")
call("setpriority", 1, 1, 19)
found["nice of 1"] = open("/proc/1/stat").read().rsplit(")", 1)[1].split()[16]
""",
    )
    nice = _priority._NICE if os.geteuid() == 0 else os.getpriority(os.PRIO_PROCESS, 0)
    assert by_user == {"user": "EPERM", "setpriority": "EPERM", "nice of 1": str(nice)}
    limits = (await box.exec(["cat", "/proc/1/limits"])).stdout
    assert b"Max open files            3 " not in limits
    await answers(box)
    # The control: outside, the same calls on a process of one's own go through.
    own = outside(_with_numbers("child = os.fork()\nif not child: time.sleep(9)\n" + LIMITS_ATTACK
                                + "\nos.kill(child, 9)", "child"))  # fmt: skip
    assert {own[name] for name in ("prlimit", "sched_setaffinity", "setpriority")} == {"done"}


async def test_the_precedence_of_the_first_process_is_not_handed_down(box: Sandbox) -> None:
    usual = os.getpriority(os.PRIO_PROCESS, 0)
    expected = max(usual, 0) if os.geteuid() == 0 else usual
    assert int((await box.exec(["nice"])).stdout) == expected
    await box.exec(["sh", "-c", "setsid sleep 100 >/dev/null 2>&1 &"])
    for process in box.processes():
        if not process.init:
            assert os.getpriority(os.PRIO_PROCESS, process.pid) == expected
            assert os.sched_getscheduler(process.pid) == os.SCHED_OTHER


@pytest.mark.skipif(
    os.geteuid() != 0 or not os.access("/proc/self/autogroup", os.W_OK),
    reason="only root shares the processors out by session, where the kernel does",
)
async def test_many_sessions_of_one_sandbox_share_as_one(cell: Sandbox) -> None:
    def nice_of(pid: int) -> int | None:
        # The kernel shows nothing of the session that it began with, where no other was made.
        shown = Path(f"/proc/{pid}/autogroup").read_text().split()
        return int(shown[-1]) if shown else None

    before = nice_of(os.getpid())
    await cell.exec(["sh", "-c", "for i in $(seq 40); do setsid sleep 99 >/dev/null 2>&1 & done"])
    with anyio.fail_after(20):
        while len(sleepers := [p.pid for p in cell.processes() if p.comm == "sleep"]) < 40:
            await anyio.sleep(0.05)
        while not all(nice_of(pid) == 17 for pid in sleepers):  # 1.25 to the 17th is about 40
            await anyio.sleep(0.05)
    assert nice_of(cell.init_pid) == _priority._NICE
    # A process of the host among them, as when a number is used again, is left alone.
    namespace = os.readlink(f"/proc/{cell.init_pid}/ns/pid")
    _priority.ration([*sleepers, os.getpid()], namespace, cell.init_pid)
    assert nice_of(os.getpid()) == before
    await cell.exec(["python3", "-c", "import os; os.kill(-1, 9)"])
    with anyio.fail_after(20):
        while len(cell.processes()) > 1:
            await anyio.sleep(0.05)
    await cell.exec(["sh", "-c", "setsid sleep 100 >/dev/null 2>&1 &"])
    (later,) = (process.pid for process in cell.processes() if not process.init)
    assert nice_of(later) == 0


async def test_a_process_may_still_set_limits_and_priorities_of_its_own(box: Sandbox) -> None:
    found = await attack(
        box,
        """
attempt("rlimit", lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
attempt("nice", lambda: os.nice(1) and None)
attempt("affinity", lambda: os.sched_setaffinity(0, os.sched_getaffinity(0)))
""",
    )
    assert found == {"rlimit": "done", "nice": "done", "affinity": "done"}


READ_FIRST = """
for name in ("fd", "environ", "mem", "maps", "cwd", "root", "exe", "ns/pid", "ns/user", "io",
             "auxv", "stack", "syscall", "fd/3", "task/1/fd", "task/1/mem", "map_files"):
    path = f"/proc/TARGET/{name}"
    def look(path=path):
        if os.path.isdir(path) or name in ("fd", "map_files"): return str(os.listdir(path))
        if name in ("cwd", "root", "exe", "ns/pid", "ns/user"): return os.readlink(path)
        return "read:" + str(open(path, "rb").read(10))
    attempt(name, look)
for name in ("mem", "oom_score_adj", "clear_refs", "coredump_filter", "comm", "timerslack_ns",
             "sched", "autogroup", "uid_map", "loginuid"):
    attempt("write " + name, lambda: open(f"/proc/TARGET/{name}", "r+b", 0).write(b"0") and None)
call("ptrace", 16, TARGET, None, None)
system("pidfd_getfd", 438, os.pidfd_open(TARGET), 0, 0)
"""


async def test_it_cannot_be_read_traced_or_written(box: Sandbox) -> None:
    found = await attack(box, READ_FIRST.replace("TARGET", "1"))
    assert set(found.values()) <= {"EACCES", "EPERM", "ENOENT", "EINVAL"}, found
    same = READ_FIRST.replace("/proc/TARGET", "/proc/{child}").replace("TARGET", "child")
    child = "child = os.fork()\nif not child: time.sleep(9)\n"
    mine = outside(f"{child}{same}\nos.kill(child, 9)")
    assert mine["exe"].startswith("/") and mine["environ"].startswith("read:")
    assert mine["pidfd_getfd"] == "done"
    await answers(box)


async def test_it_is_named_as_anywhere(box: Sandbox) -> None:
    done = await box.exec(["sh", "-c", "cat /proc/1/comm; tr '\\0' ' ' < /proc/1/cmdline"])
    assert done.stdout.decode().split() == ["init", "/sbin/init"]


async def test_a_command_holds_its_three_descriptors_and_nothing_else(box: Sandbox) -> None:
    text = """
open_now = []
for fd in range(4096):
    try: open_now.append([fd, os.readlink(f"/proc/self/fd/{fd}")])
    except OSError: pass
found["open"] = open_now
"""
    kept = os.open("/etc/passwd", os.O_RDONLY)  # one that the harness lets others inherit
    os.set_inheritable(kept, True)
    try:
        first = await attack(box, text)
        await box.exec(["sh", "-c", "sleep 9 >/dev/null 2>&1 &"])
        again = await attack(box, text)
    finally:
        os.close(kept)
    for found in (first, again):
        assert [fd for fd, _ in found["open"]] == [0, 1, 2], found
        assert found["open"][0][1] == "/dev/null"


# ---------------------------------------------------------------------- secrets of the launcher


async def test_nothing_of_the_launchers_environment_is_seen_inside(
    monkeypatch: pytest.MonkeyPatch, box: Sandbox
) -> None:
    secret = "hunter2-" + os.urandom(8).hex()
    monkeypatch.setenv("DEPLOY_TOKEN", secret)
    kind = box.executor
    assert kind is not None
    async with await Sandbox.start(SandboxSpec(executor=kind)) as fresh:  # type: ignore[arg-type]
        done = await fresh.exec(
            ["sh", "-c", "env; cat /proc/*/environ /proc/*/cmdline /proc/*/task/*/environ 2>&1"]
        )
        assert secret.encode() not in done.stdout + done.stderr
        assert b"DEPLOY_TOKEN" not in done.stdout
        planted = await fresh.exec(["sh", "-c", "cat /proc/self/environ"], env={"X": secret})
        assert secret.encode() in planted.stdout, "the search would have found one"


async def test_nothing_inside_tells_what_this_is(box: Sandbox) -> None:
    # `/newroot` and the host's own /usr are named in the documentation as what shows.
    done = await box.exec(
        [
            "sh",
            "-c",
            "env; hostname; id; ls -laR / -I usr -I proc -I alternatives 2>/dev/null; mount;"
            "cat /proc/self/mountinfo /proc/*/cmdline /proc/*/comm /proc/*/environ /etc/hostname"
            " /etc/hosts /etc/passwd /etc/group /proc/cmdline /proc/self/cgroup 2>/dev/null",
        ]
    )
    text = done.stdout.decode("utf-8", "replace").lower()
    assert "build-07" in text and "/proc" in text
    for word in ("sandbox", "custodes", "inspect", "bwrap", "bubble", "psb", "test", "container"):
        assert word not in text.replace(os.path.basename(__file__), ""), word


async def test_identifiers_of_the_host_are_not_seen(cell: Sandbox) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_bytes()
    line = Path("/proc/cmdline").read_bytes()
    assert await cell_read(cell, "/proc/sys/kernel/random/boot_id") not in (boot, b"")
    assert await cell_read(cell, "/proc/cmdline") != line
    assert socket.gethostname().encode() != await cell_read(cell, "/etc/hostname")
    assert await cell_read(cell, "/proc/keys") == b""


async def cell_read(cell: Sandbox, path: str) -> bytes:
    return (await cell.exec(["cat", path])).stdout.strip()


# ---------------------------------------------------------------------- files


async def test_nothing_outside_the_granted_folders_can_be_written(cell: Sandbox) -> None:
    done = await cell.exec(
        [
            "python3",
            "-c",
            """
import os
granted = ("/workspace", "/tmp", "/var/tmp", "/dev/shm", "/home/dev", "/proc")
written = []
for top, folders, files in os.walk("/"):
    folders[:] = [f for f in folders if os.path.join(top, f) not in granted and f != "usr"]
    for place in [os.path.join(top, "probe")] + [os.path.join(top, f) for f in files]:
        try:
            fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            continue
        os.close(fd)
        written.append(place)
for place in ("/usr", "/usr/bin", "/usr/lib", "/usr/local", "/usr/bin/env", "/proc/sysrq-trigger",
              "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/irq/x"):
    target = place + "/probe" if os.path.isdir(place) else place
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT))
        written.append(target)
    except OSError:
        pass
print("\\n".join(written))
""",
        ]
    )
    assert done.returncode == 0, done
    devices = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/ptmx"}
    devices |= {"/dev/tty", "/dev/pts/ptmx", "/dev/stdin", "/dev/stdout", "/dev/stderr"}
    assert set(done.stdout.decode().split()) <= devices


async def test_no_device_of_the_host_and_no_sysfs(cell: Sandbox) -> None:
    done = await cell.exec(["sh", "-c", "ls /sys /dev; ls /dev/sd* /dev/vd* /dev/kvm /dev/mem"])
    assert b"/sys" in done.stderr
    seen = set(done.stdout.decode().split())
    assert "null" in seen
    assert not seen & {"sda", "vda", "mem", "kvm", "kmsg", "fuse", "loop0", "mapper"}
    made = await attack(cell, 'attempt("mknod", lambda: os.mknod("/tmp/d", 0o020666, 0x103))')
    assert made == {"mknod": "EPERM"}


async def test_planted_links_lead_nowhere_outside(cell: Sandbox, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("of the host")
    await cell.exec(
        ["sh", "-c", f"ln -s /etc/passwd link; ln -s {secret} out; ln -s /proc/self/mem mem;"
                     "ln -s /proc/1/root/etc/passwd root; ln -s ../../../../etc/shadow up;"
                     "ln -s loop loop; ln -s /proc/self/environ env; mkdir d; ln -s / d/all"]
    )  # fmt: skip
    # The link resolves inside: this passwd is the sandbox's own.
    content = await cell.read_file("link")
    assert b"dev:x:1000" in content and content != Path("/etc/passwd").read_bytes()
    assert await cell.read_file("d/all/etc/passwd") == content
    for path in ("out", "root", "up", "loop", "mem", "env", f"/workspace/../..{secret}"):
        with pytest.raises((FileNotFoundError, PermissionError)):
            await cell.read_file(path)
    for path in ("link", "mem", "root", "loop", "env", "/proc/1/oom_score_adj", "/proc/self/comm"):
        with anyio.fail_after(10), pytest.raises((FileNotFoundError, PermissionError)):
            await cell.write_file(path, b"planted")
    with pytest.raises((FileNotFoundError, PermissionError)):
        await cell.write_file("out", b"planted")
    assert secret.read_text() == "of the host"


async def test_the_host_reads_and_writes_nothing_of_procfs(box: Sandbox) -> None:
    """Not even where the user inside may: reads can block, and writes act."""
    done = await box.exec(["sh", "-c", "sleep 100 >/dev/null 2>&1 & echo $!"])
    pid = done.stdout.decode().strip()
    await box.exec(["ln", "-s", f"/proc/{pid}/mem", "link"])
    with anyio.fail_after(5):
        while (await box.exec(["cat", f"/proc/{pid}/comm"])).stdout != b"sleep\n":
            await anyio.sleep(0.01)
    for path in (f"/proc/{pid}/comm", f"/proc/{pid}/environ", "link", "/proc/uptime"):
        with pytest.raises(PermissionError):
            await box.read_file(path)
    for path in (f"/proc/{pid}/comm", f"/proc/{pid}/oom_score_adj", "link"):
        with pytest.raises(PermissionError):
            await box.write_file(path, b"0")
    await answers(box)


async def test_what_is_not_a_regular_file_is_refused_and_does_not_block(box: Sandbox) -> None:
    await attack(
        box,
        """
os.mkfifo("fifo")
socket.socket(socket.AF_UNIX).bind("socket")
os.symlink("/dev/zero", "zero")
os.symlink("/dev/tty", "tty")
os.symlink("/dev/ptmx", "ptmx")
""",
    )
    for path in ("fifo", "socket", "zero", "tty", "ptmx", "/dev/zero", "/dev/null"):
        with anyio.fail_after(5):
            with pytest.raises(PermissionError):
                await box.read_file(path)
            with pytest.raises(PermissionError):
                await box.write_file(path, b"x")
    await answers(box)


async def test_a_path_that_is_changed_all_the_time_never_leads_outside(
    cell: Sandbox, tmp_path: Path
) -> None:
    secret = tmp_path / "f"
    secret.write_text("of the host")
    await cell.exec(
        ["python3", "-c", f"""
import os
os.makedirs("real"); open("real/f", "w").write("inside")
if os.fork() == 0:
    os.setsid(); [os.close(n) for n in (0, 1, 2)]
    while True:
        os.symlink("real", "x1"); os.rename("x1", "d")
        os.symlink({str(tmp_path)!r}, "x2"); os.rename("x2", "d")
"""]
    )  # fmt: skip
    seen = set()
    for _ in range(60):
        try:
            seen.add(await cell.read_file("d/f"))
            await cell.write_file("d/f", b"inside")
        except (FileNotFoundError, PermissionError):
            pass
    # An open for writing that comes in between makes folders of that name: inside.
    assert seen <= {b"inside", b""}
    assert secret.read_text() == "of the host"


# ---------------------------------------------------------------------- network


async def test_there_is_no_way_out_by_network(cell: Sandbox) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        loopback = f"""
def reach(family, kind, address):
    with socket.socket(family, kind) as s:
        s.settimeout(1)
        s.connect(address)
        s.send(b"x")
attempt("loopback of the host", lambda: reach(2, 1, ("127.0.0.1", {port})))
"""
        text = """
found["interfaces"] = [name for _, name in socket.if_nameindex()]
attempt("tcp", lambda: reach(2, 1, ("192.0.2.1", 80)))
attempt("udp", lambda: reach(2, 2, ("192.0.2.1", 53)))
attempt("metadata", lambda: reach(2, 1, ("169.254.169.254", 80)))
attempt("ipv6", lambda: reach(10, 1, ("2001:db8::1", 80, 0, 0)))
attempt("raw", lambda: socket.socket(2, 3, 1) and None)
for family in (3, 4, 5, 9, 17, 21, 29, 31, 38, 40, 44):
    attempt(f"family {family}", lambda: socket.socket(family, 2) and None)
for protocol in (4, 6, 9, 12, 15):
    attempt(f"netlink {protocol}", lambda: socket.socket(16, 3, protocol) and None)
attempt("netlink route", lambda: socket.socket(16, 3, 0) and None)
"""
        found = await attack(cell, loopback + text)
        assert found.pop("interfaces") == ["lo"]
        assert found.pop("netlink route") == "done", "name resolution needs this one"
        assert "done" not in found.values(), found
        assert {v for k, v in found.items() if k.startswith(("family", "netlink"))} == {
            "EAFNOSUPPORT"
        }
        assert outside(loopback) == {"loopback of the host": "done"}


async def test_abstract_sockets_of_the_host_are_out_of_reach(cell: Sandbox) -> None:
    name = f"\0hostside-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        text = f"attempt('abstract', lambda: socket.socket(1).connect({name!r}))"
        assert await attack(cell, text) == {"abstract": "ECONNREFUSED"}
        assert outside(text) == {"abstract": "done"}


# ---------------------------------------------------------------------- privilege


async def test_there_is_no_privilege_and_no_way_to_one(cell: Sandbox) -> None:
    found = await attack(
        cell,
        """
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines())
found["caps"] = [status[k] for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")]
found["no new privileges"] = status["NoNewPrivs"]
found["seccomp"] = status["Seccomp"]
for flag in (0x10000000, 0x00020000, 0x40000000, 0x20000000, 0x08000000, 0x04000000):
    call("unshare", flag)
    found[f"unshare {flag:x}"] = found.pop("unshare")
call("mount", b"none", b"/tmp", b"tmpfs", 0, None)
call("umount2", b"/tmp", 2)
call("chroot", b"/tmp")
call("setns", 0, 0)
call("setuid", 0)
call("ptrace", 0, 0, None, None)
attempt("tiocsti", lambda: fcntl.ioctl(os.open("/dev/ptmx", os.O_RDWR), 0x5412, b"x") and None)
""",
    )
    assert set(found.pop("caps")) == {"0" * 16}
    assert found.pop("no new privileges") == "1" and found.pop("seccomp") == "2"
    assert set(found.values()) <= {"EPERM", "EINVAL"}, found


async def test_every_namespace_is_its_own(cell: Sandbox) -> None:
    kinds = ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts")
    done = await cell.exec(["readlink", *(f"/proc/self/ns/{kind}" for kind in kinds)])
    inside = done.stdout.decode().split()
    assert len(inside) == len(kinds)
    for kind, name in zip(kinds, inside, strict=True):
        assert name != os.readlink(f"/proc/self/ns/{kind}"), kind


async def test_a_setuid_program_gains_nothing(cell: Sandbox) -> None:
    done = await cell.exec(
        ["sh", "-c", "cp /usr/bin/id /tmp/i && chmod 6755 /tmp/i && /tmp/i -u; su -c id </dev/null"]
    )
    assert done.stdout == b"1000\n"


async def test_clone_into_a_namespace_is_refused_by_every_door(cell: Sandbox) -> None:
    clone = {"x86_64": 56, "aarch64": 220}[platform.machine()]
    found = await attack(
        cell,
        f"""
system("clone user", {clone}, 0x10000000 | 17, 0, 0, 0, 0)
system("clone pid", {clone}, 0x20000000 | 17, 0, 0, 0, 0)
system("clone time", {clone}, 0x80 | 17, 0, 0, 0, 0)
system("clone3", 435, ctypes.create_string_buffer(88), 88)
system("future", 500)
system("io_uring", 425, 8, ctypes.create_string_buffer(128))
system("bpf", {321 if clone == 56 else 280}, 0, 0, 0)
system("userfaultfd", {323 if clone == 56 else 282}, 0)
""",
    )
    assert found.pop("clone3") == "ENOSYS" and found.pop("future") == "ENOSYS"
    assert set(found.values()) == {"EPERM"}, found


# ---------------------------------------------------------------------- resources


async def test_a_flood_of_output_is_held_in_bounded_memory(cell: Sandbox) -> None:
    await cell.exec(["true"])
    tracemalloc.start()
    try:
        done = await cell.exec(
            ["sh", "-c", "head -c 40000000 /dev/zero; head -c 40000000 /dev/zero >&2"],
            output_limit=1 << 20,
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert done.stdout_truncated and done.stderr_truncated and len(done.stdout) == 1 << 20
    assert peak < 12 << 20


async def test_a_fork_bomb_is_bounded_and_the_executor_answers_through_it() -> None:
    spec = SandboxSpec(limits=Limits(processes=40))
    async with await Sandbox.start(spec) as box:
        await box.exec(["bash", "-c", ":(){ :|:& };: >/dev/null 2>&1 & sleep 0.5"])
        most = 0
        for _ in range(5):
            # A command may start but hardly fork; that it starts at all is the promise.
            with anyio.fail_after(20):
                done = await box.exec(["/bin/echo", "here"])
            assert done.stdout == b"here\n" or b"Resource temporarily" in done.stderr, done
            most = max(most, len(box.processes()))
        assert 5 < most <= 43
        receipt = await box.kill()
        assert receipt.verified and receipt.processes_before and receipt.processes_before > 3


async def test_a_fork_bomb_can_be_frozen() -> None:
    async with await Sandbox.start(SandboxSpec(limits=Limits(processes=40))) as box:
        await box.exec(
            ["python3", "-c", """
import os, time
if os.fork(): os._exit(0)
os.setsid(); [os.close(n) for n in (0, 1, 2)]
while True:
    try:
        if os.fork() == 0: os.setsid()
    except OSError: pass
"""]
        )  # fmt: skip
        await anyio.sleep(0.1)
        receipt = await box.freeze()
        assert receipt.verified and receipt.processes > 10
        first = {(p.pid, p.state) for p in box.processes() if not p.init and not p.ended}
        await anyio.sleep(0.1)
        assert {(p.pid, p.state) for p in box.processes() if not p.init and not p.ended} == first
        assert {state for _, state in first} == {"T"}


HOPPER = """
import os, time
end = time.monotonic() + 30
if os.fork():
    os._exit(0)
os.setsid()
while time.monotonic() < end:
    with open("hopper.beat", "a") as file:
        file.write(".")
    if os.fork():
        os._exit(0)
"""


@pytest.mark.parametrize("executor", ["c", "python"])
async def test_one_that_becomes_another_process_all_the_time_is_frozen(
    executor: Literal["c", "python"],
) -> None:
    # A list of processes misses it now and then; the first process stops all in one call.
    for _ in range(5):
        async with await Sandbox.start(SandboxSpec(executor=executor)) as cell:
            await cell.exec(["python3", "-I", "-S", "-c", HOPPER])
            beats = cell.workspace_host / "hopper.beat"
            with anyio.fail_after(10):
                while not beats.exists():
                    await anyio.sleep(0.01)
            assert (await cell.freeze()).verified
            before = beats.stat().st_size
            await anyio.sleep(0.1)
            assert beats.stat().st_size == before
            await cell.thaw()
            with anyio.fail_after(10):
                while beats.stat().st_size == before:
                    await anyio.sleep(0.01)


async def test_an_order_to_hold_that_comes_too_late_holds_nothing_after_the_thaw(
    cell: Sandbox,
) -> None:
    await cell.exec(["sh", "-c", "(while :; do echo >> beat; sleep 0.01; done) >/dev/null 2>&1 &"])
    beats = cell.workspace_host / "beat"
    with anyio.fail_after(10):
        while not beats.exists():
            await anyio.sleep(0.01)
    os.kill(cell.init_pid, signal.SIGSTOP)  # so that it reads the order when it is continued
    assert (await cell.freeze()).verified
    before = beats.stat().st_size
    await cell.thaw()
    with anyio.fail_after(10):
        while beats.stat().st_size == before:
            await anyio.sleep(0.01)
    assert (await cell.exec(["true"])).success


TIMER = """
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
int main() {
  struct sigevent event = {0};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGCONT;
  timer_t timer;
  struct itimerspec every = {{2, 0}, {2, 0}};
  printf("%d %d %d %d", fcntl(0, F_SETSIG, SIGCONT), prctl(PR_SET_PDEATHSIG, SIGCONT),
         fcntl(0, F_SETSIG, SIGUSR1), prctl(PR_SET_PDEATHSIG, SIGURG));
  fflush(stdout);
  close(1);
  timer_create(CLOCK_MONOTONIC, &event, &timer);
  timer_settime(timer, 0, &every, 0);
  for (;;) sleep(1);
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
async def test_one_that_the_kernel_will_wake_is_not_called_frozen(cell: Sandbox) -> None:
    # Requests that a filter can see are refused; a timer's signal lies in memory.
    await cell.write_file("timer.c", TIMER.encode())
    assert (await cell.exec(["cc", "-w", "-o", "timer", "timer.c"])).success
    said = (await cell.exec(["sh", "-c", "./timer 2>/dev/null & wait"], timeout=0.5)).stdout
    assert said == b"-1 -1 0 0"
    await cell.exec(["sh", "-c", "setsid ./timer >/dev/null 2>&1 & sleep 0.3"])
    receipt = await cell.freeze()
    assert not receipt.verified and "timer" in receipt.note
    assert (await cell.kill()).verified


async def test_settings_of_the_namespaces_cannot_be_changed(box: Sandbox) -> None:
    script = """
for setting in $(find /proc/sys -type f 2>/dev/null); do
    (: < /dev/null >> $setting) 2>/dev/null && echo $setting
done; true
"""
    assert (await box.exec(["sh", "-c", script], timeout=60)).stdout == b""


async def test_what_the_host_asked_for_is_not_the_agents_to_stop(box: Sandbox) -> None:
    storm = """
import os, signal, time
if os.fork(): os._exit(0)
os.setsid()
end = time.monotonic() + 1.5
while time.monotonic() < end:
    try: os.kill(-1, signal.SIGSTOP)
    except OSError: pass
"""
    await box.exec(["python3", "-I", "-S", "-c", storm], timeout=5)
    with anyio.fail_after(20):  # stopped in the storm, they would wait for ever
        for number in range(20):
            with suppress(SandboxError):
                await box.write_file(f"asked-{number}", b"1")
        await box.write_file("after", b"2")
        assert await box.read_file("after") == b"2"


async def test_two_processes_that_wake_each_other_are_frozen_too(cell: Sandbox) -> None:
    await cell.exec(
        ["python3", "-c", """
import os, signal, time
group = []
for _ in range(4):
    if (pid := os.fork()) == 0:
        os.setsid(); [os.close(n) for n in (0, 1, 2)]
        while True:
            for entry in os.listdir("/proc"):
                if entry.isdigit() and int(entry) > 1 and int(entry) != os.getpid():
                    try: os.kill(int(entry), signal.SIGCONT)
                    except OSError: pass
"""]
    )  # fmt: skip
    await anyio.sleep(0.1)
    receipt = await cell.freeze()
    assert receipt.verified and receipt.processes == 4


async def test_a_process_whose_first_thread_has_ended_is_seen_and_frozen(cell: Sandbox) -> None:
    await cell.exec(
        ["python3", "-c", """
import ctypes, os, threading, time
if os.fork(): os._exit(0)
os.setsid(); [os.close(n) for n in (0, 1, 2)]
def beat():
    while True:
        with open("beat", "a") as file: file.write("x")
threading.Thread(target=beat).start()
ctypes.CDLL(None).pthread_exit(None)
"""]
    )  # fmt: skip
    await anyio.sleep(0.3)
    (process,) = (p for p in cell.processes() if not p.init)
    assert not process.ended
    assert (await cell.freeze()).verified
    size = (cell.workspace_host / "beat").stat().st_size
    await anyio.sleep(0.2)
    assert (cell.workspace_host / "beat").stat().st_size == size > 0


async def test_memory_files_and_descriptors_are_bounded() -> None:
    limits = Limits(file_mb=2, address_mb=400, open_files=50, tmpfs_mb=4)
    async with await Sandbox.start(SandboxSpec(limits=limits)) as box:
        found = await attack(
            box,
            """
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
def fill(path):
    with open(path, "wb", 0) as file:
        while file.write(bytes(1 << 20)): pass
attempt("file", lambda: fill("big"))
def folder(path):
    for n in range(99):
        with open(f"{path}/{n}", "wb", 0) as file: file.write(bytes(1 << 20))
attempt("tmpfs", lambda: folder("/tmp"))
attempt("shm", lambda: folder("/dev/shm"))
attempt("descriptors", lambda: [os.open("/", 0) for _ in range(99)] and None)
try: bytearray(1 << 30)
except MemoryError: found["memory"] = "refused"
""",
        )
        assert found == {
            "file": "EFBIG", "tmpfs": "ENOSPC", "shm": "ENOSPC", "descriptors": "EMFILE",
            "memory": "refused",
        }  # fmt: skip


async def test_a_crash_inside_runs_no_core_handler_of_the_host(box: Sandbox) -> None:
    """The kernel gives a core to the host's handler at a limit of 0, and not at 1."""
    found = await attack(
        box,
        """
for new in ((0, 0), (0, 1), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)):
    attempt(str(new), lambda: resource.setrlimit(resource.RLIMIT_CORE, new))
found["limit"] = resource.getrlimit(resource.RLIMIT_CORE)
""",
    )
    assert found.pop("limit") == [1, 1]
    assert set(found.values()) == {"done"}, "programs that insist on no cores are content"
    crashed = await box.exec(["sh", "-c", "cd /tmp; sh -c 'kill -SEGV $$'; ls -A"])
    assert crashed.stdout == b""


async def test_the_control_socket_cannot_be_filled_or_forged(box: Sandbox) -> None:
    """What reaches the executor comes from the host alone: there is nothing to talk to."""
    found = await attack(
        box,
        """
found["sockets"] = [l for l in open("/proc/net/unix").read().splitlines()[1:] if "@" in l]
for fd in range(3, 64):
    try: os.write(fd, b"X"); found[str(fd)] = "written"
    except OSError: pass
""",
    )
    assert found == {"sockets": []}
    await answers(box)


async def test_descriptors_in_flight_do_not_hold_up_the_kill(cell: Sandbox) -> None:
    await cell.exec(
        ["python3", "-c", """
import os, socket, array, time
if os.fork(): os._exit(0)
os.setsid(); [os.close(n) for n in (0, 1, 2)]
kept = []
try:
    while True:
        a, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        kept += [a, b]
        for _ in range(10):
            socket.send_fds(a, [b"x"], [os.open("/", 0)] * 200)
except OSError: pass
time.sleep(100)
"""]
    )  # fmt: skip
    await anyio.sleep(0.3)
    receipt = await cell.kill()
    assert receipt.verified and receipt.elapsed_us < 5_000_000


# ---------------------------------------------------------------------- outliving


async def test_a_daemon_survives_its_command_but_not_the_kill(box: Sandbox) -> None:
    await box.exec(
        ["python3", "-c", """
import os, signal, time
for number in range(1, 65):
    try: signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError): pass
for _ in range(3):
    if os.fork(): os._exit(0)
    os.setsid()
[os.close(n) for n in (0, 1, 2)]
while True:
    with open("beat", "a") as file: file.write("x")
    if os.fork(): os._exit(0)
    time.sleep(0.002)
"""], timeout=10
    )  # fmt: skip
    await anyio.sleep(0.2)
    first = (box.workspace_host / "beat").stat().st_size
    await anyio.sleep(0.2)
    assert (box.workspace_host / "beat").stat().st_size > first > 0
    receipt = await box.kill()
    assert receipt.verified
    size = (box.workspace_host / "beat").stat().st_size
    await anyio.sleep(0.2)
    assert (box.workspace_host / "beat").stat().st_size == size


@pytest.mark.parametrize("processes", [40, pytest.param(512, marks=pytest.mark.slow)])
async def test_a_kill_in_the_middle_of_a_fork_storm_leaves_nothing(processes: int) -> None:
    async with await Sandbox.start(SandboxSpec(limits=Limits(processes=processes))) as box:
        await box.exec(
            ["python3", "-c", """
import os
if os.fork(): os._exit(0)
os.setsid(); [os.close(n) for n in (0, 1, 2)]
while True:
    try:
        if os.fork(): os._exit(0)
        if os.fork() == 0: os.setsid()
    except OSError: pass
"""]
        )  # fmt: skip
        await anyio.sleep(0.3)
        namespace = os.readlink(f"/proc/{box.init_pid}/ns/pid")
        assert _in_namespace(namespace) > 1
        receipt = await box.kill()
        assert receipt.verified and _in_namespace(namespace) == 0


def _in_namespace(namespace: str) -> int:
    """Counted here, without the code under test."""
    count = 0
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                count += os.readlink(f"/proc/{entry}/ns/pid") == namespace
            except OSError:
                pass
    return count


async def test_a_held_up_event_loop_is_not_needed_for_the_limits(cell: Sandbox) -> None:
    """A flood while the host does not read: the writer blocks, nothing grows."""
    started = threading.Event()

    async def flood() -> None:
        started.set()
        await cell.exec(["sh", "-c", "yes | head -c 100000000"], output_limit=1000)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(flood)
        await anyio.sleep(0.05)
        assert started.is_set()
        time.sleep(0.3)
        await answers(cell)


# ---------------------------------------------------------------------- holding up the executor

QUICK = (
    "fork bomb",
    "spinners, many sessions",
    "orphans to reap",
    "sockets with descriptors in flight",
    "signals",
)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(pytest.param(name, 12, id=name) for name in QUICK),
        *(
            pytest.param(name, 512, id=f"{name}, full size", marks=pytest.mark.slow)
            for name in ATTACKS
        ),
    ],
)
async def test_the_executor_answers_or_the_sandbox_says_why_it_ended(name: str, size: int) -> None:
    """How soon is measured by benchmarks/executor_under_attack.py."""
    async with await Sandbox.start(SandboxSpec(limits=Limits(processes=size))) as box:
        try:
            await box.exec(attack_command(name, size))
            await anyio.sleep(0.2 if size < 100 else 1)
            for _ in range(3):
                with anyio.fail_after(15 if size < 100 else 60):
                    done = await box.exec(["/bin/echo", "here"])
                # Where the agent has used up its processes, its own commands may find none left.
                assert done.stdout == b"here\n" or b"Resource temporarily" in done.stderr, done
                os.close(await box.listen(8000))
            assert box.alive and box.ended_because == ""
        except SandboxGone as gone:
            assert box.ended_because and box.ended_because in str(gone)
        receipt = await box.kill()
        assert receipt.verified


async def test_a_session_that_forks_all_the_time_is_ended_without_holding_others_up(
    box: Sandbox,
) -> None:
    storm = """
import os
for _ in range(30):
    if os.fork() == 0: break
while True:
    try:
        if os.fork() == 0: os._exit(0)
        os.waitpid(-1, os.WNOHANG)
    except OSError: pass
"""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_timed_out, box, storm)
        for _ in range(20):
            with anyio.fail_after(10):
                assert (await box.exec(["echo", "on"])).stdout == b"on\n"
            await anyio.sleep(0.02)
    with anyio.fail_after(10):
        while not all(process.init or process.ended for process in box.processes()):
            await anyio.sleep(0.01)


async def _timed_out(box: Sandbox, program: str) -> None:
    assert (await box.exec(["python3", "-c", program], timeout=0.2)).timed_out


@pytest.mark.parametrize("seconds", [1, pytest.param(10, marks=pytest.mark.slow)])
async def test_an_executor_that_does_not_answer_ends_the_sandbox(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    """Nothing inside could stop it; the test does, from the host."""
    assert _sandbox._ANSWER_SECONDS == 10
    monkeypatch.setattr(_sandbox, "_ANSWER_SECONDS", float(seconds))
    await box.exec(["sh", "-c", "setsid sleep 100 >/dev/null 2>&1 &"])
    os.kill(box.init_pid, signal.SIGSTOP)
    before = time.monotonic()
    with anyio.fail_after(seconds + 20), pytest.raises(SandboxGone) as gone:
        await box.exec(["true"], timeout=0.1)
    assert time.monotonic() - before >= seconds
    reason = f"the first process did not answer within {seconds} s"
    assert box.ended_because == reason and reason in str(gone.value)
    assert not box.alive
    with pytest.raises(SandboxGone, match="did not answer"):
        await box.read_file("x")
    assert (await box.kill()).verified


async def test_a_frozen_executor_may_be_silent(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sandbox, "_ANSWER_SECONDS", 0.3)
    seen: list[bytes] = []

    async def ask() -> None:
        seen.append((await box.exec(["echo", "late"])).stdout)

    os.kill(box.init_pid, signal.SIGSTOP)  # so that the request is under way when the freeze comes
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await anyio.sleep(0.05)
        assert (await box.freeze()).verified
        await anyio.sleep(1)
        assert seen == [] and box.alive
        await box.thaw()
    assert seen == [b"late\n"] and box.ended_because == ""


async def test_an_event_loop_that_was_held_up_blames_nobody(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sandbox, "_ANSWER_SECONDS", 0.1)

    async def hold_up() -> None:
        time.sleep(0.5)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(box.exec, ["true"])
        await anyio.sleep(0)
        tasks.start_soon(hold_up)
    await answers(box)


async def test_who_kills_or_stops_all_else_is_named_when_files_cannot_be_reached(
    box: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sandbox, "_FILE_SECONDS", 1.0)
    await box.write_file("f", b"x")
    for number in (9, 19):
        await box.exec(
            ["python3", "-c", f"""
import os
if os.fork(): os._exit(0)
os.setsid(); [os.close(n) for n in (0, 1, 2)]
while True:
    try: os.kill(-1, {number})
    except OSError: pass
"""]
        )  # fmt: skip
        for _ in range(20):
            try:
                with anyio.fail_after(15):
                    assert await box.read_file("f") == b"x"
            except SandboxGone:
                pytest.fail("the sandbox is alive")
            except SandboxError as error:
                assert re.search("was killed 5 times|hold it up", str(error))
        assert box.alive


@pytest.mark.parametrize("target", ["1", "0", "-1", "os.getpgrp()"])
async def test_every_spelling_of_everybody_spares_the_first_process(
    box: Sandbox, target: str
) -> None:
    """Its number, the own group, everybody, by user: for each call that takes a pid."""
    ioprio = {"x86_64": 251, "aarch64": 30}[platform.machine()]
    await box.exec(
        program(f"""
who = {target}
param = ctypes.c_int(0)
three = (ctypes.c_ulong * 2)(3, 3)
os.setsid() if os.getpid() != os.getsid(0) else None
for number in (0, 15, 19, 20, 23):
    attempt("kill", lambda: os.kill(who, number) if who != -1 and who != 0 else None)
for which in (0, 1, 2):
    call("setpriority", which, who, 19)
    system("ioprio_set", {ioprio}, which + 1, who, 3 << 13)
for policy in (1, 2, 3, 5):
    call("sched_setscheduler", who, policy, ctypes.byref(param))
call("sched_setparam", who, ctypes.byref(param))
call("prlimit", who, 7, three, None)
call("setpgid", who, os.getpgrp())
"""),
        timeout=10,
    )
    about = Path(f"/proc/{box.init_pid}/stat").read_text().rpartition(")")[2].split()
    nice = min(os.getpriority(os.PRIO_PROCESS, 0), 0 if os.geteuid() else _priority._NICE)
    assert (about[0] in "SR", int(about[16]), int(about[38])) == (True, nice, 0)
    assert b"Max open files            3 " not in Path(f"/proc/{box.init_pid}/limits").read_bytes()
    await answers(box)


WRITES = """
written = []
for name in ("oom_score_adj", "oom_adj", "timerslack_ns", "autogroup", "coredump_filter", "sched",
             "clear_refs", "attr/current", "attr/exec", "attr/fscreate", "comm", "uid_map",
             "gid_map", "projid_map", "setgroups", "limits", "loginuid", "mem", "environ",
             "task/1/comm", "task/1/mem", "make-it-fail", "fail-nth", "timens_offsets",
             "latency", "cpuset", "ksm_merging_pages"):
    for text in (b"0", b"1000", b"-1"):
        try:
            fd = os.open(f"/proc/TARGET/{name}", os.O_WRONLY)
            os.write(fd, text)
            written.append(name)
            os.close(fd)
        except OSError: pass
found["written"] = sorted(set(written))
"""


async def test_no_file_of_the_first_process_can_be_written(box: Sandbox) -> None:
    assert await attack(box, WRITES.replace("TARGET", "1")) == {"written": []}
    own = await attack(box, WRITES.replace("TARGET", "self"))
    assert {"oom_score_adj", "comm", "coredump_filter"} <= set(own["written"]), "the control"


async def test_no_descriptor_leads_to_the_control_socket(box: Sandbox) -> None:
    """All numbers, all processes, and all sockets that have a name; each is written to."""
    found = await attack(
        box,
        """
reached = []
message = [bytes([op]) for op in range(256)] + [os.urandom(n) for n in (2, 6, 7, 64, 4096)]
open_now = {0, 1, 2}
for fd in [n for n in range(1024) if n not in open_now]:
    for data in message[:8]:
        try: os.write(fd, data); reached.append(fd)
        except OSError: pass
    try: socket.socket(fileno=os.dup(fd)).sendmsg([b"X"], [(1, 1, struct.pack("5i", *range(5)))])
    except OSError: pass
    else: reached.append(fd)
for pid in [int(p) for p in os.listdir("/proc") if p.isdigit()]:
    if pid == os.getpid(): continue
    for fd in range(64):
        try: os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR); reached.append((pid, fd))
        except OSError: pass
    try:
        handle = os.pidfd_open(pid)
        for fd in range(64):
            if libc.syscall(438, handle, fd, 0) >= 0: reached.append(("pidfd", pid, fd))
    except OSError: pass
for name in [b"", b"init", b"control", b"executor"] + [os.urandom(4) for _ in range(20)]:
    for kind in (1, 2, 5):
        try: socket.socket(1, kind).connect(bytes(1) + name); reached.append(name.hex())
        except OSError: pass
found["reached"] = reached
found["unix"] = len(open("/proc/net/unix").read().splitlines()) - 1
""",
    )
    # A socket of a command that ran before, or of this one, has no name and no descriptor inside.
    assert found["reached"] == []
    await answers(box)


assert sys.platform == "linux"
