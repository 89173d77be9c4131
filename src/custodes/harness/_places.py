"""What is left at the end of an episode: living processes, and changes outside the workspace.

Read by the host through the first process's root, without following links, while everything inside
is frozen: nothing can hide between the look at one place and the next.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from custodes.containment import PlainSandbox, ProcessInfo, Sandbox, SandboxError
from custodes.types import FileState, JsonObject, Snapshot

from ._recorder import plain
from ._snapshot import take_snapshot

LONGEST_TEXT = 16 * 1024
"""Characters of a changed file that its receipt holds; of a longer one none."""
MOST_CHANGES = 2_000
"""Changed files of one place that are receipted; of more the receipts would be incomplete."""
MOST_WORDS = 64
LONGEST_WORD = 1_000


class PlaceUnreadable(SandboxError):
    """A place cannot be looked at: what changed there is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The places of one sandbox, where the host finds them.

    Attributes:
        folders: how the scenario calls each, and its path on the host.
        skip: what is left out of the first of them, relative to it: the workspace.
    """

    folders: Mapping[str, Path]
    skip: str

    def look(self) -> dict[str, Snapshot]:
        """The state of each place; one that does not exist is empty.

        Raises:
            PlaceUnreadable: it cannot be opened.
            WorkspaceTooLarge: there is more than is read.
        """
        found = {}
        for name, folder in self.folders.items():
            try:
                found[name] = take_snapshot(
                    folder, ("*",), ended=False, without=self.skip if name == "~" else None
                )
            except FileNotFoundError:
                found[name] = Snapshot(files={})
            except OSError as error:
                raise PlaceUnreadable(f"{name}: {error.strerror}") from error
        return found


def places_of(
    sandbox: Sandbox | PlainSandbox, names: tuple[str, ...], *, home: str, project: str
) -> Places:
    """Where the places of a running sandbox are.

    Plain subprocesses have a home of their own; every other place of theirs is the host's, where
    others write too, and is left out.

    Raises:
        PlaceUnreadable: the sandbox has ended.
    """
    if isinstance(sandbox, PlainSandbox):
        own = {"~": sandbox.home_host} if "~" in names else {}
        return Places(folders=own, skip=project)
    first = next((process.pid for process in sandbox.processes() if process.init), None)
    if first is None:
        raise PlaceUnreadable("the sandbox has ended")
    root = Path(f"/proc/{first}/root")
    inside = {name: home if name == "~" else name for name in names}
    folders = {name: root / path.lstrip("/") for name, path in inside.items()}
    return Places(folders=folders, skip=project)


def changes(before: Mapping[str, Snapshot], after: Mapping[str, Snapshot]) -> Iterator[JsonObject]:
    """What differs, as the data of ``place.changed`` receipts, in order of place and path.

    Raises:
        PlaceUnreadable: more than :data:`MOST_CHANGES` files of a place differ.
    """
    for name in before.keys() & after.keys():
        old, new = before[name].files, after[name].files
        paths = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
        if len(paths) > MOST_CHANGES:
            raise PlaceUnreadable(f"{name}: {len(paths)} files changed")
        for path in paths:
            yield _change(name, path, old.get(path), new.get(path))


def _change(place: str, path: str, old: FileState | None, new: FileState | None) -> JsonObject:
    state = "removed" if new is None else "added" if old is None else "changed"
    now = new or old
    assert now is not None
    text = None if new is None or new.text is None else new.text
    return {
        "place": place,
        "path": plain(path),
        "state": state,
        "mode": now.mode,
        "size": now.size,
        "sha256": now.sha256,
        "text": text if text is not None and len(text) <= LONGEST_TEXT else None,
    }


def living(processes: tuple[ProcessInfo, ...]) -> Iterator[JsonObject]:
    """Each process that still lives, as the data of ``process.left`` receipts."""
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    ticks = os.sysconf("SC_CLK_TCK")
    inside = {process.pid: _inside(process.pid) for process in processes}
    for process in processes:
        if process.init or process.ended:
            continue
        start = _started(process.pid)
        age = 0 if start is None else max(0, round((now - start / ticks) * 1000))
        yield {
            "pid": inside[process.pid],
            "parent": inside.get(process.ppid, 0),
            "command": _command(process),
            "age_ms": age,
        }


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(1 << 20)
    except OSError:
        return b""


def _inside(pid: int) -> int:
    """The number that the process has inside."""
    for line in _read(f"/proc/{pid}/status").splitlines():
        if line.startswith(b"NSpid:"):
            return int(line.split()[-1])
    return pid


def _started(pid: int) -> int | None:
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[19]) if len(fields) > 19 else None


def _command(process: ProcessInfo) -> list[str]:
    """Its words; in brackets the name that it gave itself, where it has no command line."""
    words = _read(f"/proc/{process.pid}/cmdline").rstrip(b"\0").split(b"\0")
    shown = [word.decode("utf-8", "backslashreplace")[:LONGEST_WORD] for word in words[:MOST_WORDS]]
    return [plain(word) for word in shown] if words != [b""] else [f"[{plain(process.comm)}]"]
