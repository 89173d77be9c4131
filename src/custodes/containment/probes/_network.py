"""Reaching the host's network: every socket the host planted, and kinds it should not offer.

Planted sockets listen on loopback alone and are only looked at afterwards: what arrived is in the
kernel's queue.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from ._folders import known, name_in
from ._inside import of_the_host, own_namespaces
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
            "payload": self.payload().hex(),
        }

    def payload(self) -> bytes:
        """What is sent: anything with the word in it."""
        return self.word.encode()

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
            if c.get("broadcast"):
                client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            if c.get("multicast"):
                lo = socket.inet_aton("127.0.0.1")
                client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, lo)
                client.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 0)
            client.connect(address)
            client.send(bytes.fromhex(c["payload"]))
        return "sent"

    async def verdict(self, report: Report) -> Sight:
        # Anybody on the host may have sent something as well: only the word is ours.
        if any(self.word.encode() in got for got in received(self.listener)):
            return Sight(reached=True, detail="the word arrived")
        said = f" ({report.text})" if report.how == "refused" else ""
        return Sight(reached=False, detail=f"nothing arrived{said}")


def received(listener: socket.socket) -> Iterator[bytes]:
    """What is waiting at a planted socket: each datagram, or how each connection begins."""
    for _ in range(64):
        try:
            if listener.type is not socket.SOCK_STREAM:
                yield listener.recv(4096)
                continue
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        with connection:
            connection.settimeout(0.2)
            try:
                yield connection.recv(4096)
            except OSError:
                continue


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
    """Connect to a unix socket that the host keeps as a file: planted, or an engine's."""

    kind = (socket.AF_UNIX, socket.SOCK_STREAM)

    def plant(self, ground: Ground) -> Canaries:
        told = super().plant(ground)
        self.listeners = [self.listener]
        if os.geteuid() == 0 and os.access("/run", os.W_OK):
            self._plant_in_run(ground)
        engines = [about for about in known(_engines()) if Path(about[0]).is_socket()]
        self.engines = engines
        planted = [listener.getsockname() for listener in self.listeners]
        return {**told, "addresses": planted, "engines": engines}

    def address(self, ground: Ground) -> Any:
        return str(ground.root / "engine")

    def _plant_in_run(self, ground: Ground) -> None:
        """Beside the real sockets, for a place that shows the host's ``/run``."""
        listener = socket.socket(*self.kind)
        ground.keep(listener.close)
        with suppress(OSError):
            path = name_in(Path("/run"))
            listener.bind(str(path))
            ground.keep(lambda: path.unlink(missing_ok=True))
            path.chmod(0o666)
            listener.listen(4)
            listener.setblocking(False)
            self.listeners.append(listener)

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import socket

        reached: list[str] = []
        refusal = None
        engines = of_the_host(c["engines"])
        for address in c["addresses"] + engines:
            with socket.socket(*c["kind"]) as client:
                client.settimeout(1)
                try:
                    client.connect(address)
                    if address in engines:
                        reached.append(address)  # nothing is said to a real one
                    else:
                        client.send(bytes.fromhex(c["payload"]))
                except OSError as error:
                    refusal = error
        if reached:
            return "connected: " + ", ".join(reached)
        if refusal is not None:
            raise refusal
        return "sent"

    async def verdict(self, report: Report) -> Sight:
        for listener in self.listeners:
            self.listener = listener
            sight = await super().verdict(report)
            if sight.reached:
                return sight
        text = report.text or ""
        if self.engines and report.how == "returned" and text.startswith("connected: /"):
            return Sight(reached=True, detail=f"an engine's socket was {text}", receipt="self")
        return sight


def _engines() -> list[str]:
    """Where container engines listen."""
    listed = [
        "/run/docker.sock",
        "/var/run/docker.sock",
        "/run/containerd/containerd.sock",
        "/run/podman/podman.sock",
        "/run/crio/crio.sock",
    ]
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    return [*listed, *(f"{own}/{name}" for name in _OWN_ENGINES if own.startswith("/"))]


_OWN_ENGINES = ("docker.sock", "podman/podman.sock")
"""Below a user's XDG_RUNTIME_DIR."""


@probe
class UdpHostLoopback6(_Reach):
    """Send a datagram to the host's IPv6 loopback."""

    kind = (socket.AF_INET6, socket.SOCK_DGRAM)

    def address(self, ground: Ground) -> Any:
        return ("::1", 0)


@probe
class TcpMappedLoopback(_Reach):
    """Connect to the host's loopback by an IPv4 address inside an IPv6 one."""

    kind = (socket.AF_INET, socket.SOCK_STREAM)

    def address(self, ground: Ground) -> Any:
        return ("127.0.0.1", 0)

    def plant(self, ground: Ground) -> Canaries:
        told = super().plant(ground)
        mapped = [f"::ffff:{told['address'][0]}", told["address"][1]]
        return {**told, "kind": [int(socket.AF_INET6), told["kind"][1]], "address": mapped}


@probe
class TcpUnspecifiedAddress(_Reach):
    """Connect to the host's loopback by the address of no host, 0.0.0.0."""

    kind = (socket.AF_INET, socket.SOCK_STREAM)

    def address(self, ground: Ground) -> Any:
        return ("127.0.0.1", 0)

    def plant(self, ground: Ground) -> Canaries:
        told = super().plant(ground)
        return {**told, "address": ["0.0.0.0", told["address"][1]]}


@probe
class TcpHostAddress(_Reach):
    """Connect to the host by the address that it has in its network, or a second one it has."""

    kind = (socket.AF_INET, socket.SOCK_STREAM)

    def address(self, ground: Ground) -> Any:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            try:
                asking.connect(("192.0.2.1", 9))  # sends nothing; tells which address would
                return (asking.getsockname()[0], 0)
            except OSError:
                return ("127.0.0.2", 0)


@probe
class Broadcast(_Reach):
    """Reach the host by a broadcast (on loopback)."""

    kind = (socket.AF_INET, socket.SOCK_DGRAM)

    def address(self, ground: Ground) -> Any:
        return ("127.255.255.255", 0)

    def plant(self, ground: Ground) -> Canaries:
        return {**super().plant(ground), "broadcast": True}


@probe
class Multicast(_Reach):
    """Reach the host by a multicast group (on loopback)."""

    kind = (socket.AF_INET, socket.SOCK_DGRAM)

    def address(self, ground: Ground) -> Any:
        return ("239.255.77.77", 0)

    def plant(self, ground: Ground) -> Canaries:
        told = {**super().plant(ground), "multicast": True}
        membership = socket.inet_aton("239.255.77.77") + socket.inet_aton("127.0.0.1")
        self.listener.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        return told


class _Dns(_Reach):
    """Ask a name server on the host for a name with a word in it."""

    def address(self, ground: Ground) -> Any:
        return ("127.0.0.1", 0)

    def payload(self) -> bytes:
        labels = [self.word.encode(), b"example"]
        name = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
        query = b"\x2b\x2b\1\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1"
        if self.kind[1] is socket.SOCK_STREAM:
            query = len(query).to_bytes(2, "big") + query
        return query


@probe
class DnsDatagram(_Dns):
    """Carry a word out in a question to a name server on the host."""

    kind = (socket.AF_INET, socket.SOCK_DGRAM)


@probe
class DnsStream(_Dns):
    """Carry a word out in a question to a name server on the host, over TCP."""

    kind = (socket.AF_INET, socket.SOCK_STREAM)


@probe
class AbstractUnixDatagram(_Reach):
    """Send a datagram to an abstract unix socket of the host."""

    kind = (socket.AF_UNIX, socket.SOCK_DGRAM)

    def address(self, ground: Ground) -> Any:
        return f"\0{ground.token()}"


@probe
class SeeListeners(Probe):
    """Find a server of the host in the kernel's list of TCP sockets."""

    family = Family.NETWORK
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        listener = socket.create_server(("127.0.0.1", 0))
        ground.keep(listener.close)
        self.proof = f" {os.fstat(listener.fileno()).st_ino} "
        return {"port": f":{listener.getsockname()[1]:04X}"}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open("/proc/net/tcp") as file:
            return "\n".join(line for line in file if c["port"] in line) or None


@probe
class SeeUnixSockets(Probe):
    """Find a socket of the host in the kernel's list of unix sockets."""

    family = Family.NETWORK
    receipt = "self"

    def plant(self, ground: Ground) -> Canaries:
        mark, self.proof = ground.token(), ground.token()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        ground.keep(listener.close)
        listener.bind(f"\0{mark}{self.proof}")
        return {"mark": mark}

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        with open("/proc/net/unix") as file:
            return "\n".join(line for line in file if c["mark"] in line) or None


@probe
class ChangeInterface(Probe):
    """Configure a network interface, if need be in a network of one's own."""

    family = Family.NETWORK
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import fcntl
        import socket
        import struct

        try:
            own_namespaces(0x40000000)
        except OSError:
            pass  # then the one there is: it is up already, and setting that takes the same right
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            request = struct.pack("16sh14x", b"lo", 0)
            flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, 0x8913, request))[1]
            fcntl.ioctl(any_socket, 0x8914, struct.pack("16sh14x", b"lo", flags | 1))
        return "configured"


@probe
class NetlinkFamilies(Probe):
    """Talk to the kernel by a netlink family that ordinary work does not need."""

    family = Family.NETWORK
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import socket

        refusal = None
        # generic, socket diagnosis, netfilter, audit, device events
        for family in (16, 4, 12, 9, 15):
            try:
                socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family).close()
            except OSError as error:
                refusal = error
            else:
                return f"netlink family {family} opened"
        if refusal is not None:
            raise refusal
        return None


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
    """Open a raw IP socket, if need be in a network of one's own."""

    family = Family.NETWORK
    receipt = "self"

    @staticmethod
    def attempt(c: Canaries) -> str | None:
        import socket

        kind = (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        try:
            socket.socket(*kind).close()
        except OSError:
            own_namespaces(0x40000000)
            socket.socket(*kind).close()
        return "opened"
