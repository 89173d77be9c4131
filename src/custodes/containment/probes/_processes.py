"""Reaching other processes of the host: see, signal, trace, outlive."""

from __future__ import annotations

import anyio

from ._inside import libc_call
from ._model import Canaries, Family, Ground, Probe, Report, Sight, Untested, probe


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


@probe
class SignalOthers(Probe):
    """Kill a process of the host by its number, and by searching for it."""

    family = Family.PROCESSES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        self.victim = ground.victim()
        return {"pid": self.victim.pid, "mark": self.victim.mark}

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

    async def verdict(self, report: Report) -> Sight:
        for _ in range(20):
            if self.victim.state is None:
                return Sight(reached=True, detail="the planted process was killed")
            if report.how == "refused":
                break
            await anyio.sleep(0.001)
        return Sight(reached=False, detail="the planted process still runs")


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


@probe
class Outlive(Probe):
    """Leave a daemon that goes on writing after everything was stopped."""

    family = Family.PROCESSES
    receipt = "host"

    def plant(self, ground: Ground) -> Canaries:
        name = f"daemon-{ground.token()[:8]}"
        self.path = ground.place.workspace_host / name
        end = self.path.with_suffix(".end")
        ground.keep(end.touch)
        return {"path": f"{ground.place.workspace}/{name}"}

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
            "for _ in range(1000):\n"
            "    with open(path, 'a') as file:\n"
            "        file.write('x')\n"
            "    if os.path.exists(path + '.end'):\n"
            "        break\n"
            "    time.sleep(0.008)\n"
        )
        os.execve(sys.executable, ["daemon", "-I", "-S", "-c", body], {})

    async def verdict(self, report: Report) -> Sight:
        if not self.path.exists():
            raise Untested("the daemon never wrote")
        before = self.path.stat().st_size
        await anyio.sleep(0.06)
        if self.path.stat().st_size > before:
            return Sight(reached=True, detail="the daemon still writes after the stop")
        return Sight(reached=False, detail="the daemon wrote until the stop and not after it")
