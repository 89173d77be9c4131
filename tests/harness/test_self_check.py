"""Inspect's own checks of a sandbox provider, against ours: all pass but the ones named here."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Literal

import anyio
import pytest
from inspect_ai.util import SandboxEnvironment
from inspect_ai.util._sandbox import self_check

from custodes.harness._sandboxenv import CustodesSandboxEnvironment, SandboxConfig

pytestmark = pytest.mark.anyio

FAILS = {
    # Everything in a sandbox runs as one user, who has no way to another.
    "test_exec_as_user": "this sandbox runs everything as one user",
}

Check = Callable[[SandboxEnvironment], Awaitable[None]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def checks() -> dict[str, Check]:
    return {
        name: check
        for name, check in vars(self_check).items()
        if name.startswith("test_") and inspect.iscoroutinefunction(check)
    }


@pytest.mark.parametrize("executor", ["c", "python"])
@pytest.mark.parametrize(
    "whole",
    [pytest.param(False, id="prompt"), pytest.param(True, id="all", marks=pytest.mark.slow)],
)
async def test_inspects_checks_pass_but_for_those_named(
    executor: Literal["c", "python"], whole: bool
) -> None:
    found = checks()
    assert len(found) >= 44, f"expected Inspect's whole suite, found {sorted(found)}"
    # Those of time limits wait for many seconds: here side by side, and only at full size.
    waiting = [name for name in found if "timeout" in name]
    failed: dict[str, str] = {}
    config = SandboxConfig(executor=executor, inspect_tools=False)
    boxes = await CustodesSandboxEnvironment.sample_init("self-check", config, {})

    async def run(*names: str) -> None:
        for name in names:
            try:
                with anyio.fail_after(60):
                    await found[name](boxes["default"])
            except Exception as error:
                failed[name] = f"{type(error).__name__}: {error}"

    try:
        async with anyio.create_task_group() as group:
            # One after the other: they share names of files.
            group.start_soon(run, *(name for name in found if name not in waiting))
            for name in waiting if whole else ():
                group.start_soon(run, name)
    finally:
        await CustodesSandboxEnvironment.sample_cleanup("self-check", config, boxes, False)
    assert set(failed) == set(FAILS), failed
    for name, reason in FAILS.items():
        assert reason in failed[name]
