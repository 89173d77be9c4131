"""Keys: the vectors of the standards, files that hostile hands made, and who may sign when."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from custodes.case import (
    Case,
    CaseError,
    KeyRefused,
    PrivateKey,
    PublicKey,
    SignatureRefused,
    StorageError,
    add_key,
    envelope,
    from_envelope,
    keys_folder,
    make_key,
    private_key,
    read_private,
    read_public,
    read_state,
    revoke_key,
    rotate_key,
    sign,
    sign_head,
    statement,
    verify,
)
from custodes.case._dsse import pae, parse_signed

from .conftest import Clock, FailingDisk


def key(number: int) -> PrivateKey:
    return private_key(bytes([number]) * 32)


# --- the standards ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seed", "public", "message", "signature"),
    [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e"
            "39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f"
            "3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ],
)
def test_the_vectors_of_rfc_8032(seed: str, public: str, message: str, signature: str) -> None:
    found = private_key(bytes.fromhex(seed))
    assert found.public.raw.hex() == public
    assert found.sign(bytes.fromhex(message)).hex() == signature
    assert found.public.verifies(bytes.fromhex(signature), bytes.fromhex(message))
    assert not found.public.verifies(bytes.fromhex(signature), bytes.fromhex(message) + b"x")
    assert not key(1).public.verifies(bytes.fromhex(signature), bytes.fromhex(message))


def test_a_signature_has_one_form() -> None:
    """RFC 8032, 5.1.7: adding the group's order to the second half must not verify."""
    signature = key(1).sign(b"text")
    order = 2**252 + 27742317777372353535851937790883648493
    second = int.from_bytes(signature[32:], "little") + order
    assert not key(1).public.verifies(signature[:32] + second.to_bytes(32, "little"), b"text")


def test_the_encoding_of_dsse() -> None:
    """The example of DSSE's protocol.md."""
    found = pae("http://example.com/HelloWorld", b"hello world")
    assert found == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert pae("ä", b"") == b"DSSEv1 2 \xc3\xa4 0 "


def test_an_envelope_is_the_same_statement() -> None:
    signed = sign(statement({"a": "0" * 64}, "urn:x:1", {"n": 1}), [key(2), key(1)])
    assert from_envelope(envelope(signed)) == signed == parse_signed(signed.to_json())
    assert signed.by(key(1).public) and signed.by(key(2).public)
    assert not signed.by(key(3).public)
    loose = dict(envelope(signed))
    loose["payload"] = str(loose["payload"]) + "\n"
    with pytest.raises(ValueError, match="base64"):
        from_envelope(loose)


# --- files --------------------------------------------------------------------------------


def test_a_key_is_kept_for_its_holder_only(tmp_path: Path) -> None:
    made = make_key("ada", tmp_path / "keys")
    file = tmp_path / "keys" / "ada.key"
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert read_private("ada", tmp_path / "keys") == made
    assert read_public(tmp_path / "keys" / "ada.pub") == made.public
    assert len(made.public.id) == 16
    assert made.seed.hex() not in repr(made)
    assert sorted(p.name for p in file.parent.iterdir()) == ["ada.key", "ada.pub"]
    with pytest.raises(KeyRefused, match="there already"):
        make_key("ada", tmp_path / "keys")


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    make_key("ada", tmp_path)
    (tmp_path / "ada.key").chmod(0o640)
    with pytest.raises(KeyRefused, match=r"0640.*chmod 600"):
        read_private("ada", tmp_path)


def test_no_private_key_is_made_in_a_case(filled: Path) -> None:
    for folder in (filled, filled / "keys", filled / "work" / "deep"):
        with pytest.raises(KeyRefused, match="lies in the case"):
            make_key("ada", folder)


@pytest.mark.parametrize("name", ["", "../up", "a/b", "A", "-x", "a" * 65, "a\n", ".a"])
def test_names_that_are_paths_or_odd_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyRefused, match="expected a key's name"):
        make_key(name, tmp_path)
    with pytest.raises(KeyRefused, match="expected a key's name"):
        read_private(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"\xff" * 100,
        b"-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----\n",
        b"x" * 5000,
        PublicKey(raw=b"\1" * 32).to_pem() * 2,
    ],
    ids=["empty", "short", "binary", "no base64", "long", "two keys"],
)
def test_what_is_no_key_is_refused_with_one_line(tmp_path: Path, content: bytes) -> None:
    for name in ("a.key", "a.pub"):
        (tmp_path / name).write_bytes(content)
        (tmp_path / name).chmod(0o600)
    with pytest.raises(KeyRefused, match="is no Ed25519 private key") as private:
        read_private("a", tmp_path)
    with pytest.raises(KeyRefused, match="is no Ed25519 public key") as public:
        read_public(tmp_path / "a.pub")
    assert "\n" not in f"{private.value}{public.value}"


def test_a_private_key_given_for_a_public_one_is_refused(tmp_path: Path) -> None:
    make_key("ada", tmp_path)
    with pytest.raises(KeyRefused, match=r"private key: name the \.pub"):
        read_public(tmp_path / "ada.key")


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    make_key("ada", tmp_path)
    (tmp_path / "eve.key").symlink_to(tmp_path / "ada.key")
    with pytest.raises(StorageError, match="symbolic link"):
        read_private("eve", tmp_path)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_reads_both_halves(tmp_path: Path) -> None:
    make_key("ada", tmp_path)
    shown = subprocess.run(
        ["openssl", "pkey", "-in", str(tmp_path / "ada.key"), "-pubout"],
        capture_output=True,
        check=True,
    )
    assert shown.stdout == (tmp_path / "ada.pub").read_bytes()


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_leaves_no_half_key(
    tmp_path: Path, failing_disk: Callable[..., FailingDisk], error: int
) -> None:
    calls = 0
    while True:
        folder = tmp_path / str(calls)
        disk = failing_disk(calls, error)
        try:
            make_key("ada", folder, disk=disk)
        except StorageError:
            assert disk.failed is not None
            assert list(folder.iterdir()) == []
        else:
            assert disk.failed is None
            break
        calls += 1
    assert calls >= 6


def test_where_keys_are_kept() -> None:
    assert keys_folder({"CUSTODES_KEYS": "/k"}) == Path("/k")
    assert keys_folder({"XDG_CONFIG_HOME": "/c"}) == Path("/c/custodes/keys")
    assert keys_folder({}).parts[-3:] == (".config", "custodes", "keys")


# --- who may sign -------------------------------------------------------------------------


@pytest.fixture
def case(tmp_path: Path, filled: Path, clock: Clock) -> Case:
    opened = Case.open(filled, write=True, clock=clock)
    add_key(opened, key(1), name="ada", clock=clock)
    return opened


def roles(case: Case) -> dict[str, str]:
    entries = read_state(case.path).check.ring.entries.values()
    return {e.name: e.ended or e.role for e in entries}


def test_only_the_first_key_vouches_for_itself(case: Case, clock: Clock) -> None:
    with pytest.raises(SignatureRefused, match="not signed by an assessor's key"):
        add_key(case, key(2), name="eve", clock=clock)
    with pytest.raises(SignatureRefused, match="which the ledger does not name"):
        add_key(case, key(2), name="eve", by=[key(3)], clock=clock)
    add_key(case, key(2), name="bob", role="witness", by=[key(1)], clock=clock)
    with pytest.raises(SignatureRefused, match="not signed by an assessor's key"):
        add_key(case, key(3), name="eve", by=[key(2)], clock=clock)
    with pytest.raises(SignatureRefused, match="was in this ledger before"):
        add_key(case, key(2), name="again", by=[key(1)], clock=clock)
    assert roles(case) == {"ada": "assessor", "bob": "witness"}
    assert verify(case.path).ok


def test_rotation_ends_the_old_key(case: Case, clock: Clock) -> None:
    with pytest.raises(SignatureRefused, match="has not signed its replacement"):
        rotate_key(case, key(1).public.id, key(2), by=[], clock=clock)
    rotate_key(case, key(1).public.id, key(2), by=[key(1)], clock=clock)
    with pytest.raises(SignatureRefused, match="was rotated by event"):
        sign_head(case, [key(1)], clock=clock)
    sign_head(case, [key(2)], clock=clock)
    # Trust in the first key leads to the second.
    assert verify(case.path, keys=[key(1).public]).ok
    assert verify(case.path, keys=[key(2).public]).ok
    assert not verify(case.path, keys=[key(3).public]).ok


def test_a_revocation_is_witnessed_where_somebody_can(case: Case, clock: Clock) -> None:
    add_key(case, key(2), name="bob", role="witness", by=[key(1)], clock=clock)
    with pytest.raises(SignatureRefused, match="not witnessed"):
        revoke_key(case, key(1).public.id, reason="lost", by=[key(1)], clock=clock)
    revoke_key(case, key(1).public.id, reason="compromised", by=[key(2)], clock=clock)
    for attempt in (
        lambda: sign_head(case, [key(1)], clock=clock),
        lambda: add_key(case, key(3), name="eve", by=[key(1)], clock=clock),
    ):
        with pytest.raises(SignatureRefused, match=r"was revoked \(compromised\)"):
            attempt()
    assert verify(case.path).ok


def test_a_single_key_may_end_itself_and_that_is_said(case: Case, clock: Clock) -> None:
    revoke_key(case, key(1).public.id, reason="retired", by=[key(1)], clock=clock)
    assert any("without a witness" in note for note in verify(case.path).notes)


def test_two_of_three_recovery_keys_replace_a_lost_one(case: Case, clock: Clock) -> None:
    for number in (4, 5, 6):
        add_key(case, key(number), name=f"r{number}", role="recovery", by=[key(1)], clock=clock)
    with pytest.raises(SignatureRefused, match="3 recovery keys already"):
        add_key(case, key(7), name="r7", role="recovery", by=[key(1)], clock=clock)
    old = key(1).public.id
    for too_few in ([key(4)], []):
        with pytest.raises(SignatureRefused, match="has not signed its replacement"):
            rotate_key(case, old, key(2), by=too_few, clock=clock)
    rotate_key(case, old, key(2), by=[key(4), key(6)], clock=clock)
    with pytest.raises(SignatureRefused, match="not signed by an assessor's key"):
        add_key(case, key(3), name="eve", by=[key(5)], clock=clock)
    add_key(case, key(3), name="cy", by=[key(5), key(6)], clock=clock)
    sign_head(case, [key(2)], clock=clock)
    with pytest.raises(SignatureRefused, match="expected an assessor's key"):
        sign_head(case, [key(4), key(5)], clock=clock)
    assert verify(case.path, keys=[key(1).public]).ok


def test_an_expired_key_signs_nothing(case: Case, clock: Clock) -> None:
    add_key(case, key(2), name="bob", by=[key(1)], not_after=clock.now + 100_000, clock=clock)
    sign_head(case, [key(2)], clock=clock)
    clock.now += 1_000_000
    with pytest.raises(SignatureRefused, match="expired at"):
        sign_head(case, [key(2)], clock=clock)
    assert verify(case.path, keys=[key(2).public]).ok


def test_a_clock_set_back_is_refused(case: Case, clock: Clock) -> None:
    events = len(read_state(case.path).events)
    clock.now -= 60_000_000
    for attempt in (
        lambda: sign_head(case, [key(1)], clock=clock),
        lambda: add_key(case, key(2), name="bob", by=[key(1)], clock=clock),
    ):
        with pytest.raises(SignatureRefused, match="clock was set back") as refusal:
            attempt()
        assert "\n" not in str(refusal.value)
    assert len(read_state(case.path).events) == events


def test_every_refusal_leaves_the_case_as_it_was(case: Case, clock: Clock) -> None:
    before = (case.path / "ledger.jsonl").read_bytes()
    for attempt in (
        lambda: add_key(case, key(2), name="UPPER", by=[key(1)], clock=clock),
        lambda: add_key(case, key(2), name="b", role="king", by=[key(1)], clock=clock),
        lambda: add_key(case, key(2), name="b", by=[key(1)], not_after=5, clock=clock),
        lambda: revoke_key(case, "0" * 16, reason="lost", by=[key(1)], clock=clock),
        lambda: revoke_key(case, key(1).public.id, reason="bored", by=[key(1)], clock=clock),
        lambda: rotate_key(case, "0" * 16, key(2), by=[key(1)], clock=clock),
        lambda: sign_head(case, [key(9)], clock=clock),
        lambda: sign_head(case, [], clock=clock),
        lambda: sign_head(case, [key(1), key(1)], clock=clock),
    ):
        with pytest.raises(CaseError):
            attempt()
    assert (case.path / "ledger.jsonl").read_bytes() == before
    assert os.listdir(case.path / "work") == ["writer.pid"]
