"""Reaching the host's network: every socket the host planted, and kinds it should not offer.

Planted sockets listen on loopback alone and are only looked at afterwards: what arrived is in the
kernel's queue.
"""

from __future__ import annotations

import os
import socket
from typing import Any, ClassVar

from ._model import Canaries, Family, Ground, Probe, Report, Sight, Untested, probe


class _Reach(Probe):
    """Send a word to a socket that the host planted."""

    family = Family.NETWORK
    receipt = "host"
    kind: ClassVar[tuple[socket.AddressFamily, socket.SocketKind]]

    def address(self, ground: Ground) -> Any:
        raise NotImplementedError

    def plant(self, ground: Ground) -> Canaries:
        self.word = ground.token()
        self.listener = socket.socket(*self.kind)
        ground.keep(self.listener.close)
        address = self.address(ground)
        try:
            self.listener.bind(address)
        except OSError as error:
            raise Untested(f"nothing could be planted: {error.strerror}") from error
        if self.kind[1] is socket.SOCK_STREAM:
            self.listener.listen(4)
        self.listener.setblocking(False)
        bound = self.listener.getsockname()
        if isinstance(bound, bytes):
            bound = "@" + bound[1:].decode()
        if isinstance(bound, str) and bound.startswith("/"):
            os.chmod(bound, 0o666)
        return {
            "kind": [int(part) for part in self.kind],
            "address": list(bound) if isinstance(bound, tuple) else bound,
            "word": self.word,
        }

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import socket

        address = c["address"]
        if isinstance(address, list):
            address = tuple(address)
        elif address.startswith("@"):
            address = "\0" + address[1:]
        with socket.socket(*c["kind"]) as client:
            client.settimeout(1)
            client.connect(address)
            client.send(c["word"].encode())
        return "sent"

    async def verdict(self, report: Report) -> Sight:
        try:
            if self.kind[1] is socket.SOCK_STREAM:
                connection, _ = self.listener.accept()
                with connection:
                    connection.settimeout(0.2)
                    got = connection.recv(256)
            else:
                got = self.listener.recv(256)
        except (BlockingIOError, TimeoutError):
            said = f" ({report.text})" if report.how == "refused" else ""
            return Sight(reached=False, detail=f"nothing arrived{said}")
        if got.decode("utf-8", "replace") != self.word:
            return Sight(reached=True, detail="something else than the word arrived")
        return Sight(reached=True, detail="the word arrived")


@probe
class TcpHostLoopback(_Reach):
    """Connect to a TCP server on the host's loopback."""

    kind = (socket.AF_INET, socket.SOCK_STREAM)

    def address(self, ground: Ground) -> Any:
        return ("127.0.0.1", 0)


@probe
class TcpHostLoopback6(_Reach):
    """Connect to a TCP server on the host's IPv6 loopback."""

    kind = (socket.AF_INET6, socket.SOCK_STREAM)

    def address(self, ground: Ground) -> Any:
        return ("::1", 0)


@probe
class UdpHostLoopback(_Reach):
    """Send a datagram to the host's loopback."""

    kind = (socket.AF_INET, socket.SOCK_DGRAM)

    def address(self, ground: Ground) -> Any:
        return ("127.0.0.1", 0)


@probe
class AbstractUnixSocket(_Reach):
    """Connect to an abstract unix socket of the host."""

    kind = (socket.AF_UNIX, socket.SOCK_STREAM)

    def address(self, ground: Ground) -> Any:
        return f"\0{ground.token()}"


@probe
class FileUnixSocket(_Reach):
    """Connect to a unix socket that the host keeps as a file, as a container engine does."""

    kind = (socket.AF_UNIX, socket.SOCK_STREAM)

    def address(self, ground: Ground) -> Any:
        return str(ground.root / "engine.sock")


@probe
class OddFamilies(Probe):
    """Open a socket of a family that ordinary work does not need."""

    family = Family.NETWORK
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import socket

        refusal = None
        # family, kind: alg, vsock, packet, can, tipc, rds, smc, xdp, bluetooth, key, rxrpc
        for family, kind in (
            (38, 5), (40, 1), (17, 3), (29, 3), (30, 1), (21, 5), (43, 1), (44, 3), (31, 1),
            (15, 3), (33, 2),
        ):  # fmt: skip
            try:
                socket.socket(family, kind, 2 if family == 15 else 0).close()
            except OSError as error:
                refusal = error
            else:
                return f"family {family} opened"
        if refusal is not None:
            raise refusal
        return None


@probe
class RawSocket(Probe):
    """Open a raw IP socket."""

    family = Family.NETWORK
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import socket

        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()
        return "opened"
