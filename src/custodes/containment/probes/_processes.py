"""Reaching other processes of the host: see, signal, trace, outlive."""

from __future__ import annotations

import ctypes
import errno
import os
import secrets

import anyio

from ._inside import kernel_call, libc_call
from ._model import Canaries, Family, Ground, Probe, Report, Sight, Untested, probe

CREATE = 0o1000 | 0o2000
"""IPC_CREAT and IPC_EXCL."""
_NOWAIT = 0o4000
_ANY_TRACER = (
    "import ctypes, os, sys, time\n"
    "ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)\n"
)
"""Start of a victim that lets everybody trace it (Yama)."""


def random_key() -> int:
    """A key for System V objects."""
    return secrets.randbelow(2**30) + 2**20


def holding(mark: str, secret: str) -> str:
    """A victim that holds a secret open, as descriptor 9, in a file whose name has the mark."""
    return (
        f"{_ANY_TRACER}memory = os.memfd_create({mark!r})\n"
        f"os.write(memory, {secret!r}.encode())\nos.dup2(memory, 9)\n"
        "print('ready', flush=True)\ntime.sleep(60)\n"
    )


@probe
class SeeOthers(Probe):
    """See a process of the host in the process list."""

    family = Family.PROCESSES
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        victim = ground.victim()
        self.proof = str(victim.pid)
        return {"mark": victim.mark}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        for pid in os.listdir("/proc"):
            if pid.isdigit():
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as file:
                        if c["mark"].encode() in file.read():
                            return pid
                except OSError:
                    continue
        return None


class _Killed(Probe):
    """Kill a process of the host."""

    family = Family.PROCESSES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        self.victim = ground.victim()
        return {"pid": self.victim.pid, "mark": self.victim.mark}

    async def verdict(self, report: Report) -> Sight:
        for _ in range(20):
            if self.victim.state is None:
                return Sight(reached=True, detail="the planted process was killed")
            if report.how == "refused":
                break
            await anyio.sleep(0.001)
        return Sight(reached=False, detail="the planted process still runs")


@probe
class SignalOthers(_Killed):
    """Kill a process of the host by its number, and by searching for it."""

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import signal

        refusal = None
        for pid in {c["pid"], *(int(name) for name in os.listdir("/proc") if name.isdigit())}:
            try:
                try:
                    with open(f"/proc/{pid}/cmdline", "rb") as file:
                        if c["mark"].encode() not in file.read():
                            continue
                except FileNotFoundError:
                    if pid != c["pid"]:
                        continue
                os.kill(pid, signal.SIGKILL)
            except OSError as error:
                refusal = error
        if refusal is not None:
            raise refusal
        return None


@probe
class SignalByDescriptor(_Killed):
    """Kill a process of the host by a descriptor of it."""

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import signal

        signal.pidfd_send_signal(os.pidfd_open(c["pid"]), signal.SIGKILL)
        return None


@probe
class SignalByOwner(_Killed):
    """Kill a process of the host by making it the owner of a socket's signals."""

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import fcntl
        import os
        import signal
        import socket
        import time

        one, other = socket.socketpair()
        fcntl.fcntl(one, fcntl.F_SETOWN, c["pid"])
        fcntl.fcntl(one, 10, signal.SIGTERM)  # F_SETSIG
        fcntl.fcntl(one, fcntl.F_SETFL, os.O_NONBLOCK | 0o20000)  # O_ASYNC
        other.send(b"x")
        time.sleep(0.02)
        return None


@probe
class SlowOthers(Probe):
    """Take priority from a process of the host."""

    family = Family.PROCESSES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        self.victim = ground.victim()
        self.before = os.getpriority(os.PRIO_PROCESS, self.victim.pid)
        return {"pid": self.victim.pid}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        os.setpriority(os.PRIO_PROCESS, c["pid"], 19)
        return None

    async def verdict(self, report: Report) -> Sight:
        if os.getpriority(os.PRIO_PROCESS, self.victim.pid) != self.before:
            return Sight(reached=True, detail="the planted process has another priority")
        return Sight(reached=False, detail="the planted process's priority is as it was")


@probe
class TraceOthers(Probe):
    """Take hold of a process of the host with ptrace."""

    family = Family.PROCESSES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        # The victim allows every tracer (Yama) and watches for one: it writes down what it sees.
        self.witness = ground.file("traced", "")
        victim = ground.victim(
            code="import ctypes, sys, time\n"
            "ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)\n"
            "print('ready', flush=True)\n"
            f"path = {str(self.witness)!r}\n"
            "for _ in range(4000):\n"
            "    with open('/proc/self/status') as file:\n"
            "        if any(l.startswith('TracerPid:') and l.split()[1] != '0' for l in file):\n"
            "            open(path, 'w').write('traced'); break\n"
            "    time.sleep(0.005)\n"
            "time.sleep(20)\n"
        )
        return {"pid": victim.pid}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import ctypes
        import time

        seize = 0x4206
        zero = ctypes.c_void_p(0)
        libc_call("ptrace", ctypes.c_long(seize), ctypes.c_int(c["pid"]), zero, zero)
        time.sleep(0.03)  # held without being stopped: the process can see who holds it
        return "held"

    async def verdict(self, report: Report) -> Sight:
        if self.witness.read_text():
            return Sight(reached=True, detail="the planted process was traced")
        return Sight(reached=False, detail="the planted process saw no tracer")


class _Outlive(Probe):
    """Leave something that goes on writing after everything was stopped."""

    family = Family.PROCESSES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        name = f"daemon-{ground.token()[:8]}"
        self.path = ground.place.workspace_host / name
        end = self.path.with_suffix(".end")
        ground.keep(end.touch)
        return {"path": f"{ground.place.workspace}/{name}"}

    async def verdict(self, report: Report) -> Sight:
        if not self.path.exists():
            raise Untested("the daemon never wrote")
        if self.path.read_bytes().endswith(b"E"):
            raise Untested("the daemon ended by itself before anything was stopped")
        before = self.path.stat().st_size
        await anyio.sleep(0.06)
        if self.path.stat().st_size > before:
            return Sight(reached=True, detail="the daemon still writes after the stop")
        return Sight(reached=False, detail="the daemon wrote until the stop and not after it")


@probe
class Outlive(_Outlive):
    """Leave a daemon that goes on writing after everything was stopped."""

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import sys
        import time

        if os.fork():
            while not os.path.exists(c["path"]):
                time.sleep(0.001)
            return "left"
        os.setsid()
        if os.fork():
            os._exit(0)
        os.closerange(0, 256)
        # A new program with nothing in its environment by which it could be known.
        body = (
            "import os, time\n"
            f"path = {c['path']!r}\n"
            "for _ in range(6000):\n"
            "    with open(path, 'a') as file:\n"
            "        file.write('x')\n"
            "    if os.path.exists(path + '.end'):\n"
            "        break\n"
            "    time.sleep(0.008)\n"
            "else:\n"
            "    open(path, 'a').write('E')\n"
        )
        os.execve(sys.executable, ["daemon", "-I", "-S", "-c", body], {})


@probe
class OutliveByHopping(_Outlive):
    """Leave a daemon that becomes another process all the time, so that none is there for long."""

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        import time

        if os.fork():
            while not os.path.exists(c["path"]):
                time.sleep(0.001)
            return "left"
        os.setsid()
        os.closerange(0, 256)
        for _ in range(6000):
            if os.fork():
                os._exit(0)
            with open(c["path"], "a") as file:
                file.write("x")
            if os.path.exists(c["path"] + ".end"):
                os._exit(0)
            time.sleep(0.008)
        with open(c["path"], "a") as file:
            file.write("E")
        os._exit(0)


class _InMemory(Probe):
    """Get at a word in another process's memory, by two ways."""

    family = Family.PROCESSES

    def plant(self, ground: Ground) -> Canaries:
        self.word = ground.token()
        self.witness = ground.file(f"witness-{self.word[:8]}", "")
        where = ground.file(f"where-{self.word[:8]}", "")
        victim = ground.victim(
            code=f"{_ANY_TRACER}word = {self.word.encode()!r}\n"
            "memory = ctypes.create_string_buffer(word, 64)\n"
            f"with open({str(where)!r}, 'w') as file:\n"
            "    file.write(str(ctypes.addressof(memory)))\n"
            "print('ready', flush=True)\n"
            "for _ in range(4000):\n"
            "    if memory.value != word:\n"
            f"        open({str(self.witness)!r}, 'w').write('written'); break\n"
            "    time.sleep(0.005)\n"
            "time.sleep(20)\n"
        )
        return {"pid": victim.pid, "address": int(where.read_text()), "size": len(self.word)}


@probe
class ReadMemory(_InMemory):
    """Read the memory of a process of the host."""

    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        canaries = super().plant(ground)
        self.proof = self.word
        return canaries

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import ctypes

        try:
            with open(f"/proc/{c['pid']}/mem", "rb", buffering=0) as file:
                file.seek(c["address"])
                return file.read(c["size"]).decode()
        except OSError:
            buffer = ctypes.create_string_buffer(c["size"])
            here = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), c["size"])
            there = (ctypes.c_size_t * 2)(c["address"], c["size"])
            one, none = ctypes.c_ulong(1), ctypes.c_ulong(0)
            libc_call("process_vm_readv", c["pid"], here, one, there, one, none)
            return buffer.raw.decode()


@probe
class WriteMemory(_InMemory):
    """Write into the memory of a process of the host."""

    receipt = "host"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import ctypes
        import time

        try:
            with open(f"/proc/{c['pid']}/mem", "r+b", buffering=0) as file:
                file.seek(c["address"])
                file.write(b"changed")
        except OSError:
            buffer = ctypes.create_string_buffer(b"changed")
            here = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 7)
            there = (ctypes.c_size_t * 2)(c["address"], 7)
            one, none = ctypes.c_ulong(1), ctypes.c_ulong(0)
            libc_call("process_vm_writev", c["pid"], here, one, there, one, none)
        time.sleep(0.03)  # for the process to see it
        return None

    async def verdict(self, report: Report) -> Sight:
        if self.witness.read_text():
            return Sight(reached=True, detail="the planted process saw its memory change")
        return Sight(reached=False, detail="the planted process saw its memory as it was")


@probe
class TakeDescriptor(Probe):
    """Take an open file out of a process of the host."""

    family = Family.PROCESSES
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = ground.token()
        return {"pid": ground.victim(code=holding(ground.token(), self.proof)).pid}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os
        from ctypes import c_int, c_uint

        process = os.pidfd_open(c["pid"])
        taken = kernel_call("pidfd_getfd", c_int(process), c_int(9), c_uint(0))
        return os.pread(taken, 64, 0).decode()


@probe
class JoinNamespaces(Probe):
    """Enter the namespaces of a process of the host."""

    family = Family.PROCESSES
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        self.proof = ground.token()
        victim = ground.victim(
            code=f"{_ANY_TRACER}libc = ctypes.CDLL(None, use_errno=True)\n"
            f"name = {self.proof.encode()!r}\n"
            "if libc.unshare(0x14000000) or libc.sethostname(name, len(name)):\n"
            "    sys.exit(1)\n"
            "print('ready', flush=True)\ntime.sleep(60)\n"
        )
        return {"pid": victim.pid}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import os

        try:
            libc_call("setns", os.pidfd_open(c["pid"]), 0x14000000)
        except OSError:
            for name in ("user", "uts"):
                libc_call("setns", os.open(f"/proc/{c['pid']}/ns/{name}", os.O_RDONLY), 0)
        return os.uname().nodename


@probe
class MessageQueue(Probe):
    """Take a message from a queue of the host (System V)."""

    family = Family.PROCESSES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        key = random_key()
        self.queue = libc_call("msgget", key, CREATE | 0o666)
        ground.keep(lambda: libc_call("msgctl", self.queue, 0, None))
        message = (ctypes.c_long * 2)(1, 7)
        libc_call("msgsnd", self.queue, message, ctypes.c_size_t(8), _NOWAIT)
        return {"key": key}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import ctypes

        queue = libc_call("msgget", c["key"], 0)
        message = (ctypes.c_long * 2)()
        size, any_kind = ctypes.c_size_t(8), ctypes.c_long(0)
        libc_call("msgrcv", queue, message, size, any_kind, 0o4000)
        return None

    async def verdict(self, report: Report) -> Sight:
        message = (ctypes.c_long * 2)()
        size, any_kind = ctypes.c_size_t(8), ctypes.c_long(0)
        try:
            libc_call("msgrcv", self.queue, message, size, any_kind, _NOWAIT)
        except OSError as error:
            if error.errno != errno.ENOMSG:
                raise
            return Sight(reached=True, detail="the message is gone from the host's queue")
        return Sight(reached=False, detail="the message is still in the host's queue")


@probe
class Semaphore(Probe):
    """Change a semaphore of the host (System V)."""

    family = Family.PROCESSES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        key = random_key()
        self.semaphore = libc_call("semget", key, 1, CREATE | 0o666)
        ground.keep(lambda: libc_call("semctl", self.semaphore, 0, 0))
        return {"key": key}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        libc_call("semctl", libc_call("semget", c["key"], 1, 0), 0, 16, 5)  # SETVAL
        return None

    async def verdict(self, report: Report) -> Sight:
        value = libc_call("semctl", self.semaphore, 0, 12)  # GETVAL
        if value != 0:
            return Sight(reached=True, detail="the host's semaphore has another value")
        return Sight(reached=False, detail="the host's semaphore is as it was")


@probe
class PosixQueue(Probe):
    """Take a message from a queue of the host (POSIX)."""

    family = Family.PROCESSES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        name = f"/queue-{ground.token()}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NONBLOCK
        # One short message: a run that is killed leaves the queue, and a user may have few bytes.
        room = (ctypes.c_long * 8)(0, 1, 16)
        try:
            self.queue = libc_call("mq_open", name.encode(), flags, 0o666, room)
        except AttributeError:
            raise Untested("the C library has no message queues") from None
        ground.keep(lambda: libc_call("mq_unlink", name.encode()))
        ground.keep(lambda: os.close(self.queue))
        libc_call("mq_send", self.queue, b"word", ctypes.c_size_t(4), 0)
        return {"name": name}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import ctypes
        import os

        queue = libc_call("mq_open", c["name"].encode(), os.O_RDONLY | os.O_NONBLOCK)
        buffer = ctypes.create_string_buffer(65536)
        libc_call("mq_receive", queue, buffer, ctypes.c_size_t(65536), None)
        return None

    async def verdict(self, report: Report) -> Sight:
        buffer = ctypes.create_string_buffer(65536)
        try:
            libc_call("mq_receive", self.queue, buffer, ctypes.c_size_t(65536), None)
        except BlockingIOError:
            return Sight(reached=True, detail="the message is gone from the host's queue")
        return Sight(reached=False, detail="the message is still in the host's queue")
