"""How events name evidence and files, and how such names are found again in any event's data.

``{"blob", "locator"}`` names evidence (:meth:`custodes.types.EvidenceRef.to_json`).
``{"file", "sha256", "bytes"}`` names a file of the case by its path in the folder: a sealed log,
a report, the configuration, a torn tail.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from custodes.types import JsonObject, JsonValue, Locator, Sha256, parse_sha256

from ._evidence import parse_ref

_ENTRY = frozenset({"file", "sha256", "bytes"})


@dataclass(frozen=True, slots=True, kw_only=True)
class BlobNamed:
    """Evidence that an event names."""

    blob: Sha256
    locator: Locator | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileNamed:
    """A file of the case that an event names: path with ``/``, digest and length."""

    file: str
    sha256: Sha256
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unclear:
    """Something that has the form of a name and is none."""

    what: str


def file_entry(file: str, sha256: Sha256, size: int) -> JsonObject:
    """The JSON form by which an event names a file of the case."""
    return {"file": file, "sha256": sha256, "bytes": size}


def references(data: JsonValue) -> Iterator[BlobNamed | FileNamed | Unclear]:
    """Everything that ``data`` names, in order."""
    stack: list[JsonValue] = [data]
    while stack:
        value = stack.pop()
        if isinstance(value, Mapping):
            if "blob" in value and "locator" in value:
                try:
                    blob, locator = parse_ref(value)
                    yield BlobNamed(blob=blob, locator=locator)
                except ValueError as error:
                    yield Unclear(what=f"no evidence reference: {error}")
            elif value.keys() == _ENTRY:
                yield _file(value)
            else:
                stack.extend(reversed(list(value.values())))
        elif isinstance(value, (list, tuple)):
            stack.extend(reversed(value))


def _file(value: JsonObject) -> FileNamed | Unclear:
    file, size = value["file"], value["bytes"]
    try:
        digest = parse_sha256(value["sha256"])
    except ValueError as error:
        return Unclear(what=f"no file entry: {error}")
    if not isinstance(file, str) or not is_inside(file):
        return Unclear(what=f"no path inside the case: {str(file)[:120]!r}")
    if type(size) is not int or size < 0:
        return Unclear(what=f"{file}: no number of bytes: {str(size)[:40]}")
    return FileNamed(file=file, sha256=digest, size=size)


def is_inside(file: str) -> bool:
    """Whether a path is relative, plain, and leads nowhere but down."""
    return (
        file.isprintable()
        and "\\" not in file
        and len(file) <= 1024
        and all(part not in ("", ".", "..") for part in file.split("/"))
    )
