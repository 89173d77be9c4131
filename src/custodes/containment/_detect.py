"""Which sandbox tiers are possible on this machine, tried out rather than guessed."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from typing import Final

from custodes.types import JsonObject, Tier

from ._cgroup import delegated_cgroup
from ._sandbox import Sandbox, find_bubblewrap, user_namespace_obstacle
from ._seccomp import ARCHITECTURES
from ._spec import SandboxSpec, SandboxUnavailable

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
            is never chosen: it has to be asked for.
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

    Args:
        spec: what the trial sandbox should look like; None: the usual one.
    """
    executor: str | None = None
    try:
        sandbox = await Sandbox.start(spec)
        try:
            done = await sandbox.exec(["/bin/sh", "-c", "echo $$"], timeout=20)
            executor = sandbox.executor
            receipt = await sandbox.kill()
        finally:
            await sandbox.close()
        if done.returncode != 0 or not done.stdout.strip().isdigit():
            state = TierState(
                tier=Tier.A,
                usable=False,
                reason=f"a trial command ended with {done.returncode}: {done.stderr[:200]!r}",
            )
        elif not receipt.verified:
            state = TierState(
                tier=Tier.A, usable=False, reason=f"a trial kill was not verified: {receipt.note}"
            )
        else:
            reason = f"a trial sandbox ran, and was gone {receipt.elapsed_us} us after the order"
            state = TierState(tier=Tier.A, usable=True, reason=reason)
    except SandboxUnavailable as error:
        state = TierState(tier=Tier.A, usable=False, reason=str(error))
    group = delegated_cgroup()
    return TierReport(
        available=Tier.A if state.usable else None,
        tiers=(
            state,
            TierState(
                tier=Tier.A_PRIME,
                usable=False,
                reason="not tried: Docker and Kubernetes go through Inspect's providers",
            ),
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
        cgroup=None if group is None else str(group),
        executor=executor,
    )


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
