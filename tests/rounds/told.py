"""A round told from its first act to its last, for tests to stop, bend or leave it anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from custodes.rounds import _acts as acts
from custodes.rounds._refusal import Refusal
from custodes.rounds._roles import Holder, Role
from custodes.rounds._states import advance
from custodes.rounds._words import Attribution, Choice, ExitUntil, Importance, Mode
from custodes.rounds._world import World, new_world
from custodes.types import Sha256, sha256_of

ANN, BO, WES = ("ann",), ("bo",), ("wes",)
FOUR = ("ann", "bo")


def leaf(words: str) -> Sha256:
    """Stands for the leaf of a block with these words."""
    return sha256_of(words.encode())


KEYS = {
    "ann": Holder(person="Ann", role=Role.ASSESSOR),
    "bo": Holder(person="Bo", role=Role.ASSESSOR),
    "wes": Holder(person="Wes", role=Role.WITNESS),
}


def begun(mode: Mode = Mode.ROUND) -> World:
    return new_world("spring", mode, KEYS)


def key_of(participant: str) -> str:
    return participant.lower()


def joins(name: str, exit_until: ExitUntil = ExitUntil.PACK) -> list[acts.Act]:
    by = (key_of(name),)
    holder = Holder(person=f"of {name}", role=Role.PARTICIPANT, participant=name)
    return [
        acts.Invite(by=ANN, participant=name, exit_until=exit_until),
        acts.AddKey(by=ANN, key=key_of(name), holder=holder),
        acts.Agree(by=by, participant=name),
    ]


def is_evaluated(name: str) -> list[acts.Act]:
    return [
        acts.GiveAccess(by=(key_of(name),), participant=name),
        acts.FinishEvaluation(by=ANN, participant=name),
    ]


def claims_drafted(name: str) -> list[acts.Act]:
    claim = f"{name}1"
    return [
        acts.DraftClaim(
            by=ANN,
            claim=claim,
            attribution=Attribution.ATTRIBUTED,
            participant=name,
            leaf=leaf(claim),
        ),
        acts.SupportClaim(by=ANN, claim=claim, evidence=("e1",)),
        acts.ReviewClaim(by=BO, claim=claim),
        acts.SetImportance(by=ANN, claim=claim, importance=Importance.HIGH),
        acts.LockImportance(by=ANN, claim=claim),
        acts.SendPrivateReport(by=ANN, participant=name, report=leaf(f"private {name}")),
    ]


def approves(name: str, choice: Choice = Choice.APPROVE) -> list[acts.Act]:
    by, claim = (key_of(name),), f"{name}1"
    other = leaf(f"{claim} again") if choice in {Choice.EDIT, Choice.ANONYMISE} else None
    return [
        acts.OfferClaim(by=ANN, claim=claim),
        acts.OpenPack(by=by, participant=name),
        acts.Decide(by=by, claim=claim, choice=choice, leaf=leaf(claim), replacement=other),
        acts.SignApproval(by=by, participant=name),
    ]


PUBLIC: list[acts.Act] = [
    acts.DraftClaim(by=ANN, claim="p1", attribution=Attribution.PUBLIC, leaf=leaf("p1")),
    acts.SupportClaim(by=ANN, claim="p1", opinion=True),
    acts.ReviewClaim(by=BO, claim="p1"),
]


def stages(*names: str) -> list[list[acts.Act]]:
    """The acts of a round with these participants, one list for each of its parts."""

    def each(tell: object) -> list[acts.Act]:
        assert callable(tell)
        return [act for name in names for act in tell(name)]

    return [
        each(joins),
        [acts.FreezeProtocol(by=ANN, protocol=leaf("protocol")), acts.StartGathering(by=ANN)],
        each(is_evaluated),
        [acts.StartAnalysis(by=ANN), *PUBLIC],
        each(claims_drafted),
        [acts.OpenDisclosure(by=ANN)],
        each(approves),
        [acts.StartDrafting(by=ANN), acts.SendCourtesy(by=ANN, draft=leaf("draft"))],
        [acts.StartFinalCheck(by=ANN), acts.Publish(by=FOUR, report=leaf("report"))],
    ]


def whole(*names: str) -> list[acts.Act]:
    return [act for part in stages(*names) for act in part]


def about(act: acts.Act, claim: str) -> acts.Act:
    """The same act about another claim."""
    assert isinstance(act, acts.ForClaim)
    return replace(act, claim=claim)


def done(world: World, told: Iterable[acts.Act]) -> World:
    """The world after acts, none of which is refused."""
    for act in told:
        after = advance(world, act)
        assert not isinstance(after, Refusal), f"{act.kind}: {after}"
        world = after
    return world


def refused(world: World, act: acts.Act) -> Refusal:
    """The refusal of an act."""
    after = advance(world, act)
    assert isinstance(after, Refusal), f"{act.kind} was not refused"
    return after


def until(world: World, kind: str, *names: str) -> World:
    """The world just before the first act of a kind in the round of these participants."""
    for act in whole(*names):
        if act.kind == kind:
            return world
        world = done(world, [act])
    raise AssertionError(f"no {kind} is told")
