"""The Merkle tree of RFC 9162 over a ledger's lines: roots, inclusion and consistency proofs.

A leaf is sha256(0x00 ‖ line), a node sha256(0x01 ‖ left ‖ right). A tree of n leaves splits at the
largest power of two below n, so that a tree of fewer leaves is always a part of one of more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

EMPTY_ROOT: Final = hashlib.sha256().digest()
"""Root of a tree without leaves."""

LONGEST_PROOF: Final = 64
"""Hashes that a proof may have: enough for 2**63 leaves."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf."""
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that only grows, held as the roots of its complete parts (RFC 9162, 2.1.2)."""

    def __init__(self) -> None:
        self._size = 0
        self._parts: list[bytes] = []

    @property
    def size(self) -> int:
        """Leaves so far."""
        return self._size

    def add(self, leaf: bytes) -> None:
        """Add the hash of a leaf."""
        carry = self._size
        while carry & 1:
            leaf = node_hash(self._parts.pop(), leaf)
            carry >>= 1
        self._parts.append(leaf)
        self._size += 1

    def root(self) -> bytes:
        """Root over all leaves so far."""
        if not self._parts:
            return EMPTY_ROOT
        found = self._parts[-1]
        for part in reversed(self._parts[:-1]):
            found = node_hash(part, found)
        return found


class Tree:
    """A tree that can prove: every complete node is kept, so that a proof costs O(log n)."""

    def __init__(self, leaves: Iterable[bytes]) -> None:
        self._levels: list[list[bytes]] = [list(leaves)]
        while len(below := self._levels[-1]) > 1:
            self._levels.append(
                [node_hash(below[i], below[i + 1]) for i in range(0, len(below) - 1, 2)]
            )

    @property
    def size(self) -> int:
        return len(self._levels[0])

    def root(self, size: int | None = None) -> bytes:
        """Root over the first ``size`` leaves; all by default."""
        size = self._checked(self.size if size is None else size)
        return EMPTY_ROOT if size == 0 else self._range(0, size)

    def inclusion(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """Hashes that lead from leaf ``index`` to the root over ``size`` leaves (2.1.3.1).

        Raises:
            ValueError: there is no such leaf among them.
        """
        size = self._checked(self.size if size is None else size)
        if not 0 <= index < size:
            raise ValueError(f"expected a leaf from 0 to {size - 1}, found {index}")
        return tuple(self._path(index, 0, size))

    def consistency(self, old: int, size: int | None = None) -> tuple[bytes, ...]:
        """Hashes that show the tree of ``old`` leaves as the start of that of ``size`` (2.1.4.1).

        Raises:
            ValueError: not 0 < old <= size.
        """
        size = self._checked(self.size if size is None else size)
        if not 0 < old <= size:
            raise ValueError(f"expected 1 to {size} leaves for the earlier tree, found {old}")
        return tuple(self._between(old, 0, size, True))

    def _checked(self, size: int) -> int:
        if not 0 <= size <= self.size:
            raise ValueError(f"expected at most {self.size} leaves, found {size}")
        return size

    def _range(self, low: int, high: int) -> bytes:
        width = high - low
        if width & (width - 1) == 0:
            level = width.bit_length() - 1
            return self._levels[level][low >> level]
        middle = low + _split(width)
        return node_hash(self._range(low, middle), self._range(middle, high))

    def _path(self, index: int, low: int, high: int) -> list[bytes]:
        if high - low == 1:
            return []
        middle = low + _split(high - low)
        if index < middle:
            return [*self._path(index, low, middle), self._range(middle, high)]
        return [*self._path(index, middle, high), self._range(low, middle)]

    def _between(self, old: int, low: int, high: int, known: bool) -> list[bytes]:
        if old == high:
            return [] if known else [self._range(low, high)]
        middle = low + _split(high - low)
        if old <= middle:
            return [*self._between(old, low, middle, known), self._range(middle, high)]
        return [*self._between(old, middle, high, False), self._range(low, middle)]


def _split(width: int) -> int:
    """The largest power of two below ``width``."""
    return 1 << ((width - 1).bit_length() - 1)


def includes(root: bytes, size: int, index: int, leaf: bytes, proof: Sequence[bytes]) -> bool:
    """Whether ``proof`` shows ``leaf`` at ``index`` below ``root`` (RFC 9162, 2.1.3.2)."""
    if not 0 <= index < size or not _well_formed(proof):
        return False
    here, last, found = index, size - 1, leaf
    for other in proof:
        if last == 0:
            return False
        if here & 1 or here == last:
            found = node_hash(other, found)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            found = node_hash(found, other)
        here, last = here >> 1, last >> 1
    return last == 0 and found == root


def consistent(old_root: bytes, old: int, root: bytes, size: int, proof: Sequence[bytes]) -> bool:
    """Whether ``proof`` shows the old leaves to be the first of ``size`` (RFC 9162, 2.1.4.2)."""
    if not 0 < old <= size or not _well_formed(proof):
        return False
    if old == size:
        return not proof and old_root == root
    rest = list(proof)
    if old & (old - 1) == 0:
        rest.insert(0, old_root)
    if not rest:
        return False
    here, last = old - 1, size - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    first = second = rest[0]
    for other in rest[1:]:
        if last == 0:
            return False
        if here & 1 or here == last:
            first, second = node_hash(other, first), node_hash(other, second)
            while not here & 1 and here:
                here, last = here >> 1, last >> 1
        else:
            second = node_hash(second, other)
        here, last = here >> 1, last >> 1
    return last == 0 and first == old_root and second == root


def _well_formed(proof: Sequence[bytes]) -> bool:
    return len(proof) <= LONGEST_PROOF and all(len(item) == 32 for item in proof)


__all__ = [
    "EMPTY_ROOT",
    "LONGEST_PROOF",
    "Frontier",
    "Tree",
    "consistent",
    "includes",
    "leaf_hash",
    "node_hash",
]
