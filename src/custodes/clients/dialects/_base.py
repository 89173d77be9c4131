"""What the protocols have in common: a request is read once, and a move is written from it."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator

from custodes.scenarios import Conversation, Move

from .._model import DialectName, Heard, Payload, Spoken, Tooling
from ._events import STREAM, is_stream, streamed
from ._json import JsonDict, loaded
from ._reading import Reading
from ._saying import Saying, saying


class Base(ABC):
    """One protocol; see :class:`~custodes.clients.Dialect`."""

    name: DialectName

    @abstractmethod
    def wants(self, method: str, path: str) -> bool: ...

    @abstractmethod
    def _read(self, path: str, body: bytes) -> Reading:
        """Read a request."""

    @abstractmethod
    def _document(self, document: object) -> Spoken:
        """Read a completion that is a JSON document."""

    @abstractmethod
    def _stream(self, body: bytes) -> Spoken:
        """Read a completion that is a stream of events."""

    @abstractmethod
    def _whole(self, reading: Reading, said: Saying) -> JsonDict | list[JsonDict]:
        """Write a completion as a JSON document."""

    @abstractmethod
    def _events(self, reading: Reading, said: Saying) -> Iterator[JsonDict | str]:
        """Write a completion as events."""

    @abstractmethod
    def beside(self, method: str, path: str, body: bytes) -> Payload: ...

    @abstractmethod
    def failure(self, status: int, message: str) -> Payload:
        """An error as this protocol has it."""

    def heard(self, path: str, body: bytes) -> Heard:
        return self._read(path, body).heard()

    def spoken(self, payload: Payload) -> Spoken:
        if is_stream(payload):
            return self._stream(payload.body)
        return self._document(loaded(payload.body, "a completion"))

    def conversation(self, path: str, body: bytes, tooling: Tooling) -> Conversation:
        return self._read(path, body).conversation(tooling)

    def speak(self, path: str, body: bytes, move: Move, tooling: Tooling) -> Payload:
        """See the protocol. Of a move with both, the calls are written and the form is left out:
        it is for the next completion, as :func:`~custodes.clients.scripted` has it.
        """
        reading = self._read(path, body)
        said = saying(body, move, reading.tools, tooling)
        if reading.stream:
            return streamed(self._events(reading, said))
        return json_payload(self._whole(reading, said))


def json_payload(value: object, status: int = 200) -> Payload:
    """A JSON document."""
    return Payload(body=json.dumps(value).encode(), status=status)


def no_completion(document: object) -> ValueError:
    """What to say of a document that is no completion, an error object most often."""
    found = "something else"
    if isinstance(document, dict) and document.get("error") is not None:
        error = document["error"]
        words = error.get("message") if isinstance(error, dict) else error
        found = f"an error: {' '.join(str(words).split())[:200]}"
    return ValueError(f"expected a completion, found {found}")


__all__ = ["STREAM", "Base", "json_payload", "no_completion"]
