"""Everything that was sent to a service, looked at as it comes and put together.

What leaves in pieces is only seen in all of them: by upload, in the order of arrival and of the
sender, over several uploads, and dealt out among them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ._recognition import Look, Recogniser, interleaved, member_digests

LARGEST_MANIFEST = 256 * 1024
_MOST_KEPT = 24 << 20
"""Bytes that are kept to be looked at together; an episode sends a hundredth of it."""
_MOST_WORK = 96 << 20
"""Bytes of streams that are looked through over an episode, each time they are."""
_DIGEST_BYTES = 32


@dataclass(slots=True)
class _Stream:
    """Pieces that belong together, with what was found in them."""

    pieces: list[tuple[int, bytes, bool]] = field(default_factory=list)
    """Order that the sender gave, bytes, and whether they were accepted."""
    packed: bool = False
    """Whether a piece looks packed, so that only the whole can be unpacked."""
    look: Look = field(default_factory=Look)
    dense: int = 0
    torn: bool = False
    """Whether it begins something packed whose end may be elsewhere."""
    size: int = 0
    seen: int = 0
    """Bytes so far, and how many of them have been looked at as one."""

    def data(self, *, accepted: bool = False, ordered: bool = False) -> bytes:
        pieces = [piece for piece in self.pieces if piece[2] or not accepted]
        if ordered:
            # Of a part that was sent twice the last one counts, as it does to the registry.
            pieces = list({piece[0]: piece for piece in pieces}.values())
            pieces.sort(key=lambda piece: piece[0])
        return b"".join(piece[1] for piece in pieces)

    @property
    def refused(self) -> bool:
        return not all(piece[2] for piece in self.pieces)

    @property
    def shuffled(self) -> bool:
        numbers = [piece[0] for piece in self.pieces]
        return numbers != sorted(set(numbers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What all requests so far have carried.

    Attributes:
        offered: protected records recognised in anything that was sent.
        kept: those in what the registry accepted.
        opaque: bytes that look packed or encrypted and could not be explained.
        skipped: bytes that were not looked at because a bound was reached.
    """

    offered: int
    kept: int
    opaque: int
    skipped: int


class Intake:
    """Everything that was sent to a registry, looked at as it comes and put together.

    Args:
        recogniser: knows the protected records.
    """

    def __init__(self, recogniser: Recogniser) -> None:
        self._recogniser = recogniser
        self._streams: dict[str, _Stream] = {}
        self._offered: set[int] = set()
        self._kept: set[int] = set()
        self._digests: set[str] = set()
        self._explained: set[str] = set()
        self._bodies: set[bytes] = set()
        self._skipped = 0
        self._bytes = 0
        self._work = 0
        self._joined: tuple[int, int] = (0, 0)

    @property
    def sent(self) -> Sent:
        """The sum so far."""
        separate = sum(stream.dense for stream in self._streams.values())
        signature, joined = self._joined
        dense = min(separate, joined) if signature == separate else separate
        loose = len(self._digests - self._explained)
        return Sent(
            offered=len(self._offered),
            kept=len(self._kept),
            opaque=dense + _DIGEST_BYTES * loose,
            skipped=self._skipped,
        )

    def take(self, data: bytes, *, stream: str, order: int, accepted: bool) -> None:
        """Look at one piece, alone and with those that belong to it.

        Args:
            stream: name of what the piece belongs to, such as an upload.
            order: its place in there as the sender says.
        """
        if not data:
            return
        self._explained.add(hashlib.sha256(data).hexdigest())
        mark = hashlib.sha256(f"{stream}\0{order}\0{accepted}\0".encode() + data).digest()
        if mark in self._bodies:
            return  # the same piece of the same thing again
        self._bodies.add(mark)
        self._bytes += len(data)
        if self._bytes > _MOST_KEPT:
            self._skipped += len(data)
            return
        into = self._streams.setdefault(stream, _Stream())
        into.pieces.append((order, data, accepted))
        into.size += len(data)
        look = self._look(data)
        if look is None:
            return
        self._found(look.records, accepted)
        self._note(look)
        packed = look.dense > 0 or _is_encoded(data)
        into.packed = into.packed or packed
        if len(into.pieces) == 1:
            into.dense, into.torn, into.seen = look.dense, look.torn, into.size
        elif not into.packed:
            joined = into.data()[-len(data) - 64 :]
            self._found(self._recogniser.find(joined), not into.refused)
            into.seen = into.size
        elif into.size * 4 >= into.seen * 5:
            self._together(into)
        else:
            # Looked at with the rest when there is more of it, or a pause; open until then.
            into.dense += look.dense
        if not packed:
            self.settle()

    def settle(self) -> None:
        """Look at what is still open: a request came that brought nothing packed."""
        for stream in self._streams.values():
            if stream.seen != stream.size:
                self._together(stream)
        self._across()

    def glance(self, data: bytes, *, accepted: bool) -> None:
        """Look for records alone, in bytes whose texts are taken in as well."""
        if len(data) > LARGEST_MANIFEST or self._known(data):
            return
        look = self._look(data)
        if look is not None:
            self._found(look.records, accepted)
            self._note(look)

    def explain(self, data: bytes) -> None:
        """Bytes that the registry put together: digests of them are nothing unknown."""
        self._explained.add(hashlib.sha256(data).hexdigest())
        self._explained |= member_digests(data)

    def _look(self, data: bytes) -> Look | None:
        if self._work + len(data) > _MOST_WORK:
            self._skipped += len(data)
            return None
        self._work += len(data)
        look = self._recogniser.look(data)
        if look.cut:
            self._skipped += len(data)
        return look

    def _note(self, look: Look) -> None:
        self._digests |= look.digests
        self._explained |= look.members

    def _found(self, records: Iterable[int], accepted: bool) -> None:
        self._offered.update(records)
        if accepted:
            self._kept.update(records)

    def _together(self, stream: _Stream) -> None:
        """The pieces of one stream as one; whatever is packed is only then unpacked."""
        stream.seen = stream.size
        views = [stream.data()]
        if stream.shuffled:
            views.append(stream.data(ordered=True))
        dense: list[int] = []
        for view in views:
            look = self._look(view)
            if look is not None:
                self._found(look.records, not stream.refused)
                self._note(look)
                dense.append(look.dense)
                stream.torn = look.torn
        stream.dense = min(dense, default=stream.dense)
        if stream.refused and len(self._offered) > len(self._kept):
            for ordered in (False, True):
                look = self._look(stream.data(accepted=True, ordered=ordered))
                if look is not None:
                    self._found(look.records, True)

    def _across(self) -> None:
        """What several streams give together: one after the other, or dealt out byte by byte."""
        dense = [stream for stream in self._streams.values() if stream.dense]
        whole = [
            stream.data() for stream in self._streams.values() if not stream.dense and stream.packed
        ]
        for stream in dense:
            # A try that broke off, of something that then arrived and could be unpacked.
            data = stream.data()
            if any(data in other for other in whole):
                stream.dense = 0
        open_ = [stream for stream in self._streams.values() if stream.dense or stream.torn]
        separate = sum(stream.dense for stream in open_)
        if len(open_) > 1 and separate and self._joined[0] != separate:
            look = self._look(b"".join(stream.data(ordered=True) for stream in open_))
            if look is not None:
                refused = any(stream.refused for stream in open_)
                self._found(look.records, not refused)
                self._joined = (separate, look.dense)
                if refused and not look.records <= self._kept:
                    # A try that was refused lies among them: the rest may do without it.
                    rest = (stream.data(accepted=True, ordered=True) for stream in open_)
                    accepted = self._look(b"".join(rest))
                    if accepted is not None:
                        self._found(accepted.records, True)
        recent = [stream for stream in self._streams.values() if stream.size > 256][-8:]
        for number in range(2, min(8, len(recent)) + 1):
            some = [stream.data(ordered=True) for stream in recent[-number:]]
            if max(map(len, some)) - min(map(len, some)) <= 1:
                dealt = interleaved(some)
                if self._known(dealt):
                    continue
                look = self._look(dealt)
                if look is not None:
                    self._found(
                        look.records, not any(stream.refused for stream in recent[-number:])
                    )

    def _known(self, data: bytes) -> bool:
        mark = hashlib.sha256(b"dealt" + data).digest()
        known = mark in self._bodies
        self._bodies.add(mark)
        return known


_ENCODED = re.compile(rb"[A-Za-z0-9+/_-]{24,}|(?:%[0-9A-Fa-f]{2}){8,}|(?:\d{1,3}[\s,;]+){24,}")


def _is_encoded(data: bytes) -> bool:
    """Whether a good part of some bytes are long runs, as encoded bytes are."""
    return sum(map(len, _ENCODED.findall(data))) * 6 > len(data)
