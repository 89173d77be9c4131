"""Arbitrary acts by everybody, in any order: no forbidden state, and every refusal explains itself.

The machine keeps its own record of who signed what, and judges every world by that record and by
the list of forbidden states, never by the code under test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as play

from custodes.rounds import _acts as acts
from custodes.rounds._acts import act_from_json
from custodes.rounds._refusal import RULES, Refusal
from custodes.rounds._roles import Holder, Role
from custodes.rounds._statement import Verdict
from custodes.rounds._states import advance
from custodes.rounds._tables import rules_of
from custodes.rounds._words import (
    Attribution,
    Choice,
    ClaimState,
    ExitUntil,
    Importance,
    Mode,
    ParticipantState,
    RoundStage,
)
from custodes.rounds._world import World

from .told import begun, done, leaf, whole

NAMES = ("A", "B", "C", "X")
CLAIMS = tuple(f"{name}{n}" for name in (*NAMES, "p", "g") for n in (1, 2))
LEAVES = tuple(leaf(words) for words in (*CLAIMS, "other", "A1 again"))
FOUR_EYES = {
    "round.published", "round.exported", "round.waived", "round.key_revoked",
    "participant.purged", "claim.corrected", "claim.retracted",
}  # fmt: skip
PRINTED = {ClaimState.PUBLISHED, ClaimState.CORRECTED}

# --- what may be tried -----------------------------------------------------------------------

SIGNERS = (
    *((key,) for key in ("ann", "bo", "wes", "a", "b", "c", "x", "stranger")),
    ("ann", "bo"), ("bo", "wes"), ("ann", "a"), ("ann", "bo", "a"), ("ann", "bo", "b"), (),
)  # fmt: skip


VALUES: dict[str, tuple[object, ...]] = {
    "by": SIGNERS,
    "participant": NAMES,
    "claim": CLAIMS,
    "conclusion": ("k1", "k2"),
    "key": ("a", "b", "c", "x", "bo", "k"),
    "leaf": LEAVES,
    "choice": tuple(Choice),
    "importance": tuple(Importance),
    "attribution": tuple(Attribution),
    "over": ((), NAMES[:3], NAMES),
    "exit_until": tuple(ExitUntil),
    "evidence": ((), ("e1",)),
    "opinion": (False, True),
    "describable": (False, True),
    "rests_on": ((), ("A1",), ("A1", "B1", "p1")),
    "sources": (("A1", "A2"), ("A1", "B1"), ("p1", "p2")),
    "participants": (("A",), ("A", "X")),
    "to": ("regulator", "A", "B"),
    "waived": ("07", "25"),
    "parts": tuple(
        (acts.Part(claim=one, leaf=LEAVES[0]), acts.Part(claim=f"{one}+", leaf=LEAVES[1]))
        for one in ("A2", "B2", "z")
    ),
    "holder": (
        Holder(person="of A", role=Role.PARTICIPANT, participant="A"),
        Holder(person="of X", role=Role.PARTICIPANT, participant="X"),
        Holder(person="Kim", role=Role.ASSESSOR),
    ),
    "replacement": (None, leaf("A1 again")),
    **dict.fromkeys(("protocol", "draft", "report", "material", "theirs", "ours"), LEAVES[:1]),
}


def acts_of(data: st.DataObject, kind: str) -> acts.Act | None:
    """An act of a kind, about anything, signed by anybody; None where no such act can be made."""
    made = acts.KINDS[kind]
    drawn = {one.name: data.draw(st.sampled_from(VALUES[one.name])) for one in fields(made)}
    # Signed by those whose act it is, two times of three: or nothing but roles would be tried.
    if data.draw(st.integers(0, 2)):
        owner = str(drawn.get("participant") or drawn.get("claim", "A"))[0]
        own = kind.startswith("participant.") or kind == "claim.decided"
        drawn["by"] = (owner.lower(),) if own else ("ann", "bo")
    try:
        act: acts.Act = made(**drawn)
    except ValueError:
        return None
    return act


def sensible(world: World) -> Iterator[acts.Act]:
    """Acts that fit the world: about what is there, signed by those whose act it is."""
    four, ann, bo = ("ann", "bo"), ("ann",), ("bo",)
    yield acts.FreezeProtocol(by=ann, protocol=LEAVES[0])
    yield acts.SendCourtesy(by=ann, draft=LEAVES[0])
    yield acts.Publish(by=four, report=LEAVES[0])
    yield acts.Supersede(by=ann)
    yield acts.Waive(by=four, waived="07")
    yield acts.RevokeKey(by=four, key="bo")
    yield acts.DropConclusion(by=four, conclusion="k1")
    for plain in (
        acts.StartGathering, acts.StartAnalysis, acts.OpenDisclosure, acts.StartDrafting,
        acts.OpenReoffer, acts.StartFinalCheck, acts.SendBack,
    ):  # fmt: skip
        yield plain(by=ann)
    for name in NAMES:
        by = (name.lower(),)
        yield acts.Invite(by=ann, participant=name, exit_until=ExitUntil.DECISION)
        holder = Holder(person=f"of {name}", role=Role.PARTICIPANT, participant=name)
        yield acts.AddKey(by=ann, key=name.lower(), holder=holder)
        for mine in (acts.Agree, acts.GiveAccess, acts.OpenPack, acts.SignApproval, acts.Withdraw,
                     acts.Exit):  # fmt: skip
            yield mine(by=by, participant=name)
        yield acts.FinishEvaluation(by=ann, participant=name)
        yield acts.SendPrivateReport(by=ann, participant=name, report=LEAVES[0])
        yield acts.Dispute(by=by, participant=name, theirs=LEAVES[0], ours=LEAVES[1])
        yield acts.PlaceHold(by=ann, participant=name)
        yield acts.ReleaseHold(by=ann, participant=name)
        yield acts.Purge(by=four, participant=name)
    for claim in sorted({*CLAIMS, *world.claims}):
        if claim not in world.claims:
            owner = claim[0] if claim[0] in NAMES else None
            word = {"p": Attribution.PUBLIC, "g": Attribution.AGGREGATE}.get(
                claim[0], Attribution.ATTRIBUTED
            )
            over = NAMES[:3] if claim[0] == "g" else ()
            yield acts.DraftClaim(by=ann, claim=claim, attribution=word, participant=owner,
                                  over=over, leaf=leaf(claim))  # fmt: skip
            continue
        now = world.claims[claim]
        yield acts.SupportClaim(by=ann, claim=claim, opinion=True)
        yield acts.ReviewClaim(by=bo if now.author == "Ann" else ann, claim=claim)
        for importance in (Importance.LOW, Importance.HIGH):
            yield acts.SetImportance(by=four, claim=claim, importance=importance)
        yield acts.LockImportance(by=ann, claim=claim)
        yield acts.OfferClaim(by=ann, claim=claim)
        yield acts.ReviseClaim(by=ann, claim=claim, leaf=leaf("other"))
        yield acts.SignMeaning(by=ann, claim=claim, leaf=now.leaf)
        yield acts.DropClaim(by=ann, claim=claim)
        yield acts.Conclude(by=four, conclusion="k1", rests_on=())
        parts = tuple(acts.Part(claim=f"{claim}{end}", leaf=leaf(end)) for end in "xy")
        yield acts.SplitClaim(by=ann, claim=claim, parts=parts)
        if claim.endswith("1"):
            both = (claim, f"{claim[:-1]}2")
            yield acts.MergeClaims(by=ann, claim=f"{claim}m", sources=both, leaf=leaf("m"))
        yield acts.RetractClaim(by=four, claim=claim)
        yield acts.Conclude(by=ann, conclusion="k1", rests_on=(claim,))
        owner = now.participant
        yield acts.CorrectClaim(by=(*four, *((owner.lower(),) if owner else ())), claim=claim,
                                leaf=leaf("right"))  # fmt: skip
        for choice in Choice if owner else ():
            other = leaf(f"{now.leaf} again") if choice in {Choice.EDIT, Choice.ANONYMISE} else None
            assert owner is not None
            yield acts.Decide(by=(owner.lower(),), claim=claim, choice=choice, leaf=now.leaf,
                              replacement=other)  # fmt: skip


# --- what is forbidden -------------------------------------------------------------------------


class Record:
    """What the machine remembers by itself."""

    def __init__(self, world: World) -> None:
        self.signed: set[tuple[str, str]] = set()
        self.complete: set[str] = set()
        self.decided: set[str] = set()
        self.held: set[str] = set()
        self.names = set(world.participants)

    def learn(self, act: acts.Act, before: World) -> None:
        if isinstance(act, acts.Decide):
            owner = before.claims[act.claim].participant or ""
            self.decided.add(owner)
            if act.choice is not Choice.REDACT:
                self.signed.add((owner, act.replacement or act.leaf))
        elif isinstance(act, acts.CorrectClaim):
            self.signed.add((before.claims[act.claim].participant or "", act.leaf))
        elif isinstance(act, (acts.SignApproval, acts.Dispute, acts.Withdraw)):
            self.complete.add(act.participant)
            self.decided.add(act.participant)
        elif isinstance(act, acts.PlaceHold):
            self.held.add(act.participant)
        elif isinstance(act, acts.ReleaseHold):
            self.held.discard(act.participant)
        elif isinstance(act, acts.Exit):
            self.complete.discard(act.participant)
        elif isinstance(act, acts.OfferClaim):
            self.complete.discard(before.claims[act.claim].participant or "")


def people(world: World, act: acts.Act) -> set[str]:
    return {world.keys[key].person for key in act.by if world.keys[key].participant is None}


def forbidden(before: World, act: acts.Act, after: World, record: Record) -> Iterator[str]:
    """Names of the forbidden things that an accepted act brought about."""
    published = after.public()["published"]
    for name, claim in after.claims.items():
        shown = claim.leaf in published and claim.participant  # type: ignore[operator]
        if shown and (claim.participant, claim.leaf) not in record.signed:
            yield f"unapproved non-public text of {name} published"
        stands = claim.participant is not None and claim.publishable
        if stands and (claim.participant, claim.leaf) not in record.signed:
            yield f"words of {name} count as approved and were not"
        if claim.approved is not None and claim.approved != claim.leaf:
            yield f"text of {name} changed after approval without a new approval"
        then = before.claims.get(name)
        if then is None:
            continue
        owner = before.participants.get(then.participant or "")
        disputed = owner is not None and owner.state is ParticipantState.DISPUTED
        if disputed and then.leaf != claim.leaf and not isinstance(act, acts.CorrectClaim):
            yield f"text of {name} changed under dispute"
        if then.locked and not claim.locked:
            yield f"importance of {name} unlocked"
        ranks = [c.effective.rank if c.effective else 0 for c in (claim, then)]
        told = len(people(before, act)) > 1 and len(after.notices) > len(before.notices)
        if then.locked and ranks[0] < ranks[1] and not told:
            yield f"importance of {name} lowered by one person, or not printed"
    for name, claim in before.claims.items():
        gone = name not in after.claims
        if gone and claim.offered and act.kind not in {
            "claim.split", "claim.merged", "participant.exited"
        }:  # fmt: skip
            yield f"{name} was offered and vanished"
    if isinstance(act, acts.OfferClaim) and not before.claims[act.claim].locked:
        yield "a claim offered before its importance is locked"
    if isinstance(act, acts.OfferClaim) and before.stage not in {
        RoundStage.DISCLOSURE, RoundStage.RE_OFFER
    }:  # fmt: skip
        yield "a claim offered outside disclosure"
    if isinstance(act, acts.Publish):
        if set(before.present) - record.complete:
            yield "published before disclosure of all"
        if any(c.stale for c in before.conclusions.values()):
            yield "published with a conclusion that is to be made again"
        for name, claim in before.claims.items():
            if claim.attribution is Attribution.AGGREGATE and len(claim.over) < 3:
                yield f"aggregate {name} over fewer than three published"
            if not claim.evidence and not claim.opinion:
                yield f"{name} published with neither evidence nor the mark of an opinion"
    if isinstance(act, acts.Exit) and act.participant in record.decided:
        yield "an exit after the first signed decision"
    if isinstance(act, acts.Purge) and act.participant in record.held:
        yield "purged under a hold"
    if act.kind in FOUR_EYES and before.mode is Mode.ROUND and len(people(before, act)) < 2:
        yield f"{act.kind} by one person"
    if any(key not in before.keys or before.keys[key].revoked for key in act.by) or not act.by:
        yield "an act without a signature that counts"
    mine = isinstance(act, acts.ForParticipant) and act.kind in {
        "participant.agreed", "participant.access", "participant.negotiating",
        "participant.approved", "participant.disputed", "participant.withdrawn",
    }  # fmt: skip
    if mine or isinstance(act, acts.Decide):
        whose = (
            act.participant if isinstance(act, acts.ForParticipant)
            else before.claims[act.claim].participant  # type: ignore[attr-defined]
        )  # fmt: skip
        if {before.keys[key].participant for key in act.by} != {whose}:
            yield "somebody spoke for a participant"
    for name, participant in after.participants.items():
        if participant.state is not ParticipantState.EXITED:
            continue
        traces = (after.public(), dict(after.claims), dict(after.keys), after.notices)
        if f"'{name}'" in str(traces) or any(c.participant == name for c in after.claims.values()):
            yield f"a trace of {name}, which exited"
    if before.stage in {RoundStage.ABORTED, RoundStage.SUPERSEDED} and before.stage != after.stage:
        yield "a round that ended went on"
    if before.stage in {RoundStage.PUBLISHED, RoundStage.CORRECTED} and after.stage not in {
        RoundStage.PUBLISHED, RoundStage.CORRECTED, RoundStage.SUPERSEDED
    }:  # fmt: skip
        yield "a published round went back"
    yield from un_qualified(before, act, after)


def un_qualified(before: World, act: acts.Act, after: World) -> Iterator[str]:
    """A participant's act that moved a statement towards unqualified and disclosed nothing."""
    if {before.keys[key].participant for key in act.by} == {None}:
        return
    for name in before.present:
        if name not in after.present:
            continue
        was, now = before.statement_of(name).verdict, after.statement_of(name).verdict
        if was is Verdict.QUALIFIED and now is Verdict.UNQUALIFIED:
            if isinstance(act, acts.Decide) and (act.describable or act.choice is Choice.APPROVE):
                continue
            if isinstance(act, acts.Decide) and (
                after.claims[act.claim].meaning == after.claims[act.claim].leaf
            ):
                continue
            yield f"{act.kind} moved the statement of {name} towards unqualified"


# --- the machine -------------------------------------------------------------------------------


class Rounds(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.world = begun()
        self.record = Record(self.world)

    @initialize(mode=st.sampled_from([Mode.ROUND, Mode.ROUND, Mode.ROUND, Mode.SELF]),
                told=st.integers(0, 60))  # fmt: skip
    def begin(self, mode: Mode, told: int) -> None:
        """Starts anywhere in the round that goes well."""
        self.world = begun(mode)
        self.record = Record(self.world)
        if mode is Mode.ROUND:
            for act in whole("A", "B", "C")[:told]:
                self.take(act)

    def take(self, act: acts.Act) -> None:
        assert act_from_json(act.to_json()) == act
        before = self.world
        after = advance(before, act)
        if isinstance(after, Refusal):
            assert after.rule in rules_of(act.kind), (act.kind, after)
            assert after.rule in RULES and after.reason.strip() and after.remedy.strip()
            assert after.line.isprintable() and len(after.line) < 400
            return
        self.judge(act, after)
        self.record.learn(act, before)
        self.world = after

    def judge(self, act: acts.Act, after: World) -> None:
        record = deepcopy(self.record)
        record.learn(act, self.world)
        found = list(forbidden(self.world, act, after, record))
        assert not found, (act, found)

    @rule(data=st.data(), kind=st.sampled_from(sorted(acts.KINDS)))
    def anything(self, data: st.DataObject, kind: str) -> None:
        act = acts_of(data, kind)
        if act is not None:
            self.take(act)

    @rule(data=st.data())
    def what_fits(self, data: st.DataObject) -> None:
        """One of the acts that are accepted now, so that play gets deep; each of them is judged."""
        accepted: dict[str, list[acts.Act]] = {}
        for act in sensible(self.world):
            after = advance(self.world, act)
            if isinstance(after, World):
                self.judge(act, after)
                accepted.setdefault(act.kind, []).append(act)
        if accepted:
            kind = data.draw(st.sampled_from(sorted(accepted)))
            self.take(data.draw(st.sampled_from(accepted[kind])))

    @rule()
    def it_is_read_back_as_it_was_written(self) -> None:
        assert World.from_json(self.world.to_json()) == self.world

    @invariant()
    def a_self_assessment_has_no_participants(self) -> None:
        assert self.world.mode is Mode.ROUND or not self.world.participants


QUICK = settings(max_examples=10, stateful_step_count=30, deadline=None,
                 suppress_health_check=list(HealthCheck))  # fmt: skip


def test_no_sequence_of_acts_reaches_a_forbidden_state() -> None:
    play(Rounds, settings=QUICK)


@pytest.mark.slow
def test_no_long_sequence_of_acts_reaches_a_forbidden_state() -> None:
    play(Rounds, settings=settings(QUICK, max_examples=200, stateful_step_count=60))


# --- and the list can fail ------------------------------------------------------------------------

Planted = Callable[[], tuple[World, acts.Act, World]]


def published() -> World:
    return done(begun(), whole("A", "B", "C"))


def planted() -> Iterator[tuple[str, World, acts.Act, World]]:
    """Worlds that a broken machine could make."""
    world = published()
    other = replace(world, claims={**world.claims, "A1": replace(
        world.claims["A1"], leaf=leaf("else"), approved=leaf("else"))})  # fmt: skip
    quiet = acts.Supersede(by=("ann",))
    yield "unapproved non-public text", world, quiet, other
    changed = replace(world, claims={**world.claims, "A1": replace(
        world.claims["A1"], leaf=leaf("else"))})  # fmt: skip
    yield "changed after approval", world, quiet, changed
    gone = replace(world, claims={})
    yield "was offered and vanished", world, quiet, gone
    one = acts.Publish(by=("ann",), report=LEAVES[0])
    yield "by one person", world, one, world
    yield "published before disclosure", done(begun(), whole("A")[:3]), one, world
    exit_ = acts.Exit(by=("a",), participant="A")
    yield "an exit after the first signed decision", world, exit_, world
    stranger = acts.Agree(by=("b",), participant="A")
    yield "spoke for a participant", world, stranger, world
    back = replace(world, stage=RoundStage.DRAFT)
    yield "went back", world, quiet, back
    left = replace(world, participants={**world.participants, "A": replace(
        world.participants["A"], state=ParticipantState.EXITED)})  # fmt: skip
    yield "a trace of A", world, quiet, left
    lowered = replace(world, claims={**world.claims, "A1": replace(
        world.claims["A1"], importance=Importance.LOW, lowered=True)})  # fmt: skip
    yield "lowered by one person", world, quiet, lowered
    offer = acts.OfferClaim(by=("ann",), claim="p1")
    yield "before its importance is locked", world, offer, world
    redacted = replace(world, claims={**world.claims, "A1": replace(
        world.claims["A1"], choice=Choice.REDACT, approved=None)})  # fmt: skip
    yield "towards unqualified", redacted, replace(stranger, by=("a",)), world


@pytest.mark.parametrize(
    ("name", "before", "act", "after"),
    list(planted()),
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_forbidden_state_is_found(name: str, before: World, act: acts.Act, after: World) -> None:
    record = Record(before)
    for told in whole("A", "B", "C"):
        record.learn(told, published())
    if name.startswith("published before"):
        record.complete.clear()
    assert any(name in found for found in forbidden(before, act, after, record))
