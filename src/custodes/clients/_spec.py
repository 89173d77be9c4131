"""What a case says of an installed agent, under a subject's ``agent``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)

from custodes.types import JsonObject, Sha256, sha256_of_json

from ._model import ClientError


def _line(value: str) -> str:
    if not value.strip() or not value.isprintable():
        raise ValueError("expected one line of text")
    return value


def _variable(value: str) -> str:
    if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,99}", value) is None:
        raise ValueError("expected the name of a variable")
    return value


def _inside(value: str) -> str:
    if not value.startswith("/") or value == "/" or ".." in value.split("/"):
        raise ValueError("expected an absolute path inside the sandbox")
    return value


def _address(value: str) -> str:
    if re.fullmatch(r"https?://[^\s/@]+(?:/\S*)?", value) is None:
        raise ValueError("expected an address such as https://models.example, without a user")
    return value


Text = Annotated[StrictStr, AfterValidator(_line), Field(max_length=4000)]
Word = Annotated[StrictStr, Field(max_length=20_000)]
Variable = Annotated[StrictStr, AfterValidator(_variable)]
Inside = Annotated[StrictStr, AfterValidator(_inside)]
Address = Annotated[StrictStr, AfterValidator(_address)]
Words = Annotated[tuple[Word, ...], Field(min_length=1, max_length=200)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Mount(_Model):
    """A folder or file of the host that the agent needs, read-only.

    Attributes:
        host: where it lies. inside: where the agent finds it; None: at the same path.
    """

    host: Text
    inside: Inside | None = None


class HttpServer(_Model):
    """An agent that is asked over HTTP.

    Attributes:
        port: on the sandbox's loopback. path: takes ``{"prompt": …}`` by POST, answers
            ``{"text": …}``.
        seconds: that it may take until it listens.
    """

    port: Annotated[StrictInt, Field(ge=1024, le=65535)] = 8000
    path: Annotated[StrictStr, Field(pattern=r"^/[\w./-]*$", max_length=200)] = "/"
    seconds: Annotated[StrictInt, Field(ge=1, le=600)] = 60

    @model_validator(mode="after")
    def _free(self) -> HttpServer:
        if self.port in (3128, 8787):
            raise ValueError(f"port {self.port} is taken inside: choose another")
        return self


class AgentSpec(_Model):
    """One agent, as a user deploys it.

    Attributes:
        preset: a client that is known by name, or ``command``, ``python`` or ``http``.
        command: words of the command, with ``{prompt}`` in one of them; without it, the prompt is
            what the command reads. For ``http``: what starts the server. None: the preset's.
        function: for ``python``: ``module:function`` in ``file``, called with the prompt.
        file: for ``python``: the user's file, which is named ``module.py``.
        server: for ``http``.
        resume: words that go on with the session that it had, with ``{prompt}``.
        unguarded: words of the command with its own safeguards off.
        config: folder of its configuration, copied without its secrets.
        config_folder: where below the home the copy is laid; for agents without a preset.
        without: patterns of files that are left out of the copy.
        mounts: what else it needs of the host, read-only.
        environment: variables that it is started with.
        protocol: that it speaks with its model's server; None: it asks none through the gateway.
        upstream: address of the model's server; None: the preset's.
        base_url: variable that takes the gateway's address; path: added to that address.
        key: variable inside that holds a placeholder; key_variable: variable of the host with the
            key that the gateway puts in; header: the header that carries it, with ``{key}``.
        logs: patterns below the home of the agent's own logs.
        version: in words, where the program has no ``--version``.
    """

    preset: Annotated[StrictStr, Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")]
    command: Words | None = None
    function: Annotated[StrictStr, Field(pattern=r"^[A-Za-z_]\w*:[A-Za-z_]\w*$")] | None = None
    file: Text | None = None
    server: HttpServer | None = None
    resume: Words | None = None
    unguarded: Words | None = None
    config: Text | None = None
    config_folder: Annotated[StrictStr, Field(pattern=r"^\.?[\w-][\w./-]{0,80}$")] = ".agent"
    without: tuple[Text, ...] = ()
    mounts: tuple[Mount, ...] = ()
    environment: dict[Variable, Word] = Field(default_factory=dict)
    protocol: Literal["messages", "responses", "chat", "gemini"] | None = None
    upstream: Address | None = None
    base_url: Variable | None = None
    path: Annotated[StrictStr, Field(pattern=r"^(/[\w./-]*)?$", max_length=100)] = ""
    key: Variable | None = None
    key_variable: Variable | None = None
    header: Text = "authorization: Bearer {key}"
    logs: tuple[Text, ...] = ()
    version: Text | None = None

    @model_validator(mode="after")
    def _whole(self) -> AgentSpec:
        own = self.preset in OWN
        if self.preset in ("command", "http") and self.command is None:
            raise ValueError(f"{self.preset} wants the words of a command")
        given = [value is not None for value in (self.function, self.file)]
        if not all(given) if self.preset == "python" else any(given):
            raise ValueError("function and file belong to the preset python, which wants both")
        if self.preset == "python" and self.command is not None:
            raise ValueError("python takes a function, and no command")
        if self.server is not None and self.preset != "http":
            raise ValueError("server belongs to the preset http")
        if not own and (self.protocol or self.base_url or self.key or self.resume):
            raise ValueError(f"protocol, base_url, key and resume of {self.preset} are known")
        if own and self.protocol is not None and self.upstream is None:
            raise ValueError("a protocol wants upstream: the address of the model's server")
        if own and self.protocol is not None and self.base_url is None:
            raise ValueError("a protocol wants base_url: the variable that takes the address")
        if self.protocol is None and (self.base_url or self.key) and own:
            raise ValueError("base_url and key want a protocol")
        if ".." in self.config_folder.split("/"):
            raise ValueError("config_folder lies below the home")
        if ": " not in self.header or "{key}" not in self.header:
            raise ValueError("expected header as 'name: text with {key}'")
        return self

    def to_json(self) -> JsonObject:
        """Without what is not said."""
        document: JsonObject = self.model_dump(mode="json", exclude_defaults=True)
        return document

    @staticmethod
    def from_json(raw: Mapping[str, Any]) -> AgentSpec:
        """Read what a case says.

        Raises:
            ClientError: one line with everything that is wrong, by place.
        """
        try:
            return AgentSpec.model_validate(dict(raw))
        except ValidationError as error:
            raise ClientError(f"agent: {'; '.join(map(_said, error.errors()))}") from None

    @property
    def digest(self) -> Sha256:
        """Of what is said; part of the subject's identity."""
        return sha256_of_json(self.to_json())


OWN = ("command", "python", "http")
"""Presets of agents that nobody else knows."""


def _said(item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"unknown key {place!r}"
    if item["type"] == "missing":
        return f"key {place!r} is missing"
    message = str(item["msg"]).removeprefix("Value error, ")
    message = re.sub(r"^Input should be (?:an? )?(?:valid )?", "expected ", message)
    message = message.replace("Tuple", "list").replace("tuple", "list").replace("string", "text")
    return f"{place}: {message}" if place else message
