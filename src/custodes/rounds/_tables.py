"""The transition tables: which act takes what from where to where, and under which rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from ._refusal import RULES, Refusal, Refused
from ._words import ClaimState, Mode, ParticipantState, RoundStage

Machine = Literal["round", "participant", "claim"]
State = TypeVar("State", RoundStage, ParticipantState, ClaimState)

BOTH: Final = (Mode.ROUND, Mode.SELF)
ROUND: Final = (Mode.ROUND,)
SELF: Final = (Mode.SELF,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """One transition.

    Attributes:
        machine: what it moves.
        kind: the act that does it.
        when: what else tells it from another transition of the same act, or empty.
        sources: from where; empty for what comes into being.
        target: to where; None for what goes out of being, the same state where it stays.
        modes: in which modes.
        rules: what it can be refused by, besides ``known``, ``mode``, ``order`` and ``role``.
    """

    machine: Machine
    kind: str
    when: str = ""
    sources: tuple[str, ...]
    target: str | None
    modes: tuple[Mode, ...] = BOTH
    rules: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert set(self.rules) <= set(RULES), self.rules


R, P, C = RoundStage, ParticipantState, ClaimState

BEFORE_PUBLICATION: Final = tuple(
    stage for stage in R if stage not in {R.PUBLISHED, R.CORRECTED, R.SUPERSEDED, R.ABORTED}
)
UNDECIDED: Final = (C.DRAFT, C.SUPPORTED, C.REVIEWED)
DECISIONS: Final = (C.APPROVED, C.EDITED, C.ANONYMISED, C.REDACTED)
UNFROZEN: Final = (*UNDECIDED, C.OFFERED, *DECISIONS)
_DECIDE: Final = ("exact_text", "stage")
_TEXT: Final = ("stage", "disclosure", "frozen", "exited")

ARROWS: Final[tuple[Arrow, ...]] = (
    # The round.
    Arrow(
        machine="round",
        kind="round.protocol_frozen",
        sources=(R.DRAFT,),
        target=R.PROTOCOL_FROZEN,
    ),
    Arrow(
        machine="round", kind="round.gathering", sources=(R.PROTOCOL_FROZEN,), target=R.GATHERING
    ),
    Arrow(
        machine="round",
        kind="round.analysis",
        sources=(R.GATHERING,),
        target=R.ANALYSIS,
        rules=("complete",),
    ),
    Arrow(
        machine="round",
        kind="round.disclosure",
        sources=(R.ANALYSIS,),
        target=R.DISCLOSURE,
        modes=ROUND,
        rules=("complete", "importance"),
    ),
    Arrow(
        machine="round",
        kind="round.drafting",
        when="round",
        sources=(R.DISCLOSURE,),
        target=R.DRAFTING,
        modes=ROUND,
        rules=("settled",),
    ),
    Arrow(
        machine="round",
        kind="round.drafting",
        when="self",
        sources=(R.ANALYSIS,),
        target=R.DRAFTING,
        modes=SELF,
    ),
    Arrow(
        machine="round",
        kind="round.courtesy",
        sources=(R.DRAFTING,),
        target=R.COURTESY,
        modes=ROUND,
        rules=("settled",),
    ),
    Arrow(
        machine="round",
        kind="round.re_offer",
        sources=(R.COURTESY,),
        target=R.RE_OFFER,
        modes=ROUND,
    ),
    Arrow(
        machine="round",
        kind="round.final_check",
        when="round",
        sources=(R.COURTESY, R.RE_OFFER),
        target=R.FINAL_CHECK,
        modes=ROUND,
        rules=("settled", "complete", "aggregate", "remade"),
    ),
    Arrow(
        machine="round",
        kind="round.final_check",
        when="self",
        sources=(R.DRAFTING,),
        target=R.FINAL_CHECK,
        modes=SELF,
        rules=("complete", "remade"),
    ),
    Arrow(machine="round", kind="round.sent_back", sources=(R.FINAL_CHECK,), target=R.DRAFTING),
    Arrow(
        machine="round",
        kind="round.published",
        sources=(R.FINAL_CHECK,),
        target=R.PUBLISHED,
        rules=("four_eyes", "settled", "complete", "aggregate", "remade", "approval"),
    ),
    Arrow(
        machine="round",
        kind="claim.corrected",
        sources=(R.PUBLISHED, R.CORRECTED),
        target=R.CORRECTED,
    ),
    Arrow(
        machine="round",
        kind="claim.retracted",
        sources=(R.PUBLISHED, R.CORRECTED),
        target=R.CORRECTED,
    ),
    Arrow(
        machine="round",
        kind="round.superseded",
        sources=(R.PUBLISHED, R.CORRECTED),
        target=R.SUPERSEDED,
    ),
    Arrow(machine="round", kind="round.aborted", sources=BEFORE_PUBLICATION, target=R.ABORTED),
    # A participant.
    Arrow(
        machine="participant",
        kind="participant.invited",
        sources=(),
        target=P.INVITED,
        modes=ROUND,
        rules=("stage",),
    ),
    Arrow(
        machine="participant",
        kind="participant.agreed",
        sources=(P.INVITED,),
        target=P.AGREED,
        modes=ROUND,
        rules=("stage",),
    ),
    Arrow(
        machine="participant",
        kind="participant.access",
        sources=(P.AGREED,),
        target=P.ACCESS,
        modes=ROUND,
        rules=("stage",),
    ),
    Arrow(
        machine="participant",
        kind="participant.evaluated",
        sources=(P.ACCESS,),
        target=P.EVALUATED,
        modes=ROUND,
        rules=("stage",),
    ),
    Arrow(
        machine="participant",
        kind="participant.private_report",
        sources=(P.EVALUATED,),
        target=P.PRIVATE_REPORT,
        modes=ROUND,
        rules=("stage",),
    ),
    Arrow(
        machine="participant",
        kind="participant.negotiating",
        sources=(P.PRIVATE_REPORT,),
        target=P.NEGOTIATING,
        modes=ROUND,
        rules=("stage", "complete"),
    ),
    Arrow(
        machine="participant",
        kind="participant.approved",
        sources=(P.NEGOTIATING,),
        target=P.APPROVED,
        modes=ROUND,
        rules=("stage", "complete"),
    ),
    Arrow(
        machine="participant",
        kind="claim.offered",
        sources=(P.APPROVED,),
        target=P.NEGOTIATING,
        modes=ROUND,
    ),
    Arrow(
        machine="participant",
        kind="participant.disputed",
        sources=(P.APPROVED,),
        target=P.DISPUTED,
        modes=ROUND,
        rules=("stage", "complete"),
    ),
    Arrow(
        machine="participant",
        kind="participant.withdrawn",
        sources=(P.ACCESS, P.EVALUATED, P.PRIVATE_REPORT, P.NEGOTIATING, P.APPROVED),
        target=P.WITHDRAWN,
        modes=ROUND,
        rules=("stage",),
    ),
    Arrow(
        machine="participant",
        kind="round.published",
        sources=(P.APPROVED,),
        target=P.INCLUDED,
        modes=ROUND,
    ),
    Arrow(
        machine="participant",
        kind="participant.exited",
        sources=(
            P.INVITED,
            P.AGREED,
            P.ACCESS,
            P.EVALUATED,
            P.PRIVATE_REPORT,
            P.NEGOTIATING,
        ),
        target=P.EXITED,
        modes=ROUND,
        rules=("exit",),
    ),
    Arrow(
        machine="participant",
        kind="participant.held",
        sources=(P.EXITED,),
        target=P.EXITED,
        modes=ROUND,
        rules=("hold",),
    ),
    Arrow(
        machine="participant",
        kind="participant.hold_released",
        sources=(P.EXITED,),
        target=P.EXITED,
        modes=ROUND,
        rules=("hold",),
    ),
    Arrow(
        machine="participant",
        kind="participant.purged",
        sources=(P.EXITED,),
        target=None,
        modes=ROUND,
        rules=("four_eyes", "hold"),
    ),
    # A claim.
    Arrow(
        machine="claim",
        kind="claim.drafted",
        sources=(),
        target=C.DRAFT,
        rules=("stage", "disclosure", "exited", "aggregate"),
    ),
    Arrow(
        machine="claim",
        kind="claim.supported",
        sources=(C.DRAFT,),
        target=C.SUPPORTED,
        rules=("stage", "evidence"),
    ),
    Arrow(
        machine="claim",
        kind="claim.reviewed",
        sources=(C.SUPPORTED,),
        target=C.REVIEWED,
        rules=("stage", "reviewer"),
    ),
    Arrow(
        machine="claim",
        kind="claim.offered",
        sources=(C.REVIEWED,),
        target=C.OFFERED,
        modes=ROUND,
        rules=("stage", "importance", "frozen", "exited"),
    ),
    *(
        Arrow(
            machine="claim",
            kind="claim.decided",
            when=choice,
            sources=(C.OFFERED, *DECISIONS),
            target=target,
            modes=ROUND,
            rules=_DECIDE,
        )
        for choice, target in zip(
            ("approve", "edit", "anonymise", "redact"), DECISIONS, strict=True
        )
    ),
    Arrow(
        machine="claim",
        kind="claim.revised",
        when="without support",
        sources=(C.DRAFT,),
        target=C.DRAFT,
        rules=_TEXT,
    ),
    Arrow(
        machine="claim",
        kind="claim.revised",
        when="with support",
        sources=(C.SUPPORTED, C.REVIEWED, C.OFFERED, *DECISIONS),
        target=C.SUPPORTED,
        rules=_TEXT,
    ),
    Arrow(machine="claim", kind="claim.split", sources=UNFROZEN, target=None, rules=_TEXT),
    Arrow(
        machine="claim", kind="claim.merged", sources=UNFROZEN, target=None, rules=(*_TEXT, "alike")
    ),
    Arrow(
        machine="claim",
        kind="claim.dropped",
        sources=UNDECIDED,
        target=None,
        rules=("stage", "offered"),
    ),
    Arrow(
        machine="claim",
        kind="participant.withdrawn",
        sources=UNFROZEN,
        target=C.REDACTED,
        modes=ROUND,
    ),
    Arrow(
        machine="claim",
        kind="participant.disputed",
        sources=DECISIONS,
        target=C.FROZEN,
        modes=ROUND,
    ),
    Arrow(
        machine="claim",
        kind="round.final_check",
        sources=(C.REVIEWED, *DECISIONS),
        target=C.FROZEN,
    ),
    *(
        Arrow(
            machine="claim",
            kind="round.sent_back",
            when=when,
            sources=(C.FROZEN,),
            target=target,
        )
        for when, target in zip(
            ("no approval needed", "approved", "edited", "anonymised", "redacted"),
            (C.REVIEWED, *DECISIONS),
            strict=True,
        )
    ),
    Arrow(machine="claim", kind="round.published", sources=(C.FROZEN,), target=C.PUBLISHED),
    Arrow(
        machine="claim",
        kind="claim.corrected",
        sources=(C.PUBLISHED, C.CORRECTED),
        target=C.CORRECTED,
        rules=("four_eyes", "approval", "withheld"),
    ),
    Arrow(
        machine="claim",
        kind="claim.retracted",
        sources=(C.PUBLISHED, C.CORRECTED),
        target=C.RETRACTED,
        rules=("four_eyes", "withheld"),
    ),
)

# Acts that move nothing, and what they can be refused by.
STANDING: Final[Mapping[str, tuple[str, ...]]] = {
    "round.key_added": ("conflict", "exited"),
    "round.key_revoked": ("four_eyes",),
    "round.exported": ("four_eyes", "settled", "exited"),
    "round.waived": ("four_eyes",),
    "claim.importance_set": ("stage", "downgrade"),
    "claim.importance_locked": ("stage", "importance"),
    "claim.meaning_signed": ("stage", "exact_text"),
    "conclusion.made": ("stage", "narrowed"),
    "conclusion.dropped": ("stage", "narrowed"),
}
COMMON: Final = frozenset({"known", "mode", "order", "role"})


def step(machine: Machine, kind: str, state: State, mode: Mode, what: str, when: str = "") -> State:
    """Where an act takes something; refuses when the tables have no such transition."""
    found = [a for a in ARROWS if a.machine == machine and a.kind == kind and a.when in {when, ""}]
    in_mode = [arrow for arrow in found if mode in arrow.modes]
    if not in_mode:
        raise Refused(
            Refusal(
                rule="mode",
                reason=f"{kind} is not an act of mode {mode.value}",
                remedy="leave it out: this mode has no such step",
            )
        )
    for arrow in in_mode:
        if state.value in arrow.sources and arrow.target is not None:
            return type(state)(arrow.target)
    sources = sorted({source for arrow in in_mode for source in arrow.sources})
    raise Refused(
        Refusal(
            rule="order",
            reason=f"{kind} expects {what} in {' or '.join(sources)}, found {state.value}",
            remedy=_how_to_reach(machine, sources, mode),
        )
    )


def _how_to_reach(machine: Machine, sources: list[str], mode: Mode) -> str:
    kinds = sorted(
        {
            arrow.kind
            for arrow in ARROWS
            if arrow.machine == machine
            and mode in arrow.modes
            and arrow.target in sources
            and arrow.target not in arrow.sources
        }
    )
    return f"what leads there: {', '.join(kinds)}" if kinds else "nothing leads there from here"


def allowed(machine: Machine, kind: str, state: State, mode: Mode, what: str) -> None:
    """Refuses unless some transition of an act starts here; for acts that end what they move."""
    starts = [
        arrow
        for arrow in ARROWS
        if arrow.machine == machine and arrow.kind == kind and mode in arrow.modes
    ]
    if any(state.value in arrow.sources for arrow in starts):
        return
    sources = sorted({source for arrow in starts for source in arrow.sources})
    raise Refused(
        Refusal(
            rule="order" if starts else "mode",
            reason=f"{kind} expects {what} in {' or '.join(sources)}, found {state.value}",
            remedy=_how_to_reach(machine, sources, mode),
        )
    )


def rules_of(kind: str) -> frozenset[str]:
    """Every rule that an act can be refused by."""
    own = {rule for arrow in ARROWS if arrow.kind == kind for rule in arrow.rules}
    return COMMON | own | set(STANDING.get(kind, ()))


def as_markdown() -> str:
    """The tables as they stand in ``docs/rounds.md``."""
    lines: list[str] = []
    for machine, title in (
        ("round", "Round"),
        ("participant", "Participant"),
        ("claim", "Claim"),
    ):
        lines += [f"### {title}", "", "| from | act | to | mode | may be refused by |"]
        lines += ["|---|---|---|---|---|"]
        for arrow in ARROWS:
            if arrow.machine != machine:
                continue
            act = f"`{arrow.kind}`" + (f" ({arrow.when})" if arrow.when else "")
            mode = "both" if len(arrow.modes) > 1 else arrow.modes[0].value
            sources = ", ".join(arrow.sources) or "(new)"
            rules = ", ".join(arrow.rules) or "–"
            lines.append(f"| {sources} | {act} | {arrow.target or '(gone)'} | {mode} | {rules} |")
        lines.append("")
    lines += ["### Acts that move nothing", "", "| act | may be refused by |", "|---|---|"]
    lines += [f"| `{kind}` | {', '.join(rules)} |" for kind, rules in STANDING.items()]
    lines += ["", "### Rules", "", "| rule | requires |", "|---|---|"]
    lines += [f"| {rule} | {text} |" for rule, text in RULES.items()]
    return "\n".join(lines) + "\n"
