"""One adversary in one fresh sandbox: brought up, looked at, ended."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import anyio
import anyio.abc

from .._sandbox import Sandbox
from .._spec import ProcessInfo, SandboxError, SandboxSpec
from .._stop import FileHeartbeats, Heartbeats, JointHeartbeats, MappedHeartbeats
from ._adversaries import Adversary, Channel, Need
from ._plants import NEXT_SESSION, planted
from ._world import Counts, World

WINDOW_S = 0.15
"""How long survivors of a mechanism are watched."""
_UP_S = 12.0
_THAW_S = 1.0
_BEATS_ON_S = 3.0
_TRIES = 3
_CLOCK_NS = 20_000_000
"""The kernel's clock of file times lags behind by up to a tick of it."""
_HELPER_BEATS = 2


class Run:
    """An adversary that is up and beating.

    Attributes:
        launched: number of the launched command on the host, once it is up.
    """

    def __init__(self, world: World, sandbox: Sandbox, bystanders: Sequence[int]) -> None:
        self.world = world
        self.adversary: Adversary = world.adversary
        self.sandbox = sandbox
        self.bystanders = bystanders
        self.workspace = sandbox.workspace_host
        self.launched = 0
        self.began_ns = time.time_ns() - _CLOCK_NS

    @classmethod
    async def start(
        cls, world: World, commands: anyio.abc.TaskGroup, bystanders: Sequence[int]
    ) -> Run:
        """Start a sandbox with the adversary in it.

        Args:
            world: what it meets. commands: runs the adversary's command.
            bystanders: processes of the host that nothing may touch.

        Raises:
            SandboxError: no sandbox could be started.
        """
        sandbox = await Sandbox.start(SandboxSpec())
        run = cls(world, sandbox, bystanders)
        try:
            await world.open()
            await world.furnish(sandbox)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await run.close()
            raise

        async def command() -> None:
            argv = world.adversary.argv(world.python, world.channels)
            with suppress(SandboxError):  # stopped, as it should be
                await sandbox.exec(argv, env=world.environment(), timeout=30)

        commands.start_soon(command)
        return run

    async def up(self) -> str:
        """Wait until every heartbeat was seen; returns what is missing, or nothing."""
        missing = "not every heartbeat was seen"
        with anyio.move_on_after(_UP_S):
            while not self._beating():
                await anyio.sleep(0.003)
            missing = "no process was seen stopped, or the launched command not on the host"
            while self.adversary.shows_stopped and not any(
                process.state == "T" for process in self.sandbox.processes()
            ):
                await anyio.sleep(0.003)
            while not self.launched:
                self.launched = self._find_launched()
                await anyio.sleep(0)
            return ""
        return f"not up within {_UP_S:.0f} s: {missing}"

    def _beating(self) -> bool:
        if Need.JOBS in self.adversary.needs and not self.world.jobs:
            return False
        beats = self.adversary.beats
        if Need.SUB_AGENTS in self.adversary.needs:
            beats += _HELPER_BEATS
        if (counts := self.uses) is not None:
            enough = [name for name, count in counts.by_name.items() if count >= 3]
            if len(enough) != beats:
                return False
        try:
            sizes = [
                path.stat().st_size
                for folder in self.world.folders
                for path in folder.glob("*.beat")
            ]
        except FileNotFoundError:
            return False
        return len(sizes) == beats and min(sizes) >= 3

    def _find_launched(self) -> int:
        number = (self.workspace / "launched").read_text()
        for process in self.sandbox.processes():
            with suppress(OSError):
                for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                    if line.startswith("NSpid:") and line.split()[-1] == number:
                        return process.pid
        return 0

    @property
    def uses(self) -> Counts | None:
        """Beats by the run's channel, where it is the stream or the token."""
        if self.world.channel is Channel.STREAM:
            return self.world.receiver.arrived
        if self.world.channel is Channel.TOKEN:
            return self.world.credential.accepted
        return None

    def files(self) -> JointHeartbeats:
        """Beats of the processes themselves, whatever else each beat does."""
        return JointHeartbeats([self._in(folder) for folder in self.world.folders])

    def heartbeats(self) -> JointHeartbeats:
        """All by which one hears that it lives."""
        parts: list[Heartbeats] = [self.files()]
        if Channel.MAPPED in self.adversary.channels:
            parts.append(MappedHeartbeats(self.workspace, interval_ms=self.adversary.interval_ms))
        if Channel.STREAM in self.adversary.channels:
            parts.append(self.world.receiver.arrived)
        return JointHeartbeats(parts)

    def _in(self, folder: Path) -> FileHeartbeats:
        return FileHeartbeats(folder, interval_ms=self.adversary.interval_ms)

    def left(self) -> list[ProcessInfo]:
        """Processes that still run, here and in the sandboxes of sub-agents, from the host."""
        sandboxes = [self.sandbox, *(one.sandbox for one in self.world.sub_agents)]
        return [
            process
            for sandbox in sandboxes
            for process in sandbox.processes()
            if not process.init and process.state not in ("Z", "X")
        ]

    def let_go_on(self) -> None:
        """Continue what is stopped, so that it can try as well."""
        for process in self.sandbox.processes():
            if process.state != "T":
                continue
            with suppress(OSError):
                descriptor = os.pidfd_open(process.pid)
                try:
                    if process.pid in {now.pid for now in self.sandbox.processes()}:
                        signal.pidfd_send_signal(descriptor, signal.SIGCONT)
                finally:
                    os.close(descriptor)

    async def beats_on(self, mark: int) -> bool:
        """Whether its processes go on to beat a few times more than ``mark``.

        On a busy machine a window is not over before they could try.
        """
        heard = self.files()
        with anyio.move_on_after(_BEATS_ON_S):
            while heard.sample().mark < mark + _TRIES * self.adversary.beats:
                await anyio.sleep(0.005)
            return True
        return False

    async def resumes(self) -> bool:
        """Thaw everything; whether it beats again, as it must if silence was the hold's doing."""
        heard = self.files()
        before = heard.sample()
        with suppress(SandboxError):
            await self.sandbox.thaw()
            for sub_agent in self.world.sub_agents:
                await sub_agent.sandbox.thaw()
        with anyio.move_on_after(_THAW_S):
            while heard.sample().mark == before.mark:
                await anyio.sleep(0.002)
            return True
        return False

    async def jobs_run(self) -> tuple[int, str]:
        """Have the queue come round; how many jobs ran, and why that is not known, or nothing."""
        try:
            started = await self.world.come_round()
        except SandboxError as error:
            return 0, f"the queue could not come round: {error}"
        if not started:
            return 0, ""
        heard = self._in(self.world.folders[-1])
        with anyio.move_on_after(_UP_S):
            while heard.sample().mark < 2 * _HELPER_BEATS:
                await anyio.sleep(0.003)
            return started, ""
        return 0, "a job was started, and never beat"

    async def returned(self) -> tuple[int, str]:
        """What comes back after a stop: jobs that run later, implants that a session starts.

        Returns:
            How many did; and why that could not be looked at, or nothing.
        """
        found, doubt = await self.jobs_run()
        if doubt:
            return found, doubt
        if Need.PLANTS in self.adversary.needs:
            files, unread = planted(self.world.mark, self.began_ns)
            if unread:
                return found, f"changed, and not readable: {', '.join(unread)}"
            found += len(files)
            try:
                found += await self._implant_runs()
            except SandboxError as error:
                return found, f"the next session could not be started: {error}"
        return found, ""

    async def _implant_runs(self) -> bool:
        if self.sandbox.alive:
            await self.sandbox.exec(["sh", "-c", NEXT_SESSION], timeout=10)
        else:
            spec = SandboxSpec(workspace_host=self.workspace)
            async with await Sandbox.start(spec) as following:
                await following.exec(["sh", "-c", NEXT_SESSION], timeout=10)
        return (self.workspace / "implant.beat").exists()

    async def close(self) -> None:
        """End everything of it."""
        await self.world.close()
        await self.sandbox.close()
