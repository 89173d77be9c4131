"""How a judge judges, as options and as a name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from types import MappingProxyType
from urllib.parse import parse_qsl, quote, urlsplit

from custodes.types import JsonObject

from ._judge_prompt import View

MOST_SAMPLES = 25


class Aggregate(StrEnum):
    """How samples become one suspicion."""

    MEAN = "mean"
    MEDIAN = "median"


class Each(StrEnum):
    """What is judged."""

    RUN = "run"
    """The whole run, at its end."""
    CALL = "call"
    """Every tool call before its result is known, with what came before it."""


_FRACTIONS = ("temperature", "timeout")
_MODEL = re.compile(r"[\w.:/@+-]+", re.ASCII)
_URL = re.compile(r"https?://[\w.:/\[\]~%+-]+", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeOptions:
    """How a judge judges. All of it is part of the monitor's identity.

    Attributes:
        model: Inspect's name of the model (``openai/gpt-4o``).
        view: what it is shown.
        each: what it judges.
        samples: independent answers to one question.
        aggregate: how they become one suspicion.
        quorum: samples that must be a verdict; None for all of them.
        temperature: or None for the provider's default.
        max_tokens: of an answer, reasoning included.
        timeout: seconds for an answer.
        retries: of calls that failed in a way that may pass.
        characters: of the transcript that is shown at most.
        event_characters: of one text in it; of a call four times as many.
        schema: ask the provider to hold the model to the JSON schema of the answer. The answer
            is read just as strictly without.
        base_url: of the service, or None for the provider's own.

    Raises:
        TypeError, ValueError: for options that make no sense, when it is built.
    """

    model: str
    view: View = View.REASONING
    each: Each = Each.RUN
    samples: int = 1
    aggregate: Aggregate = Aggregate.MEAN
    quorum: int | None = None
    temperature: float | None = None
    max_tokens: int = 4_000
    timeout: float = 120.0
    retries: int = 2
    characters: int = 200_000
    event_characters: int = 4_000
    schema: bool = True
    base_url: str | None = None

    def __post_init__(self) -> None:
        if type(self.model) is not str or _MODEL.fullmatch(self.model) is None:
            raise ValueError(
                "expected the model as Inspect names it (openai/gpt-4o), in letters, digits and "
                f"._:/@+-, found {self.model!r}"
            )
        for name, kind in (("view", View), ("each", Each), ("aggregate", Aggregate)):
            value = getattr(self, name)
            if not isinstance(value, kind):
                raise TypeError(f"expected {name} to be a {kind.__name__}, found {value!r}")
        for name, low, high in (
            ("samples", 1, MOST_SAMPLES),
            ("max_tokens", 16, 1_000_000),
            ("retries", 0, 20),
            ("characters", 1_000, 10_000_000),
            ("event_characters", 100, 10_000_000),
        ):
            _whole(name, getattr(self, name), low, high)
        if self.quorum is not None:
            _whole("quorum", self.quorum, 1, self.samples)
        if self.temperature is not None:
            _number("temperature", self.temperature, 0, 2)
        _number("timeout", self.timeout, 0.1, 3_600)
        if not isinstance(self.schema, bool):
            raise TypeError(f"expected schema to be a truth value, found {self.schema!r}")
        if self.base_url is not None and (
            _URL.fullmatch(self.base_url) is None or "@" in urlsplit(self.base_url).netloc
        ):
            # A password in it would travel into every receipt with the monitor's name.
            raise ValueError("expected base_url as http(s)://HOST… without user, query or comma")

    @property
    def needed(self) -> int:
        """Samples that must be a verdict."""
        return self.samples if self.quorum is None else self.quorum

    @property
    def name(self) -> str:
        """``judge:MODEL`` with the options that are not the default, as :meth:`parse` reads it."""
        told = []
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name != "model" and value != one.default:
                if isinstance(value, bool):
                    value = "yes" if value else "no"
                elif isinstance(value, float):
                    value = f"{value:g}" if float(f"{value:g}") == value else repr(value)
                told.append(f"{one.name}={quote(str(value), safe=':/[]~')}")
        return f"judge:{self.model}" + (f"?{'&'.join(told)}" if told else "")

    @classmethod
    def parse(cls, name: str) -> JudgeOptions:
        """The options that a name spells: ``judge:MODEL?view=actions&samples=3``.

        Raises:
            ValueError: naming the option, what was expected and what was found.
        """
        prefix, _, rest = name.partition(":")
        model, asked, query = rest.partition("?")
        if prefix != "judge" or not model or (asked and not query):
            raise ValueError(f"expected judge:MODEL or judge:MODEL?OPTION=VALUE&…, found {name!r}")
        try:
            pairs = parse_qsl(query, strict_parsing=True, keep_blank_values=True) if query else []
        except ValueError:
            raise ValueError(f"expected OPTION=VALUE&… after the model, found {query!r}") from None
        given = dict(pairs)
        if len(given) != len(pairs):
            raise ValueError(f"expected every option of the judge once, found {query!r}")
        values = {option: _option(option, text) for option, text in given.items()}
        return cls(model=model, **values)  # type: ignore[arg-type]

    def to_json(self) -> JsonObject:
        """Everything that decides; fractions as text, because identities hold none."""
        return {
            one.name: value
            if (value := getattr(self, one.name)) is None or one.name not in _FRACTIONS
            else repr(float(value))
            for one in fields(self)
        }


def _whole(name: str, value: object, low: int, high: int) -> None:
    if type(value) is not int:
        raise TypeError(f"expected {name} to be a whole number, found {value!r}")
    if not low <= value <= high:
        raise ValueError(f"expected {name} from {low} to {high}, found {value}")


def _number(name: str, value: object, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected {name} to be a number, found {value!r}")
    if not (math.isfinite(value) and low <= value <= high):
        raise ValueError(f"expected {name} from {low:g} to {high:g}, found {value}")


def _choice(kind: type[StrEnum]) -> Callable[[str], object]:
    def read(text: str) -> object:
        return kind(text)

    return read


def _digits(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,9}", text) is None:
        raise ValueError(text)
    return int(text)


_COUNTS = ("samples", "quorum", "max_tokens", "retries", "characters", "event_characters")
_READ: Mapping[str, tuple[Callable[[str], object], str]] = MappingProxyType(
    {
        "view": (_choice(View), "actions or reasoning"),
        "each": (_choice(Each), "run or call"),
        "aggregate": (_choice(Aggregate), "mean or median"),
        "schema": (lambda text: {"yes": True, "no": False}[text], "yes or no"),
        "base_url": (str, "an address"),
        **dict.fromkeys(_FRACTIONS, (float, "a number")),
        **dict.fromkeys(_COUNTS, (_digits, "a whole number")),
    }
)


def _option(option: str, text: str) -> object:
    if option not in _READ:
        known = ", ".join(sorted(_READ))
        raise ValueError(f"expected an option of the judge ({known}), found {option!r}")
    read, expected = _READ[option]
    try:
        return read(text)
    except (ValueError, KeyError):
        raise ValueError(f"expected {option} to be {expected}, found {text!r}") from None
