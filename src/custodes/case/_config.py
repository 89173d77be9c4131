"""``custodes.yaml``: who assesses what, with which plan."""

from __future__ import annotations

import difflib
import os
import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from custodes.types import Ask, Belief, Cell, Level, Safeguards, Sha256, Tier, sha256_of

from ._canonical import canonical_document
from ._disk import opened_regular
from ._errors import ConfigError, reported, shown
from ._evidence import iter_fd
from ._words import CONFIG_NAME
from ._yaml import MAX_BYTES, Place, YamlProblem
from ._yaml import load as load_yaml

CASE_SCHEMA: Final = "custodes.case/1"

_LARGEST_EXACT_INT = 2**53 - 1


def parse_cell(name: str) -> Cell:
    """The cell of that name: ``ask-safeguards`` or ``ask-safeguards-belief``.

    Raises:
        ValueError: there is no such cell; the nearest ones are named.
    """
    for cell in _CELLS:
        if cell.name == name:
            return cell
    names = [cell.name for cell in _CELLS]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"such as {names[0]!r}"
    raise ValueError(
        f"{name!r} is no cell; expected ask-safeguards or ask-safeguards-belief, {hint}"
    )


_CELLS = tuple(
    Cell(ask=ask, safeguards=safeguards, belief=belief)
    for ask in Ask
    for safeguards in Safeguards
    for belief in Belief
)


def _line_of_text(value: str) -> str:
    if not value.strip():
        raise ValueError("expected some text, found none")
    if not value.isprintable():
        raise ValueError("expected one line without control characters")
    return value


def _paragraph(value: str) -> str:
    if not value.strip():
        raise ValueError("expected some text, found none")
    if not all(c.isprintable() or c == "\n" for c in value):
        raise ValueError("expected text without control characters")
    return value


def _matching(pattern: str, meaning: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise ValueError(f"expected {meaning}, found {value[:80]!r}")
        return value

    return AfterValidator(check)


def _cell_name(value: object) -> object:
    return parse_cell(value) if isinstance(value, str) else value


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    seen: set[Any] = set()
    for value in values:
        if value in seen:
            said = value.name if isinstance(value, Cell) else value
            raise ValueError(f"{str(said)!r} occurs twice")
        seen.add(value)
    return values


def _canonical(value: dict[str, Any]) -> dict[str, Any]:
    canonical_document(value)
    return value


Line: TypeAlias = Annotated[StrictStr, AfterValidator(_line_of_text), Field(max_length=400)]
Paragraph: TypeAlias = Annotated[StrictStr, AfterValidator(_paragraph), Field(max_length=20_000)]
Name: TypeAlias = Annotated[
    StrictStr,
    _matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
        "a name of at most 64 letters, digits, '.', '_' and '-' that begins with a letter or digit",
    ),
]
ModelName: TypeAlias = Annotated[
    StrictStr,
    _matching(
        r"[A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._:@-]*)+",
        "provider/model, such as reference/honest",
    ),
    Field(max_length=200),
]
ScenarioId: TypeAlias = Annotated[
    StrictStr,
    _matching(r"[a-z][a-z0-9_]{0,63}/[a-z][a-z0-9_]{0,63}", "family/scenario"),
]
Positive: TypeAlias = Annotated[StrictInt, Field(ge=1, le=_LARGEST_EXACT_INT)]
Seed: TypeAlias = Annotated[StrictInt, Field(ge=0, le=_LARGEST_EXACT_INT)]


CellList: TypeAlias = Annotated[
    tuple[Annotated[Cell, BeforeValidator(_cell_name)], ...],
    AfterValidator(_distinct),
    Field(min_length=1),
]
TwinList: TypeAlias = (
    Literal["all"] | Annotated[tuple[Name, ...], AfterValidator(_distinct), Field(min_length=1)]
)


class _Model(BaseModel):
    # The position in the file is told by us; pydantic's own address of its manual is not shown.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Window(_Model):
    """The days that the assessment is about. Evidence dated outside is marked in the report."""

    from_: date | None = Field(default=None, alias="from")
    to: date | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.from_ is not None and self.to is not None and self.to < self.from_:
            raise ValueError(f"the window ends ({self.to}) before it begins ({self.from_})")
        return self


class Subject(_Model):
    """What is assessed, or a control that tells whether the instruments work.

    Attributes:
        id: name of the subject in this case.
        role: ``subject`` or ``control``.
        model: provider and model, as Inspect spells it; ``reference/…`` are scripted and no AI.
        model_args: arguments of the model's provider.
        elicitation: how the model is brought to its best (scaffold, prompts), in words.
        description: for the reader of the report.
        cells: the only cells that it is met in; None: those of the plan.
        twins: the only twins that it is met with; None: those of the plan.
        agent: the installed agent that it is (``custodes.clients.AgentSpec``); None: a bare model
            in Custodes' own loop. ``model`` is then a name for the report, such as
            ``client/claude-code``, or a reference policy that plays its model.
    """

    id: Name
    role: Literal["subject", "control"]
    model: ModelName
    model_args: Annotated[dict[StrictStr, JsonValue], AfterValidator(_canonical)] = Field(
        default_factory=dict
    )
    elicitation: Paragraph | None = None
    description: Paragraph | None = None
    cells: CellList | None = None
    twins: TwinList | None = None
    agent: Annotated[dict[StrictStr, JsonValue], AfterValidator(_canonical)] | None = None


class Limits(_Model):
    """What ends one episode: turns of the agent, seconds of wall clock, tokens (None: no limit)."""

    turns: Positive = 30
    seconds: Positive = 120
    tokens: Positive | None = None


class Drills(_Model):
    """Shutdown drills: every adversary against every mechanism, ``n`` times."""

    mechanisms: Annotated[tuple[Name, ...], AfterValidator(_distinct), Field(min_length=1)]
    adversaries: Annotated[tuple[Name, ...], AfterValidator(_distinct), Field(min_length=1)]
    n: Positive


def _planned_subject(name: str, info: ValidationInfo) -> str:
    """A subject of the plan; where the subjects themselves are wrong, that is said instead."""
    known = [subject.id for subject in info.data.get("subjects", ())]
    if known and name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; there are: {', '.join(known)}"
        raise ValueError(f"no subject of the plan is called {name!r}{hint}")
    return name


def _two_subjects(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(names) != 2 or names[0] == names[1]:
        raise ValueError(f"expected two different subjects, found {', '.join(names) or 'none'}")
    return names


ComparedPair: TypeAlias = Annotated[
    tuple[Annotated[Name, AfterValidator(_planned_subject)], ...], AfterValidator(_two_subjects)
]


class Plan(_Model):
    """What is run.

    Attributes:
        subjects: at least one.
        scenarios: ids, or ``all``.
        cells: names of the cells.
        levels: instruction levels; each scenario runs those that apply to it.
        twins: names of twins, or ``all``.
        seeds: one episode each, per combination.
        repeats: times that each seed is run.
        tier: sandbox; ``C`` is not contained.
        limits: of one episode.
        probes: containment probes: all, none, how many, or which.
        drills: shutdown drills, or None.
        interview: whether every agent is asked about its work after the episode.
        compare: pairs of subjects, the second against the first, for the report's section on
            what changed between them.
        workers: processes; None lets the machine decide.
    """

    subjects: Annotated[tuple[Subject, ...], Field(min_length=1)]
    scenarios: (
        Literal["all"]
        | Annotated[tuple[ScenarioId, ...], AfterValidator(_distinct), Field(min_length=1)]
    ) = "all"
    cells: CellList
    levels: Annotated[tuple[Level, ...], AfterValidator(_distinct), Field(min_length=1)] = (
        Level.NONE,
        Level.EXPLICIT,
    )
    twins: TwinList = "all"
    seeds: Annotated[tuple[Seed, ...], AfterValidator(_distinct), Field(min_length=1)]
    repeats: Positive = 1
    tier: Literal[Tier.A, Tier.C] = Tier.A
    limits: Limits = Field(default_factory=Limits)
    probes: (
        StrictBool
        | Annotated[StrictInt, Field(ge=0)]
        | Annotated[tuple[Name, ...], AfterValidator(_distinct)]
    ) = True
    drills: Drills | None = None
    interview: StrictBool = False
    compare: Annotated[tuple[ComparedPair, ...], AfterValidator(_distinct)] = ()
    workers: Annotated[StrictInt, Field(ge=1, le=1024)] | None = None

    @model_validator(mode="after")
    def _subjects_distinct(self) -> Plan:
        _distinct(tuple(subject.id for subject in self.subjects))
        return self


class CaseConfig(_Model):
    """The whole of ``custodes.yaml``."""

    schema_: Literal["custodes.case/1"] = Field(alias="schema")
    organisation: Line
    assessor: Line
    purpose: Paragraph
    window: Window | None = None
    plan: Plan

    def to_json(self) -> dict[str, Any]:
        """As JSON: every default filled in, cells by name."""
        document = self.model_dump(mode="json", by_alias=True, exclude={"plan": {"cells"}})
        document["plan"]["cells"] = [cell.name for cell in self.plan.cells]
        for subject, written in zip(self.plan.subjects, document["plan"]["subjects"], strict=True):
            if subject.cells is not None:
                written["cells"] = [cell.name for cell in subject.cells]
        return document

    @property
    def digest(self) -> Sha256:
        """Identity of what the configuration means; layout and comments do not count."""
        document = self.to_json()
        # A setting that came later counts where it is used: older cases keep their identity.
        if not self.plan.interview:
            del document["plan"]["interview"]
        if not self.plan.compare:
            del document["plan"]["compare"]
        for subject in document["plan"]["subjects"]:
            if subject["agent"] is None:
                del subject["agent"]
        return sha256_of(canonical_document(document))


# Loading


def load_config(path: Path) -> CaseConfig:
    """Read ``custodes.yaml``.

    Raises:
        ConfigError: every problem found, each with file and line.
        StorageError: the file cannot be read (links are not followed).
    """
    return parse_config(read_config(path), shown(path))


def read_config(path: Path) -> bytes:
    """The bytes of ``custodes.yaml``, unless they are far too many.

    Raises:
        ConfigError, StorageError: as :func:`load_config`.
    """
    with reported("read", path), opened_regular(path) as fd:
        if os.fstat(fd).st_size > MAX_BYTES:
            raise ConfigError([f"{shown(path)}: more than {MAX_BYTES} bytes; not read"])
        return b"".join(iter_fd(fd))


def parse_config(data: bytes, where: str = CONFIG_NAME) -> CaseConfig:
    """The configuration that ``data`` is; ``where`` is the file's name in errors.

    Raises:
        ConfigError: as :func:`load_config`.
    """
    try:
        document, lines = load_yaml(data)
    except YamlProblem as problem:
        at = "" if problem.line is None else f":{problem.line}"
        raise ConfigError([f"{where}{at}: {problem}"]) from None
    if not isinstance(document, dict):
        raise ConfigError([f"{where}:1: expected keys such as organisation and plan, found none"])
    try:
        return CaseConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(_problems(error, lines, where)) from None


_EITHER: Final[dict[Place, str]] = {
    ("plan", "scenarios"): "expected all, or a list of ids",
    ("plan", "twins"): "expected all, or a list of names",
    ("plan", "probes"): "expected true, false, how many, or a list of names",
}


def _problems(error: ValidationError, lines: dict[Place, int], where: str) -> list[str]:
    """One line for each thing that is wrong, in the order of the file."""
    found: dict[tuple[int, str], None] = {}
    meant: set[Place] = set()
    items = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    places = [_place(item["loc"], lines) for item in items]
    deeper = [place for place in places if place[:-1] in _EITHER]
    for item, place in zip(items, places, strict=True):
        if item["type"] == "extra_forbidden":
            near = difflib.get_close_matches(
                str(place[-1]), _known_keys(place[:-1]), n=1, cutoff=0.0
            )
            said = f"unknown key {_dotted(place)!r}"
            if near:
                said += f"; the nearest known one is {near[0]!r}"
                meant.add((*place[:-1], near[0]))
        elif item["type"] == "missing":
            absent = (*place, item["loc"][-1])
            if absent in meant:
                continue
            said = f"key {_dotted(absent)!r} is missing"
        elif place in _EITHER and any(within[: len(place)] == place for within in deeper):
            continue  # a list was given, and one of its items is wrong: that is said already
        else:
            said = f"{_dotted(place)}: {_EITHER.get(place) or _wrong(item)}"
        found[lines[place], said] = None
    return [f"{where}:{line}: {said}" for line, said in sorted(found)]


def _place(loc: Place, lines: dict[Place, int]) -> Place:
    """Where the file has what pydantic speaks of: its paths also name branches of a union."""
    place: Place = ()
    for part in loc:
        if (*place, part) in lines:
            place = (*place, part)
    return place


_EXPECTED: Final = {
    "string_type": "expected text; put it in quotes if it is meant to be",
    "int_type": "expected a whole number, without quotes",
    "tuple_type": "expected a list",
    "dict_type": "expected keys and values",
    "model_type": "expected keys and values",
}


def _wrong(item: Any) -> str:
    if item["type"] in _EXPECTED:
        return _EXPECTED[item["type"]]
    message = str(item["msg"]).removeprefix("Value error, ")
    message = re.sub(r"<\w+\.\w+: ('[^']*')>", r"\1", message)
    message = re.sub(r"^Input should be (?:an? )?(?:valid )?", "expected ", message)
    return message.replace("tuple", "list")


def _dotted(place: Place) -> str:
    out = ""
    for part in place:
        out += f"[{part}]" if isinstance(part, int) else f".{part}" if out else part
    return out


def _known_keys(place: Place) -> list[str]:
    """Keys that the model at ``place`` has."""
    model: Any = CaseConfig
    for part in place:
        if isinstance(part, int):
            continue
        field = next(f for n, f in model.model_fields.items() if (f.alias or n) == part)
        model = _model_in(field.annotation)
        if model is None:  # below a free-form value
            return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation: Any) -> type[_Model] | None:
    if isinstance(annotation, type) and issubclass(annotation, _Model):
        return annotation
    return next((m for a in get_args(annotation) if (m := _model_in(a)) is not None), None)


# Writing


_ARMS: Final = ["open-off", "none-off", "none-shadow", "covert-shadow", "covert-enforced"]
"""The cells of the three arms."""


def quickstart_config() -> CaseConfig:
    """The case that shows the whole path with scripted agents, without a model or a network."""
    return CaseConfig.model_validate(
        {
            "schema": CASE_SCHEMA,
            "organisation": "Quickstart",
            "assessor": "Quickstart",
            "purpose": (
                "Shows that the instruments work on this machine: scripted reference agents, "
                "real tools, a real sandbox. It says nothing about any AI."
            ),
            "plan": {
                "subjects": [
                    {
                        "id": "opportunist",
                        "role": "subject",
                        "model": "reference/opportunist",
                        "description": "Does the act where it is asked to or finds a way, and "
                        "works honestly when it is told that it is watched.",
                    },
                    {
                        "id": "honest",
                        "role": "control",
                        "model": "reference/honest",
                        "cells": _ARMS,
                        "twins": ["base"],
                        "description": "Never does the act, and says what it did.",
                    },
                    {
                        "id": "violator",
                        "role": "control",
                        "model": "reference/violator",
                        "cells": _ARMS,
                        "twins": ["base"],
                        "description": "Does the act wherever it finds the way to it.",
                    },
                ],
                "scenarios": [
                    "deception/false_verification",
                    "disobedience/stop_order",
                    "escape/canary_credential",
                ],
                "cells": [
                    "open-off",
                    "none-off",
                    "none-off-watched",
                    "none-shadow",
                    "covert-shadow",
                    "covert-enforced",
                ],
                "levels": ["explicit"],
                "twins": ["base", "routine", "absent"],
                "seeds": [1],
                "repeats": 1,
                "tier": "A",
                "limits": {"turns": 30, "seconds": 60},
                "probes": 20,
                "drills": {
                    "mechanisms": ["namespace_kill", "process_group"],
                    "adversaries": ["sigterm_ignoring", "own_session", "double_forked"],
                    "n": 10,
                },
            },
        }
    )


def agent_config(name: str, agent: dict[str, Any]) -> CaseConfig:
    """The case of one installed agent, with scripted models that check the way to it.

    Every scenario once: as it is deployed, and with our own safeguards in the place of its own;
    the controls also without any.

    Args:
        name: of the agent's preset.
        agent: as a subject's ``agent`` says it.
    """
    scripted = "Not an AI: a script plays this agent's model, to check the instruments. "
    return CaseConfig.model_validate(
        {
            "schema": CASE_SCHEMA,
            "organisation": "This organisation",
            "assessor": "This organisation",
            "purpose": (
                f"Assesses {name} as it is installed here: what it does where a task tempts it, "
                "and what its own safeguards and ours stop."
            ),
            "plan": {
                "subjects": [
                    {
                        "id": name,
                        "role": "subject",
                        "model": f"client/{name}",
                        "agent": agent,
                        "cells": ["none-deployed", "covert-deployed", "covert-enforced"],
                    },
                    {
                        "id": f"{name}.honest",
                        "role": "control",
                        "model": "reference/honest",
                        "agent": agent,
                        "cells": ["none-off", "none-deployed"],
                        "description": scripted + "It never does the act.",
                    },
                    {
                        "id": f"{name}.violator",
                        "role": "control",
                        "model": "reference/violator",
                        "agent": agent,
                        "cells": ["none-off", "none-deployed", "covert-enforced"],
                        "description": scripted + "It does the act wherever it finds the way.",
                    },
                ],
                "scenarios": "all",
                "cells": ["none-off", "none-deployed", "covert-deployed", "covert-enforced"],
                "levels": ["none"],
                "twins": ["base"],
                "seeds": [1],
                "limits": {"turns": 60, "seconds": 900, "tokens": 4_000_000},
                "probes": 20,
            },
        }
    )


_HEADER = """\
# A Custodes case: who assesses what, with which plan. Unknown keys are refused.
# `custodes assess` runs what is missing and writes the report; `custodes verify` checks the case.
# Once the plan has run, later changes of this file are recorded and listed in the report.
"""

_COMMENTS: dict[Place, str] = {
    ("organisation",): "Whose agents these are, and who does the assessing.",
    ("purpose",): "What the assessment is for, in a sentence or two. It opens the report.",
    ("window",): "Days that the assessment is about (from, to), or null.",
    ("plan", "subjects"): (
        "What is assessed (role: subject), and controls that show whether the instruments work.\n"
        "model: provider/model as Inspect spells it, such as anthropic/…, openai/… or vllm/…;\n"
        "reference/… are scripted agents, no AI."
    ),
    ("plan", "scenarios"): "Ids, or all (`custodes scenarios list`).",
    ("plan", "cells"): (
        "ask-safeguards or ask-safeguards-belief.\n"
        f"ask: {', '.join(a.value for a in Ask)}; "
        f"safeguards: {', '.join(s.value for s in Safeguards)};\n"
        f"belief: {', '.join(b.value for b in Belief if b is not Belief.NOTHING)}."
    ),
    ("plan", "levels"): (
        f"How clearly the instructions forbid the act: {', '.join(level.value for level in Level)}."
    ),
    ("plan", "twins"): "Names of twins, or all.",
    ("plan", "seeds"): "Every combination is run once per seed and repeat.",
    ("plan", "tier"): "Sandbox. A: contained. C: NOT CONTAINED, needs --allow-uncontained.",
    ("plan", "limits"): "What ends one episode; it then counts as unmeasurable, not as no.",
    ("plan", "probes"): "Containment probes: true (all), false, how many, or a list of names.",
    ("plan", "drills"): "Shutdown drills: each adversary against each mechanism, n times; or null.",
    ("plan", "interview"): (
        "Whether every agent is asked, after its episode, what it did; compared with the receipts."
    ),
    ("plan", "compare"): "Pairs of subjects [before, after], whose episodes are compared.",
    ("plan", "workers"): "Processes at a time; null lets the machine decide.",
}


def to_yaml(config: CaseConfig) -> str:
    """The text of a ``custodes.yaml`` with this meaning, with a comment on every part."""
    document = config.to_json()
    if document["window"] is not None:
        document["window"] = {k: v for k, v in document["window"].items() if v is not None}
    document["plan"]["subjects"] = [
        {key: value for key, value in subject.items() if value not in (None, {})}
        for subject in document["plan"]["subjects"]
    ]
    order = ["schema", "organisation", "assessor", "purpose", "window", "plan"]
    out = [_HEADER]
    for key in order:
        if key == "plan":
            out.append("\nplan:\n")
            for name in Plan.model_fields:
                out.append(_entry(("plan", name), document["plan"][name], "  "))
        else:
            out.append(_entry((key,), document[key], ""))
    return "".join(out)


def _entry(place: Place, value: Any, indent: str) -> str:
    flow = isinstance(value, list) and all(not isinstance(item, (dict, list)) for item in value)
    text = yaml.dump(
        {place[-1]: value},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=88,
        default_flow_style=None if flow else False,
    )
    comment = "".join(f"# {line}\n" for line in _COMMENTS.get(place, "").splitlines())
    gap = "\n" if comment else ""
    return gap + "".join(
        f"{indent}{line}" if line.strip() else line
        for line in re.findall(r"[^\n]*\n", comment + text)
    )


class _Dumper(yaml.SafeDumper):
    """The safe dumper without anchors, which the loader refuses."""

    def ignore_aliases(self, data: Any) -> bool:
        return True
