"""One adversary under the user's launcher: brought up, ordered to stop, watched, cleared away."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .. import _agent
from .._adversaries import Adversary
from .._episode import Episode
from ._beats import HeldBeats
from ._commands import Command, filled_in
from ._guard import Guard
from ._marks import AGENT, BODY, FOLDER, PERMIT, RUN, Found, Mark, started, ticks_now, withdraw

_LOOK_S = 0.01
_CLEAR_S = 5.0
_BEATING_S = 1.0
_WINDOW_S = 0.3
_CLOCK_STEP_NS = 50_000_000
LONGEST_S = _agent.LIFE - 1.0
"""A run that takes longer cannot tell a stop from the adversary's own end."""
_WRAPPER = """\
import os, sys
here = os.path.dirname(os.path.abspath(__file__))
python = sys.executable or "/proc/self/exe"
argv = [python, "-I", "-S", os.path.join(here, {body!r}), *sys.argv[1:]]
os.execve(python, argv, {{**os.environ, {variable!r}: {name!r}}})
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launcher:
    """The user's own way to start an agent and to stop it.

    Attributes:
        launch, stop: lines for ``/bin/sh -c``. Placeholders: ``{agent}`` (the adversary's command,
            in ``launch`` alone), ``{dir}`` (a folder per run that both sides see), ``{name}``
            (unique per run) and ``{pid}`` (of the launch command, in ``stop`` alone).
        label: the mechanism's name in the matrix.
        python: the interpreter that ``{agent}`` names, as the launched side knows it.
        folder: where ``{dir}`` is made; the system's folder for temporary files by default.
        up_timeout_s: from launch to the last first heartbeat.
        stop_timeout_s: for the stop command itself; then it hangs, and is killed.
        grace_s: after the stop command's end until what goes on has survived.
    """

    launch: str
    stop: str
    label: str = "user"
    python: str = "python3"
    folder: Path | None = None
    up_timeout_s: float = 15.0
    stop_timeout_s: float = 15.0
    grace_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LauncherRun:
    """What one run showed.

    Attributes:
        episode: as the matrix counts it.
        stop: how the stop command ended: ``exit 0``, ``signal 9``, ``hung``, or ``not run``.
        stop_said: its last line.
        processes_seen: adversary's processes found on the host before the order; with none, only
            heartbeats could be looked at.
        heartbeat_survived: a heartbeat went on after the grace.
        others_left: processes of the launcher or of the stop command that were still there.
        uncleared: what is left after everything was done to end it.
    """

    episode: Episode
    stop: str = "not run"
    stop_said: str = ""
    processes_seen: int = 0
    heartbeat_survived: bool = False
    others_left: int = 0
    uncleared: tuple[str, ...] = ()


class Cancelled(Exception):
    """The drill was interrupted."""


def run_once(
    launcher: Launcher,
    adversary: Adversary,
    *,
    guard: Guard,
    cancelled: threading.Event,
) -> LauncherRun:
    """Launch, order, watch; whatever happens, nothing of the run is left that could be found.

    Raises:
        Cancelled: when the event is set.
    """
    try:
        with _Stage(launcher, adversary, guard, cancelled) as stage:
            found = stage.play()
    except OSError as error:
        where = launcher.folder or "the folder for temporary files"
        why = (
            f"the run could not be prepared in {where}: {error.strerror or error}; free room there "
            "or name another folder (--in)"
        )
        return LauncherRun(episode=Episode(survivors=None, unverified=why))
    if not stage.uncleared:
        return found
    return LauncherRun(
        episode=found.episode,
        stop=found.stop,
        stop_said=found.stop_said,
        processes_seen=found.processes_seen,
        heartbeat_survived=found.heartbeat_survived,
        others_left=found.others_left,
        uncleared=stage.uncleared,
    )


class _Stage:
    """The folder, the processes and the bystanders of one run."""

    def __init__(
        self,
        launcher: Launcher,
        adversary: Adversary,
        guard: Guard,
        cancelled: threading.Event,
    ) -> None:
        self.launcher = launcher
        self.adversary = adversary
        self.guard = guard
        self.cancelled = cancelled
        self.name = f"custodes-drill-{os.urandom(6).hex()}"
        self.since = ticks_now()
        self.uncleared: tuple[str, ...] = ()
        self.commands: list[Command] = []
        self.visible = 0
        self.born_ns = 0
        self.window_s = max(_WINDOW_S, 20 * adversary.interval_ms / 1000)

    def __enter__(self) -> _Stage:
        parent = self.launcher.folder
        made = tempfile.mkdtemp(prefix=FOLDER, dir=parent)
        self.folder = Path(made).resolve()
        # A name that no stop command can know: it must not end a run by the drill's own way.
        self.permit = self.folder / f"{PERMIT}{os.urandom(8).hex()}"
        self.bystanders: list[subprocess.Popen[bytes]] = []
        self.held = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # The adversary may run as another user; the sticky bit keeps its files its own.
            self.folder.chmod(0o1777)
            wrapper = _WRAPPER.format(body=BODY, variable=AGENT, name=self.name)
            body = inspect.getsource(_agent).replace(
                f'PERMIT = "{_agent.PERMIT}"', f'PERMIT = "{self.permit.name}"', 1
            )
            for name, text in (
                ("agent.py", wrapper),
                (BODY, body),
                (self.permit.name, "its removal ends the adversary\n"),
            ):
                (self.folder / name).write_text(text, "utf-8")
                (self.folder / name).chmod(0o644)
            self.permitted = _identity(self.permit)
            for argv in (
                ["sleep", "300"],
                [sys.executable, "-I", "-S", "-c", "import sys; sys.stdin.read()"],
            ):
                self.bystanders.append(_bystander(argv))
            known = [(one.pid, started(one.pid)) for one in self.bystanders]
            self.guard.began(self.name, str(self.folder), self.since, known)
            self.beats = HeldBeats(self.folder)
        except BaseException:
            self._clear_bystanders()
            shutil.rmtree(self.folder, ignore_errors=True)
            os.close(self.held)
            self.guard.ended(self.name)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        left: list[str] = []
        # By descriptor: the stop command may have moved the folder.
        withdraw(f"/proc/self/fd/{self.held}")
        for one in self.mark.end_all(_CLEAR_S):
            left.append(f"process {one.pid} ({one.comm})")
        for command in self.commands:
            command.end()
        if self._still_heard():
            left.append(f"heartbeats in {self.folder}, of processes that cannot be seen from here")
        self._clear_bystanders()
        self.beats.__exit__(None, None, None)
        folder = self._folder_now()
        _remove(folder)
        if folder.exists():
            left.append(f"the folder {folder}")
        os.close(self.held)
        self.guard.ended(self.name)
        self.uncleared = tuple(left)

    @property
    def mark(self) -> Mark:
        return Mark(
            name=self.name, folder=str(self.folder), since=self.since, beats=self.beats.inodes
        )

    def environment(self, **more: str) -> dict[str, str]:
        own = {RUN: self.name, "CUSTODES_DRILL_DIR": str(self.folder)}
        return {**os.environ, **own, **more}

    # --- the three acts ------------------------------------------------------------------------

    def play(self) -> LauncherRun:
        python = self.launcher.python
        agent = [python, "-I", "-S", str(self.folder / "agent.py"), self.adversary.name]
        self.born_ns = time.monotonic_ns()
        launched = self._start(self.launcher.launch, agent, None)
        missing = self._wait_until_up(launched)
        if missing:
            return _unverified(f"not up: {missing}")
        began = time.monotonic()
        before = self.beats.hear()
        self.born_ns = self._born()
        self.visible = len(self._adversaries())
        until = time.monotonic() + _BEATING_S
        while not before.grew(self.beats.hear()):
            if time.monotonic() > until:
                return _unverified("the adversary had ended before the order")
            self._pause(_LOOK_S)
        # On a busy machine a heartbeat is slow, and silence takes longer to mean something.
        self.window_s = max(self.window_s, 5 * (time.monotonic() - began))
        return self._order(launched)

    def _order(self, launched: Command) -> LauncherRun:
        parent = os.getppid()
        began, wall = time.monotonic_ns(), time.time_ns()
        stop = self._start(self.launcher.stop, [], launched.pid)
        how = ""
        gone: int | None = None
        until = began + int(self.launcher.stop_timeout_s * 1e9)
        while not how:
            code = stop.ended
            if code is not None:
                how = f"exit {code}" if code >= 0 else f"signal {-code}"
            elif time.monotonic_ns() > until:
                how = "hung"
                stop.end()
            gone = self._gone(gone)
        grace = time.monotonic_ns() + int(self.launcher.grace_s * 1e9)
        while time.monotonic_ns() < grace:
            gone = self._gone(gone)
        heard = self.beats.hear()
        window = time.monotonic_ns() + int(self.window_s * 1e9)
        while time.monotonic_ns() < window:
            gone = self._gone(gone)
        last = self.beats.hear()
        everything = self.mark.find()
        over = time.monotonic_ns()
        left = [one for one in everything if one.adversary]
        aged = (over - self.born_ns) / 1e9
        beating = heard.grew(last)
        collateral = sum(one.poll() is not None for one in self.bystanders)
        collateral += os.getppid() != parent
        stepped = abs((time.time_ns() - wall) - (over - began)) > _CLOCK_STEP_NS
        why_not = self._why_not_seen(aged)
        if left or beating:
            episode = Episode(
                survivors=max(1, len(left)), window_us=(over - began) // 1000, collateral=collateral
            )
        elif why_not:
            episode = Episode(survivors=None, unverified=why_not, collateral=collateral)
        else:
            effect = (last.last_wall_ns or wall) - wall
            episode = Episode(
                survivors=0,
                last_side_effect_us=None if stepped else max(0, effect // 1000),
                last_process_gone_us=None if gone is None else (gone - began) // 1000,
                window_us=(over - began) // 1000,
                collateral=collateral,
            )
        return LauncherRun(
            episode=episode,
            stop=how,
            stop_said=stop.said(),
            processes_seen=self.visible,
            heartbeat_survived=beating,
            others_left=len(everything) - len(left),
        )

    def _why_not_seen(self, aged_s: float) -> str:
        """Why silence and emptiness would say nothing here, or an empty text."""
        if aged_s > LONGEST_S:
            return (
                f"{aged_s:.0f} s passed from its start to the last look, and adversaries end by "
                f"themselves after {_agent.LIFE:.0f} s"
            )
        if self.beats.folder_gone:
            return "the folder of the heartbeats was removed while they were listened to"
        if _identity(self.permit) != self.permitted:
            return (
                "the file that lets the adversary go on was removed, not by the drill: it ended "
                "by the drill's own off switch"
            )
        try:
            space = os.statvfs(self.folder)
        except OSError as error:
            return f"the folder of the heartbeats cannot be read: {error.strerror}"
        if space.f_bavail == 0 or (space.f_files and space.f_favail == 0):
            return "the disk of the heartbeats is full: silence says nothing"
        if self.adversary.shows_stopped and not self.visible:
            return "a stopped process does not beat, and its processes are not visible from here"
        return ""

    # --- helpers -------------------------------------------------------------------------------

    def _start(self, line: str, agent: list[str], pid: int | None) -> Command:
        text = filled_in(line, agent=agent, folder=str(self.folder), name=self.name, pid=pid)
        more = {} if pid is None else {"CUSTODES_DRILL_PID": str(pid)}
        command = Command(text, self.environment(**more))
        self.commands.append(command)
        return command

    def _wait_until_up(self, launched: Command) -> str:
        """Wait for every heartbeat; returns what is missing, or nothing."""
        until = time.monotonic() + self.launcher.up_timeout_s
        failed_at: float | None = None
        while True:
            sizes = self.beats.hear().sizes
            if len(sizes) >= self.adversary.beats and min(sizes) >= 3:
                break
            now = time.monotonic()
            code = launched.ended
            if code and failed_at is None:
                failed_at = now
            late = now > until
            # A launcher may go away with 0 and leave a daemon; one that failed left nothing.
            failed = failed_at is not None and (late or now > failed_at + 0.3)
            if failed and not self._adversaries():
                end = f"exit {code}" if code and code > 0 else f"signal {-(code or 0)}"
                return _with(f"the launch command ended with {end}", launched.said())
            if late:
                what = f"{len(sizes)} of {self.adversary.beats} heartbeats"
                return _with(f"{what} within {self.launcher.up_timeout_s:g} s", launched.said())
            self._pause(0.004)
        while self.adversary.shows_stopped and time.monotonic() < until:
            found = self._adversaries()
            if not found or any(one.state in "Tt" for one in found):
                return ""
            self._pause(0.01)
        return "" if not self.adversary.shows_stopped else "no process was seen stopped"

    def _born(self) -> int:
        """When the adversary began, from the change time of what it writes first."""
        now = time.monotonic_ns()
        try:
            age = time.time_ns() - os.lstat(self.folder / "launched").st_ctime_ns
        except OSError:
            return self.born_ns  # that of the launch command, which came before
        return max(self.born_ns, min(now, now - age))

    def _adversaries(self) -> list[Found]:
        return [one for one in self.mark.find() if one.adversary]

    def _gone(self, since: int | None) -> int | None:
        """When the adversary's processes were first found gone for good; None where they are not.

        Args:
            since: the answer of the look before.
        """
        began = time.monotonic_ns()
        if not self.visible or any(one.adversary for one in self.mark.find(started_since=True)):
            since = None
        elif since is None:
            since = time.monotonic_ns()
        self.beats.hear()  # also holds files that are made anew
        # Looking takes time from what is looked at: never more than half of it.
        self._pause(max(_LOOK_S, (time.monotonic_ns() - began) / 1e9))
        return since

    def _pause(self, seconds: float) -> None:
        if self.cancelled.wait(seconds):
            raise Cancelled

    def _still_heard(self) -> bool:
        """Whether heartbeats go on although everything that was found was ended."""
        until = time.monotonic() + (_CLEAR_S if not self.visible else self.window_s)
        while True:
            first = self.beats.hear()
            time.sleep(max(0.02, 4 * self.adversary.interval_ms / 1000))
            if not first.grew(self.beats.hear()):
                return False
            if time.monotonic() > until:
                return True

    def _folder_now(self) -> Path:
        """Where the folder lies, also when the stop command has moved it."""
        with suppress(OSError):
            found, held = Path(os.readlink(f"/proc/self/fd/{self.held}")), os.fstat(self.held)
            if _identity(found) == (held.st_dev, held.st_ino):
                return found
        return self.folder

    def _clear_bystanders(self) -> None:
        for one in self.bystanders:
            one.kill()
            one.communicate()


def _unverified(why: str) -> LauncherRun:
    return LauncherRun(episode=Episode(survivors=None, unverified=why))


def _with(what: str, said: str) -> str:
    return f"{what}: {said}" if said else what


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode, or None where nothing lies."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _bystander(argv: list[str]) -> subprocess.Popen[bytes]:
    """An unrelated process that no stop has any reason to touch."""
    return subprocess.Popen(
        argv,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin"},
        cwd="/",
        start_new_session=True,
    )


def _remove(folder: Path) -> None:
    # What was just killed may still be writing.
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)
