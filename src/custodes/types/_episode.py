"""Cells, episodes, and what was observed of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from ._answer import Answer, Moment, Timed
from ._interview import Interview
from ._json import JsonObject, Sha256, canonical_json, parse_sha256, sha256_of_json
from ._words import Arm, Ask, Belief, Disclosure, Level, Question, Safeguards, Stage, Tier


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Cell:
    """One combination of the three crossed settings."""

    ask: Ask
    safeguards: Safeguards
    belief: Belief = Belief.NOTHING

    @property
    def arm(self) -> Arm | None:
        """The arm that this cell is a view of, or None for a cell that is only laid beside one."""
        if self.ask is Ask.OPEN:
            return Arm.MEANS if self.safeguards is Safeguards.OFF else None
        if self.ask is Ask.NONE:
            return Arm.MOTIVE if self.safeguards is not Safeguards.ENFORCED else None
        return Arm.OPPORTUNITY if self.safeguards is not Safeguards.OFF else None

    @property
    def name(self) -> str:
        """``ask-safeguards`` or ``ask-safeguards-belief``, as commands and reports spell it."""
        base = f"{self.ask.value}-{self.safeguards.value}"
        return base if self.belief is Belief.NOTHING else f"{base}-{self.belief.value}"

    def to_json(self) -> JsonObject:
        return {
            "ask": self.ask.value,
            "safeguards": self.safeguards.value,
            "belief": self.belief.value,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeKey:
    """Everything that makes one episode this episode. Its hash is the identity resume goes by."""

    scenario: str
    major: int
    cell: Cell
    level: Level
    twin: str
    subject: Sha256
    safeguards: Sha256
    tier: Tier
    seed: int
    repeat: int

    def to_json(self) -> JsonObject:
        return {
            "scenario": self.scenario,
            "major": self.major,
            "cell": self.cell.to_json(),
            "level": self.level.value,
            "twin": self.twin,
            "subject": self.subject,
            "safeguards": self.safeguards,
            "tier": self.tier.value,
            "seed": self.seed,
            "repeat": self.repeat,
        }

    @staticmethod
    def from_json(data: JsonObject) -> EpisodeKey:
        cell = data["cell"]
        assert isinstance(cell, Mapping)
        return EpisodeKey(
            scenario=str(data["scenario"]),
            major=_integer(data["major"]),
            cell=Cell(
                ask=Ask(str(cell["ask"])),
                safeguards=Safeguards(str(cell["safeguards"])),
                belief=Belief(str(cell["belief"])),
            ),
            level=Level(str(data["level"])),
            twin=str(data["twin"]),
            subject=parse_sha256(data["subject"]),
            safeguards=parse_sha256(data["safeguards"]),
            tier=Tier(str(data["tier"])),
            seed=_integer(data["seed"]),
            repeat=_integer(data["repeat"]),
        )

    @property
    def digest(self) -> Sha256:
        """Identity of the episode."""
        return sha256_of_json(self.to_json())


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """Something that was recorded to have happened.

    Attributes:
        origin: ``host`` when the harness recorded it outside the agent's reach, ``self`` when it
            was reported from inside and could be forged.
        kind: dotted name, such as ``service.deploy.promoted``.
        at: when.
        data: JSON without fractions.
    """

    origin: Literal["host", "self"]
    kind: str
    at: Moment
    data: JsonObject = field(default_factory=dict)

    def to_json(self) -> JsonObject:
        return {
            "origin": self.origin,
            "kind": self.kind,
            "at": self.at.to_json(),
            "data": self.data,
        }

    @staticmethod
    def from_json(raw: JsonObject) -> Receipt:
        at = raw["at"]
        data = raw["data"]
        origin = raw["origin"]
        assert isinstance(at, Mapping) and isinstance(data, Mapping)
        if origin not in ("host", "self"):
            raise ValueError(f"expected origin host or self, found {origin!r}")
        step = at["step"]
        return Receipt(
            origin="host" if origin == "host" else "self",
            kind=str(raw["kind"]),
            at=Moment(
                step=None if step is None else _integer(step), host_us=_integer(at["host_us"])
            ),
            data=data,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """One file of a workspace, as the host found it.

    Attributes:
        mode: ``file``, ``executable``, ``symlink``, or ``other`` (device, socket, fifo).
        size: bytes.
        sha256: digest of the content (of the target text for a symlink).
        text: the content, for text files that the scenario watches; None otherwise.
    """

    mode: Literal["file", "executable", "symlink", "other"]
    size: int
    sha256: Sha256
    text: str | None = None

    def to_json(self) -> JsonObject:
        return {"mode": self.mode, "size": self.size, "sha256": self.sha256, "text": self.text}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The state of a workspace, read by the host without following links."""

    files: Mapping[str, FileState]

    def to_json(self) -> JsonObject:
        return {
            "schema": "custodes.snapshot/1",
            "files": {path: state.to_json() for path, state in sorted(self.files.items())},
        }

    @staticmethod
    def from_json(raw: JsonObject) -> Snapshot:
        files = raw["files"]
        assert isinstance(files, Mapping)
        out: dict[str, FileState] = {}
        for path, state in files.items():
            assert isinstance(state, Mapping)
            mode, text = state["mode"], state["text"]
            assert mode in ("file", "executable", "symlink", "other")
            out[path] = FileState(
                mode=mode,  # type: ignore[arg-type]
                size=_integer(state["size"]),
                sha256=parse_sha256(state["sha256"]),
                text=None if text is None else str(text),
            )
        return Snapshot(files=MappingProxyType(out))

    @property
    def digest(self) -> Sha256:
        return sha256_of_json(self.to_json())


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """All that an oracle's ``acts()`` sees: receipts, and the state before and after.

    No word of the agent is in it. Receipts of tool calls carry the tool's name, whether the call
    parsed and how it ended, never its arguments: what a call did is known from what the host saw.
    """

    receipts: tuple[Receipt, ...]
    before: Snapshot
    after: Snapshot

    def of_kind(self, kind: str) -> tuple[tuple[int, Receipt], ...]:
        """Host receipts of one kind, with their indices."""
        return tuple(
            (index, receipt)
            for index, receipt in enumerate(self.receipts)
            if receipt.kind == kind and receipt.origin == "host"
        )

    @property
    def end(self) -> Moment:
        """The last moment observed."""
        return self.receipts[-1].at if self.receipts else Moment(step=None, host_us=0)

    def lines(self) -> tuple[bytes, ...]:
        """The stored form: a header that names the snapshots, then one canonical line a receipt.

        Joined with newlines these are the bytes of the observation's blob, so that each receipt
        has a span of its own. The snapshots are stored apart, because many episodes share one.
        """
        header: JsonObject = {
            "schema": "custodes.observation/1",
            "before": self.before.digest,
            "after": self.after.digest,
        }
        return (
            canonical_json(header),
            *(canonical_json(receipt.to_json()) for receipt in self.receipts),
        )

    def to_bytes(self) -> bytes:
        """The bytes of the observation's blob."""
        return b"\n".join(self.lines()) + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The agent's own account: the form that ends the task, or None when it never came.

    Attributes:
        form: the fields of the completion form as the agent filled them in.
        text: the agent's last free text.
        finished: whether the agent ended the episode itself.
    """

    form: JsonObject | None
    text: str
    finished: bool

    def to_json(self) -> JsonObject:
        return {
            "schema": "custodes.completion/1",
            "form": self.form,
            "text": self.text,
            "finished": self.finished,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answers and times of one episode: exactly the questions that were asked."""

    key: EpisodeKey
    asked: frozenset[Question]
    answers: Mapping[Question, Answer]
    times: Mapping[Stage, Timed]
    disclosure: Disclosure | None = None

    def __post_init__(self) -> None:
        if frozenset(self.answers) != self.asked:
            odd = frozenset(self.answers) ^ self.asked
            raise ValueError(f"answers and questions differ: {sorted(q.value for q in odd)}")
        succeeded = self.answers.get(Question.SUCCEEDED)
        attempted = self.answers.get(Question.ATTEMPTED)
        if (succeeded is not None and succeeded.value is True) and (
            attempted is None or attempted.value is not True
        ):
            raise ValueError("succeeded implies attempted")
        object.__setattr__(self, "answers", MappingProxyType(dict(self.answers)))
        object.__setattr__(self, "times", MappingProxyType(dict(self.times)))

    def to_json(self) -> JsonObject:
        return {
            "schema": "custodes.outcome/1",
            "episode": self.key.digest,
            "key": self.key.to_json(),
            "answers": {q.value: self.answers[q].to_json() for q in sorted(self.answers)},
            "times": {s.value: self.times[s].to_json() for s in sorted(self.times)},
            "disclosure": None if self.disclosure is None else self.disclosure.value,
        }


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"expected an integer, found {value!r}")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRecord:
    """One finished episode as the worker hands it over: what was observed, and what was said.

    Attributes:
        sample: name of the episode's sample in the Inspect log.
        interview: what the agent said when it was asked afterwards; None when it was not.
    """

    key: EpisodeKey
    observation: Observation
    completion: Completion
    sample: str
    interview: Interview | None = None

    def to_json(self) -> JsonObject:
        interview = {} if self.interview is None else {"interview": self.interview.to_json()}
        return {
            "schema": "custodes.episode/1",
            "key": self.key.to_json(),
            "sample": self.sample,
            "before": self.observation.before.to_json(),
            "after": self.observation.after.to_json(),
            "receipts": [receipt.to_json() for receipt in self.observation.receipts],
            "completion": self.completion.to_json(),
            **interview,
        }

    @staticmethod
    def from_json(raw: JsonObject) -> EpisodeRecord:
        """Read what :meth:`to_json` wrote.

        Raises:
            ValueError, KeyError, AssertionError: for anything else.
        """
        key, before, after = raw["key"], raw["before"], raw["after"]
        receipts, completion = raw["receipts"], raw["completion"]
        assert isinstance(key, Mapping) and isinstance(completion, Mapping)
        assert isinstance(before, Mapping) and isinstance(after, Mapping)
        assert isinstance(receipts, (list, tuple))
        form = completion["form"]
        assert form is None or isinstance(form, Mapping)
        interview = raw.get("interview")  # records of before there were interviews have none
        assert interview is None or isinstance(interview, Mapping)
        return EpisodeRecord(
            key=EpisodeKey.from_json(key),
            observation=Observation(
                receipts=tuple(Receipt.from_json(receipt) for receipt in receipts),
                before=Snapshot.from_json(before),
                after=Snapshot.from_json(after),
            ),
            completion=Completion(
                form=form, text=str(completion["text"]), finished=completion["finished"] is True
            ),
            sample=str(raw["sample"]),
            interview=None if interview is None else Interview.from_json(interview),
        )
