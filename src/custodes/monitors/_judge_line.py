"""The line to a judge's model: a process of its own, because only it may import Inspect.

One request and one reply at a time, each a line of JSON on the process's standard input and
output. The other end is ``custodes.harness.judge``.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from custodes.types import JsonObject

START_SECONDS = 120.0
"""For the process to import Inspect and to find the model."""
GRACE_SECONDS = 15.0
"""Beyond a request's own time, until a process that does not answer is ended."""
CLOSE_SECONDS = 5.0
"""For a process to end after its input did; then it is killed."""
MOST_DEATHS = 3
"""Deaths in a row after which no further process is started."""
_LAST_WORDS = 16 << 10
SCHEMA = "custodes.judge-line/1"


class Trouble(StrEnum):
    """Why a sample is no verdict."""

    REFUSED = "refused"
    """By the model or by a content filter of its provider."""
    UNPARSABLE = "unparsable"
    CUT_OFF = "cut off"
    TIMEOUT = "timeout"
    ERROR = "error"
    """Of the provider: HTTP, authentication, a reply that makes no sense."""
    NO_MODEL = "no model"
    """The process that asks it could not be started, or died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeRequest:
    """One prompt, for a number of independent answers.

    Attributes:
        schema: JSON schema of the answer for providers that can hold a model to it, or None.
        timeout: seconds for each answer, retries included.
        retries: of calls that failed in a way that may pass.
        temperature: or None for the provider's default.
        max_tokens: of an answer.
    """

    system: str
    prompt: str
    schema: JsonObject | None
    samples: int
    timeout: float
    retries: int
    temperature: float | None
    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeReply:
    """One answer, or why there is none.

    Attributes:
        text: the answer, None iff ``trouble`` says why there is none.
        detail: of the trouble, one line.
        input_tokens: as the provider counted them, or None where it did not say.
        output_tokens: likewise.
        seconds: from the request to the answer.
    """

    text: str | None
    trouble: Trouble | None = None
    detail: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if (self.text is None) != (self.trouble is not None):
            raise ValueError("a reply has either a text or a trouble")


class JudgeModel(Protocol):
    """What answers for a judge. It never raises for what a model or a network does."""

    def ask(self, request: JudgeRequest) -> Sequence[JudgeReply]:
        """As many replies as samples were asked for."""

    def close(self) -> None:
        """End what was started; a later question starts it again."""


class InspectModel:
    """A model of any of Inspect's providers, asked through a subprocess.

    The process starts with the first question. It ends with :meth:`close`, when the object goes,
    or when this process does, however that happens: it reads the end of its input. What it wrote
    to standard error is kept, and its last line becomes the reason when it died.

    Args:
        model: Inspect's name of it.
        base_url: of its service, or None for the provider's own.
    """

    def __init__(self, model: str, *, base_url: str | None = None) -> None:
        self._settings = {"schema": SCHEMA, "model": model, "base_url": base_url}
        self._lock = threading.Lock()
        self._process: _Process | None = None
        self._deaths = 0
        self._never: str | None = None

    def ask(self, request: JudgeRequest) -> Sequence[JudgeReply]:
        """Ask once; whatever goes wrong comes back as replies without a text."""
        with self._lock:
            try:
                return self._started().ask(request)
            except _Refused as refusal:
                self._end()
                self._never = str(refusal)
                return (_nobody(self._never),) * request.samples
            except _Dead as death:
                self._end()
                self._deaths += 1
                trouble = Trouble.TIMEOUT if death.late else Trouble.NO_MODEL
                reply = JudgeReply(text=None, trouble=trouble, detail=str(death))
                return (reply,) * request.samples
            except BaseException:
                # Half a question may be on the line: its answer must not meet the next one.
                if self._process is not None:
                    self._process.kill()
                self._end()
                raise

    def close(self) -> None:
        """End the process, if there is one."""
        with self._lock:
            self._end()

    def _started(self) -> _Process:
        if self._process is not None and self._process.pid == os.getpid():
            self._deaths = 0
            return self._process
        # A process that another one started (before a fork) is that one's to talk to and to end.
        self._process = None
        if self._never is not None:
            raise _Refused(self._never)
        if self._deaths >= MOST_DEATHS:
            raise _Refused(f"the judge's process died {self._deaths} times in a row")
        self._process = _Process(self._settings)
        return self._process

    def _end(self) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None


def _nobody(why: str) -> JudgeReply:
    return JudgeReply(text=None, trouble=Trouble.NO_MODEL, detail=why)


class _Refused(Exception):
    """The model cannot be had, now or later."""


class _Dead(Exception):
    def __init__(self, why: str, *, late: bool = False) -> None:
        super().__init__(why)
        self.late = late


def _command() -> list[str]:
    # -P: the folder that a command was called in holds no code of ours.
    return [sys.executable, "-P", "-m", "custodes.harness.judge"]


class _Process:
    """The running process and its pipes."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.pid = os.getpid()
        # Without a name, so that nothing is left behind however this process ends.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        try:
            self._child = subprocess.Popen(
                _command(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError as error:
            raise _Dead(f"the judge's process could not be started: {error}") from None
        self.end = weakref.finalize(self, _end, self._child, self.pid)
        try:
            ready = self._exchange(settings, START_SECONDS)
        except _Dead:
            self.end()
            raise
        if ready.get("ready") is not True:
            self.end()
            raise _Refused(f"the judge's model cannot be used: {_line(ready.get('refused'))}")

    def kill(self) -> None:
        self._child.kill()

    def ask(self, request: JudgeRequest) -> tuple[JudgeReply, ...]:
        asked = {
            "system": request.system,
            "prompt": request.prompt,
            "json_schema": request.schema,
            "samples": request.samples,
            "timeout": request.timeout,
            "retries": request.retries,
            "temperature": request.temperature,
            "max_tokens": request.max_tokens,
        }
        answered = self._exchange(asked, request.timeout + GRACE_SECONDS).get("answers")
        if not isinstance(answered, list) or len(answered) != request.samples:
            raise _Dead("the judge's process did not answer what it was asked")
        return tuple(map(_reply, answered))

    def _exchange(self, said: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """Send a line and read one. A watchdog ends a process that does neither in time."""
        assert self._child.stdin is not None and self._child.stdout is not None
        with _watchdog(self._child, seconds) as late:
            try:
                self._child.stdin.write(json.dumps(said).encode() + b"\n")
                self._child.stdin.flush()
                line = self._child.stdout.readline()
            except (OSError, ValueError):
                line = b""
        if late.is_set():
            raise _Dead(f"the judge's process did not answer within {seconds:g} s", late=True)
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            raise _Dead(self._last_words(line)) from None
        if not isinstance(found, dict):
            raise _Dead("the judge's process did not answer what it was asked")
        return found

    def _last_words(self, line: bytes) -> str:
        if line:
            return "the judge's process did not answer what it was asked"
        try:
            code = self._child.wait(5)
        except subprocess.TimeoutExpired:
            return "the judge's process closed its output"
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        # The child's writes moved the position that both share.
        self._errors.seek(max(0, self._errors.seek(0, os.SEEK_END) - _LAST_WORDS))
        said = self._errors.read().decode("utf-8", "replace").splitlines()
        last = next((text for text in reversed(said) if text.strip()), "nothing said")
        return f"the judge's process ended with {how}: {_line(last)}"


@contextlib.contextmanager
def _watchdog(child: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    late = threading.Event()

    def bite() -> None:
        late.set()
        child.kill()

    timer = threading.Timer(seconds, bite)
    timer.daemon = True
    timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def _end(child: subprocess.Popen[bytes], started_by: int) -> None:
    if os.getpid() != started_by:
        return
    for pipe in (child.stdin, child.stdout):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()
    try:
        child.wait(CLOSE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _line(text: object) -> str:
    return " ".join(str(text or "nothing said").split())[:300]


def _reply(found: object) -> JudgeReply:
    if not isinstance(found, dict):
        return JudgeReply(text=None, trouble=Trouble.ERROR, detail="no answer to this sample")
    seconds = found.get("seconds")
    read, wrote = _tokens(found.get("input_tokens")), _tokens(found.get("output_tokens"))
    took = float(seconds) if isinstance(seconds, (int, float)) and math.isfinite(seconds) else 0.0
    text, trouble = found.get("text"), found.get("trouble")
    if isinstance(text, str) and trouble is None:
        return JudgeReply(text=text, seconds=took, input_tokens=read, output_tokens=wrote)
    known = trouble if trouble in set(Trouble) else Trouble.ERROR
    return JudgeReply(
        text=None,
        trouble=Trouble(known),
        detail=_line(found.get("detail")),
        seconds=took,
        input_tokens=read,
        output_tokens=wrote,
    )


def _tokens(count: object) -> int | None:
    return count if type(count) is int and count >= 0 else None
