"""The system-call filter of the sandbox, as a classic BPF program for x86-64 and aarch64.

Denied are the calls that make namespaces, mount, trace other processes, load code into the
kernel, or are a large and seldom needed part of its attack surface; unusual socket families and
protocols; terminal injection; leases, which hold up whoever opens a file; and calls by which a
process with the same uid can cripple the first process of the namespace although it cannot signal
it (``prlimit``, ``sched_*``, ``setpriority``, ...). So are requests for signals by which the kernel
would continue what the host has stopped, but for timers, whose signal lies in memory: a freeze
looks for those. Calls newer than the table do not exist as far as programs inside are concerned.
The limit of core files, which is 1 so that no crash inside runs a program of the host, seems to be
settable and is not.

Numbers: Linux ``asm/unistd_64.h`` (x86-64) and ``asm-generic/unistd.h`` (aarch64).
"""

from __future__ import annotations

import errno
import platform
import signal
import struct
from dataclasses import dataclass
from typing import Final

from ._spec import SandboxUnavailable

_ALLOW: Final = 0x7FFF0000
_KILL: Final = 0x80000000
_ERRNO: Final = 0x00050000

_LOAD: Final = 0x20
_JEQ: Final = 0x15
_JGT: Final = 0x25
_JGE: Final = 0x35
_JSET: Final = 0x45
_RETURN: Final = 0x06

_NR: Final = 0
_ARCH: Final = 4
_ARGS: Final = (16, 24, 32)
"""Offsets of the low halves of the first arguments in ``struct seccomp_data`` (little endian)."""

NEW_NAMESPACES: Final = 0x7E020000 | 0x80
"""CLONE_NEW{NS,CGROUP,UTS,IPC,USER,PID,NET,TIME}."""
FAMILIES: Final = {"unix": 1, "inet": 2, "inet6": 10, "netlink": 16}
INTERNET_PROTOCOLS: Final = (0, 1, 6, 17, 58)
"""The usual one of a socket's type, ICMP (ping), TCP, UDP, ICMPv6. Others load kernel modules."""
SET_LEASE: Final = 1024
"""F_SETLEASE: whoever opens such a file outside would wait until the lease is given up."""
SET_SIGNAL: Final = 10
PARENT_DEATH_SIGNAL: Final = 1
"""F_SETSIG and PR_SET_PDEATHSIG with SIGCONT: the kernel itself would wake what was held."""
TERMINAL_INJECTION: Final = {"TIOCSTI": 0x5412, "TIOCLINUX": 0x541C}
LAST_KNOWN: Final = 462
"""mseal, Linux 6.10. Higher numbers answer ENOSYS until they have been looked at."""

DENIED: Final[dict[str, tuple[int | None, int | None]]] = {
    # name: (x86-64, aarch64); None where the architecture has no such call
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
    "unshare": (272, 97),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "process_mrelease": (448, 448),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "bpf": (321, 280),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "userfaultfd": (323, 282),
    "perf_event_open": (298, 241),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "adjtimex": (159, 171),
    "clock_adjtime": (305, 266),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "_sysctl": (156, None),
    "personality": (135, 92),
    "vhangup": (153, 58),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "fanotify_init": (300, 262),
    "memfd_secret": (447, 447),
    "mq_notify": (244, 184),
}

CHECKED: Final[dict[str, tuple[int, int]]] = {
    "clone": (56, 220),
    "clone3": (435, 435),
    "socket": (41, 198),
    "socketpair": (53, 199),
    "ioctl": (16, 29),
    "fcntl": (72, 25),
    "prctl": (157, 167),
    "prlimit64": (302, 261),
    "setrlimit": (160, 164),
    "setpriority": (141, 140),
    "ioprio_set": (251, 30),
    "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118),
    "sched_setaffinity": (203, 122),
    "sched_setattr": (314, 274),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
}
"""Calls decided by their arguments."""

_NOT_PROCESS_1: Final = (
    "sched_setscheduler",
    "sched_setparam",
    "sched_setaffinity",
    "sched_setattr",
    "move_pages",
    "migrate_pages",
)

Instruction = tuple[int, int, int, int]
_RLIMIT_CORE: Final = 4
_PRETEND: Final = (_RETURN, 0, 0, _ERRNO)
"""Error 0: the call is not made, and reports success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Architecture:
    audit: int
    column: int
    x32: bool


ARCHITECTURES: Final = {
    "x86_64": _Architecture(audit=0xC000003E, column=0, x32=True),
    "aarch64": _Architecture(audit=0xC00000B7, column=1, x32=False),
}


def seccomp_program(machine: str | None = None) -> bytes:
    """The filter for an architecture, as an array of ``struct sock_filter``.

    Args:
        machine: name as ``uname -m`` gives it; None: this machine's.

    Raises:
        SandboxUnavailable: there is no table for the architecture. Nothing runs unfiltered.
    """
    machine = platform.machine() if machine is None else machine
    if machine not in ARCHITECTURES:
        raise SandboxUnavailable(
            f"expected one of {', '.join(ARCHITECTURES)}, for which there is a system-call "
            f"filter, found {machine}; run on one of these"
        )
    return b"".join(struct.pack("<HBBI", *i) for i in _instructions(ARCHITECTURES[machine]))


def _instructions(arch: _Architecture) -> list[Instruction]:
    def number(name: str) -> int:
        return CHECKED[name][arch.column]

    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH),
        (_JEQ, 1, 0, arch.audit),
        (_RETURN, 0, 0, _KILL),  # a 32-bit entry has other numbers
        (_LOAD, 0, 0, _NR),
    ]
    if arch.x32:
        code += [(_JGE, 0, 1, 0x40000000), _refuse(errno.ENOSYS)]
    code += [(_JGT, 0, 1, LAST_KNOWN), _refuse(errno.ENOSYS)]
    for numbers in DENIED.values():
        denied = numbers[arch.column]
        if denied is not None:
            code += [(_JEQ, 0, 1, denied), _refuse(errno.EPERM)]
    # The C library falls back to clone, whose flags a filter can see.
    code += [(_JEQ, 0, 1, number("clone3")), _refuse(errno.ENOSYS)]

    def when(name: str, block: list[Instruction]) -> None:
        """Run a block, which ends in a verdict, for one call."""
        code.extend([(_JEQ, 0, len(block), number(name)), *block])

    when(
        "clone",
        [
            (_LOAD, 0, 0, _ARGS[0]),
            (_JSET, 0, 1, NEW_NAMESPACES),
            _refuse(errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    when(
        "ioctl",
        [
            (_LOAD, 0, 0, _ARGS[1]),
            (_JEQ, 1, 0, TERMINAL_INJECTION["TIOCSTI"]),
            (_JEQ, 0, 1, TERMINAL_INJECTION["TIOCLINUX"]),
            _refuse(errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    when(
        "fcntl",
        [
            (_LOAD, 0, 0, _ARGS[1]),
            (_JEQ, 3, 0, SET_LEASE),
            (_JEQ, 0, 3, SET_SIGNAL),
            (_LOAD, 0, 0, _ARGS[2]),
            (_JEQ, 0, 1, signal.SIGCONT),
            _refuse(errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    when(
        "prctl",
        [
            (_LOAD, 0, 0, _ARGS[0]),
            (_JEQ, 0, 3, PARENT_DEATH_SIGNAL),
            (_LOAD, 0, 0, _ARGS[1]),
            (_JEQ, 0, 1, signal.SIGCONT),
            _refuse(errno.EPERM),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    when(
        "prlimit64",  # of the caller itself (pid 0) only
        [
            (_LOAD, 0, 0, _ARGS[0]),
            (_JEQ, 1, 0, 0),
            _refuse(errno.EPERM),
            (_LOAD, 0, 0, _ARGS[1]),
            (_JEQ, 0, 4, _RLIMIT_CORE),
            (_LOAD, 0, 0, _ARGS[2]),  # of the new limit's address, both halves
            (_JEQ, 0, 3, 0),
            (_LOAD, 0, 0, _ARGS[2] + 4),
            (_JEQ, 0, 1, 0),
            (_RETURN, 0, 0, _ALLOW),
            _PRETEND,
        ],
    )
    when(
        "setrlimit",
        [
            (_LOAD, 0, 0, _ARGS[0]),
            (_JEQ, 0, 1, _RLIMIT_CORE),
            _PRETEND,
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    for name in _NOT_PROCESS_1:
        when(
            name,
            [
                (_LOAD, 0, 0, _ARGS[0]),
                (_JEQ, 0, 1, 1),
                _refuse(errno.EPERM),
                (_RETURN, 0, 0, _ALLOW),
            ],
        )
    # which: process, group, user. Process 1 is in group 1 and has the same user.
    for name, user in (("setpriority", 2), ("ioprio_set", 3)):
        when(
            name,
            [
                (_LOAD, 0, 0, _ARGS[0]),
                (_JEQ, 2, 0, user),
                (_LOAD, 0, 0, _ARGS[1]),
                (_JEQ, 0, 1, 1),
                _refuse(errno.EPERM),
                (_RETURN, 0, 0, _ALLOW),
            ],
        )
    known = [(_JEQ, len(INTERNET_PROTOCOLS) + 1 - at, 0, protocol)
             for at, protocol in enumerate(INTERNET_PROTOCOLS)]  # fmt: skip
    when(
        "socket",
        [
            (_LOAD, 0, 0, _ARGS[0]),
            (_JEQ, len(known) + 8, 0, FAMILIES["unix"]),
            (_JEQ, 4, 0, FAMILIES["inet"]),
            (_JEQ, 3, 0, FAMILIES["inet6"]),
            (_JEQ, 0, len(known) + 4, FAMILIES["netlink"]),
            (_LOAD, 0, 0, _ARGS[2]),
            (_JEQ, len(known) + 3, len(known) + 2, 0),  # NETLINK_ROUTE, for name resolution
            (_LOAD, 0, 0, _ARGS[2]),
            *known,
            _refuse(errno.EPROTONOSUPPORT),
            _refuse(errno.EAFNOSUPPORT),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    when(
        "socketpair",
        [
            (_LOAD, 0, 0, _ARGS[0]),
            (_JEQ, 1, 0, FAMILIES["unix"]),
            _refuse(errno.EAFNOSUPPORT),
            (_RETURN, 0, 0, _ALLOW),
        ],
    )
    code.append((_RETURN, 0, 0, _ALLOW))
    return code


def _refuse(number: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)
