"""The process that asks a judge's model through Inspect.

``python -m custodes.harness.judge`` reads lines of JSON and answers each with one. The first names
the model (``custodes.judge-line/1``: ``model``, ``base_url``) and is answered with
``{"ready": true}``, or with ``{"refused": why}``, after which the process ends with code 2. Each
further line is a prompt (see ``custodes.monitors``), answered with ``{"answers": […]}``: as many
as ``samples``, each with ``text``, or with ``trouble`` and ``detail``. The process ends with its
input, at once.

It judges nothing: what an answer means is read on the other side.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inspect_ai.model import Model

__all__ = ["main"]

REFUSED = 2
LONGEST_TEXT = 256 << 10
"""Characters of an answer that are handed on; what is longer is no verdict anyway."""
_SECRET_NAMES = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIALS")


@contextmanager
def _own_output() -> Iterator[io.TextIOWrapper]:
    """The line to the parent. Whatever a library prints goes to standard error instead."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as line:
        os.dup2(2, 1)
        yield line


def _say(line: io.TextIOWrapper, said: Mapping[str, Any]) -> None:
    line.write(json.dumps(said) + "\n")
    line.flush()


def _plain(error: BaseException) -> str:
    """An error in one line, without the secrets of this process's environment."""
    attempt = getattr(error, "last_attempt", None)  # of one that gave up after several
    error = getattr(attempt, "exception", lambda: None)() or error
    text = " ".join(f"{type(error).__name__}: {error}".split())
    for name, value in os.environ.items():
        if len(value) >= 8 and name.upper().endswith(_SECRET_NAMES):
            text = text.replace(value, f"<{name}>")
    return text[:300]


async def _ask(model: Model, request: Mapping[str, Any]) -> dict[str, Any]:
    """One answer."""
    import anyio

    started = time.monotonic()
    answer: dict[str, Any] = {"trouble": "timeout", "detail": f"after {request['timeout']:g} s"}
    with anyio.move_on_after(request["timeout"]):
        try:
            answer = await _generate(model, request)
        except Exception as error:
            answer = {"trouble": _kind(error), "detail": _plain(error)}
    return {**answer, "seconds": time.monotonic() - started}


def _kind(error: Exception) -> str:
    return "timeout" if "timeout" in type(error).__name__.lower() else "error"


async def _generate(model: Model, request: Mapping[str, Any]) -> dict[str, Any]:
    from inspect_ai.model import (
        ChatMessageSystem,
        ChatMessageUser,
        ContentText,
        GenerateConfig,
        ResponseSchema,
    )
    from inspect_ai.util import JSONSchema

    schema = request["json_schema"]
    config = GenerateConfig(
        max_retries=request["retries"],
        max_tokens=request["max_tokens"],
        temperature=request["temperature"],
        cache=False,
        response_schema=None
        if schema is None
        else ResponseSchema(
            name="verdict", json_schema=JSONSchema.model_validate(schema), strict=True
        ),
    )
    output = await model.generate(
        [ChatMessageSystem(content=request["system"]), ChatMessageUser(content=request["prompt"])],
        config=config,
    )
    usage = output.usage
    counted: dict[str, Any] = {
        "input_tokens": None if usage is None else usage.input_tokens,
        "output_tokens": None if usage is None else usage.output_tokens,
    }
    if output.error is not None or len(output.choices) != 1:
        detail = output.error or f"{len(output.choices)} answers to one question"
        return {"trouble": "error", "detail": " ".join(detail.split())[:300], **counted}
    (choice,) = output.choices
    content = choice.message.content
    refused = not isinstance(content, str) and any(
        isinstance(part, ContentText) and part.refusal for part in content
    )
    if choice.stop_reason == "content_filter" or refused:
        return {"trouble": "refused", "detail": "refused by the model or its filter", **counted}
    if choice.stop_reason in ("max_tokens", "model_length"):
        return {"trouble": "cut off", "detail": "the answer met a limit of length", **counted}
    if choice.stop_reason != "stop":
        detail = f"the answer ended with {choice.stop_reason}"
        return {"trouble": "error", "detail": detail, **counted}
    text = choice.message.text
    if len(text) > LONGEST_TEXT:
        return {"trouble": "unparsable", "detail": "an answer without an end", **counted}
    return {"text": text, **counted}


async def _answer(line: io.TextIOWrapper, model: Model) -> None:
    import anyio

    async def one(answers: list[Any], at: int, request: Mapping[str, Any]) -> None:
        answers[at] = await _ask(model, request)

    async def handle(request: Mapping[str, Any]) -> None:
        answers: list[Any] = [None] * int(request["samples"])
        async with anyio.create_task_group() as samples:
            for at in range(len(answers)):
                samples.start_soon(one, answers, at, request)
        _say(line, {"answers": answers})

    async with anyio.create_task_group() as tasks:
        # Read on while a question is open: the end of the input ends that as well.
        while asked := await anyio.to_thread.run_sync(sys.stdin.readline):
            tasks.start_soon(handle, json.loads(asked))
        tasks.cancel_scope.cancel()


def main() -> int:
    """Serve until the input ends; returns the exit code."""
    with _own_output() as line, tempfile.TemporaryDirectory(prefix="custodes-judge-") as folder:
        # What Inspect keeps for itself is not kept beyond this process.
        os.environ["XDG_DATA_HOME"] = os.path.join(folder, "data")
        os.environ["XDG_CACHE_HOME"] = os.path.join(folder, "cache")
        first = sys.stdin.readline()
        if not first:
            return 0
        settings = json.loads(first)
        try:
            import anyio
            from inspect_ai.model import get_model

            model = get_model(settings["model"], base_url=settings["base_url"])
        except ModuleNotFoundError as error:
            hint = " (install custodes[assess])" if error.name == "inspect_ai" else ""
            _say(line, {"refused": f"{_plain(error)}{hint}"})
            return REFUSED
        except Exception as error:
            _say(line, {"refused": _plain(error)})
            return REFUSED
        _say(line, {"ready": True})
        anyio.run(partial(_answer, line, model))
    return 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # Nothing is left to be done, and taking a provider's libraries down takes a second.
    os._exit(code)
