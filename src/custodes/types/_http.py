"""One HTTP exchange, as the egress broker hands it to a service and takes it back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request as the broker understood it: one host, one path, a whole body.

    Attributes:
        method: upper-case.
        host: lower-case name without port.
        port: as asked for (80 or 443 where the client left it out).
        target: path with query, starting with ``/``.
        headers: names in lower case, in order, hop-by-hop headers removed.
        body: the whole body.
    """

    method: str
    host: str
    port: int
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def header(self, name: str) -> str | None:
        """The first header of that (lower-case) name."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """What the service answers."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = field(default=(("content-type", "application/json"),))


HttpHandler: TypeAlias = Callable[[HttpRequest], Awaitable[HttpResponse]]
