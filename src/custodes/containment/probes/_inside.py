"""What runs at the place under test. Its source text is sent there; it imports nothing of ours.

Each attempt runs in a child of its own and reports one line of JSON: ``returned`` with a text or
null, ``refused`` with the system's error, ``broke`` when the attempt itself is at fault, or
``silent`` when it ended or hung without a word.
"""

from __future__ import annotations

import json
import os
import platform
import select
import signal
import sys
from collections.abc import Callable
from typing import Any

_SECONDS = 20

# Numbers of system calls: x86-64, then the table that aarch64 uses.
_CALLS = {
    "add_key": (248, 217),
    "bpf": (321, 280),
    "clone": (56, 220),
    "fanotify_init": (300, 262),
    "fsopen": (430, 430),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "name_to_handle_at": (303, 264),
    "open_tree": (428, 428),
    "perf_event_open": (298, 241),
    "pidfd_getfd": (438, 438),
    "userfaultfd": (323, 282),
}


def kernel_call(name: str, *arguments: Any) -> int:
    """Make a system call by name; raises OSError with the kernel's reason when it fails."""
    import ctypes

    column = {"x86_64": 0, "aarch64": 1}[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    result = int(libc.syscall(ctypes.c_long(_CALLS[name][column]), *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
    return result


def libc_call(name: str, *arguments: Any) -> int:
    """Call a function of the C library; raises OSError when it returns a negative number."""
    import ctypes

    result = int(getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), name)
    return result


def own_namespaces(flags: int) -> None:
    """Enter namespaces of one's own: as one is, else as the root of a user namespace of one's own.

    Raises OSError when both are refused.
    """
    try:
        libc_call("unshare", flags)
    except OSError:
        uid, gid = os.getuid(), os.getgid()
        libc_call("unshare", flags | 0x10000000)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"0 {uid} 1"),
            ("gid_map", f"0 {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def visible_processes() -> list[int]:
    """Numbers of the processes in the process list, one's own left out."""
    return [
        int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()
    ]


def first_that_opens(paths: list[str], flags: int) -> str | None:
    """The first path that opens; raises the last refusal when none does, None for no path."""
    refusal: OSError | None = None
    for path in paths:
        try:
            os.close(os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC))
        except OSError as error:
            refusal = error
        else:
            return path
    if refusal is not None:
        raise refusal
    return None


def of_the_host(known: list[Any]) -> list[str]:
    """Paths here at which the host's own files are: by their own name, else where one is mounted.

    A file is known by device, inode and time of its last change, which a machine of its own does
    not have in common with the host by chance.
    """

    def same(path: str, told: Any) -> bool:
        try:
            about = os.stat(path)
        except OSError:
            return False
        changed = about.st_ctime_ns
        return (about.st_dev, about.st_ino) == (told[1], told[2]) and (
            changed == told[3] or changed >= told[4]
        )

    found = [told[0] for told in known if same(told[0], told)]
    try:
        with open("/proc/self/mountinfo") as file:
            points = [line.split()[4] for line in file]
    except OSError:
        points = []
    for point in points[:200]:
        for told in known:
            parts = told[0].strip("/").split("/")
            ways = [point] + [
                "/".join([point.rstrip("/"), *parts[start:]]) for start in range(len(parts))
            ]
            found += [way for way in ways if way not in found and same(way, told)]
    return found


def first_byte(path: str) -> bytes:
    """The first byte of a file, or nothing."""
    with open(path, "rb") as file:
        return file.read(1)


def _attempt(attempt: Callable[[Any], Any], canaries: Any) -> dict[str, str | None]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        signal.alarm(_SECONDS)
        try:
            value = attempt(canaries)
            found = {"how": "returned", "text": None if value is None else str(value)[:65536]}
        except OSError as error:
            found = {"how": "refused", "text": f"{type(error).__name__}: {error.strerror}"}
        except BaseException as error:
            found = {"how": "broke", "text": f"{type(error).__name__}: {error}"[:500]}
        with os.fdopen(writer, "w") as out:
            json.dump(found, out)
            out.flush()
        os._exit(0)
    os.close(writer)
    data = b""
    while select.select([reader], [], [], _SECONDS + 1)[0]:
        part = os.read(reader, 65536)
        if not part:
            break
        data += part
    os.close(reader)
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.waitpid(child, 0)
    try:
        found = json.loads(data)
    except ValueError:
        found = {"how": "silent", "text": "ended or hung without a word"}
    return found


def attempt_all(attempts: dict[str, Callable[[Any], Any]]) -> None:
    """Read the canaries of each attempt from stdin, run them in that order, write the reports."""
    canaries = json.load(sys.stdin)
    for name, given in canaries.items():
        found = _attempt(attempts[name], given)
        sys.stdout.write(json.dumps({"name": name, **found}) + "\n")
        sys.stdout.flush()
