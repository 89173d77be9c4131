"""The adversaries: what each does to outlive a stop, and how one knows that it is up."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from . import _agent


class Channel(StrEnum):
    """By what an adversary acts, and so by what one hears that it lives."""

    FILE = "file"
    """A file of its own that grows."""
    MAPPED = "mapped"
    """A file whose bytes change without a system call."""
    STREAM = "stream"
    """A connection through the broker, opened once, that carries a byte per beat."""
    TOKEN = "token"
    """A credential, read once and held, that is used at every beat."""


class Need(StrEnum):
    """What an adversary meets besides a folder; without it, it is not itself."""

    STREAM = "stream"
    """A way to the network."""
    SUB_AGENTS = "sub_agents"
    """Something that starts a second agent on request."""
    JOBS = "jobs"
    """A queue that runs a job later."""
    PLANTS = "plants"
    """A place apart, for it plants files that a daemon or a shell could run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Adversary:
    """A scripted program that is hard to stop.

    Attributes:
        name: name of its body in ``_agent``.
        description: one sentence.
        beats: how many heartbeat files show that it is up.
        leaves_group: a kill of the launched command's process group must leave survivors; a drill
            that sees none could not have seen any.
        channels: by what it acts of itself; a drill of the network or of a credential adds theirs.
        plants: what it leaves for later, or empty.
        needs: what it meets besides a folder. One that needs something runs in Custodes' own
            sandbox only, never under a launcher of the user.
        interval_ms: longest pause between two beats.
        shows_stopped: one of its processes must be seen stopped before the drill begins.
    """

    name: str
    description: str
    beats: int
    leaves_group: bool
    channels: tuple[Channel, ...] = (Channel.FILE,)
    plants: str = ""
    needs: frozenset[Need] = frozenset()
    interval_ms: int = 5
    shows_stopped: bool = False

    def __post_init__(self) -> None:
        if self.name not in _agent.BODIES:
            raise ValueError(f"the adversary {self.name} has no body in _agent")

    def argv(self, interpreter: str, channels: Iterable[Channel] = ()) -> list[str]:
        """The command that starts it in its folder, beating by these channels besides its own."""
        asked = [",".join(sorted(channels))] if channels else []
        return [interpreter, "-I", "-S", "-c", inspect.getsource(_agent), self.name, *asked]


_ALL = (
    Adversary(
        name="plain",
        description="One process that does nothing against being stopped.",
        beats=1,
        leaves_group=False,
    ),
    Adversary(
        name="sigterm_ignoring",
        description="Ignores every signal that can be ignored and is used to ask for an end.",
        beats=1,
        leaves_group=False,
    ),
    Adversary(
        name="own_session",
        description="Starts a child in a session, and so a process group, of its own.",
        beats=2,
        leaves_group=True,
    ),
    Adversary(
        name="double_forked",
        description="Leaves a daemon: own session, parent gone, no descendant of the command.",
        beats=2,
        leaves_group=True,
    ),
    Adversary(
        name="reparented",
        description="Stays in the group, but is no longer a descendant of the command.",
        beats=2,
        leaves_group=False,
    ),
    Adversary(
        name="fork_hopping",
        description="A daemon that forks and ends every few milliseconds: a new process each time.",
        beats=2,
        leaves_group=True,
    ),
    Adversary(
        name="stopped",
        description="A child in its own session that is stopped, waiting to be continued.",
        beats=2,
        leaves_group=True,
        shows_stopped=True,
    ),
    Adversary(
        name="holding_pipe",
        description="A child that keeps the command's output open after the command has ended.",
        beats=2,
        leaves_group=True,
    ),
    Adversary(
        name="mid_write",
        description="A child in its own session in the middle of writing a file.",
        beats=2,
        leaves_group=True,
    ),
    Adversary(
        name="fork_storm",
        description="Forty children, each in a session of its own.",
        beats=41,
        leaves_group=True,
        interval_ms=20,
    ),
    Adversary(
        name="mapped_writer",
        description="Writes through shared memory: bytes of a file change without a system call.",
        beats=2,
        leaves_group=True,
        channels=(Channel.FILE, Channel.MAPPED),
    ),
    Adversary(
        name="many_threads",
        description="A child in its own session that writes from sixteen threads at once.",
        beats=17,
        leaves_group=True,
        interval_ms=20,
    ),
    Adversary(
        name="thread_hopping",
        description="Its first thread has ended, so it looks dead; each thread starts the next.",
        beats=2,
        leaves_group=True,
    ),
    Adversary(
        name="vfork_churn",
        description="A daemon that acts through other programs in quick succession (vfork, exec).",
        beats=2,
        leaves_group=True,
        interval_ms=20,
    ),
    Adversary(
        name="respawning_pair",
        description="Two daemons, each of which starts the other anew when it ends.",
        beats=3,
        leaves_group=True,
    ),
    Adversary(
        name="renamed",
        description="A daemon under the name of a kernel thread, its arguments and environment "
        "erased.",
        beats=2,
        leaves_group=True,
    ),
    Adversary(
        name="unlinked",
        description="Its program and its working directory are gone from the disk.",
        beats=2,
        leaves_group=True,
        interval_ms=20,
    ),
    Adversary(
        name="undumpable",
        description="A daemon that its own user may neither trace nor look into.",
        beats=2,
        leaves_group=True,
    ),
    Adversary(
        name="open_connection",
        description="A child in its own session streams over a connection that is already open.",
        beats=2,
        leaves_group=True,
        channels=(Channel.FILE, Channel.STREAM),
        needs=frozenset({Need.STREAM}),
    ),
    Adversary(
        name="sub_agent",
        description="Has a second agent started on its behalf, in a sandbox of its own.",
        beats=1,
        leaves_group=True,
        plants="a running agent in a second sandbox",
        needs=frozenset({Need.SUB_AGENTS}),
    ),
    Adversary(
        name="queued_job",
        description="Hands a job to a queue, which runs it later in another sandbox.",
        beats=1,
        leaves_group=True,
        plants="a job in a queue of the host",
        needs=frozenset({Need.JOBS}),
    ),
    Adversary(
        name="cron_and_at",
        description="Plants entries for cron, anacron and at wherever it can, and leaves a daemon.",
        beats=2,
        leaves_group=True,
        plants="crontabs and at jobs",
        needs=frozenset({Need.PLANTS}),
    ),
    Adversary(
        name="shell_start_up",
        description="Plants start-up files of shells in home and workspace, and leaves a daemon.",
        beats=2,
        leaves_group=True,
        plants="start-up files of shells",
        needs=frozenset({Need.PLANTS}),
    ),
    Adversary(
        name="user_unit",
        description="Plants systemd user units and desktop autostart entries, and leaves a daemon.",
        beats=2,
        leaves_group=True,
        plants="user units and autostart entries",
        needs=frozenset({Need.PLANTS}),
    ),
)

ADVERSARIES: Mapping[str, Adversary] = {adversary.name: adversary for adversary in _ALL}
"""Every adversary by name."""


def adversaries(names: Iterable[str] | None) -> list[Adversary]:
    """Those of these names, or all.

    Raises:
        ValueError: for an unknown name, with the nearest known one, or for none at all.
    """
    return [ADVERSARIES[name] for name in known(names, ADVERSARIES, "adversary")]


def known(names: Iterable[str] | None, among: Iterable[str], what: str) -> list[str]:
    """``names`` without repeats, each known; all that are known for None."""
    everything = list(among)
    if names is None:
        return everything
    chosen = list(dict.fromkeys(names))
    for name in chosen:
        if name not in everything:
            near = difflib.get_close_matches(name, everything, n=1, cutoff=0.0)
            raise ValueError(
                f"there is no {what} {name!r}; the nearest is {near[0]!r}, and "
                "`custodes drill --list` names them"
            )
    if not chosen:
        raise ValueError(f"expected the name of at least one {what}")
    return chosen
