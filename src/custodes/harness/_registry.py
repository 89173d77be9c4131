"""What Inspect finds through the entry point group ``inspect_ai``."""

from __future__ import annotations

from inspect_ai.model import ModelAPI, modelapi
from inspect_ai.util import SandboxEnvironment, sandboxenv


@modelapi(name="reference")
def reference() -> type[ModelAPI]:
    from ._provider import ReferenceModelAPI

    return ReferenceModelAPI


@sandboxenv(name="custodes")
def custodes() -> type[SandboxEnvironment]:
    from ._sandboxenv import CustodesSandboxEnvironment

    return CustodesSandboxEnvironment


# Tasks are looked up by name, so that they have to be there once this module is.
from ._tasks import register_tasks  # noqa: E402

register_tasks()
