"""Nearly equal sets, found without comparing all pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from hashlib import blake2b
from typing import TYPE_CHECKING

from ._checks import checked_count, checked_numbers, listed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Hashes = NDArray[np.uint64]
    Rows = NDArray[np.int64]

Signature = tuple[int, ...]

HASHES = 128
MOST_HASHES = 4096
_CHUNK = 4096
_RECALL = 0.99


def minhash(items: Iterable[str], *, hashes: int = HASHES) -> Signature:
    """A signature of the set of items: the share of equal places estimates Jaccard similarity.

    The Jaccard similarity of two sets is the size of their intersection over that of their union.
    With 128 hashes the estimate's standard error is at most 0.045. Order and repetition of items
    change nothing, and neither does the process, machine or seed. An empty set has the signature
    (), which is near no other set but the empty one.

    Args:
        items: texts, such as what a transcript did. No item is a set without behaviour.
        hashes: length of the signature, from 1 to 4,096.

    Raises:
        TypeError: a text in place of the items, or an item that is no text.
        ValueError: ``hashes`` out of range.

    Source: Broder 1997.
    """
    import numpy as np

    hashes = checked_count(hashes, "hashes", least=1)
    if hashes > MOST_HASHES:
        raise ValueError(f"expected hashes to be at most {MOST_HASHES}, found {hashes}")
    if isinstance(items, (str, bytes)):
        raise TypeError(f"expected items to be several texts, found {items!r}")
    digests = set()
    for i, item in enumerate(items if isinstance(items, Set) else listed(items, "items")):
        if not isinstance(item, str):
            raise TypeError(f"expected items[{i}] to be a text, found {item!r}")
        # A lone surrogate is text that UTF-8 cannot hold, and agents do write it.
        encoded = item.encode("utf-8", "surrogatepass")
        digests.add(int.from_bytes(blake2b(encoded, digest_size=8).digest(), "little"))
    if not digests:
        return ()
    keys = np.array(sorted(digests), dtype=np.uint64)
    salts = _mixed(np.arange(1, hashes + 1, dtype=np.uint64))
    least = np.full(hashes, np.iinfo(np.uint64).max, dtype=np.uint64)
    for start in range(0, len(keys), _CHUNK):
        block = _mixed(keys[start : start + _CHUNK, None] ^ salts)
        np.minimum(least, block.min(axis=0), out=least)
    return tuple(least.tolist())


def _mixed(values: Hashes) -> Hashes:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): one to one, all bits mixed."""
    import numpy as np

    mixed = (values + np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def similarity(a: Signature, b: Signature) -> float:
    """The estimated Jaccard similarity of two sets; 1 for two empty ones, 0 for one.

    Raises:
        ValueError: signatures of different lengths, neither empty.
    """
    a, b = _checked_signature(a, "a"), _checked_signature(b, "b")
    if not a or not b:
        return float(len(a) == len(b))
    if len(a) != len(b):
        raise ValueError(f"expected signatures of one length, found {len(a)} and {len(b)}")
    return sum(x == y for x, y in zip(a, b, strict=True)) / len(a)


def near_duplicates(
    signatures: Sequence[Signature], *, at_least: float = 0.8
) -> tuple[tuple[int, int, float], ...]:
    """Pairs of nearly equal sets: (i, j, estimated similarity), i < j, in order.

    Only sets that agree on all places of some band are compared (locality-sensitive hashing). The
    bands are as long as they can be while two sets whose similarity is exactly ``at_least`` still
    meet with a chance of 99 %, and more similar ones with a higher one. Many copies of one set
    are many pairs: use `groups` to count behaviours.

    Args:
        signatures: from `minhash`, all with the same number of hashes.
        at_least: similarity, above 0 and at most 1.

    Raises:
        TypeError, ValueError: signatures of different lengths, or ``at_least`` outside (0, 1].

    Source: Leskovec, Rajaraman and Ullman 2014, chapter 3.
    """
    import numpy as np

    least, members, matrix = _checked(signatures, at_least)
    near: dict[tuple[int, int], float] = {}
    for bucket in _buckets(matrix, least):
        for place, i in enumerate(bucket[:-1].tolist()):
            others = bucket[place + 1 :]
            shares = (matrix[others] == matrix[i]).mean(axis=1)
            for j in np.flatnonzero(shares >= least).tolist():
                near[i, int(others[j])] = float(shares[j])
    found = [
        (i, j, 1.0) for rows in members for place, i in enumerate(rows) for j in rows[place + 1 :]
    ]
    for (a, b), share in near.items():
        found.extend((min(i, j), max(i, j), share) for i in members[a] for j in members[b])
    return tuple(sorted(found))


def groups(signatures: Sequence[Signature], *, at_least: float = 0.8) -> tuple[int, ...]:
    """For each set the number of its group, counted from 0 in order of appearance.

    Near-duplicates share a group, and so do near-duplicates of those in turn. Equal signatures
    cost nothing more, however many.

    Raises:
        TypeError, ValueError: as `near_duplicates`.
    """
    import numpy as np

    least, members, matrix = _checked(signatures, at_least)
    group = np.arange(len(members))
    for bucket in _buckets(matrix, least):
        for place, i in enumerate(bucket[:-1].tolist()):
            # Those that are together already need no comparison: many copies stay cheap.
            others = bucket[place + 1 :]
            others = others[group[others] != group[i]]
            if not len(others):
                continue
            shares = (matrix[others] == matrix[i]).mean(axis=1)
            joined = np.unique(group[others[shares >= least]])
            if len(joined):
                group[np.isin(group, joined)] = group[i]
    own = [0] * sum(len(places) for places in members)
    for number, rows in zip(group.tolist(), members, strict=True):
        for i in rows:
            own[i] = number
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(number, len(numbers)) for number in own)


def distinct(signatures: Sequence[Signature], *, at_least: float = 0.8) -> int:
    """How many groups there are: the number of distinct behaviours behind many transcripts.

    Raises:
        TypeError, ValueError: as `near_duplicates`.
    """
    return len(set(groups(signatures, at_least=at_least)))


def _checked_signature(signature: Signature, name: str) -> Signature:
    own = listed(signature, name)
    if not all(isinstance(place, int) for place in own):
        raise TypeError(f"expected {name} from minhash, found something else")
    return own


def _checked(
    signatures: Sequence[Signature], at_least: float
) -> tuple[float, list[list[int]], Hashes]:
    """``at_least``; where each different signature occurs; and those, one a row.

    The empty signature, if there is one, comes last and has no row.
    """
    import numpy as np

    (least,) = checked_numbers((at_least,), "at_least")
    if not 0 < least <= 1:
        raise ValueError(f"expected at_least above 0 and at most 1, found {least}")
    places: dict[Signature, list[int]] = {}
    length = 0
    for i, signature in enumerate(listed(signatures, "signatures")):
        own = _checked_signature(signature, f"signatures[{i}]")
        if own and length and len(own) != length:
            raise ValueError(
                f"expected signatures of one length, found {length} and signatures[{i}] "
                f"of {len(own)}"
            )
        length = length or len(own)
        places.setdefault(own, []).append(i)
    empty = places.pop((), None)
    try:
        rows = np.array(list(places), dtype=np.uint64).reshape(len(places), length)
    except (TypeError, ValueError, OverflowError):
        raise TypeError("expected signatures from minhash, found something else") from None
    return least, [*places.values(), *([] if empty is None else [empty])], rows


def _rows_of_a_band(length: int, at_least: float) -> int:
    """The most rows with which a pair of that similarity meets in some band, 99 times of 100."""
    rows = 1
    for more in range(2, length + 1):
        if 1 - (1 - at_least**more) ** (length // more) < _RECALL:
            break
        rows = more
    return rows


def _buckets(matrix: Hashes, at_least: float) -> Iterator[Rows]:
    """Row numbers, rising, that agree on all places of a band; at least two."""
    import numpy as np

    length = matrix.shape[1]
    rows = _rows_of_a_band(length, at_least)
    for start in range(0, length - rows + 1 if len(matrix) > 1 else 0, rows):
        band = matrix[:, start : start + rows]
        order = np.lexsort(band.T)
        ordered = band[order]
        edges = 1 + np.flatnonzero((ordered[1:] != ordered[:-1]).any(axis=1))
        for bucket in np.split(order, edges):
            if len(bucket) > 1:
                yield np.sort(bucket)
