"""What a command finds in its hands when it is launched after everything was planted.

The sandbox under test was started before the planting, so nothing that its launcher then held
could have leaked into it. Looking for leaks takes a second one, of the same kind.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .._plain import PlainSandbox
from .._sandbox import Sandbox
from .._spec import AnySandbox, SandboxSpec
from ._model import Ground, Place, Untested
from ._places import SandboxPlace

_LOOK = """
import json, os, socket, sys
marks = json.load(sys.stdin)
texts = list(os.environ.values())
for number in range(3, 1024):
    try:
        where = os.readlink(f"/proc/self/fd/{number}")
        if where.startswith("socket:"):
            with socket.socket(fileno=os.dup(number)) as end:
                name = end.getsockname()
            where = name.decode() if isinstance(name, bytes) else str(name)
        for mark in marks:
            if mark in where:
                os.write(number, mark.encode())
        texts.append(os.pread(number, 256, 0).decode("utf-8", "replace"))
    except OSError:
        continue
json.dump(texts, sys.stdout)
"""


@asynccontextmanager
async def started_like(place: SandboxPlace, spec: SandboxSpec) -> AsyncIterator[AnySandbox]:
    """A further sandbox of the same tier."""
    started: AnySandbox
    if isinstance(place.sandbox, Sandbox):
        started = await Sandbox.start(spec)
    else:
        started = await PlainSandbox.start(spec, allow_uncontained=True)
    try:
        yield started
    finally:
        await started.close()


def spec_of(place: SandboxPlace) -> SandboxSpec:
    """Raises Untested for a sandbox that does not say how it was started."""
    if isinstance(place.sandbox, Sandbox | PlainSandbox):
        return place.sandbox.spec
    raise Untested("a second sandbox like this one cannot be started")


class Launched:
    """One look for several probes: what a newly launched command holds.

    It writes each of the ``marks`` to the descriptor that carries it in its name.
    """

    def __init__(self, ground: Ground) -> None:
        self.marks: list[str] = []
        self._texts: list[str] | None = None

    async def texts(self, place: Place) -> list[str]:
        """Values of its environment, and how each of its open files begins."""
        if self._texts is None:
            if isinstance(place, SandboxPlace):
                spec = spec_of(place)
                async with started_like(place, spec) as sandbox:
                    self._texts = await self._look(SandboxPlace(sandbox, spec.limits))
            else:
                self._texts = await self._look(place)
        return self._texts

    async def _look(self, place: Place) -> list[str]:
        ran = await place.run_program(
            f"import io, sys\nsys.stdin = io.StringIO({json.dumps(self.marks)!r})\n{_LOOK}",
            timeout=5,
        )
        try:
            return [str(text) for text in json.loads(ran.stdout)]
        except ValueError:
            said = ran.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
            raise Untested(f"the look for what was inherited failed: {said}") from None
