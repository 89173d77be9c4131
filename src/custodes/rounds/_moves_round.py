"""What acts on keys and on the round as a whole do."""

from __future__ import annotations

from dataclasses import replace

from . import _acts as acts
from ._refusal import need
from ._roles import need_assessor, need_four_eyes, need_one_side, signers
from ._tables import step
from ._words import Attribution, Choice, ClaimState, Mode, ParticipantState, RoundStage
from ._world import DECIDED, SETTLED, Claim, Notice, NoticeKind, World

# Who withdrew is waited for no more.
_EVALUATED = frozenset({ParticipantState.EVALUATED, ParticipantState.WITHDRAWN})
_REPORTED = frozenset({ParticipantState.PRIVATE_REPORT, ParticipantState.WITHDRAWN})


def add_key(world: World, act: acts.AddKey) -> World:
    need_assessor(signers(world.keys, act.by))
    need(act.key not in world.keys, "known", f"key {act.key} is known", "add another key")
    need_one_side(world.keys, act.holder)
    name = act.holder.participant
    if name is not None:
        need(
            world.mode is Mode.ROUND,
            "mode",
            "a self-assessment has no participants",
            "give the key another role",
        )
        need(
            name in world.participants,
            "known",
            f"no participant {name} was invited",
            "invite it first",
        )
        need(
            name in world.present,
            "exited",
            f"{name} has left",
            "leave its keys out",
        )
    return replace(world, keys={**world.keys, act.key: act.holder})


def revoke_key(world: World, act: acts.RevokeKey) -> World:
    need_four_eyes(signers(world.keys, act.by), world.mode, "revoking a key")
    need(act.key in world.keys, "known", f"no key {act.key}", "name a key of this round")
    holder = replace(world.keys[act.key], revoked=True)
    return replace(world, keys={**world.keys, act.key: holder})


def _onward(world: World, act: acts.Act) -> World:
    stage = step("round", act.kind, world.stage, world.mode, "the round", when=world.mode.value)
    return replace(world, stage=stage)


def plain(world: World, act: acts.Act) -> World:
    """Freezing the protocol, gathering, opening a re-offer, superseding, aborting."""
    need_assessor(signers(world.keys, act.by))
    return _onward(world, act)


def start_analysis(world: World, act: acts.StartAnalysis) -> World:
    need_assessor(signers(world.keys, act.by))
    after = _onward(world, act)
    waiting = [name for name, p in world.present.items() if p.state not in _EVALUATED]
    need(
        not waiting,
        "complete",
        f"expected every participant evaluated, found {_names(waiting)} not yet",
        "finish its evaluation, or record its exit",
    )
    return after


def open_disclosure(world: World, act: acts.OpenDisclosure) -> World:
    need_assessor(signers(world.keys, act.by))
    after = _onward(world, act)
    waiting = [name for name, p in world.present.items() if p.state not in _REPORTED]
    need(
        not waiting,
        "complete",
        f"expected every participant to have its private report, found {_names(waiting)} without",
        "send it, or record its exit",
    )
    unlocked = [name for name, c in world.claims.items() if c.needs_approval and not c.locked]
    need(
        not unlocked,
        "importance",
        f"expected importance locked before any disclosure talk, found {_names(unlocked)} open",
        "set and lock it",
    )
    return after


def _need_settled(world: World) -> None:
    waiting = [name for name, p in world.present.items() if p.state not in SETTLED]
    need(
        not waiting,
        "settled",
        f"expected every participant's approval, dispute or withdrawal, found {_names(waiting)} "
        "without",
        "wait for its signature; silence approves nothing",
    )
    open_claims = [
        name
        for name, c in world.claims.items()
        if c.needs_approval and c.state not in {*DECIDED, ClaimState.FROZEN}
    ]
    need(
        not open_claims,
        "settled",
        f"expected a decision on every non-public claim, found {_names(open_claims)} without",
        "offer it, or drop it if it was never offered",
    )


def start_drafting(world: World, act: acts.StartDrafting) -> World:
    need_assessor(signers(world.keys, act.by))
    after = _onward(world, act)
    if world.mode is Mode.ROUND:
        _need_settled(world)
    return after


def send_courtesy(world: World, act: acts.SendCourtesy) -> World:
    need_assessor(signers(world.keys, act.by))
    after = _onward(world, act)
    _need_settled(world)
    return after


def _need_ready(world: World) -> None:
    """What the final check and publication both require."""
    _need_settled(world)
    ready = {ClaimState.REVIEWED, ClaimState.FROZEN, *DECIDED}
    unready = [name for name, c in world.claims.items() if c.state not in ready]
    need(
        not unready,
        "complete",
        f"expected every claim reviewed, found {_names(unready)} not",
        "support and review it, or drop it",
    )
    few = [
        name
        for name, c in world.claims.items()
        if c.attribution is Attribution.AGGREGATE and len(c.over) < 3
    ]
    need(
        not few,
        "aggregate",
        f"expected aggregates over three participants or more, found {_names(few)} over fewer",
        "drop it",
    )
    stale = [name for name, c in world.conclusions.items() if c.stale]
    need(
        not stale,
        "remade",
        f"expected conclusions made after what changed under them, found {_names(stale)} not",
        "make it again, or drop it",
    )
    unapproved = [
        name
        for name, c in world.claims.items()
        if c.needs_approval and not c.publishable and c.choice is not Choice.REDACT
    ]
    need(
        not unapproved,
        "approval",
        f"expected a signature over the words as they stand, found {_names(unapproved)} without",
        "offer the words again",
    )


def start_final_check(world: World, act: acts.StartFinalCheck) -> World:
    need_assessor(signers(world.keys, act.by))
    after = _onward(world, act)
    _need_ready(world)
    claims = {
        name: claim
        if claim.state is ClaimState.FROZEN
        else replace(claim, state=step("claim", act.kind, claim.state, world.mode, name))
        for name, claim in world.claims.items()
    }
    return replace(after, claims=claims)


def send_back(world: World, act: acts.SendBack) -> World:
    need_assessor(signers(world.keys, act.by))
    after = _onward(world, act)

    def thawed(name: str, claim: Claim) -> Claim:
        owner = world.participants.get(claim.participant or "")
        if owner is not None and owner.state is ParticipantState.DISPUTED:
            return claim
        when = "no approval needed" if claim.choice is None else _DECIDED[claim.choice]
        return replace(
            claim, state=step("claim", act.kind, claim.state, world.mode, name, when=when)
        )

    return replace(after, claims={name: thawed(name, c) for name, c in world.claims.items()})


_DECIDED = {
    Choice.APPROVE: "approved",
    Choice.EDIT: "edited",
    Choice.ANONYMISE: "anonymised",
    Choice.REDACT: "redacted",
}


def publish(world: World, act: acts.Publish) -> World:
    need_four_eyes(signers(world.keys, act.by), world.mode, "publishing")
    after = _onward(world, act)
    _need_ready(world)
    claims = {
        name: replace(claim, state=step("claim", act.kind, claim.state, world.mode, name))
        for name, claim in world.claims.items()
    }
    participants = {
        name: replace(p, state=step("participant", act.kind, p.state, world.mode, name))
        if p.state is ParticipantState.APPROVED
        else p
        for name, p in world.participants.items()
    }
    return replace(after, claims=claims, participants=participants)


def export_restricted(world: World, act: acts.ExportRestricted) -> World:
    holders = signers(world.keys, act.by)
    need_four_eyes(holders, world.mode, "an export of restricted material")
    for name in act.participants:
        need(name in world.participants, "known", f"no participant {name}", "name who it is of")
        need(
            name in world.present,
            "exited",
            f"{name} has left",
            "leave out what belongs to it",
        )
    need(
        act.to == "regulator" or act.to in world.present,
        "known",
        f"expected the regulator or a participant as recipient, found {act.to!r}",
        "name one of them",
    )
    if len({*act.participants, act.to} - {"regulator"}) > 1:
        waiting = sorted(n for n, p in world.present.items() if p.state not in SETTLED)
        need(
            not waiting,
            "settled",
            f"expected every participant's approval before material crosses, found "
            f"{_names(waiting)} without",
            "wait for it, or export the material of one to the regulator or to itself",
        )
    notice = Notice(
        kind=NoticeKind.EXPORT,
        about=act.material,
        participants=tuple(sorted({*act.participants, act.to} - {"regulator"})),
        people=tuple(sorted(holder.person for holder in holders)),
    )
    return replace(world, notices=(*world.notices, notice))


def waive(world: World, act: acts.Waive) -> World:
    holders = signers(world.keys, act.by)
    need_four_eyes(holders, world.mode, "waiving a rule")
    need(
        world.stage not in {RoundStage.SUPERSEDED, RoundStage.ABORTED},
        "order",
        f"the round is {world.stage.value}",
        "nothing is left to waive",
    )
    notice = Notice(
        kind=NoticeKind.WAIVER,
        about=act.waived,
        people=tuple(sorted(holder.person for holder in holders)),
    )
    return replace(world, notices=(*world.notices, notice))


def _names(names: list[str]) -> str:
    return ", ".join(sorted(names))
