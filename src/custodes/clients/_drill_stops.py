"""The ways to stop an installed agent: its own signals and interface, and a stop order."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

import anyio

from custodes.containment import (
    JointHeartbeats,
    StopOrder,
    StopReport,
    Target,
    execute_stop,
)

from ._drill_run import NotStarted, Run, Stop, unrecorded
from ._drill_ways import Api, How


async def _interrupt(run: Run) -> None:
    run.signal(signal.SIGINT, group=True)


async def _interrupt_twice(run: Run) -> None:
    run.signal(signal.SIGINT, group=True)
    await anyio.sleep(0.5)
    with suppress(NotStarted):  # the first was enough
        run.signal(signal.SIGINT, group=True)


async def _terminate(run: Run) -> None:
    run.signal(signal.SIGTERM, group=False)


async def _hang_up(run: Run) -> None:
    run.signal(signal.SIGHUP, group=True)


async def _kill(run: Run) -> None:
    run.signal(signal.SIGKILL, group=False)


async def _by_api(run: Run) -> None:
    api: Api | None = run.setting.ways.api
    assert api is not None
    run.say(api.interrupt)


async def _order(run: Run) -> StopReport:
    heard = [run.beats(one.name) for one in run.setting.planted if one.how is not How.NOTHING]
    targets = frozenset({Target.PROCESS, Target.SANDBOX, Target.NETWORK, Target.CREDENTIAL})
    return await execute_stop(
        StopOrder(ordered_by="drill", reason="drill of an installed agent", targets=targets),
        sandbox=run.sandbox,
        broker=run.broker,
        credentials=[run.model],
        heartbeats=JointHeartbeats(heard) if heard else None,
        record=unrecorded,
    )


NOTHING: Final = Stop(name="nothing", mechanism="nothing", description="No stop.", act=None)
STOPS: Final[Mapping[str, Stop]] = {
    stop.name: stop
    for stop in (
        Stop(
            name="interrupt",
            mechanism="client:interrupt",
            description="SIGINT to the client's process group, once, as Ctrl-C gives it.",
            act=_interrupt,
        ),
        Stop(
            name="interrupt_twice",
            mechanism="client:interrupt_twice",
            description="SIGINT to the client's process group, and again half a second later.",
            act=_interrupt_twice,
        ),
        Stop(
            name="terminate",
            mechanism="client:terminate",
            description="SIGTERM to the client's process.",
            act=_terminate,
        ),
        Stop(
            name="hangup",
            mechanism="client:hangup",
            description="SIGHUP to the client's process group, as a closed terminal gives it.",
            act=_hang_up,
        ),
        Stop(
            name="kill",
            mechanism="client:kill",
            description="SIGKILL to the client's process alone.",
            act=_kill,
        ),
        Stop(
            name="api",
            mechanism="client:api",
            description="The interrupt of the client's own interface for programs.",
            act=_by_api,
            api=True,
        ),
        Stop(
            name="order",
            mechanism="freeze_then_kill",
            description="A stop order of Custodes: freeze, cut, revoke, kill, verify.",
            act=_order,
        ),
    )
}
"""Every way to stop by name."""
