"""What Custodes has to know of an installed agent in order to assess it as it is deployed.

An installed agent is a program that is given a prompt, talks to its model's server and runs tools
of its own. Three things are told apart: what a client is (:class:`Preset`), what a user has of it
(:class:`Installed`), and what one episode starts (:class:`Launch`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol, TypeAlias

from custodes.scenarios import Conversation, Move
from custodes.types import JsonObject, Sha256

GATEWAY_PORT: Final = 8787
"""Port on the sandbox's loopback behind which the model's server is."""

PROMPT: Final = "{prompt}"
"""Stands in a command for the prompt, as one argument."""

DialectName: TypeAlias = Literal["messages", "responses", "chat", "gemini"]
"""Anthropic's messages, OpenAI's responses, OpenAI's chat completions, Gemini's generateContent."""


class ClientError(Exception):
    """Why an installed agent cannot be assessed: one line with what to do."""


# --- what goes between a client and its model's server ------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUse:
    """A call that the model's server ordered.

    Attributes:
        arguments: None when they are no JSON object; a custom tool's text is ``{"input": text}``.
    """

    id: str
    name: str
    arguments: JsonObject | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolReturn:
    """What the client reported of a call.

    Attributes:
        text: as the model is shown it. error: whether the protocol marks it as a failure.
    """

    id: str
    text: str
    error: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """One request for a completion.

    Attributes:
        model: as the client asks for it. tools: names that the client offers; empty for questions
            on the side (titles, summaries).
        returns: every tool result that the request holds, in order.
        user: every text of the user's side, in order. system: of the system's.
    """

    model: str
    tools: tuple[str, ...] = ()
    returns: tuple[ToolReturn, ...] = ()
    user: tuple[str, ...] = ()
    system: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """One completion, whole or put together from a stream.

    Attributes:
        complete: whether the protocol says that it came to its end.
        input_tokens, output_tokens: None where the server did not say.
    """

    text: str = ""
    reasoning: str = ""
    calls: tuple[ToolUse, ...] = ()
    complete: bool = True
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """A body with its type."""

    body: bytes
    content_type: str = "application/json"
    status: int = 200


class Tooling(Protocol):
    """How a scripted agent's shell commands are put into a client's own tools, and back."""

    def call(self, command: str, tools: Sequence[str]) -> tuple[str, JsonObject]:
        """The client's tool and its arguments that run a shell command.

        Raises:
            ClientError: the client offers no tool that could.
        """

    def output(self, text: str) -> str:
        """What the command printed, out of what the client made of it."""

    def denied(self, text: str, error: bool | None = None) -> str | None:
        """By what the client kept a call from running (``permission``, ``hook``, ``sandbox``), or
        None when it ran. Judged from the text that the model is shown, and from whether the
        protocol marks it as a failure (None: not known).
        """


class Dialect(Protocol):
    """One vendor's protocol, from the side of a server.

    Every method takes hostile bytes: what cannot be read raises ``ValueError`` with one line.
    """

    name: DialectName

    def wants(self, method: str, path: str) -> bool:
        """Whether a request asks for a completion. ``path`` is without the query."""

    def heard(self, path: str, body: bytes) -> Heard:
        """Read a request for a completion."""

    def spoken(self, payload: Payload) -> Spoken:
        """Read a completion: a JSON document or a stream of events, also one that breaks off."""

    def conversation(self, path: str, body: bytes, tooling: Tooling) -> Conversation:
        """A request as reference policies see it: the user's texts before the first turn are the
        task, those after are notices, tool results are the outputs, through ``tooling.output``.
        """

    def speak(self, path: str, body: bytes, move: Move, tooling: Tooling) -> Payload:
        """A reference policy's move as the completion of that request, streamed when the request
        asks for a stream. ``bash`` calls go through ``tooling.call``; ``finish`` becomes the last
        message: its text and the form as a JSON block (see :func:`~custodes.clients.form_block`).
        """

    def beside(self, method: str, path: str, body: bytes) -> Payload:
        """What a scripted server says to any other request (token counts, lists of models)."""


# --- clients and their installations ------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One start of a client inside the sandbox.

    Attributes:
        argv: the program first. environment: over the sandbox's own.
        stdin: what it reads, then end of file.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """A user's configuration as the client in the sandbox is given it.

    Attributes:
        files: path below the synthetic home to content; every secret is replaced.
        replaced: where secrets stood and of which kind, never the secret.
        left_out: what was not copied, and why (history, logs, caches, too large, unreadable).
        digest: of the files; part of the subject's identity.
    """

    files: Mapping[str, bytes]
    replaced: tuple[str, ...]
    left_out: tuple[str, ...]
    digest: Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """One installation that was found on this machine.

    Attributes:
        program: path of the program on the host, resolved.
        argv: how it is started inside (an interpreter first, for a script).
        version: in its own words.
        digest: of the program's file; part of the subject's identity.
        mounts: host path and path inside, read-only: the program and what it needs.
    """

    preset: str
    program: Path
    argv: tuple[str, ...]
    version: str
    digest: Sha256
    mounts: tuple[tuple[Path, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One client that is known by name.

    Attributes:
        name: such as ``claude-code``. title: for a reader. programs: what it is called on the PATH.
        dialect: the protocol that it speaks with its model's server.
        upstream: where that server is when the user names none.
        key_variable: variable of the host that holds the key; None when no key is needed.
        authorise: the header that carries the key: name, and text with ``{key}``.
        tested: versions that were driven; others are assessed and marked.
        oldest: below this version it is refused.
        default: words of the command when the user gives none, with :data:`PROMPT`.
        environment: what the client is started with so that it finds the gateway, holds a
            placeholder for its key, and does not update itself or phone home.
        unguarded: words of a command changed so that the client's own permission checks are off;
            None when no way is known.
        resumed: words of a command changed so that it goes on with the session that it had; None
            when the client cannot.
        base_files: path below the home to text, laid down where the user's configuration has none.
        adapted: the user's file (path below the home, content) changed as far as the gateway needs
            it: the address of the model's server and nothing else.
        config_folder: below the home, where the user's configuration lies, such as ``.claude``.
        logs: patterns below the home of the client's native logs.
        tooling: how scripts use its tools.
        complaint: what a failed start means (login wanted, refuses root, too old), from its exit
            code and its words; None when nothing is known. One line with what to do.
    """

    name: str
    title: str
    programs: tuple[str, ...]
    dialect: DialectName
    upstream: str
    key_variable: str | None
    authorise: tuple[str, str]
    tested: tuple[str, ...]
    oldest: str
    default: tuple[str, ...]
    environment: Mapping[str, str]
    unguarded: Callable[[Sequence[str]], tuple[str, ...]] | None
    resumed: Callable[[Sequence[str]], tuple[str, ...]] | None
    base_files: Mapping[str, str]
    adapted: Callable[[str, bytes], bytes]
    config_folder: str
    logs: tuple[str, ...]
    tooling: Tooling
    complaint: Callable[[int, str], str | None]
