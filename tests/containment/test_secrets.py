"""What the launching process knows is not to be found inside, by everything that could find it.

A launcher plants one secret in every place that it has, starts sandboxes, and runs a searcher
inside and, as the control, as its own child. The searcher knows what a secret looks like and where
the plants are, but not the secret.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from .ordinary import portable as portable
from .ordinary import run_as_nobody

pytestmark = [
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="bubblewrap is not installed"),
    pytest.mark.skipif(
        not os.access("/usr/bin/python3", os.X_OK),
        reason="the searcher is a Python program, and there is no /usr/bin/python3",
    ),
]

SEARCH: Final = r"""
import ctypes, json, os, re, select, socket, stat, sys, time
hints = json.loads(sys.argv[1])
secret = re.compile(rb"zq[0-9a-f]{24}-([a-z0-9_]+)")
found, looked = set(), 0
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
libc.shmat.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int]

def check(data):
    global looked
    looked += 1
    found.update(name.decode() for name in secret.findall(data))

def drain(fd):
    try:
        if stat.S_ISREG(os.fstat(fd).st_mode): check(os.pread(fd, 1 << 20, 0))
        elif select.select([fd], [], [], 0)[0]: check(os.read(fd, 1 << 16))
    except (OSError, ValueError): pass

def look(path):
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError: return
    try: drain(fd)
    finally: os.close(fd)

def tree(root, since):
    for top, folders, files in os.walk(root):
        folders[:] = [f for f in folders if os.path.join(top, f) not in hints["left out"]]
        for name in files:
            path = os.path.join(top, name)
            try:
                about = os.lstat(path)
            except OSError: continue
            # What was planted is new; of the system's own programs only such files are read.
            if about.st_ctime > since or not path.startswith("/usr/"):
                if about.st_size < 1 << 22 and stat.S_ISREG(about.st_mode): look(path)
                check(os.fsencode(path))

check("\0".join(f"{k}={v}" for k, v in os.environ.items()).encode())
for fd in range(3, 1024): drain(fd)
for pid in [p for p in os.listdir("/proc") if p.isdigit()] + ["self", "thread-self"]:
    folder = f"/proc/{pid}"
    for name in ("environ", "cmdline", "comm", "mountinfo", "maps", "status", "stat", "cgroup",
                 "auxv", "limits", "syscall", "stack", "wchan", "net/unix", "mountstats"):
        look(f"{folder}/{name}")
    for kind in ("fd", "map_files", "task", "cwd", "root"):
        try: entries = os.listdir(f"{folder}/{kind}")
        except OSError: continue
        if kind == "fd" and pid != str(os.getpid()) and pid not in ("self", "thread-self"):
            for entry in entries: look(f"{folder}/fd/{entry}")
for name in ("keys", "key-users", "cmdline", "mounts", "config.gz", "kcore", "kmsg"):
    look(f"/proc/{name}")
lines = open("/proc/net/unix", "rb").read().splitlines()[1:]
for line in lines + [b"@" + name.encode() for name in hints["sockets"]]:
    at = line.find(b"@")
    name = b"\0" + line[at + 1:] if at >= 0 else line.split()[-1]
    for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
        try:
            with socket.socket(socket.AF_UNIX, kind) as client:
                client.settimeout(0.3); client.connect(name); check(client.recv(4096))
        except OSError: pass
add_key, request_key, keyctl = hints["calls"]
buffer = ctypes.create_string_buffer(4096)
libc.syscall(keyctl, 8, -4, -2)  # the user's ring into the process's own: to possess what is in it
for ring in (-1, -2, -3, -4, -5):
    for name in hints["keys"]:
        key = libc.syscall(keyctl, 10, ring, b"user", name.encode(), 0)
        if key > 0 and (size := libc.syscall(keyctl, 11, key, buffer, 4096)) > 0:
            check(buffer.raw[:size])
for name in hints["keys"]:
    key = libc.syscall(request_key, b"user", name.encode(), None, 0)
    if key > 0 and (size := libc.syscall(keyctl, 11, key, buffer, 4096)) > 0:
        check(buffer.raw[:size])
for number in set(hints["segments"]) | set(range(64)):
    address = libc.shmat(number, None, 0o10000)
    if address not in (None, ctypes.c_void_p(-1).value): check(ctypes.string_at(address, 128))
for path in hints["files"]: look(path)
for root in hints["roots"]: tree(root, time.time() - 3600)
print(json.dumps({"found": sorted(found), "looked": looked}))
"""

LAUNCHER: Final = r"""
import asyncio, ctypes, json, os, platform, socket, subprocess, sys, tempfile, threading
sys.path.insert(0, sys.argv[1])
kinds, search, left_out = sys.argv[2].split(","), sys.argv[3], sys.argv[4].split(",")
value = "zq" + os.urandom(12).hex()
libc = ctypes.CDLL(None, use_errno=True)
libc.shmat.restype = ctypes.c_void_p
calls = {"x86_64": (248, 249, 250), "aarch64": (217, 218, 219)}[platform.machine()]
planted, kept = set(), []

def plant(name):
    planted.add(name)
    return f"{value}-{name}".encode()

folder = tempfile.mkdtemp()
os.makedirs(f"{folder}/home"); os.makedirs(f"{folder}/cwd")
os.chdir(f"{folder}/cwd")
os.environ["HOME"] = f"{folder}/home"
os.environ["DEPLOY_TOKEN"] = plant("environment").decode()
files = []
def file(path, name, mode):
    with open(path, "wb") as out: out.write(plant(name))
    os.chmod(path, mode)
    files.append(os.path.abspath(path))
file("token", "cwd_shut", 0o600)
file("notes", "cwd_open", 0o644)
file(f"{folder}/home/.netrc", "home", 0o600)
file(f"{folder}/open", "tmp_open", 0o644)
os.chmod(folder, 0o755)
memory = f"/dev/shm/{os.path.basename(folder)}"
file(memory, "shared_memory", 0o644)

fd, path = tempfile.mkstemp()
os.write(fd, plant("descriptor")); os.unlink(path); os.set_inheritable(fd, True)
memfd = os.memfd_create("x", 0)
os.write(memfd, plant("memfd"))
read_end, write_end = os.pipe()
os.set_inheritable(read_end, True); os.write(write_end, plant("pipe"))
sibling = subprocess.Popen(
    ["/usr/bin/python3", "-c", "import time; time.sleep(300)", plant("arguments").decode()],
    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
)
server = socket.socket(socket.AF_UNIX)
name = os.path.basename(folder)
server.bind("\0" + name); server.listen(64)
token = plant("abstract_socket")
def serve():
    while True:
        peer, _ = server.accept()
        with peer: peer.send(token)
threading.Thread(target=serve, daemon=True).start()
keys = []
for ring, label in ((-3, "session_keyring"), (-4, "user_keyring")):
    data = plant(label)
    if libc.syscall(calls[0], b"user", f"{name}-{label}".encode(), data, len(data), ring) > 0:
        keys.append(f"{name}-{label}")
    else:
        planted.discard(label)
segments = []
number = libc.shmget(0, 4096, 0o1666)
if number >= 0:
    data = plant("segment")
    ctypes.memmove(libc.shmat(number, None, 0), data, len(data))
    segments.append(number)

hints = {"files": files, "keys": keys, "sockets": [name], "segments": segments, "calls": calls,
         "left out": left_out}
def program(roots):
    return ["/usr/bin/python3", "-c", search, json.dumps({**hints, "roots": roots})]

from custodes.containment._sandbox import Sandbox
from custodes.containment._spec import SandboxSpec

async def main():
    seen = {"planted": sorted(planted), "uid": os.getuid()}
    for kind in kinds:
        async with await Sandbox.start(SandboxSpec(executor=kind)) as box:
            done = await box.exec(program(["/"]), timeout=40)
            assert done.returncode == 0, done
            seen[kind] = json.loads(done.stdout)
    # The control comes last: what it reads from the pipe is gone.
    done = subprocess.run(program([folder]), close_fds=False, capture_output=True, check=True)
    seen["control"] = json.loads(done.stdout)
    print(json.dumps(seen))

try:
    asyncio.run(main())
finally:
    sibling.kill()
    os.unlink(memory)
    if segments: libc.shmctl(segments[0], 0, None)
    subprocess.run(["rm", "-rf", folder])
"""

KINDS: Final = [*(["c"] if shutil.which("cc") else []), "python"]


def check(seen: dict[str, Any], kinds: list[str]) -> None:
    planted = seen["planted"]
    assert {"environment", "cwd_shut", "descriptor", "memfd", "pipe", "arguments"} <= set(planted)
    assert seen["control"]["found"] == planted, "outside, the searcher finds every plant"
    for kind in kinds:
        assert seen[kind]["found"] == []
        assert seen[kind]["looked"] > 100, "it did look"


extent = pytest.mark.parametrize(
    ("kinds", "left_out"),
    [
        pytest.param(KINDS[:1], "/proc,/sys,/usr", id="all but the system's programs"),
        pytest.param(KINDS, "/proc,/sys", id="everything", marks=pytest.mark.slow),
    ],
)


@extent
def test_no_secret_of_the_launcher_is_found_inside(
    tmp_path: Path, kinds: list[str], left_out: str
) -> None:
    script = tmp_path / "launcher.py"
    script.write_text(LAUNCHER)
    done = subprocess.run(
        [sys.executable, str(script), sys.path[0], ",".join(kinds), SEARCH, left_out],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout), kinds)


@pytest.mark.skipif(os.geteuid() != 0, reason="the test above runs as an ordinary user already")
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="no setpriv to become another user")
@extent
def test_no_secret_of_an_ordinary_user_is_found_inside(
    portable: Path, kinds: list[str], left_out: str
) -> None:
    seen = json.loads(run_as_nobody(portable, LAUNCHER, ",".join(kinds), SEARCH, left_out))
    assert seen["uid"] == 65534
    check(seen, kinds)
