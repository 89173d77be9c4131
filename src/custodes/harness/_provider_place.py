"""Containment probes in a sandbox of any of Inspect's providers, as a process of its own.

``python -m custodes.harness._provider_place`` reads a job as JSON from standard input and writes
one line of JSON to standard output: the matrix, or why nothing could be tested. What Inspect and
its providers print goes to standard error.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import anyio
import anyio.to_thread
from inspect_ai.util import SandboxEnvironment
from inspect_ai.util._sandbox.registry import registry_find_sandboxenv

from custodes.containment.probes import (
    Executor,
    ForeignPlace,
    Ground,
    PlaceUnusable,
    Ran,
    Untested,
    probe_foreign,
)
from custodes.types import JsonObject, Tier

from . import _registry
from ._sandboxenv import CustodesSandboxEnvironment

_ = _registry  # imported for its registrations

WORKSPACE_VARIABLE = "CUSTODES_WORKSPACE"
"""Names the folder of the host to mount, for configurations that take it from the environment."""

_T = TypeVar("_T")

_TASK = "probe"
_SHORTEST_S = 3
"""A call of an engine's client takes a second on a busy machine."""
_PATIENCE_S = 5.0
_ANSWER_S = 10.0
_HOLD_S = 5


class ProviderPlace(ForeignPlace):
    """A sandbox of one of Inspect's providers, reached through Inspect's interface alone."""

    what = "the sandbox"
    hint = "see that it has Python, and name the interpreter inside with --python"
    no_executor = "the process in charge of the sandbox is not seen from the host"

    def __init__(
        self, provider: str, config: str | None, *, python: str = "python3", timeout: float
    ) -> None:
        """Name the provider; ``start`` asks it for a sandbox.

        Args:
            provider: ``docker``, ``k8s``, ``local``, ``custodes``: a name in Inspect's registry.
            config: path of the provider's configuration, such as a compose file; None: its
                default. The variable CUSTODES_WORKSPACE names a folder of the host that it may
                mount; without it what needs a workspace that the host sees is untested.
            python: the interpreter inside.
            timeout: seconds that a run of the attempts may take.
        """
        super().__init__(python=(python,), timeout=timeout)
        self._provider = provider
        self._config = config
        self._environments: dict[str, SandboxEnvironment] = {}
        self._kind: type[SandboxEnvironment] | None = None
        self._first: Executor | None = None
        self._own_processes = True

    async def start(self) -> None:
        """Start the sandbox.

        Raises:
            PlaceUnusable: there is no such provider, or it starts nothing here.
        """
        os.environ[WORKSPACE_VARIABLE] = str(self.make_workspace())
        try:
            self._kind = registry_find_sandboxenv(self._provider)
            await self._kind.task_init(_TASK, self._config)
            self._environments = await self._kind.sample_init(_TASK, self._config, {})
        except Exception as error:  # a provider may raise anything
            await self.close()
            raise PlaceUnusable(
                f"expected that Inspect's provider {self._provider!r} starts a sandbox, found: "
                f"{_one_line(error)}"
            ) from None
        if isinstance(self.environment, CustodesSandboxEnvironment):
            sandbox = self.environment._sandbox
            self.contained = sandbox.tier is Tier.A
            self.use_workspace(sandbox.workspace_host, sandbox.workspace)

    @property
    def environment(self) -> SandboxEnvironment:
        return next(iter(self._environments.values()))

    async def _exec(self, argv: list[str], data: bytes, timeout: float) -> Ran:
        done = await self.environment.exec(
            argv,
            input=data or None,
            timeout=max(_SHORTEST_S, math.ceil(timeout)),
            timeout_retry=False,  # a second try would run the attempts twice
        )
        return Ran(
            returncode=done.returncode,
            stdout=done.stdout.encode("utf-8", "replace"),
            stderr=done.stderr.encode("utf-8", "replace"),
        )

    async def talk(self, argv: list[str], data: bytes, *, timeout: float) -> Ran:
        try:
            return await self._exec(argv, data, timeout)
        except TimeoutError:
            note = f"did not end within {timeout:g} s and was stopped"
            return Ran(returncode=-1, stdout=b"", stderr=b"", note=note)
        except Exception as error:  # a provider may raise anything
            note = f"could not start it: {_one_line(error)}"
            return Ran(returncode=-1, stdout=b"", stderr=b"", note=note)

    async def greet(self) -> None:
        await super().greet()
        await self._find_first()

    async def _find_first(self) -> None:
        """Find the first process of the sandbox's own process namespace, if it has one."""
        mark = Ground.token()
        hold = [*self.python, "-I", "-S", "-c", f"import time; time.sleep({_HOLD_S})", mark]
        async with anyio.create_task_group() as tasks:

            async def held() -> None:
                await self.talk(hold, b"", timeout=_HOLD_S)

            tasks.start_soon(held)
            with anyio.move_on_after(_HOLD_S - 1):
                while (namespace := _namespace_of_marked(mark)) is None:
                    await anyio.sleep(0.05)
                self._own_processes = namespace != _namespace("self")
                self._first = _first_of(namespace) if self._own_processes else None
            tasks.cancel_scope.cancel()

    def executor(self, ground: Ground) -> Executor:
        if (
            not self._own_processes
        ):  # it shares the host's processes: what is first there is the host's
            return self.stand_in(ground)
        if self._first is None:
            raise Untested(self.no_executor)
        return self._first

    async def run(
        self, argv: list[str], *, input: bytes = b"", timeout: float, output_limit: int
    ) -> Ran:
        limit = max(_SHORTEST_S, math.ceil(timeout))
        ran = await _apart(lambda: self._exec(argv, input, limit), limit + _PATIENCE_S)
        if max(len(ran.stdout), len(ran.stderr)) > output_limit:
            raise Untested("Inspect's interface has one limit of output for all calls")
        return ran

    async def read(self, path: str, *, patience: float = 5) -> bytes:
        async def read() -> bytes:
            return await self.environment.read_file(path, text=False)

        return await _apart(read, max(patience, _PATIENCE_S))

    async def write(self, path: str, data: bytes) -> None:
        await _apart(lambda: self.environment.write_file(path, data), _ANSWER_S)

    async def answers(self, executor: Executor) -> bool:
        if not self._own_processes:
            return self.stands(executor)
        try:
            done = await _apart(lambda: self._exec(["true"], b"", _ANSWER_S), _ANSWER_S)
        except Exception:  # whatever it is, that is no answer
            return False
        return done.returncode == 0

    async def end(self) -> None:
        if isinstance(self.environment, CustodesSandboxEnvironment):
            await self.environment._sandbox.kill()  # the folder stays to be looked at
        else:
            await self._stop_once()

    async def _stop_once(self) -> None:
        environments, self._environments = self._environments, {}
        if self._kind is not None and environments:
            await self._kind.sample_cleanup(_TASK, self._config, environments, False)

    async def close(self) -> None:
        """End the sandbox and remove what was made for it."""
        try:
            await self._stop_once()
            if self._kind is not None:
                await self._kind.task_cleanup(_TASK, self._config, True)
        finally:
            await super().close()
            os.environ.pop(WORKSPACE_VARIABLE, None)


async def _apart(call: Callable[[], Awaitable[_T]], seconds: float) -> _T:
    """Call the provider in a thread and a loop of its own.

    A provider may wait on a pipe without giving way, or not come back from its own timeout.

    Raises:
        TimeoutError: it did not come back; the thread is left to itself.
        OSError: the provider refused.
    """

    async def called() -> _T:
        return await call()

    try:
        with anyio.fail_after(seconds):
            return await anyio.to_thread.run_sync(lambda: anyio.run(called), abandon_on_cancel=True)
    except OSError:  # TimeoutError is one
        raise
    except Exception as error:  # a provider may raise anything
        raise OSError(_one_line(error)) from None


def _namespace(pid: str) -> str | None:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return None


def _namespace_of_marked(mark: str) -> str | None:
    """Process namespace of the innermost process with this last argument, or None.

    A client that hands the command to an engine has the argument too, but not the namespace.
    """
    found: set[str] = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if len(words) > 2 and words[-2] == mark.encode() and b"python" in words[0]:
            namespace = _namespace(pid)
            if namespace is not None:
                found.add(namespace)
    apart = found - {_namespace("self")}
    return next(iter(apart or found), None)


def _first_of(namespace: str | None) -> Executor | None:
    """The first process of a process namespace, as the host sees it."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if _namespace(pid) != namespace:
            continue
        try:
            lines = Path(f"/proc/{pid}/status").read_text("utf-8", "replace").splitlines()
        except OSError:
            continue
        numbers = next((line.split()[1:] for line in lines if line.startswith("NSpid:")), [])
        if numbers and numbers[-1] == "1":
            return Executor(inside=1, host=int(pid))
    return None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


async def probe_provider(
    provider: str,
    names: tuple[str, ...] | None = None,
    *,
    config: str | None = None,
    python: str = "python3",
    timeout: float,
    canaries: Path | None = None,
) -> JsonObject:
    """Try to get out of a sandbox of a provider; the matrix as JSON, labelled tier A′.

    Raises:
        ValueError: for an unknown probe.
        PlaceUnusable: no sandbox starts, or it cannot run the attempts.
    """
    place = ProviderPlace(provider, config, python=python, timeout=timeout)
    await place.start()
    matrix = await probe_foreign(place, names, tier=Tier.A_PRIME, canaries=canaries)
    return {**matrix.to_json(), "sandbox": provider}


def main() -> None:
    """Do the job on standard input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    job = json.load(sys.stdin)
    found: JsonObject
    try:
        found = {
            "matrix": anyio.run(
                lambda: probe_provider(
                    job["provider"],
                    tuple(job["names"]) or None,
                    config=job["config"],
                    python=job["python"],
                    timeout=job["timeout"],
                    canaries=None if job["canaries"] is None else Path(job["canaries"]),
                )
            )
        }
    except (PlaceUnusable, ValueError) as error:
        found = {"refused": str(error)}
    answers.write(json.dumps(found) + "\n")
    answers.flush()
    os._exit(0)  # a thread that a provider keeps waiting would hold up an ordinary end


if __name__ == "__main__":
    main()
