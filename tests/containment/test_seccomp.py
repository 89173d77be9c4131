"""The system-call filter, run on an interpreter of its own for both architectures.

The interpreter is written from the kernel's description of classic BPF and shares nothing with the
code under test but the bytes of the program.
"""

from __future__ import annotations

import errno
import platform
import re
import struct
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.containment import SandboxUnavailable, seccomp_program
from custodes.containment._seccomp import CHECKED, DENIED, LAST_KNOWN

AUDIT: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
ALLOW: Final = "allow"
KILL: Final = "kill"
PRETEND: Final = "success without the call"
MACHINES: Final = ("x86_64", "aarch64")


def run(program: bytes, arch: int, number: int, arguments: tuple[int, ...] = ()) -> str:
    """Verdict of a filter on one call: allow, kill, or the name of an error."""
    full = (*arguments, *(0,) * (6 - len(arguments)))
    data = struct.pack("<IIQ6Q", number & 0xFFFFFFFF, arch, 0, *(a % (1 << 64) for a in full))
    code = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator = at = 0
    while True:
        operation, true, false, value = code[at]
        at += 1
        if operation == 0x20:  # BPF_LD | BPF_W | BPF_ABS
            assert value % 4 == 0 and value <= 60
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif operation == 0x06:  # BPF_RET | BPF_K
            action, detail = value & 0xFFFF0000, value & 0xFFFF
            if action == 0x7FFF0000:
                return ALLOW
            if action == 0x80000000:
                return KILL
            assert action == 0x00050000
            return errno.errorcode[detail] if detail else PRETEND
        else:
            holds = {
                0x15: accumulator == value,  # JEQ
                0x25: accumulator > value,  # JGT
                0x35: accumulator >= value,  # JGE
                0x45: bool(accumulator & value),  # JSET
            }[operation]
            at += true if holds else false


def verdict(machine: str, name: str, *arguments: int) -> str:
    table = CHECKED if name in CHECKED else DENIED
    number = table[name][MACHINES.index(machine)]
    assert number is not None
    return run(seccomp_program(machine), AUDIT[machine], number, arguments)


@pytest.mark.parametrize("machine", MACHINES)
def test_the_program_is_one_that_the_kernel_would_take(machine: str) -> None:
    program = seccomp_program(machine)
    assert len(program) % 8 == 0 and len(program) // 8 <= 4096  # BPF_MAXINSNS
    code = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    for at, (operation, true, false, _) in enumerate(code):
        assert operation in (0x20, 0x06, 0x15, 0x25, 0x35, 0x45)
        if operation not in (0x20, 0x06):
            assert at + 1 + max(true, false) < len(code), "a jump leaves the program"
    assert code[-1][0] == 0x06


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_denied_is_denied_whatever_its_arguments(machine: str) -> None:
    column = MACHINES.index(machine)
    for name, numbers in DENIED.items():
        if numbers[column] is not None:
            assert verdict(machine, name) == "EPERM", name
            assert verdict(machine, name, *(2**64 - 1,) * 6) == "EPERM", name


@pytest.mark.parametrize("machine", MACHINES)
def test_a_foreign_architecture_is_killed(machine: str) -> None:
    other = AUDIT["aarch64" if machine == "x86_64" else "x86_64"]
    for arch in (0x40000003, 0x40000028, other, 0):  # i386, arm, the other one, none
        for number in (0, 1, 59, 165, 400):
            assert run(seccomp_program(machine), arch, number) == KILL


def test_x32_numbers_do_not_exist() -> None:
    for number in (0x40000000, 0x40000000 + 165, 0x400001FF, 0xFFFFFFFF):
        assert run(seccomp_program("x86_64"), AUDIT["x86_64"], number) == "ENOSYS"


@pytest.mark.parametrize("machine", MACHINES)
@given(number=st.integers(LAST_KNOWN + 1, 2**32 - 1))
def test_unknown_calls_do_not_exist(machine: str, number: int) -> None:
    assert run(seccomp_program(machine), AUDIT[machine], number) == "ENOSYS"


@pytest.mark.parametrize("machine", MACHINES)
@given(number=st.integers(0, LAST_KNOWN), arguments=st.tuples(*(st.integers(0, 2**64 - 1),) * 6))
def test_every_other_call_is_allowed(machine: str, number: int, arguments: tuple[int, ...]) -> None:
    column = MACHINES.index(machine)
    named = {numbers[column] for numbers in (*DENIED.values(), *CHECKED.values())}
    if number not in named:
        assert run(seccomp_program(machine), AUDIT[machine], number, arguments) == ALLOW


NEW = {
    "NEWTIME": 0x80, "NEWNS": 0x20000, "NEWCGROUP": 0x2000000, "NEWUTS": 0x4000000,
    "NEWIPC": 0x8000000, "NEWUSER": 0x10000000, "NEWPID": 0x20000000, "NEWNET": 0x40000000,
}  # fmt: skip
THREAD = 0x3D0F00
"""Flags of the C library's threads."""


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("flag", NEW.values(), ids=NEW.keys())
def test_clone_makes_processes_and_threads_but_no_namespace(machine: str, flag: int) -> None:
    assert verdict(machine, "clone", 17) == ALLOW
    assert verdict(machine, "clone", THREAD) == ALLOW
    assert verdict(machine, "clone", 0x1200011) == ALLOW  # fork of the C library
    assert verdict(machine, "clone", flag) == "EPERM"
    assert verdict(machine, "clone", flag | THREAD | 17) == "EPERM"
    # Only the low half counts for the kernel, so a high half must not hide anything.
    assert verdict(machine, "clone", 2**63 | flag) == "EPERM"
    assert verdict(machine, "clone3", 0, 88) == "ENOSYS"


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_are_of_the_four_usual_families(machine: str) -> None:
    for family in range(48):
        expected = ALLOW if family in (1, 2, 10, 16) else "EAFNOSUPPORT"
        assert verdict(machine, "socket", family, 1, 0) == expected, family
    assert verdict(machine, "socket", 2, 1, 6) == ALLOW  # an explicit IPPROTO_TCP
    assert verdict(machine, "socket", 2**32 + 40, 1, 0) == "EAFNOSUPPORT"
    for family in (2, 10):
        for protocol in range(300):  # SCTP is 132, DCCP 33, MPTCP 262
            expected = ALLOW if protocol in (0, 1, 6, 17, 58) else "EPROTONOSUPPORT"
            assert verdict(machine, "socket", family, 1, protocol) == expected
    assert verdict(machine, "socket", 1, 1, 132) == ALLOW  # of unix sockets it means nothing
    for protocol in range(1, 32):  # netlink: route only
        assert verdict(machine, "socket", 16, 3, protocol) == "EAFNOSUPPORT"
    for family in range(48):
        expected = ALLOW if family == 1 else "EAFNOSUPPORT"
        assert verdict(machine, "socketpair", family, 1, 0) == expected


@pytest.mark.parametrize("machine", MACHINES)
def test_no_characters_are_put_into_a_terminal(machine: str) -> None:
    for request in (0x5412, 0x541C):
        assert verdict(machine, "ioctl", 0, request) == "EPERM"
        assert verdict(machine, "ioctl", 0, 2**32 + request) == "EPERM"
    for request in (0x5401, 0x5413, 0x541B, 0x5411):  # TCGETS, TIOCGWINSZ, FIONREAD, ...
        assert verdict(machine, "ioctl", 0, request) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_no_lease_holds_up_who_opens_a_file(machine: str) -> None:
    assert verdict(machine, "fcntl", 3, 1024, 1) == "EPERM"
    assert verdict(machine, "fcntl", 3, 2**32 + 1024, 1) == "EPERM"
    for command in (0, 1, 2, 3, 4, 6, 7, 1025, 1030, 1031, 1033):
        assert verdict(machine, "fcntl", 3, command) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_the_first_process_is_not_reached_by_limits_and_priorities(machine: str) -> None:
    for name in ("sched_setscheduler", "sched_setparam", "sched_setaffinity", "sched_setattr",
                 "move_pages", "migrate_pages"):  # fmt: skip
        assert verdict(machine, name, 1) == "EPERM", name
        assert verdict(machine, name, 2**32 + 1) == "EPERM", name
        assert verdict(machine, name, 0) == verdict(machine, name, 77) == ALLOW, name
    assert verdict(machine, "prlimit64", 0) == ALLOW
    assert verdict(machine, "prlimit64", 1) == verdict(machine, "prlimit64", 77) == "EPERM"
    for name, own, group, user in (("setpriority", 0, 1, 2), ("ioprio_set", 1, 2, 3)):
        assert verdict(machine, name, own, 0) == verdict(machine, name, own, 77) == ALLOW
        assert verdict(machine, name, own, 1) == verdict(machine, name, group, 1) == "EPERM"
        assert verdict(machine, name, user, 0) == verdict(machine, name, user, 1000) == "EPERM"


@pytest.mark.parametrize("machine", MACHINES)
def test_the_limit_of_core_files_can_be_read_but_not_set(machine: str) -> None:
    core, files, address = 4, 7, 0x7FFC_0000_0000
    assert verdict(machine, "prlimit64", 0, core, 0, address) == ALLOW
    for new in (1, address, 2**40):  # an address whose low half is 0 is one too
        assert verdict(machine, "prlimit64", 0, core, new, 0) == PRETEND
        assert verdict(machine, "prlimit64", 0, 2**32 + core, new, 0) == PRETEND
        assert verdict(machine, "prlimit64", 0, files, new, 0) == ALLOW
        assert verdict(machine, "prlimit64", 1, core, new, 0) == "EPERM"
    assert verdict(machine, "setrlimit", core, address) == PRETEND
    assert verdict(machine, "setrlimit", files, address) == ALLOW


HEADERS: Final = {
    "x86_64": "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
    "aarch64": "/usr/include/asm-generic/unistd.h",
}


@pytest.mark.parametrize("machine", MACHINES)
def test_the_numbers_are_the_kernels(machine: str) -> None:
    header = Path(HEADERS[machine])
    if not header.is_file():
        pytest.skip(f"no {header}: install the kernel's headers (linux-libc-dev)")
    text = header.read_text("utf-8")
    known = {
        name: int(number)
        for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)\b", text)
    }
    column = MACHINES.index(machine)
    ours = {name: numbers[column] for name, numbers in (DENIED | CHECKED).items()}
    assert known["read"] == {"x86_64": 0, "aarch64": 63}[machine]
    wrong = {name: (number, known.get(name)) for name, number in ours.items()
             if number != known.get(name)}  # fmt: skip
    assert not wrong


def test_elsewhere_it_refuses_instead_of_running_unfiltered() -> None:
    for machine in ("riscv64", "i686", "armv7l", "ppc64le", ""):
        with pytest.raises(SandboxUnavailable, match="run on one of these"):
            seccomp_program(machine)
    assert platform.machine() not in AUDIT or seccomp_program() == seccomp_program(
        platform.machine()
    )
