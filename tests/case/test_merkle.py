"""The Merkle tree of RFC 9162: known roots, the RFC's own proofs, and forgeries."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custodes.case._merkle import (
    EMPTY_ROOT,
    Frontier,
    Tree,
    consistent,
    includes,
    leaf_hash,
    node_hash,
)

# Leaves and roots that implementations of Certificate Transparency are tested with.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def hashes(count: int) -> list[bytes]:
    return [leaf_hash(b"leaf %d" % i) for i in range(count)]


def plain_root(leaves: list[bytes]) -> bytes:
    """RFC 9162, 2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    left, right = plain_root(leaves[:k]), plain_root(leaves[k:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def test_the_known_roots() -> None:
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    frontier = Frontier()
    assert frontier.root() == EMPTY_ROOT == Tree([]).root()
    for count, root in enumerate(ROOTS, start=1):
        frontier.add(leaf_hash(LEAVES[count - 1]))
        assert frontier.root().hex() == root
        assert Tree(map(leaf_hash, LEAVES[:count])).root().hex() == root
        assert Tree(map(leaf_hash, LEAVES)).root(count).hex() == root


def test_the_proofs_of_the_rfc() -> None:
    """RFC 9162, 2.1.5: a tree of seven leaves, its nodes named as there."""
    d = hashes(7)
    tree = Tree(d)
    a, b, c, e, f, j = d[0], d[1], d[2], d[4], d[5], d[6]
    d_leaf = d[3]
    g, h, i = node_hash(a, b), node_hash(c, d_leaf), node_hash(e, f)
    k, end = node_hash(g, h), node_hash(i, j)
    assert tree.root() == node_hash(k, end)
    assert tree.inclusion(0) == (b, h, end)
    assert tree.inclusion(3) == (c, g, end)
    assert tree.inclusion(4) == (f, j, k)
    assert tree.inclusion(6) == (i, k)
    assert tree.consistency(3) == (c, d_leaf, g, end)
    assert tree.consistency(4) == (end,)
    assert tree.consistency(6) == (i, j, k)
    assert tree.consistency(7) == ()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 70), st.data())
def test_every_proof_holds_and_no_other_does(size: int, data: st.DataObject) -> None:
    leaves = hashes(size)
    tree, root = Tree(leaves), plain_root(leaves)
    assert tree.root() == root
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size))
    proof = tree.inclusion(index)
    assert includes(root, size, index, leaves[index], proof)
    assert not includes(root, size, index, leaf_hash(b"other"), proof)
    assert not includes(EMPTY_ROOT, size, index, leaves[index], proof)
    assert not includes(root, size, index, leaves[index], [*proof, root])
    other = data.draw(st.integers(-1, size + 1))
    assert includes(root, size, other, leaves[index], proof) == (other == index)
    between = tree.consistency(old)
    old_root = plain_root(leaves[:old])
    assert consistent(old_root, old, root, size, between)
    assert not consistent(leaf_hash(b"other"), old, root, size, between)
    assert not consistent(old_root, old, leaf_hash(b"other"), size, between)
    assert not consistent(old_root, old, root, size, [*between, root])
    for at in range(len(between)):
        assert not consistent(old_root, old, root, size, between[:at] + between[at + 1 :])
    for at in range(len(proof)):
        changed = [*proof]
        changed[at] = bytes([changed[at][0] ^ 1]) + changed[at][1:]
        assert not includes(root, size, index, leaves[index], changed)


def test_a_leaf_cannot_pass_for_a_node() -> None:
    """Leaves and nodes are hashed apart: two leaves' hashes as one leaf give another root."""
    left, right = hashes(2)
    assert Tree([leaf_hash(left + right)]).root() != Tree([left, right]).root()


def test_what_is_not_in_the_tree_is_refused() -> None:
    tree = Tree(hashes(5))
    for index, size in ((5, 5), (-1, 5), (3, 3), (0, 6)):
        with pytest.raises(ValueError, match="expected"):
            tree.inclusion(index, size)
    for old, size in ((0, 5), (6, 5), (4, 3), (1, 6)):
        with pytest.raises(ValueError, match="expected"):
            tree.consistency(old, size)
    assert not includes(b"", 1, 0, b"", [b"short"])
    assert not consistent(b"", 1, b"", 2, [b"short"])
    assert not consistent(b"", 2, b"", 4, [b"\x00" * 32] * 65)
