"""Values to JSON documents and back, strictly: nothing missing, nothing added, nothing coerced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from custodes.types import JsonObject, JsonValue, canonical_json

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


class Document:
    """Base of the dataclasses that are written as documents.

    Attributes:
        schema: ``custodes.<kind>/<n>``.
    """

    __slots__ = ()
    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}
    schema: ClassVar[str]

    def to_json(self) -> JsonObject:
        """The document."""
        return {"schema": self.schema, **dump(self)}


_adapters: dict[Any, TypeAdapter[Any]] = {}


def _adapter(kind: Any) -> TypeAdapter[Any]:
    if kind not in _adapters:
        # Late: it costs half a second that the pure logic does not need.
        from pydantic import TypeAdapter

        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def dump(value: object) -> dict[str, Any]:
    """The fields of a dataclass as JSON."""
    plain: dict[str, Any] = _adapter(type(value)).dump_python(value, mode="json")
    return plain


def load(kind: type[T], fields: Mapping[str, JsonValue], what: str) -> T:
    """A dataclass from its fields.

    Raises:
        ValueError: one line that says what is wrong, where.
    """
    from pydantic import ValidationError

    try:
        value: T = _adapter(kind).validate_json(canonical_json(fields), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        message = first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{what}: at {where}: {message}") from None
    except TypeError as error:
        raise ValueError(f"{what}: {error}") from None
    return value


def body(data: JsonValue, schema: str) -> dict[str, JsonValue]:
    """The fields of a document without its schema.

    Raises:
        ValueError: if it is not an object of that schema.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"expected a document {schema}, found {type(data).__name__}")
    fields = dict(data)
    found = fields.pop("schema", None)
    if found != schema:
        raise ValueError(
            f"expected schema {schema}, found {found!r}: use the version that wrote it"
        )
    return fields
