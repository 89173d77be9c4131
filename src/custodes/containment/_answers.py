"""What the executor answers on a command's status socket; see ``_inside/executor.c``."""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from dataclasses import dataclass

import anyio


@dataclass(frozen=True, slots=True)
class Message:
    """One answer. An empty ``kind`` is the end of the socket: the executor has gone."""

    kind: bytes
    stage: str = ""
    value: int = 0
    fd: int = -1


def take(status: socket.socket) -> Message | None:
    """An answer that is there; None: there is none yet."""
    try:
        data, ancillary, _, _ = status.recvmsg(16, socket.CMSG_SPACE(4), socket.MSG_CMSG_CLOEXEC)
    except BlockingIOError:
        return None
    except OSError:
        data, ancillary = b"", []
    fd = -1
    for level, kind, raw in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS and len(raw) >= 4:
            numbers = array.array("i")
            numbers.frombytes(raw[:4])
            fd = numbers[0]
    if data[:1] == b"F":
        return Message(b"F", fd=fd)
    if fd >= 0:
        os.close(fd)
    if len(data) != 6:
        return Message(b"")
    return Message(data[:1], chr(data[1]), struct.unpack("i", data[2:6])[0])


async def receive(status: socket.socket) -> Message:
    while True:
        await anyio.wait_readable(status)
        if (message := take(status)) is not None:
            return message


class Ending:
    """What is known of a command's end."""

    def __init__(self) -> None:
        self.over = False
        self._failed: Message | None = None
        self._last = Message(b"")

    def add(self, message: Message) -> None:
        if message.kind == b"S":
            return
        if message.kind == b"E":
            self._failed = message
            if message.stage != "f":
                return  # its exit follows
        self._last = message
        self.over = True

    async def wait(self, status: socket.socket) -> None:
        while not self.over:
            self.add(await receive(status))

    @property
    def lost(self) -> bool:
        """The sandbox ended before the command did."""
        return self._failed is None and self._last.kind != b"X"

    def outcome(self, program: str, folder: str) -> tuple[int, bytes]:
        """Exit code, and a line for standard error when the command could not be run.

        Args:
            program: what was to be run. folder: where.
        """
        if self._failed is not None:
            number, stage = self._failed.value, self._failed.stage
            if stage == "x" and number in (errno.EACCES, errno.EPERM):
                raise PermissionError(number, os.strerror(number), program)
            what = {"x": program, "c": folder, "f": "fork"}.get(stage, "command")
            line = f"{what}: {os.strerror(number)}\n".encode()
            return (127 if number == errno.ENOENT else 126), line
        code = os.waitstatus_to_exitcode(self._last.value)
        return (128 - code if code < 0 else code), b""
