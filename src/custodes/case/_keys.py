"""Ed25519 keys as files. The private part stays outside the case; openssl reads both kinds."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from custodes.types import JsonValue

from ._disk import DISK, Disk, opened_regular
from ._dsse import SignatureRefused, SignaturesUncheckable
from ._errors import CaseError, NotACase, reported, shown

KEYS_VARIABLE: Final = "CUSTODES_KEYS"
LARGEST_KEY_FILE: Final = 4096

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
# RFC 8410: what stands before the 32 bytes of an Ed25519 key in DER.
_PRIVATE_DER = bytes.fromhex("302e020100300506032b657004220420")
_PUBLIC_DER = bytes.fromhex("302a300506032b6570032100")


class KeyRefused(NotACase):
    """A key file that is missing, is none, or lies open to others. A mistake of usage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """The half of a key that everybody may have.

    Attributes:
        raw: 32 bytes.
    """

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise ValueError(f"expected 32 bytes of an Ed25519 key, found {len(self.raw)}")

    @property
    def id(self) -> str:
        """The first 16 hex digits of its sha256."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Whether ``signature`` is this key's over ``data``.

        Raises:
            SignaturesUncheckable: the library for it is missing.
        """
        try:
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        except ImportError:
            raise _missing() from None
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True

    def to_pem(self) -> bytes:
        return _pem("PUBLIC KEY", _PUBLIC_DER + self.raw)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PrivateKey:
    """The half that signs. It has no printed form.

    Attributes:
        seed: 32 bytes.
        public: the other half.
    """

    seed: bytes
    public: PublicKey

    def sign(self, data: bytes) -> bytes:
        """64 bytes; the same for the same data.

        Raises:
            SignaturesUncheckable: the library for it is missing.
        """
        try:
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        except ImportError:
            raise _missing() from None
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(data)

    def __repr__(self) -> str:
        return f"PrivateKey(id={self.public.id!r})"


def private_key(seed: bytes) -> PrivateKey:
    """The key that 32 random bytes make.

    Raises:
        ValueError: not 32 bytes.
        SignaturesUncheckable: the library for it is missing.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    except ImportError:
        raise _missing() from None
    key = Ed25519PrivateKey.from_private_bytes(seed)
    return PrivateKey(seed=seed, public=PublicKey(raw=key.public_key().public_bytes_raw()))


def keys_folder(environment: Mapping[str, str] | None = None) -> Path:
    """Where private keys are kept: $CUSTODES_KEYS, or ``custodes/keys`` in the user's settings."""
    found = os.environ if environment is None else environment
    if named := found.get(KEYS_VARIABLE):
        return Path(named)
    settings = found.get("XDG_CONFIG_HOME")
    return (Path(settings) if settings else Path.home() / ".config") / "custodes" / "keys"


def make_key(
    name: str, folder: Path, *, seed: bytes | None = None, disk: Disk = DISK
) -> PrivateKey:
    """Make ``<name>.key`` (mode 0600) and ``<name>.pub``; both are durable when this returns.

    Args:
        name: letters, digits, ``_`` and ``-``.
        folder: where; made with mode 0700 when missing. Never inside a case: a case is copied.
        seed: 32 bytes to use in place of random ones.
        disk: the calls that change the disk.

    Raises:
        KeyRefused: the name is none, is taken, or the folder lies in a case.
        StorageError: the disk refused; nothing is left under the name.
    """
    _check_name(name)
    at = Path(os.path.abspath(folder))
    for above in (at, *at.parents):
        if os.path.lexists(above / "ledger.jsonl"):
            raise KeyRefused(
                f"{shown(folder)} lies in the case {shown(above)}, which is copied and published: "
                f"keep private keys elsewhere (--keys, or {KEYS_VARIABLE})"
            )
    key = private_key(secrets.token_bytes(32) if seed is None else seed)
    with reported("make a key in", folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target, public = folder / f"{name}.key", folder / f"{name}.pub"
        for path in (target, public):
            if os.path.lexists(path):
                raise KeyRefused(f"{shown(path)} is there already: choose another name")
        try:
            # The private half first: the other can be made from it again.
            _place(target, _pem("PRIVATE KEY", _PRIVATE_DER + key.seed), 0o600, disk)
            _place(public, key.public.to_pem(), 0o644, disk)
        except BaseException:
            for path in (target, public):
                path.unlink(missing_ok=True)
            raise
    return key


def _place(path: Path, data: bytes, mode: int, disk: Disk) -> None:
    temporary = path.with_name(f".tmp-{path.name}-{secrets.token_hex(6)}")
    try:
        fd = disk.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            disk.write_all(fd, data)
            disk.fsync(fd)
        finally:
            disk.close(fd)
        disk.rename(temporary, path)
        disk.sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_private(name: str, folder: Path) -> PrivateKey:
    """The key ``<name>.key`` of a folder.

    Raises:
        KeyRefused: it is missing, is none, or may be read by others.
    """
    _check_name(name)
    path = folder / f"{name}.key"
    if not os.path.lexists(path):
        raise KeyRefused(
            f"there is no key {shown(path)}: make one with `custodes keys make {name}`, or name "
            "its folder with --keys"
        )
    with reported("read", path), opened_regular(path) as fd:
        found = os.fstat(fd)
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise KeyRefused(
                f"{shown(path)} may be read by others (mode {stat.S_IMODE(found.st_mode):04o}): "
                "take that away with chmod 600, and consider whether somebody has"
            )
        data = os.pread(fd, LARGEST_KEY_FILE + 1, 0)
    try:
        return private_key(_unpem(data, "PRIVATE KEY", _PRIVATE_DER))
    except ValueError as error:
        raise KeyRefused(f"{shown(path)} is no Ed25519 private key: {error}") from None


def read_public(path: Path) -> PublicKey:
    """A public key file (PEM).

    Raises:
        KeyRefused: it is missing or none.
    """
    if not os.path.lexists(path):
        raise KeyRefused(f"there is no public key {shown(path)}: name a file that ends in .pub")
    with reported("read", path), opened_regular(path) as fd:
        data = os.pread(fd, LARGEST_KEY_FILE + 1, 0)
    if b"PRIVATE KEY" in data:
        raise KeyRefused(f"{shown(path)} is a private key: name the .pub beside it")
    try:
        return PublicKey(raw=_unpem(data, "PUBLIC KEY", _PUBLIC_DER))
    except ValueError as error:
        raise KeyRefused(f"{shown(path)} is no Ed25519 public key: {error}") from None


def parse_public(value: JsonValue) -> PublicKey:
    """A public key from its 64 hex digits.

    Raises:
        ValueError: they are none.
    """
    if not isinstance(value, str) or _HEX64.match(value) is None:
        raise ValueError("expected a public key of 64 hex digits")
    return PublicKey(raw=bytes.fromhex(value))


def _check_name(name: str) -> None:
    if _NAME.match(name) is None:
        raise KeyRefused(
            f"expected a key's name as small letters, digits, '_' and '-', found {name[:80]!r}"
        )


def _missing() -> CaseError:
    return SignaturesUncheckable(
        "signatures need the package cryptography: install it with pip and run again"
    )


def _pem(kind: str, der: bytes) -> bytes:
    return (
        f"-----BEGIN {kind}-----\n{base64.b64encode(der).decode()}\n-----END {kind}-----\n"
    ).encode("ascii")


def _unpem(data: bytes, kind: str, prefix: bytes) -> bytes:
    if len(data) > LARGEST_KEY_FILE:
        raise ValueError(f"it has more than {LARGEST_KEY_FILE} bytes")
    lines = [line.strip() for line in data.decode("ascii", "replace").splitlines() if line.strip()]
    if len(lines) != 3 or lines[0] != f"-----BEGIN {kind}-----":
        raise ValueError(f"expected the three lines of a PEM {kind.lower()}")
    if lines[2] != f"-----END {kind}-----":
        raise ValueError(f"expected the three lines of a PEM {kind.lower()}")
    try:
        der = base64.b64decode(lines[1], validate=True)
    except ValueError:
        raise ValueError("its middle line is not base64") from None
    if len(der) != len(prefix) + 32 or not der.startswith(prefix):
        raise ValueError("it is a key of another kind")
    return der[len(prefix) :]


__all__ = [
    "KEYS_VARIABLE",
    "KeyRefused",
    "PrivateKey",
    "PublicKey",
    "SignatureRefused",
    "keys_folder",
    "make_key",
    "parse_public",
    "private_key",
    "read_private",
    "read_public",
]
