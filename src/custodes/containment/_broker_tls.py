"""The server name that a TLS client asks for, read from its first message (RFC 8446, RFC 6066).

A tunnel to a permitted host is otherwise a way to every host that shares its front end: the client
connects to one name and asks the server behind it for another.
"""

from __future__ import annotations

from ._broker_policy import Refusal, parse_host

_HANDSHAKE = 22
_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HOST_NAME = 0
# Encrypted Client Hello (RFC 9849) and its draft predecessor.
_HIDDEN_NAMES = frozenset({0xFE0D, 0xFFCE})
_MAX_RECORD = 1 << 14
LONGEST_HELLO = 1 << 16
"""Bytes. No client sends more before the server's first word."""


class NotTls(Exception):
    """The bytes are not the beginning of a TLS connection."""


class NameHidden(NotTls):
    """The client asks, encrypted, for a host that may be another than the one it shows."""


class _Cursor:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        piece = self._data[self._at : self._at + count]
        if len(piece) < count:
            raise NotTls
        self._at += count
        return piece

    def number(self, width: int) -> int:
        return int.from_bytes(self.take(width), "big")

    def vector(self, width: int) -> bytes:
        return self.take(self.number(width))

    def __bool__(self) -> bool:
        return self._at < len(self._data)


def asked_server_name(data: bytes) -> str | None:
    """The name in the ClientHello at the start of ``data``, "" if it has none.

    Returns:
        None while the message is incomplete. The message may be spread over several records.

    Raises:
        NotTls: where ``data`` does not begin with a ClientHello, or names more than one host.
        NameHidden: where it carries an encrypted one inside. Clients that send a meaningless one
            to keep others company (GREASE) look the same.
    """
    message = _handshake_message(data)
    if message is None:
        return None
    hello = _Cursor(message)
    hello.take(2 + 32)  # version, random
    hello.vector(1)  # session
    hello.vector(2)  # cipher suites
    hello.vector(1)  # compression methods
    if not hello:
        return ""
    extensions = _Cursor(hello.vector(2))
    names: list[str] = []
    while extensions:
        kind = extensions.number(2)
        content = extensions.vector(2)
        if kind in _HIDDEN_NAMES:
            raise NameHidden
        if kind == _SERVER_NAME:
            listed = _Cursor(_Cursor(content).vector(2))
            while listed:
                if listed.number(1) != _HOST_NAME:
                    raise NotTls
                names.append(_normal(listed.vector(2)))
    if len(names) > 1:
        raise NotTls
    return names[0] if names else ""


def _normal(name: bytes) -> str:
    try:
        return parse_host(name.decode("ascii"))
    except (UnicodeDecodeError, Refusal):
        raise NotTls from None


def _handshake_message(data: bytes) -> bytes | None:
    """The body of the first handshake message, put together from as many records as it takes."""
    message = b""
    at = 0
    while True:
        header = data[at : at + 5]
        if (header and header[0] != _HANDSHAKE) or (len(header) > 1 and header[1] != 3):
            raise NotTls
        if len(header) < 5:
            return None
        length = int.from_bytes(header[3:5], "big")
        if not 0 < length <= _MAX_RECORD:
            raise NotTls
        message += data[at + 5 : at + 5 + length]
        if message and message[0] != _CLIENT_HELLO:
            raise NotTls
        if len(message) >= 4:
            size = int.from_bytes(message[1:4], "big")
            if size > LONGEST_HELLO:
                raise NotTls
            if len(message) >= 4 + size:
                return message[4 : 4 + size]
        at += 5 + length
        if at > len(data):
            return None
