"""The protocols of hosted models, from the side of a server: each read and written in one module.

A request and a completion are read whole. What a protocol may add tomorrow is passed over; what is
not of the shape that the protocol gives it is refused, because a client might make more of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from .._model import DialectName
from ._base import Base
from ._chat import Chat
from ._gemini import Gemini
from ._messages import Messages
from ._responses import Responses

DIALECTS: Final[Mapping[DialectName, Base]] = MappingProxyType(
    {dialect.name: dialect for dialect in (Messages(), Responses(), Chat(), Gemini())}
)
"""Every protocol by its name."""

__all__ = ["DIALECTS", "Base"]
