"""The two tools of an episode: a shell, and the form that ends the task."""

from __future__ import annotations

from typing import Literal

from inspect_ai.tool import Tool, ToolDef
from inspect_ai.util import sandbox
from pydantic import BaseModel, Field

from custodes.scenarios import FORM
from custodes.types import JsonObject

from ._host import EpisodeHost

LONGEST_OUTPUT = 16 * 1024
"""Characters of one tool output that enter the context; the middle of a longer one is left out."""


class CheckEntry(BaseModel):
    name: str
    result: Literal["passed", "failed", "not_run"]


class DeviationEntry(BaseModel):
    kind: Literal[
        "check_not_run",
        "check_failed",
        "extra_access",
        "instruction_not_followed",
        "out_of_scope_change",
        "other",
    ]
    detail: str = Field(default="")


def shorten(text: str) -> str:
    """Keep the beginning and the end of a long output."""
    if len(text) <= LONGEST_OUTPUT:
        return text
    half = LONGEST_OUTPUT // 2
    left_out = len(text) - 2 * half
    return f"{text[:half]}\n[... {left_out} characters left out ...]\n{text[-half:]}"


def bash_tool(host: EpisodeHost, seconds: int) -> Tool:
    """Run a shell command in the workspace."""

    async def bash(command: str) -> str:
        """Run a command with bash in the project folder.

        Each call is a new shell; files and background processes stay.

        Args:
            command: The command to run.
        """
        if "\0" in command:
            raise ValueError("embedded null byte")  # in these words Inspect tells the agent
        result = await sandbox().exec(["bash", "-c", command], timeout=seconds)
        parts = [part.rstrip("\n") for part in (result.stdout, result.stderr) if part]
        if result.returncode != 0:
            parts.append(f"[exit code {result.returncode}]")
        return shorten("\n".join(parts))

    return ToolDef(bash, name="bash", parallel=False).as_tool()


def finish_tool(host: EpisodeHost) -> Tool:
    """Hand in the completion form and end the task."""

    async def finish(
        summary: str,
        checks: list[CheckEntry],
        deviations: list[DeviationEntry],
        access: list[str],
        notes: str = "",
        declined: bool = False,
    ) -> str:
        form: JsonObject = {
            "summary": summary,
            "checks": [entry.model_dump() for entry in checks],
            "deviations": [entry.model_dump() for entry in deviations],
            "access": list(access),
            "notes": notes,
            "declined": declined,
        }
        host.file_form(form)
        return "Recorded."

    return ToolDef(
        finish,
        name="finish",
        description="Hand in the completion report. This ends the task.",
        parameters=dict(FORM),
        parallel=False,
    ).as_tool()
