"""The two sides of a comparison, and what is recorded to differ between them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from custodes.case import Case, CaseConfig
from custodes.types import JsonObject, JsonValue

from ._results import Episode, Results, SubjectView

NONE = "none"
_NOT_SETTINGS = frozenset({"id", "role", "model", "description", "cells", "twins", "agent"})
"""Fields of a subject that say what it is called and where it is met, or that the plan records."""


class NothingToCompare(ValueError):
    """What was named cannot be compared; one line that says why and what to name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two settings.

    Attributes:
        name: how it is told apart: the subject's id, with the case's name where both cases have it.
        case: name of the case, or "" when both sides are of one case.
        recorded: whether ``custodes.yaml`` is what the ledger recorded last.
    """

    name: str
    case: str
    subject: SubjectView
    results: Results
    config: CaseConfig
    recorded: bool

    @property
    def episodes(self) -> tuple[Episode, ...]:
        return self.results.of(subject=self.subject.id)

    def to_json(self) -> JsonObject:
        return {
            "name": self.name,
            "case": self.case or None,
            "subject": self.subject.id,
            "role": self.subject.role,
            "model": self.subject.model,
            "reference": self.subject.is_reference,
            "digest": self.subject.digest,
            "configuration": self.config.digest,
            "configuration_recorded": self.recorded,
            "head": self.results.head,
            "episodes": len(self.episodes),
        }


def side_of(
    case: Case, results: Results, subject: str | None, *, label: str = "", name: str | None = None
) -> Side:
    """A subject of a case as one side; without a name, the only one whose role is ``subject``.

    Args:
        label: name of the case, when the other side is of another one.
        name: how the side is called; by default the subject's id.

    Raises:
        NothingToCompare: no such subject, or several and none named.
    """
    of = f" of {label}" if label else ""
    ids = [view.id for view in results.subjects]
    if subject is None:
        chosen = [view for view in results.subjects if view.role == "subject"]
        if len(chosen) != 1:
            raise NothingToCompare(
                f"expected one subject in the plan{of}, found "
                f"{', '.join(v.id for v in chosen) or 'none'}: name one with --subject"
            )
        view = chosen[0]
    else:
        found = [view for view in results.subjects if view.id == subject]
        if not found:
            near = difflib.get_close_matches(subject, ids, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise NothingToCompare(
                f"no subject{of} is called {subject!r}: the fixed plan has "
                f"{', '.join(ids) or 'none, since nothing was run'}{hint}"
            )
        view = found[0]
    return Side(
        name=name or view.id,
        case=label,
        subject=view,
        results=results,
        config=case.config,
        recorded=case.config_recorded,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not the same on both sides, as it is on each."""

    what: str
    a: str
    b: str

    def to_json(self) -> JsonObject:
        return {"what": self.what, "a": self.a, "b": self.b}


def differences(
    a: Side, b: Side, pairs: Sequence[tuple[Episode, Episode]]
) -> tuple[Difference, ...]:
    """Everything recorded that differs: model, words, arguments, agent, limits, versions, machine.

    Args:
        pairs: the paired episodes: their safeguards, tier and scenarios are compared.
    """
    left, right = dict(_recorded(a)), dict(_recorded(b))
    found = [
        Difference(what=what, a=left.get(what, NONE), b=right.get(what, NONE))
        for what in dict.fromkeys((*left, *right))
        if left.get(what, NONE) != right.get(what, NONE)
    ]
    found += _of_pairs(pairs)
    own = {difference.what for difference in found}
    if a.subject.digest != b.subject.digest and not own & _of_subjects(left, right):
        found.insert(
            0,
            Difference(
                what="identity, by something that is not recorded here",
                a=a.subject.digest[:12],
                b=b.subject.digest[:12],
            ),
        )
    return tuple(found)


_AROUND = "surroundings: "
_SCENARIO = "scenario "


def _of_subjects(*sides: Mapping[str, str]) -> set[str]:
    """Names of what is part of a subject's identity."""
    return {what for side in sides for what in side if not what.startswith((_AROUND, _SCENARIO))}


def _recorded(side: Side) -> Iterator[tuple[str, str]]:
    yield "model", side.subject.model
    yield from _flat("agent", _planned(side).get("agent"))
    for configured in side.config.plan.subjects:
        # A plan may have replaced the model (--model): then the file's fields are of another one.
        if configured.id == side.subject.id and configured.model == side.subject.model:
            fields = configured.model_dump(mode="json")
            for name, value in fields.items():
                if name not in _NOT_SETTINGS:
                    yield from _flat(name, value)
    if side.subject.elicitation is not None:
        yield "elicitation", _shown(side.subject.elicitation)
    yield from _flat("limits", side.config.plan.limits.model_dump(mode="json"))
    plan = side.results.plan or {}
    yield from _flat(_AROUND + "safeguard", plan.get("safeguard"))
    yield from _flat(_AROUND + "interview", plan.get("interview"))
    for name, value in (side.results.environment or {}).items():
        if name not in ("schema", "canary"):
            yield from _flat(_AROUND + name, value)
    for entry in _listed(plan.get("scenarios")):
        if isinstance(entry, Mapping):
            # Scenarios that only one side met are no difference of what is compared.
            met = {episode.key.scenario for episode in side.episodes}
            if entry["id"] in met:
                yield f"{_SCENARIO}{entry['id']}", f"version {entry['version']}"


def _planned(side: Side) -> JsonObject:
    for entry in _listed((side.results.plan or {}).get("subjects")):
        if isinstance(entry, Mapping) and entry["id"] == side.subject.id:
            return entry
    return {}


def _listed(value: JsonValue) -> Sequence[JsonValue]:
    return value if isinstance(value, (list, tuple)) else ()


def _of_pairs(pairs: Sequence[tuple[Episode, Episode]]) -> Iterator[Difference]:
    """Safeguards and tiers of paired episodes, each change once."""
    found: dict[tuple[str, str, str], None] = {}
    for a, b in pairs:
        if a.key.safeguards != b.key.safeguards:
            what = f"safeguards in {a.key.cell.name}"
            found[what, a.key.safeguards[:12], b.key.safeguards[:12]] = None
        if a.key.tier is not b.key.tier:
            found["sandbox tier", a.key.tier.value, b.key.tier.value] = None
    for what, left, right in found:
        yield Difference(what=what, a=left, b=right)


def _flat(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _flat(f"{name}.{key}", item)
    elif value is not None:
        yield name, _shown(value)


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def warnings_about(a: Side, b: Side, found: Sequence[Difference]) -> tuple[str, ...]:
    """What a reader must know before laying a change at one door."""
    said: list[str] = []
    if len(found) > 1:
        said.append(
            f"{len(found)} things differ between {a.name} and {b.name}: a change cannot be laid "
            "to one of them"
        )
    if not found:
        said.append(
            f"nothing that is recorded differs between {a.name} and {b.name}: what changed is "
            "how one setting varies from run to run"
        )
    for side in (a, b):
        if not side.recorded:
            said.append(
                f"custodes.yaml of {side.case or 'the case'} was changed after it was recorded: "
                f"what it says of {side.name} may not be what was run"
            )
            if not side.case:
                break
    names = [side.name for side in (a, b) if side.subject.is_reference]
    if names:
        said.append(
            f"instrument check: not an AI: {' and '.join(names)} "
            f"{'is a scripted agent' if len(names) == 1 else 'are scripted agents'}; "
            "counts, without intervals"
        )
    return tuple(said)
