"""The loop of an installed agent ``client/1``: start it, watch its model's server, let it end.

The agent runs inside the episode's sandbox as its users run it. What the loop of a bare model does
by itself — turns, calls, messages of people, the form — is seen here at the gateway between the
agent and its model's server.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import anyio
from inspect_ai.model import ChatMessageUser
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import sandbox as inspect_sandbox

from custodes.clients import (
    DIALECTS,
    GATEWAY_PORT,
    REMINDER,
    ClientError,
    Deployment,
    Gateway,
    HostedProvider,
    Payload,
    Provider,
    ScriptedProvider,
    hosted,
    prompt_of,
    scripted,
)
from custodes.containment import ExecResult, PlainSandbox, Sandbox, SandboxError
from custodes.monitors import shipped_safeguard
from custodes.types import ReasonCode, Safeguards

from ._client_logs import collect_logs
from ._client_watch import REJECTED, ClientWatch, Ending, Message, counted
from ._gate import Gate
from ._host import EpisodeHost
from ._job import EpisodeLimits
from ._loop import code_of
from ._messages import EventLog
from ._recorder import describe, plain
from ._sandboxenv import CustodesSandboxEnvironment

_INTERRUPT_SECONDS: Final = 10.0
"""That a client is given to end after an interrupt."""
_STOP_SECONDS: Final = 15.0
"""That a stop order is given to say how it ended."""
_MOST_STARTS: Final = 6
_OUTPUT: Final = 1 << 20
_IDENTITY: Final = re.compile(r"^\s*(name|email)\s*=\s*(.+?)\s*$", re.MULTILINE)
_REMINDED: Final = "form"


@solver
def client_episode(limits: EpisodeLimits, deployment: Deployment, policy: str | None) -> Solver:
    """Run one episode of an installed agent, from its brief to its observation.

    Args:
        policy: reference policy that plays its model; None: its real provider is asked.
    """

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        host = inspect_sandbox().as_type(CustodesSandboxEnvironment).host
        if host is None:
            raise RuntimeError("the sample has no episode: set the metadata custodes_episode")
        log = EventLog(host.brief)
        gate = Gate(host, log, shipped_safeguard())
        watch = ClientWatch(host, log, gate, deployment.preset, limits)
        ending: Ending | None = None
        try:
            with anyio.move_on_after(limits.seconds) as scope:
                ending = await _run(state, host, watch, deployment, policy)
            if scope.cancelled_caught:
                ending = Ending(by="limit", detail=f"time: {limits.seconds} s")
        except Exception as error:  # whatever broke, the episode leaves its receipts
            ending = Ending(by="error", detail=f"{code_of(error).value}: {describe(error)}")
        host.last_text = watch.last_text
        with anyio.CancelScope(shield=True):
            host.recorder.record("client.traffic", counted(watch))
            await collect_logs(host, deployment.preset, watch, state)
            by, detail = ("agent", "") if ending is None else (ending.by, ending.detail)
            await host.observe(by, detail)
        host.finish(str(state.sample_id))
        return state

    return solve


def _provider(deployment: Deployment, policy: str | None) -> Provider:
    preset = deployment.preset
    if policy is not None:
        return ScriptedProvider(scripted(DIALECTS[preset.dialect], policy, preset.tooling))
    return hosted(deployment.upstream, preset.authorise, deployment.key_variable, os.environ)


async def _run(
    state: TaskState,
    host: EpisodeHost,
    watch: ClientWatch,
    deployment: Deployment,
    policy: str | None,
) -> Ending | None:
    """Start the agent, as often as somebody has something to say to it; None: it ended itself."""
    box = host.sandbox
    if not isinstance(box, Sandbox):
        raise ClientError(
            "expected a sandbox of tier A for an installed agent, found a plain process: its "
            "program, home and model's server would be the host's own; plan tier A"
        )
    prompt = prompt_of(host.brief)
    state.messages = [ChatMessageUser(content=prompt)]
    watch.show_in(state.messages)
    seen = deployment.seen or policy is not None
    provider = _provider(deployment, policy) if seen else ScriptedProvider(_no_model)
    gateway = Gateway(dialect=DIALECTS[deployment.preset.dialect], provider=provider, watch=watch)
    await gateway.serve(await box.listen(GATEWAY_PORT))
    if not seen:
        host.recorder.record("client.unseen", {})
    guarded = host.key.cell.safeguards is Safeguards.DEPLOYED
    resumable = deployment.preset.resumed is not None
    said, reminded = prompt, False
    try:
        for start in range(_MOST_STARTS):
            launch = deployment.launch(said, guarded=guarded, resumed=start > 0)
            host.recorder.record("client.started", {"start": start + 1, "guarded": guarded})
            environment = {**_git_identity(host.world.home), **launch.environment}
            done = await _until_wanted(box, host, watch, launch.argv, environment, launch.stdin)
            host.recorder.record(
                "client.ended", {"exit": None if done is None else done.returncode}
            )
            if watch.ending is not None:
                return watch.ending
            message = watch.message
            if message is not None and not resumable:
                return _unsaid(watch, message)
            if message is not None:
                watch.delivered(message)
                said = message.text
                continue
            if watch.take_form() or (done is not None and watch.take_form(_text(done.stdout))):
                return None
            problem = _problem(deployment, watch, done, seen=seen)
            if problem is not None:
                return problem
            if resumable and not reminded:
                reminded = True
                watch.delivered(Message(id=_REMINDED, text=REMINDER))
                said = REMINDER
                continue
            return Ending(by="silence", detail="the agent ended without the form")
        return Ending(by="limit", detail=f"starts of the agent: {_MOST_STARTS}")
    finally:
        with anyio.CancelScope(shield=True):
            await gateway.close()
            if isinstance(provider, HostedProvider):
                await provider.close()


def _git_identity(home: Mapping[str, str]) -> dict[str, str]:
    """The user's name and address for git as variables.

    Some clients hide the user's own configuration of git from their shell; without an identity a
    commit fails, which has nothing to do with what is measured.
    """
    found = dict(_IDENTITY.findall(home.get(".gitconfig", "")))
    return {
        f"GIT_{who}_{key.upper()}": found[key]
        for who in ("AUTHOR", "COMMITTER")
        for key in ("name", "email")
        if key in found
    }


def _unsaid(watch: ClientWatch, message: Message) -> Ending:
    """The end of an agent that cannot be told what it is to be told."""
    watch.undeliverable(message)
    if message.id.startswith(REJECTED):
        return Ending(by="stop", detail="a call was rejected, and the agent takes no message")
    return Ending(
        by="error",
        detail=f"{ReasonCode.CLIENT_ERROR.value}: the agent takes no message while it works, and "
        "one was due",
    )


def _no_model(method: str, path: str, body: bytes) -> Payload:
    """The gateway of an agent that was said to ask no model's server through it."""
    return Payload(body=b'{"error":{"message":"no model is served here"}}', status=404)


async def _until_wanted(
    box: Sandbox | PlainSandbox,
    host: EpisodeHost,
    watch: ClientWatch,
    argv: tuple[str, ...],
    environment: Mapping[str, str],
    stdin: bytes,
) -> ExecResult | None:
    """Run the agent until it ends, or until somebody outside wants it to; None: it was ended."""
    before = {process.pid for process in box.processes()}
    running = asyncio.ensure_future(
        box.exec(
            list(argv), input=stdin, cwd=host.inside_of(box, host.folder), env=environment,
            output_limit=_OUTPUT,
        )
    )  # fmt: skip
    wanted = asyncio.ensure_future(watch.wanted.wait())
    try:
        await asyncio.wait({running, wanted}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            if isinstance(running.exception(), SandboxError):
                # A stop order ends the sandbox first and says so afterwards: it is to be whole.
                await asyncio.wait({wanted}, timeout=_STOP_SECONDS)
                if watch.ending is not None:
                    return None
            return running.result()
        if watch.ending is None:
            # As a user does who presses the key for it; the session is then on disk.
            _interrupt(box, before)
            await asyncio.wait({running}, timeout=_INTERRUPT_SECONDS)
            if running.done():
                with suppress(Exception):
                    running.result()
        return None
    finally:
        wanted.cancel()
        running.cancel()
        await asyncio.gather(wanted, running, return_exceptions=True)


def _interrupt(box: Sandbox | PlainSandbox, before: set[int]) -> None:
    """Send SIGINT to what was started directly by the sandbox's first process."""
    processes = box.processes()
    first = next((process.pid for process in processes if process.init), None)
    for process in processes:
        if process.pid in before or process.init or process.ppid != first:
            continue
        with suppress(OSError):
            handle = os.pidfd_open(process.pid)
            try:
                # By the handle: the number may be another's by now, the handle cannot.
                if any(p.pid == process.pid and p.ppid == first for p in box.processes()):
                    signal.pidfd_send_signal(handle, signal.SIGINT)
            finally:
                os.close(handle)


def _problem(
    deployment: Deployment, watch: ClientWatch, done: ExecResult | None, *, seen: bool
) -> Ending | None:
    """Why the agent's end is not its own, or None."""
    if done is None or done.returncode == 0:
        if seen and watch.turns == 0:
            return Ending(
                by="error",
                detail=f"{ReasonCode.CLIENT_ERROR.value}: the agent ended without asking its model",
            )
        return None
    words = "\n".join((_text(done.stderr), _text(done.stdout)))
    known = deployment.preset.complaint(done.returncode, words)
    if known is not None:
        return Ending(by="error", detail=f"{ReasonCode.CLIENT_ERROR.value}: {plain(known)}")
    if watch.failures:
        status, problem = watch.failures[-1]
        return Ending(
            by="error", detail=f"{ReasonCode.MODEL_ERROR.value}: status {status}: {problem}"
        )
    last = next((line for line in reversed(words.splitlines()) if line.strip()), "nothing said")
    return Ending(
        by="error",
        detail=f"{ReasonCode.CLIENT_ERROR.value}: exit code {done.returncode}: {plain(last)[:200]}",
    )


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")

