"""Which sandbox tiers are possible on this machine, tried out rather than guessed."""

from __future__ import annotations

import platform
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import anyio.to_thread

from custodes.types import JsonObject, Tier

from ._cgroup import delegated_cgroup
from ._engine import engine_state
from ._sandbox import Sandbox, find_bubblewrap, user_namespace_obstacle
from ._seccomp import ARCHITECTURES
from ._spec import SandboxError, SandboxSpec, SandboxUnavailable

APPARMOR_PROFILE: Final = """\
abi <abi/4.0>,
include <tunables/global>

profile bwrap /usr/bin/bwrap flags=(unconfined) {
  userns,
  include if exists <local/bwrap>
}
"""
"""For Ubuntu 24.04 and later: save as /etc/apparmor.d/bwrap, then ``apparmor_parser -r`` it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TierState:
    """Whether a tier can be used here, and the reason either way."""

    tier: Tier
    usable: bool
    reason: str

    def to_json(self) -> JsonObject:
        return {"tier": self.tier.value, "usable": self.usable, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class TierReport:
    """What was found.

    Attributes:
        available: the strongest tier that contains and is usable; None when there is none. Tier C
            is never chosen, it has to be asked for; nor is A′, of which nothing is known before
            it has been probed.
        tiers: every tier with its state.
        bubblewrap: version of bubblewrap, or None.
        kernel: release of the kernel. machine: architecture.
        seccomp: there is a system-call filter for the architecture.
        user_namespaces: a setting that forbids them, or None.
        cgroup: the delegated control group, or None.
        executor: kind of executor that ran in the trial, or None.
    """

    available: Tier | None
    tiers: tuple[TierState, ...]
    bubblewrap: str | None
    kernel: str
    machine: str
    seccomp: bool
    user_namespaces: str | None
    cgroup: str | None
    executor: str | None

    def state(self, tier: Tier) -> TierState:
        return next(state for state in self.tiers if state.tier is tier)

    def to_json(self) -> JsonObject:
        return {
            "available": None if self.available is None else self.available.value,
            "tiers": [state.to_json() for state in self.tiers],
            "bubblewrap": self.bubblewrap,
            "kernel": self.kernel,
            "machine": self.machine,
            "seccomp": self.seccomp,
            "user_namespaces": self.user_namespaces,
            "cgroup": self.cgroup,
            "executor": self.executor,
        }


async def detect_tier(spec: SandboxSpec | None = None) -> TierReport:
    """Try the tiers: tier A is started, runs a command, and is killed (some 50 ms).

    Whatever keeps a tier from working is its reason, in one line with what to do; nothing is
    raised, and no weaker tier takes the place of a stronger one.

    Args:
        spec: what the trial sandbox should look like; None: the usual one.
    """
    strongest, executor = await _tier_a(spec)
    usable, reason = await anyio.to_thread.run_sync(engine_state)
    group: str | None = None
    with suppress(SandboxUnavailable):  # a group that was named and cannot be used: told by tier A
        found = delegated_cgroup()
        group = None if found is None else str(found)
    return TierReport(
        available=Tier.A if strongest.usable else None,
        tiers=(
            strongest,
            TierState(tier=Tier.A_PRIME, usable=usable, reason=reason),
            TierState(
                tier=Tier.B, usable=False, reason="not built: no Landlock sandbox in this version"
            ),
            TierState(
                tier=Tier.C,
                usable=True,
                reason="NOT CONTAINED: plain subprocesses, only with --allow-uncontained",
            ),
        ),
        bubblewrap=_version(),
        kernel=platform.release(),
        machine=platform.machine(),
        seccomp=platform.machine() in ARCHITECTURES,
        user_namespaces=user_namespace_obstacle(),
        cgroup=group,
        executor=executor,
    )


async def _tier_a(spec: SandboxSpec | None) -> tuple[TierState, str | None]:
    """The state of tier A, and the kind of executor that ran."""

    def state(usable: bool, reason: str) -> TierState:
        return TierState(tier=Tier.A, usable=usable, reason=reason)

    executor: str | None = None
    try:
        sandbox = await Sandbox.start(spec)
        try:
            done = await sandbox.exec(["/bin/sh", "-c", "echo $$"], timeout=20)
            executor = sandbox.executor
            receipt = await sandbox.kill()
        finally:
            await sandbox.close()
    except (SandboxError, OSError) as error:
        return state(False, " ".join(str(error).split())), executor
    if done.returncode != 0 or not done.stdout.strip().isdigit():
        said = done.stderr[:200].decode("utf-8", "replace")
        return state(False, f"a trial command ended with {done.returncode}: {said!r}"), executor
    if not receipt.verified:
        return state(False, f"a trial kill was not verified: {receipt.note}"), executor
    reason = f"a trial sandbox ran, and was gone {receipt.elapsed_us} us after the order"
    return state(True, reason), executor


def _version() -> str | None:
    try:
        done = subprocess.run(
            [find_bubblewrap(), "--version"],
            capture_output=True,
            text=True,
            timeout=20,
            env={},
            check=False,
        )
    except (SandboxUnavailable, OSError, subprocess.TimeoutExpired):
        return None
    words = done.stdout.split()
    return words[-1] if words else None
