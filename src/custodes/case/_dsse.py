"""Signed statements: in-toto Statement v1 in the DSSE form, with Ed25519.

In a ledger and a bundle the statement stands as JSON beside its signatures, so that people can
read it. What is signed is DSSE's encoding of its RFC 8785 bytes: :func:`envelope` gives the same
thing as the envelope that other tools expect.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from custodes.types import JsonObject, JsonValue, Sha256

from ._canonical import canonical_document, parse_document
from ._errors import CaseError

if TYPE_CHECKING:
    from ._keys import PrivateKey, PublicKey

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
MOST_SIGNATURES: Final = 16

_KEY_ID = re.compile(r"[0-9a-f]{16}\Z")
_SIGNATURE = re.compile(r"[0-9a-f]{128}\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class SignatureRefused(CaseError):
    """Something cannot be signed, or a signature is not what it has to be."""


class SignaturesUncheckable(CaseError):
    """The library that checks signatures is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A signature over a statement.

    Attributes:
        key: id of the key.
        value: 64 bytes.
    """

    key: str
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A statement and who signed it; the signatures have not been checked by its existence.

    Attributes:
        statement: in-toto Statement v1.
        signatures: at least one, none twice by the same key.
    """

    statement: JsonObject
    signatures: tuple[Signature, ...]

    @property
    def payload(self) -> bytes:
        """The statement's RFC 8785 bytes."""
        return canonical_document(self.statement)

    @property
    def predicate_type(self) -> str:
        return str(self.statement["predicateType"])

    @property
    def predicate(self) -> JsonObject:
        found = self.statement["predicate"]
        assert isinstance(found, Mapping)
        return found

    @property
    def subject(self) -> Mapping[str, Sha256]:
        """Digests that the statement is about, by name."""
        return _subject(self.statement["subject"])

    def to_json(self) -> JsonObject:
        return {
            "statement": self.statement,
            "signatures": [{"keyid": s.key, "sig": s.value.hex()} for s in self.signatures],
        }

    def by(self, key: PublicKey) -> bool:
        """Whether this key has signed it, and rightly.

        Raises:
            SignaturesUncheckable: the library for it is missing.
        """
        text = pae(PAYLOAD_TYPE, self.payload)
        return any(s.key == key.id and key.verifies(s.value, text) for s in self.signatures)


def pae(payload_type: str, payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def statement(subject: Mapping[str, str], predicate_type: str, predicate: JsonObject) -> JsonObject:
    """An in-toto Statement v1 about things named by their sha256."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": n, "digest": {"sha256": d}} for n, d in sorted(subject.items())],
        "predicateType": predicate_type,
        "predicate": predicate,
    }


def sign(about: JsonObject, keys: Sequence[PrivateKey]) -> Signed:
    """Sign a statement with each key.

    Raises:
        SignatureRefused: no key, or one given twice.
        ValueError, TypeError: the statement has no canonical form.
    """
    ids = [key.public.id for key in keys]
    if not ids or len(set(ids)) != len(ids):
        raise SignatureRefused(f"expected one or more different keys, found {len(ids)}")
    text = pae(PAYLOAD_TYPE, canonical_document(about))
    found = [Signature(key=key.public.id, value=key.sign(text)) for key in keys]
    return Signed(statement=about, signatures=tuple(sorted(found, key=lambda s: s.key)))


def parse_signed(value: JsonValue) -> Signed:
    """What :meth:`Signed.to_json` wrote, checked for form only.

    Raises:
        ValueError: it has another form.
    """
    if not isinstance(value, Mapping) or value.keys() != {"statement", "signatures"}:
        raise ValueError("expected a signed statement with exactly statement and signatures")
    about, listed = value["statement"], value["signatures"]
    if not isinstance(listed, (list, tuple)) or not 0 < len(listed) <= MOST_SIGNATURES:
        raise ValueError(f"expected 1 to {MOST_SIGNATURES} signatures")
    found: list[Signature] = []
    for item in listed:
        if not isinstance(item, Mapping) or item.keys() != {"keyid", "sig"}:
            raise ValueError("expected a signature with exactly keyid and sig")
        key, sig = item["keyid"], item["sig"]
        if not isinstance(key, str) or _KEY_ID.match(key) is None:
            raise ValueError("expected a key id of 16 hex digits")
        if not isinstance(sig, str) or _SIGNATURE.match(sig) is None:
            raise ValueError("expected a signature of 128 hex digits")
        found.append(Signature(key=key, value=bytes.fromhex(sig)))
    ids = [s.key for s in found]
    if ids != sorted(set(ids)):
        raise ValueError("expected signatures in the order of their keys, one by each")
    return Signed(statement=_statement(about), signatures=tuple(found))


def _statement(value: JsonValue) -> JsonObject:
    fields = {"_type", "subject", "predicateType", "predicate"}
    if not isinstance(value, Mapping) or value.keys() != fields:
        raise ValueError("expected an in-toto statement with its four fields")
    if value["_type"] != STATEMENT_TYPE:
        raise ValueError(f"expected a statement of type {STATEMENT_TYPE}")
    if not isinstance(value["predicateType"], str) or not isinstance(value["predicate"], Mapping):
        raise ValueError("expected a predicateType as text and a predicate as an object")
    _subject(value["subject"])
    return value


def _subject(value: JsonValue) -> Mapping[str, Sha256]:
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError("expected at least one subject")
    found: dict[str, Sha256] = {}
    for item in value:
        if not isinstance(item, Mapping) or item.keys() != {"name", "digest"}:
            raise ValueError("expected a subject with exactly name and digest")
        name, digest = item["name"], item["digest"]
        if not isinstance(name, str) or not isinstance(digest, Mapping):
            raise ValueError("expected a subject's name as text and its digest as an object")
        sha = digest.get("sha256")
        if digest.keys() != {"sha256"} or not isinstance(sha, str) or not _SHA256.match(sha):
            raise ValueError("expected a subject's digest as sha256, 64 hex digits")
        if name in found:
            raise ValueError(f"subject {name[:80]!r} is named twice")
        found[name] = Sha256(sha)
    return found


def envelope(signed: Signed) -> JsonObject:
    """The same as a DSSE envelope, for other tools."""
    return {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(signed.payload).decode("ascii"),
        "signatures": [
            {"keyid": s.key, "sig": base64.b64encode(s.value).decode("ascii")}
            for s in signed.signatures
        ],
    }


def from_envelope(value: JsonValue) -> Signed:
    """A DSSE envelope as a signed statement. The payload must be in canonical form.

    Raises:
        ValueError: it is none, or of another type.
    """
    fields = {"payloadType", "payload", "signatures"}
    if not isinstance(value, Mapping) or value.keys() != fields:
        raise ValueError("expected a DSSE envelope with payloadType, payload and signatures")
    if value["payloadType"] != PAYLOAD_TYPE:
        raise ValueError(f"expected a payload of type {PAYLOAD_TYPE}")
    payload = strict_base64(value["payload"])
    about, listed = parse_document(payload), value["signatures"]
    if not isinstance(listed, (list, tuple)):
        raise ValueError("expected a list of signatures")
    signatures: list[JsonValue] = []
    for item in listed:
        if not isinstance(item, Mapping) or item.keys() != {"keyid", "sig"}:
            raise ValueError("expected a signature with exactly keyid and sig")
        signatures.append({"keyid": item["keyid"], "sig": strict_base64(item["sig"]).hex()})
    signed = parse_signed({"statement": about, "signatures": signatures})
    if signed.payload != payload:
        raise ValueError("the payload is not in canonical form (RFC 8785)")
    return signed


def strict_base64(value: JsonValue) -> bytes:
    """Bytes of standard base64 in the one form that encoding gives.

    Raises:
        ValueError: it is another form, or no text.
    """
    if not isinstance(value, str):
        raise ValueError("expected base64 as text")
    try:
        data = base64.b64decode(value.encode("ascii"), validate=True)
    except (ValueError, UnicodeEncodeError):
        raise ValueError("not base64") from None
    if base64.b64encode(data).decode("ascii") != value:
        raise ValueError("base64 in another form than encoding gives: the bytes were changed")
    return data


__all__ = [
    "MOST_SIGNATURES",
    "PAYLOAD_TYPE",
    "STATEMENT_TYPE",
    "Signature",
    "SignatureRefused",
    "SignaturesUncheckable",
    "Signed",
    "envelope",
    "from_envelope",
    "pae",
    "parse_signed",
    "sign",
    "statement",
    "strict_base64",
]
