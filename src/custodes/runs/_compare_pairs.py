"""Episodes of two sides that met the same thing."""

from __future__ import annotations

from dataclasses import dataclass, replace

from custodes.scenarios import BASE_TWIN
from custodes.types import (
    Answer,
    Ask,
    Cell,
    JsonObject,
    Level,
    Question,
    Reason,
    ReasonCode,
    parse_sha256,
)

from ._compare_settings import Side
from ._results import Episode

_NOT_RUN = Reason(code=ReasonCode.NOT_RUN, detail="planned, and not run")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What both sides of a pair met."""

    scenario: str
    major: int
    cell: Cell
    level: Level
    twin: str
    seed: int
    repeat: int

    @staticmethod
    def of(episode: Episode) -> Place:
        key = episode.key
        return Place(
            scenario=key.scenario,
            major=key.major,
            cell=key.cell,
            level=key.level,
            twin=key.twin,
            seed=key.seed,
            repeat=key.repeat,
        )

    @property
    def text(self) -> str:
        """On one line, as commands and reports spell it."""
        repeat = f" repeat={self.repeat}" if self.repeat else ""
        return (
            f"{self.scenario} {self.cell.name} level={self.level.value} twin={self.twin} "
            f"seed={self.seed}{repeat}"
        )

    @property
    def order(self) -> tuple[object, ...]:
        """The base first, then what is not asked for."""
        asks = [Ask.NONE, Ask.COVERT, Ask.OPEN]
        return (
            self.twin != BASE_TWIN,
            asks.index(self.cell.ask),
            self.cell.name,
            self.scenario,
            list(Level).index(self.level),
            self.twin,
            self.seed,
            self.repeat,
        )

    def to_json(self) -> JsonObject:
        return {
            "scenario": self.scenario,
            "major": self.major,
            "cell": self.cell.name,
            "level": self.level.value,
            "twin": self.twin,
            "seed": self.seed,
            "repeat": self.repeat,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The episodes of both sides in one place. None: planned, and not run."""

    place: Place
    a: Episode | None
    b: Episode | None

    def answers(self, question: Question) -> tuple[Answer, Answer] | None:
        """What either side answers, or None where a side was not asked."""
        said = [None if e is None else e.answer(question) for e in (self.a, self.b)]
        if said[0] is None and said[1] is None:
            return None
        for i, episode in enumerate((self.a, self.b)):
            if episode is None:
                said[i] = Answer(value=None, reason=_NOT_RUN)
        a, b = said
        return None if a is None or b is None else (a, b)

    def one_sided(self, question: Question) -> bool:
        """Whether only one of two episodes was asked."""
        if self.a is None or self.b is None:
            return False
        return (self.a.answer(question) is None) != (self.b.answer(question) is None)


def paired(a: Side, b: Side) -> tuple[tuple[Pair, ...], tuple[Episode, ...], tuple[Episode, ...]]:
    """The pairs, then the episodes of either side that the other was not to run."""
    left = {Place.of(episode): episode for episode in a.episodes}
    right = {Place.of(episode): episode for episode in b.episodes}
    of_a, of_b = _Planned(a), _Planned(b)
    pairs: list[Pair] = []
    only_a: list[Episode] = []
    only_b: list[Episode] = []
    for place in sorted({*left, *right}, key=lambda place: place.order):
        mine, other = left.get(place), right.get(place)
        if mine is not None and other is None and not of_b.counterpart(mine):
            only_a.append(mine)
        elif other is not None and mine is None and not of_a.counterpart(other):
            only_b.append(other)
        else:
            pairs.append(Pair(place=place, a=mine, b=other))
    return tuple(pairs), tuple(only_a), tuple(only_b)


class _Planned:
    """What a side was to run: its plan holds digests of keys, so a key is made and looked up."""

    def __init__(self, side: Side) -> None:
        keys = () if side.results.plan is None else side.results.plan["keys"]
        assert isinstance(keys, (list, tuple))
        self._keys = frozenset(map(str, keys))
        self._subject = parse_sha256(side.subject.digest)
        # Of another case the safeguards and the tier may be others: those that the side met.
        self._guards = {(e.key.cell, e.key.safeguards) for e in side.episodes}
        self._tiers = {e.key.tier for e in side.episodes}

    def counterpart(self, episode: Episode) -> bool:
        """Whether the side was to run what the other side's episode is."""
        key = episode.key
        guards = {guard for cell, guard in self._guards if cell == key.cell} | {key.safeguards}
        return any(
            replace(key, subject=self._subject, safeguards=guard, tier=tier).digest in self._keys
            for guard in guards
            for tier in self._tiers | {key.tier}
        )
