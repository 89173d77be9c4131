"""The sandbox provider ``custodes``: Custodes' containment behind Inspect's interface."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from typing import Any, Literal, overload

import anyio
from inspect_ai.util import (
    ExecResult,
    OutputLimitExceededError,
    SandboxEnvironment,
    SandboxEnvironmentConfigType,
    SandboxEnvironmentLimits,
    SandboxUserUnsupportedError,
)
from pydantic import BaseModel
from typing_extensions import override

from custodes.clients import Deployment
from custodes.containment import PlainSandbox, Sandbox, SandboxSpec
from custodes.types import EpisodeKey

from ._host import USER, EpisodeHost, Templates

EPISODE_METADATA = "custodes_episode"
"""Sample metadata that makes the provider build an episode around the sandbox."""


class SandboxConfig(BaseModel, frozen=True):
    """Configuration of the provider.

    Attributes:
        allow_uncontained: whether an episode whose key names tier C may run.
        inspect_tools: whether Inspect's tool programs (`bash_session`, `text_editor`,
            `exec_remote`, MCP servers, the agent bridge) lie ready in a sandbox without an
            episode, as one read-only copy for this process. Without it Inspect copies them into
            each sandbox at the first call. An episode never has them: their folder tells the
            agent that it is being evaluated.
        executor: first process of a sandbox without an episode.
    """

    allow_uncontained: bool = False
    inspect_tools: bool = True
    executor: Literal["auto", "c", "python"] = "auto"


_templates: Templates | None = None


def templates() -> Templates:
    """The workspaces laid out by this process."""
    global _templates
    if _templates is None:
        _templates = Templates()
    return _templates


_deployment: Deployment | None = None


def set_deployment(deployment: Deployment | None) -> None:
    """Say which installed agent the episodes of this process are of; None: a bare model.

    Not part of the configuration: Inspect's log would hold a copy of the agent's files.
    """
    global _deployment
    _deployment = deployment


def close_templates() -> None:
    global _templates
    if _templates is not None:
        _templates.close()
        _templates = None


class CustodesSandboxEnvironment(SandboxEnvironment):
    """One long-lived sandbox a sample; with an episode in the metadata, its whole host side."""

    def __init__(
        self, sandbox: Sandbox | PlainSandbox, workspace: str, host: EpisodeHost | None
    ) -> None:
        super().__init__()
        self._sandbox = sandbox
        self._workspace = workspace
        self.host = host

    @classmethod
    def config_files(cls) -> list[str]:
        return []

    @classmethod
    def default_concurrency(cls) -> int | None:
        return None

    @override
    def default_polling_interval(self) -> float:
        # Inspect's 2 s are meant for containers. A poll starts its tool program, half a second of
        # one core, so that much less would keep a core busy.
        return 0.5

    @classmethod
    def config_deserialize(cls, config: dict[str, Any]) -> BaseModel:
        return SandboxConfig(**config)

    @override
    @classmethod
    async def sample_init(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        metadata: Mapping[str, Any],
    ) -> dict[str, SandboxEnvironment]:
        settings = config if isinstance(config, SandboxConfig) else SandboxConfig()
        raw = metadata.get(EPISODE_METADATA)
        if raw is None:
            sandbox = await Sandbox.start(
                SandboxSpec(inspect_tools=settings.inspect_tools, executor=settings.executor)
            )
            return {"default": cls(sandbox, sandbox.workspace, None)}
        key = EpisodeKey.from_json(json.loads(raw) if isinstance(raw, str) else raw)
        host = await EpisodeHost.start(
            key,
            templates(),
            allow_uncontained=settings.allow_uncontained,
            deployment=_deployment,
        )
        assert host.sandbox is not None
        inside = host.inside if isinstance(host.sandbox, Sandbox) else str(host.folder)
        return {"default": cls(host.sandbox, inside, host)}

    @override
    @classmethod
    async def sample_cleanup(
        cls,
        task_name: str,
        config: SandboxEnvironmentConfigType | None,
        environments: dict[str, SandboxEnvironment],
        interrupted: bool,
    ) -> None:
        with anyio.CancelScope(shield=True):
            for environment in environments.values():
                ours = environment.as_type(CustodesSandboxEnvironment)
                if ours.host is not None:
                    await ours.host.close()
                else:
                    await ours._sandbox.close()

    @override
    async def exec(
        self,
        cmd: list[str],
        input: str | bytes | None = None,
        cwd: str | None = None,
        env: dict[str, str] | None = None,
        user: str | None = None,
        timeout: int | None = None,
        timeout_retry: bool = True,
        concurrency: bool = True,
    ) -> ExecResult[str]:
        if user is not None and user != USER:
            raise SandboxUserUnsupportedError("this sandbox runs everything as one user")
        result = await self._sandbox.exec(
            cmd,
            input=input.encode() if isinstance(input, str) else input,
            cwd=self._resolve(cwd or "."),
            env=env or {},
            timeout=timeout,
            output_limit=SandboxEnvironmentLimits.MAX_EXEC_OUTPUT_SIZE,
        )
        if result.timed_out:
            raise TimeoutError(f"command timed out after {timeout} s")
        return ExecResult(
            result.returncode == 0,
            result.returncode,
            result.stdout.decode("utf-8", "replace"),
            result.stderr.decode("utf-8", "replace"),
        )

    def _resolve(self, path: str) -> str:
        if path == ".":
            return self._workspace
        return path if path.startswith("/") else f"{self._workspace}/{path}"

    @override
    async def write_file(self, file: str, contents: str | bytes) -> None:
        data = contents.encode("utf-8") if isinstance(contents, str) else contents
        await self._sandbox.write_file(self._resolve(file), data)

    @overload
    async def read_file(self, file: str, text: Literal[True] = True) -> str: ...

    @overload
    async def read_file(self, file: str, text: Literal[False]) -> bytes: ...

    @override
    async def read_file(self, file: str, text: bool = True) -> str | bytes:
        limit = SandboxEnvironmentLimits.MAX_READ_FILE_SIZE
        try:
            data = await self._sandbox.read_file(self._resolve(file), limit=limit)
        except OSError as error:
            if error.errno == errno.EFBIG:
                raise OutputLimitExceededError(
                    SandboxEnvironmentLimits.MAX_READ_FILE_SIZE_STR, None
                ) from None
            raise
        return data.decode("utf-8") if text else data
