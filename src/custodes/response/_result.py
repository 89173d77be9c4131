"""What a page drill showed: each stage by itself, and what could not be measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from custodes.containment import StopReport
from custodes.statistics import median_interval
from custodes.types import Estimate, JsonObject

from ._receipts import Receipt

MEASURED = "measured"


def plain_line(text: str, most: int) -> str:
    """At most so many characters of a text as one printable line."""
    return " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * most]).split())[:most]


class Kind(StrEnum):
    """Who acted, by its own word."""

    PERSON = "person"
    PROGRAM = "program"
    DRILL = "drill"
    """The drill itself, because nobody else did."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """The harmless act that was planted.

    Attributes:
        name: as reports spell it.
        what: one sentence.
        call_us: how long the call took that did it: the act is at most that much older than its
            receipt, from which all stages count.
    """

    name: str
    what: str
    call_us: int

    def to_json(self) -> JsonObject:
        return {"name": self.name, "what": self.what, "receipt": "host", "call_us": self.call_us}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flag:
    """A monitor's flag on the violation.

    Attributes:
        us: from the violation's receipt.
        monitor, rule, why: who flagged it, and on what ground.
        suspicion_permille: in thousandths.
    """

    us: int
    monitor: str
    rule: str | None
    why: str
    suspicion_permille: int

    def to_json(self) -> JsonObject:
        return {
            "us": self.us,
            "monitor": self.monitor,
            "rule": self.rule,
            "why": self.why,
            "suspicion_permille": self.suspicion_permille,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PageDelivery:
    """What became of the page.

    Attributes:
        us: when its delivery was known, from the violation: the command had ended with 0, or
            somebody had answered before that; None when neither happened.
        by: which of the two; None when it was not delivered. After an answer the page's own time
            is not known: it was delivered then at the latest.
        command: how the command ended, in one line.
    """

    us: int | None
    by: Literal["command", "answer"] | None
    command: str

    def to_json(self) -> JsonObject:
        return {"us": self.us, "by": self.by, "command": self.command}


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """An acknowledgement or an order.

    Attributes:
        us: when the host received it, from the violation; None when there was no violation to
            count from.
        by: the name that was given.
        kind: person, program, or the drill itself.
        reason: of an order.
    """

    us: int | None
    by: str
    kind: Kind
    reason: str = ""

    def to_json(self) -> JsonObject:
        return {"us": self.us, "by": self.by, "kind": self.kind.value, "reason": self.reason}


class _Stage(Protocol):
    @property
    def us(self) -> int | None: ...


def _between(later: _Stage | None, earlier: _Stage | None) -> int | None:
    """From one stage to the next, in microseconds; None when either is not known."""
    if later is None or earlier is None or later.us is None or earlier.us is None:
        return None
    return later.us - earlier.us


class _Written(Protocol):
    def to_json(self) -> JsonObject: ...


def _json(value: _Written | None) -> JsonObject | None:
    return None if value is None else value.to_json()


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRun:
    """One violation and what followed.

    Attributes:
        violation: None when the host did not see it done; nothing else is measured then.
        flag, page, acknowledged: None when it did not come to that.
        flag_missing: why there was no flag, or empty.
        early_flags: honest calls flagged before the violation. They were not paged.
        ordered: who ordered the stop; always somebody, at last the drill.
        handover_us: from the receipt of the order to the beginning of the stop.
        stop: what the stop did, timed from its own beginning.
        timeout_s: how long people had.
        receipts: all that the host saw.
    """

    violation: Violation | None
    flag: Flag | None
    flag_missing: str
    early_flags: int
    page: PageDelivery | None
    acknowledged: Acted | None
    ordered: Acted
    handover_us: int
    stop: StopReport
    timeout_s: float
    receipts: tuple[Receipt, ...]

    @property
    def flag_after_violation_us(self) -> int | None:
        return None if self.flag is None else self.flag.us

    @property
    def page_after_flag_us(self) -> int | None:
        """None also when it was answered before the command ended."""
        return _between(self._timed_page, self.flag)

    @property
    def acknowledged_after_page_us(self) -> int | None:
        """None also when it came before the command ended: nothing tells the two apart."""
        return _between(self.acknowledged, self._timed_page)

    @property
    def acknowledged_after_flag_us(self) -> int | None:
        return _between(self.acknowledged, self.flag)

    @property
    def _timed_page(self) -> PageDelivery | None:
        return self.page if self.page is not None and self.page.by == "command" else None

    @property
    def ordered_after_acknowledged_us(self) -> int | None:
        """None without an acknowledgement, and when nobody but the drill ordered."""
        if self.acknowledged is None or self.ordered.kind is Kind.DRILL:
            return None
        return _between(self.ordered, self.acknowledged)

    @property
    def ordered_after_flag_us(self) -> int | None:
        """None when nobody but the drill ordered."""
        return None if self.ordered.kind is Kind.DRILL else _between(self.ordered, self.flag)

    @property
    def gone_after_order_us(self) -> int | None:
        """From the receipt of the order to the last process gone; None when not verified."""
        gone = self.stop.last_process_gone_us
        return None if gone is None or not self.stop.verified else self.handover_us + gone

    @property
    def human(self) -> str:
        """``measured``, or why the part of people was not."""
        return self._not_measured() or MEASURED

    def _not_measured(self) -> str:
        within = f"within {self.timeout_s:g} s"
        who = self.acknowledged
        if self.violation is None:
            why = "the violation was not seen by the host"
        elif self.flag is None:
            why = f"nothing was flagged: {self.flag_missing}"
        elif self.page is None or self.page.us is None:
            found = "" if self.page is None else f": {self.page.command}"
            why = f"the page was not delivered{found}"
        elif who is None and self.ordered.kind is Kind.DRILL:
            why = f"nobody acknowledged {within}"
        elif who is None:
            why = "the stop was ordered without an acknowledgement"
        elif who.kind is not Kind.PERSON:
            why = "acknowledged by a program"
        elif self.ordered.kind is Kind.DRILL:
            why = f"{who.by} acknowledged, and nobody ordered the stop {within}"
        elif self.ordered.kind is not Kind.PERSON:
            why = "the stop was ordered by a program"
        else:
            return ""
        return f"not measured: {why}"

    @property
    def machine(self) -> bool:
        """Whether programs acknowledged and ordered: the machine's path was measured."""
        return (
            self.acknowledged is not None
            and self.acknowledged.kind is Kind.PROGRAM
            and self.ordered.kind is Kind.PROGRAM
        )

    @property
    def failed(self) -> str:
        """What must not be: no flag, or a stop that was not shown. Empty when all is well."""
        if self.violation is None:
            return "the violation was not seen by the host"
        if self.flag is None:
            return f"not flagged: {self.flag_missing}"
        return "" if self.stop.verified else f"the stop was not verified: {self.stop.outcome}"

    def to_json(self) -> JsonObject:
        page = self.page
        return {
            "violation": _json(self.violation),
            "flagged": self.flag is not None,
            "flag_us_after_violation": self.flag_after_violation_us,
            "flag": _json(self.flag),
            "flag_missing": self.flag_missing,
            "early_flags": self.early_flags,
            "page_us": None if page is None else page.us,
            "page_us_after_flag": self.page_after_flag_us,
            "page": _json(page),
            "acknowledged": _json(self.acknowledged),
            "acknowledged_us_after_flag": self.acknowledged_after_flag_us,
            "acknowledged_us_after_page": self.acknowledged_after_page_us,
            "ordered": self.ordered.to_json(),
            "ordered_us_after_flag": self.ordered_after_flag_us,
            "ordered_us_after_acknowledged": self.ordered_after_acknowledged_us,
            "handover_us": self.handover_us,
            "stop": self.stop.to_json(),
            "stop_verified": self.stop.verified,
            "stop_us_after_order": self.gone_after_order_us,
            "human": self.human,
            "machine_path": self.machine,
            "receipts": [receipt.to_json() for receipt in self.receipts],
        }


_STAGES: tuple[tuple[str, Callable[[PageRun], bool], Callable[[PageRun], int | None]], ...] = (
    ("flag_after_violation_us", lambda _: True, lambda run: run.flag_after_violation_us),
    ("page_after_flag_us", lambda _: True, lambda run: run.page_after_flag_us),
    (
        "person_acknowledged_after_flag_us",
        lambda run: run.human == MEASURED,
        lambda run: run.acknowledged_after_flag_us,
    ),
    (
        "person_acknowledged_after_page_us",
        lambda run: run.human == MEASURED,
        lambda run: run.acknowledged_after_page_us,
    ),
    (
        "person_ordered_after_acknowledged_us",
        lambda run: run.human == MEASURED,
        lambda run: run.ordered_after_acknowledged_us,
    ),
    (
        "program_acknowledged_after_flag_us",
        lambda run: run.machine,
        lambda run: run.acknowledged_after_flag_us,
    ),
    (
        "program_acknowledged_after_page_us",
        lambda run: run.machine,
        lambda run: run.acknowledged_after_page_us,
    ),
    (
        "program_ordered_after_acknowledged_us",
        lambda run: run.machine,
        lambda run: run.ordered_after_acknowledged_us,
    ),
    ("stop_after_order_us", lambda _: True, lambda run: run.gone_after_order_us),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageDrill:
    """Every run of a page drill."""

    runs: tuple[PageRun, ...]

    def summaries(self) -> dict[str, Estimate]:
        """The median of each stage after the one before it, in microseconds.

        An acknowledgement is also counted from the flag, because the time of the page between
        them is not known when it was answered before its command ended.

        Runs in which the stage was not measured are counted as missing. There is no median over
        several stages: detection, people and stop are never one number.
        """
        found = {}
        for name, counts, value in _STAGES:
            times = _known(value(run) for run in self.runs if counts(run))
            found[name] = median_interval(times, missing=len(self.runs) - len(times))
        return found

    def to_json(self) -> JsonObject:
        return {
            "schema": "custodes.page_drill/1",
            "n": len(self.runs),
            "runs": [run.to_json() for run in self.runs],
            "medians": {name: found.to_json() for name, found in self.summaries().items()},
        }


def _known(values: Iterable[int | None]) -> list[float]:
    return [float(value) for value in values if value is not None]
