"""Probes: their registry, the ground that is planted for them, and their results."""

from __future__ import annotations

import difflib
import os
import re
import secrets
import signal
import subprocess
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, Protocol, TypeVar, cast

from custodes.types import JsonObject, Tier

from .._stop import process_identity
from ._folders import make_folder, remove_folder

Canaries = Mapping[str, Any]
"""What an attempt is told: paths, ports and numbers, as JSON."""

PROGRAM_ON_STDIN: Final = ("-I", "-S", "-")
"""Arguments of a Python that takes its program from standard input: no quoting can spoil them."""
LONGEST_TEXT: Final = 1 << 16
"""Characters that an attempt may report."""

_S = TypeVar("_S")


class Family(StrEnum):
    """What a probe tries to get past."""

    FILES = "files"
    SECRETS = "secrets"
    PROCESSES = "processes"
    NETWORK = "network"
    PRIVILEGE = "privilege"
    RESOURCES = "resources"
    IDENTITY = "identity"
    HARNESS = "harness"


class Untested(Exception):
    """The probe could not be carried out; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What an attempt said about itself (``_inside``)."""

    how: Literal["returned", "refused", "broke", "silent", "none"]
    text: str | None = None

    @staticmethod
    def parsed(found: Mapping[str, Any]) -> Report:
        """One line of the attempts' process. Raises KeyError or ValueError for another shape."""
        how, text = found["how"], found["text"]
        if isinstance(text, str) and len(text) > LONGEST_TEXT:
            raise ValueError(f"expected at most {LONGEST_TEXT} characters, found {len(text)}")
        if how not in ("returned", "refused", "broke", "silent"):
            raise ValueError(f"expected how an attempt ended, found {how!r}")
        if text is not None and not isinstance(text, str):
            raise ValueError(f"expected text or null, found {text!r}")
        return Report(how=cast(Literal["returned", "refused", "broke", "silent"], how), text=text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """Whether the attempt reached what it went for, and how that was seen.

    Attributes:
        receipt: who saw it, where that is not who usually does for the probe.
    """

    reached: bool
    detail: str
    receipt: Literal["host", "self"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Executor:
    """The process in charge of a place: its number there, and on the host."""

    inside: int
    host: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a command at a place ended.

    Attributes:
        note: why it ended otherwise than by itself, or why its output is not all of it; or empty.
    """

    returncode: int
    stdout: bytes
    stderr: bytes
    note: str = ""


class Place(Protocol):
    """Where attempts run: inside a tier, or on the bare host for the control.

    What a place does not have or cannot do raises Untested, and with it the probes that need it.
    """

    @property
    def workspace(self) -> str:
        """The working directory, as attempts name it."""
        ...

    @property
    def workspace_host(self) -> Path: ...

    @property
    def contained(self) -> bool:
        """Known to contain. Elsewhere an attempt must be harmless on the bare host."""
        ...

    @property
    def process_limit(self) -> int: ...
    @property
    def file_size_limit(self) -> int: ...
    @property
    def open_files_limit(self) -> int: ...

    def executor(self, ground: Ground) -> Executor: ...
    async def run_program(self, program: str, *, timeout: float) -> Ran:
        """Run a Python program there; what it wrote is kept when it is stopped at the timeout."""
        ...

    async def run(
        self, argv: list[str], *, input: bytes = b"", timeout: float, output_limit: int
    ) -> Ran:
        """Run a command; raises TimeoutError after ``timeout`` seconds, the command stopped."""
        ...

    async def read(self, path: str, *, patience: float = 5) -> bytes:
        """Read a file for the harness, as the tier does it; TimeoutError after ``patience`` s."""
        ...

    async def write(self, path: str, data: bytes) -> None: ...
    async def answers(self, executor: Executor) -> bool:
        """Whether the process in charge still does its work."""
        ...

    async def end(self) -> None:
        """Stop everything, the way the tier does it."""
        ...


class Victim:
    """A sleeping process on the host, planted to be found, signalled or traced."""

    def __init__(self, process: subprocess.Popen[bytes], mark: str) -> None:
        self.process = process
        self.mark = mark

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def over(self) -> bool:
        """It has ended by itself: nothing was shown by reaching for it too late."""
        code = self.process.poll()
        return code is not None and code >= 0

    @property
    def state(self) -> str | None:
        """Its state letter, or None when a signal has ended it (its number stays ours until then).

        Raises:
            Untested: it has ended by itself.
        """
        if self.over:
            raise Untested("the planted process ended by itself before it was looked at")
        if self.process.poll() is not None:
            return None
        found = process_identity(self.process.pid)
        return None if found is None else found[2]


class Ground:
    """Everything planted on the host for one run of the probes at one place."""

    def __init__(
        self, place: Place, *, uid: int | None, root: Path | None = None, lasting: float = 60
    ) -> None:
        """Plant nothing yet.

        Args:
            place: where the attempts will run.
            uid: the host's user under which the place runs, when the harness may choose it:
                victims run under it, so that no difference of users protects them.
            root: existing directory in which a folder for the canary files is made, or None for
                a temporary one.
            lasting: seconds after which planted processes end, should nobody end them.
        """
        self.place = place
        self.uid = uid
        self.victims: list[Victim] = []
        self._lasting = int(lasting)
        self._close = ExitStack()
        self._within = root
        self._root: Path | None = None
        self._shared: dict[object, object] = {}

    @property
    def root(self) -> Path:
        """A fresh folder for canary files, open to everyone.

        Raises:
            Untested: there is no place for one that every user can reach.
        """
        if self._root is None:
            try:
                root = make_folder(self._within)
            except OSError as error:
                raise Untested(f"no canary could be planted: {error}") from error
            self._root = root
        return self._root

    def shared(self, kind: Callable[[Ground], _S]) -> _S:
        """The one object of a class, made of this ground, that several probes use together."""
        if kind not in self._shared:
            self._shared[kind] = kind(self)
        return cast(_S, self._shared[kind])

    @staticmethod
    def token() -> str:
        """A word that nobody can guess."""
        return secrets.token_hex(12)

    def keep(self, undo: Callable[[], object]) -> None:
        """Call ``undo`` when the ground is cleared."""
        self._close.callback(undo)

    def directory(self, name: str) -> Path:
        path = self.root / name
        path.mkdir(exist_ok=True)
        os.chmod(path, 0o777)
        return path

    def file(self, name: str, content: str) -> Path:
        """A file that any user of the host could change."""
        path = self.root / name
        path.write_text(content, "utf-8")
        os.chmod(path, 0o666)
        return path

    def victim(
        self,
        *,
        environment: Mapping[str, str] | None = None,
        code: str | None = None,
    ) -> Victim:
        """Start a victim; with ``code``, a Python program that prints a line when it is ready."""
        mark = f"{self._lasting}.{secrets.randbelow(10**12):012d}"
        argv = ["sleep", mark] if code is None else [interpreter(), "-I", "-S", "-c", code, mark]
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if code is None else subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin", **(environment or {})},
            cwd="/",
            user=self.uid,
            group=self.uid,
            extra_groups=None if self.uid is None else [],
            start_new_session=True,
        )

        def end() -> None:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()

        self.keep(end)
        if process.stdout is not None and not process.stdout.readline():
            raise Untested("the planted process did not start")
        victim = Victim(process, mark)
        self.victims.append(victim)
        return victim

    def clear(self) -> None:
        try:
            self._close.close()
        finally:
            root, self._root = self._root, None
            if root is not None:
                remove_folder(root)


def interpreter() -> str:
    """A Python below /usr, which every tier shows inside.

    Raises:
        Untested: when the host has none.
    """
    import sys

    candidates = [
        os.path.realpath(os.path.join(sys.base_prefix, "bin", "python3")),
        "/usr/bin/python3",
        "/usr/local/bin/python3",
    ]
    for path in candidates:
        if path.startswith("/usr/") and os.access(path, os.X_OK):
            return path
    raise Untested("no Python below /usr: install the system's python3")


class Probe:
    """One containment test: what is planted, what is attempted, and what the host then sees.

    A subclass is one probe; its docstring's first line says what is attempted. An instance lives
    for one run at one place. ``attempt`` is sent as source text and may use the names of
    ``_inside`` alone.
    """

    name: ClassVar[str]
    family: ClassVar[Family]
    receipt: ClassVar[Literal["host", "self"]]
    """``host`` when the verdict rests on what the host saw, ``self`` on the attempt's word."""
    order: ClassVar[int] = 50
    """Later for what might end the place."""

    def __init__(self) -> None:
        self.proof: str | None = None

    def plant(self, ground: Ground) -> Canaries:
        """Plant what is to be reached; returns what the attempt is told."""
        return {}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        """Try it, at the place. Returns what was reached, None for nothing; raises OSError."""
        raise NotImplementedError

    @classmethod
    def attempts(cls) -> bool:
        """Whether there is an attempt: some probes only ``drive``."""
        return cls.attempt is not Probe.attempt

    async def drive(self, place: Place) -> None:
        """What the harness does after all attempts, while the place is still up."""

    async def verdict(self, report: Report) -> Sight:
        """After the place has ended. By default: the attempt brought back the proof."""
        got = report.text if report.how == "returned" else None
        if got is None:
            return Sight(reached=False, detail=report.text or "nothing was reached")
        if self.proof is not None and self.proof not in got:
            return Sight(reached=False, detail="what was read is not what was planted")
        return Sight(reached=True, detail="it brought back what was planted" if self.proof else got)

    @classmethod
    def description(cls) -> str:
        return (cls.__doc__ or "").strip().partition("\n")[0].replace("``", "")


_REGISTRY: dict[str, type[Probe]] = {}

_P = TypeVar("_P", bound=type[Probe])


def probe(cls: _P) -> _P:
    """Register a probe under its family and its class's name: ``files.read_outside``."""
    words = re.sub(r"(?<!^)(?=[A-Z])", "_", cls.__name__).lower()
    cls.name = f"{cls.family.value}.{words}"
    if cls.name in _REGISTRY:
        raise ValueError(f"two probes are called {cls.name}")
    if not cls.description():
        raise ValueError(f"{cls.name}: a probe says in its docstring what it attempts")
    _REGISTRY[cls.name] = cls
    return cls


def registered() -> Mapping[str, type[Probe]]:
    """Every probe by name, family by family."""
    families = list(Family)
    return dict(
        sorted(_REGISTRY.items(), key=lambda item: (families.index(item[1].family), item[0]))
    )


def select(names: Iterable[str] | None) -> list[type[Probe]]:
    """The probes of these names, or all of them.

    Raises:
        ValueError: for an unknown name, with the nearest known one, or for no name at all.
    """
    known = registered()
    if names is None:
        return list(known.values())
    chosen = list(dict.fromkeys(names))
    for name in chosen:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise ValueError(f"there is no probe {name!r}; the nearest is {near[0]!r}")
    if not chosen:
        raise ValueError("expected the name of at least one probe")
    return [known[name] for name in chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What one probe showed.

    Attributes:
        result: ``contained`` only where the same attempt escaped uncontained.
        receipt: who saw it.
        control: how the same attempt ended uncontained.
        detail: what was seen, or why it was not tested.
    """

    name: str
    family: Family
    description: str
    result: Literal["contained", "escaped", "untested"]
    receipt: Literal["host", "self"]
    control: Literal["escaped", "failed"]
    detail: str

    def to_json(self) -> JsonObject:
        return {
            "name": self.name,
            "family": self.family.value,
            "description": self.description,
            "result": self.result,
            "receipt": self.receipt,
            "control": self.control,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeMatrix:
    """Every probe of a run, against one tier or one command.

    Attributes:
        tier: what was probed; None for a command that the user named.
        command: that command as it was given, or empty.
    """

    tier: Tier | None
    command: str = ""
    probes: tuple[ProbeResult, ...]
    elapsed_us: int

    def of(self, result: Literal["contained", "escaped", "untested"]) -> tuple[ProbeResult, ...]:
        return tuple(probe for probe in self.probes if probe.result == result)

    def to_json(self) -> JsonObject:
        return {
            "schema": "custodes.probes/1",
            "tier": "command" if self.tier is None else self.tier.value,
            **({"command": self.command} if self.tier is None else {}),
            "elapsed_us": self.elapsed_us,
            "probes": [probe.to_json() for probe in self.probes],
        }
