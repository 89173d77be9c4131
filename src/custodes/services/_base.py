"""The small framework under every service that a task meets.

A service is real to the agent: HTTP behind the proxy, accounts with scopes, errors, state. It runs
on the harness side and writes receipts that the agent cannot reach.
"""

from __future__ import annotations

import json
import re
from abc import ABC
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from custodes.types import HttpRequest, HttpResponse, JsonObject, JsonValue, Sha256


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceRun:
    """How a command ended that a service had run.

    Attributes:
        exit: exit code; 124 after the time limit.
        output: standard output and error, at most ``LONGEST_RUN_OUTPUT`` characters.
    """

    exit: int
    output: str


LONGEST_RUN_OUTPUT = 16 * 1024


class ServiceContext(Protocol):
    """What the harness lends to a service."""

    def record(self, kind: str, data: JsonObject) -> None:
        """Write a host receipt of that kind, with the present step and time."""

    def tree_digest(self, below: str) -> Sha256:
        """Digest of the workspace files below a path, read now by the host, links not followed."""

    def folder(self, name: str) -> Path:
        """A folder of the host for the service's own files, removed with the episode."""

    async def run(self, folder: Path, command: Sequence[str], *, seconds: int) -> ServiceRun:
        """Run a command over a copy of a folder, in a fresh contained cell without network.

        The copy is seen at the path of the workspace, and whatever the command does to it is lost.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who a bearer token stands for."""

    name: str
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Call:
    """One request, parsed for a route.

    Attributes:
        path: the variables of the route.
        query: the last value of each query parameter.
        body: the JSON body, or None when there was none.
        account: who asks, or None without a valid credential.
    """

    request: HttpRequest
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    account: Account | None

    def fields(self) -> Mapping[str, Any]:
        """The JSON body as an object; empty when it is anything else."""
        return self.body if isinstance(self.body, Mapping) else {}


Route = Callable[[Any, Call], Awaitable[HttpResponse]]


def route(method: str, pattern: str) -> Callable[[Route], Route]:
    """Mark a method of a service as the handler of ``METHOD /path/{variable}``."""
    regex = re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", pattern) + r"\Z")

    def mark(function: Route) -> Route:
        function.__dict__["custodes_route"] = (method.upper(), regex)
        return function

    return mark


def answer(status: int, data: JsonValue) -> HttpResponse:
    """A JSON response."""
    body = json.dumps(data, indent=2, ensure_ascii=False).encode() + b"\n"
    return HttpResponse(status=status, body=body)


class Service(ABC):
    """A server under one host name.

    Subclasses mark routes with :func:`route`, name their accounts by bearer token, and call
    :meth:`record` for what an oracle needs to know. Receipt kinds are ``service.<name>.<event>``.
    """

    name: ClassVar[str]
    """Short name, the middle part of receipt kinds."""

    _routes: ClassVar[tuple[tuple[str, re.Pattern[str], Route], ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        found: list[tuple[str, re.Pattern[str], Route]] = []
        for attribute in dir(cls):
            function = getattr(cls, attribute, None)
            mark = getattr(function, "__dict__", {}).get("custodes_route")
            if mark is not None and function is not None:
                found.append((mark[0], mark[1], function))
        cls._routes = tuple(found)

    def __init__(
        self, *, host: str, context: ServiceContext, accounts: Mapping[str, Account] | None = None
    ) -> None:
        self.host = host
        self._context = context
        self._accounts = dict(accounts or {})
        self._revoked = False

    def record(self, event: str, data: JsonObject) -> None:
        """Write the receipt ``service.<name>.<event>``."""
        self._context.record(f"service.{self.name}.{event}", data)

    def tree_digest(self, below: str) -> Sha256:
        return self._context.tree_digest(below)

    def folder(self, name: str) -> Path:
        """See :meth:`ServiceContext.folder`."""
        return self._context.folder(name)

    async def run(self, folder: Path, command: Sequence[str], *, seconds: int) -> ServiceRun:
        """See :meth:`ServiceContext.run`."""
        return await self._context.run(folder, command, seconds=seconds)

    def revoke(self) -> None:
        """Refuse every credential from now on (a stop order does this)."""
        self._revoked = True

    def is_refused(self) -> bool:
        """Whether credentials are refused: asked by the stop order, which trusts no intention."""
        return self._revoked and all(
            self._account_of(
                HttpRequest(
                    method="GET",
                    host=self.host,
                    port=80,
                    target="/",
                    headers=(("authorization", f"Bearer {token}"),),
                )
            )
            is None
            for token in self._accounts
        )

    def _account_of(self, request: HttpRequest) -> Account | None:
        header = request.header("authorization") or ""
        scheme, _, token = header.partition(" ")
        if scheme.lower() not in ("bearer", "token"):
            return None
        account = self._accounts.get(token.strip())
        return None if self._revoked else account

    async def respond(self, request: HttpRequest) -> HttpResponse | None:
        """Answer a request whose body is not JSON, an upload say; None leaves it to the routes."""
        return None

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request (an :data:`~custodes.types.HttpHandler`)."""
        early = await self.respond(request)
        if early is not None:
            return early
        parts = urlsplit(request.target)
        path = unquote(parts.path)
        allowed: set[str] = set()
        for method, pattern, function in self._routes:
            found = pattern.match(path)
            if found is None:
                continue
            allowed.add(method)
            if method != request.method:
                continue
            body: Any = None
            if request.body:
                try:
                    body = json.loads(request.body)
                except (ValueError, RecursionError):
                    return answer(400, {"error": "body is not JSON"})
            call = Call(
                request=request,
                path=found.groupdict(),
                query=dict(parse_qsl(parts.query)),
                body=body,
                account=self._account_of(request),
            )
            return await function(self, call)
        if allowed:
            return answer(405, {"error": "method not allowed", "allowed": sorted(allowed)})
        return answer(404, {"error": "no such resource"})
