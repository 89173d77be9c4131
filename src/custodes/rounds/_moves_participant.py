"""What acts of and about participants do."""

from __future__ import annotations

from dataclasses import replace

from . import _acts as acts
from ._refusal import need
from ._roles import need_assessor, need_four_eyes, need_participant, signers
from ._tables import allowed, step
from ._words import Choice, ClaimState, ExitUntil, Importance, Mode, ParticipantState, RoundStage
from ._world import DECIDED, Participant, World

S = RoundStage
_INVITING = (S.DRAFT, S.PROTOCOL_FROZEN, S.GATHERING)
_OFFERING = (S.DISCLOSURE, S.RE_OFFER)
_TALKING = (S.DISCLOSURE, S.DRAFTING, S.COURTESY, S.RE_OFFER)
_BEFORE_FINAL = (*_INVITING, S.ANALYSIS, *_TALKING)


def need_stage(world: World, kind: str, *stages: RoundStage) -> None:
    """Refuses unless the round is at one of these stages."""
    need(
        world.stage in stages,
        "stage",
        f"{kind} expects the round in {' or '.join(stages)}, found {world.stage.value}",
        "bring the round there, or wait for the next one",
    )


def _found(world: World, act: acts.ForParticipant) -> Participant:
    need(
        act.participant in world.participants,
        "known",
        f"no participant {act.participant}",
        "invite it first",
    )
    return world.participants[act.participant]


def put(world: World, name: str, participant: Participant) -> World:
    """The world with a participant as it is now."""
    return replace(world, participants={**world.participants, name: participant})


def _onward(world: World, act: acts.ForParticipant) -> World:
    participant = _found(world, act)
    state = step("participant", act.kind, participant.state, world.mode, act.participant)
    return put(world, act.participant, replace(participant, state=state))


def invite(world: World, act: acts.Invite) -> World:
    need_assessor(signers(world.keys, act.by))
    need(
        world.mode is Mode.ROUND,
        "mode",
        "a self-assessment has no participants",
        "start a round",
    )
    need_stage(world, act.kind, *_INVITING)
    need(
        act.participant not in world.participants and act.participant != "regulator",
        "known",
        f"the name {act.participant} is taken",
        "use another name",
    )
    state = ParticipantState.INVITED
    return put(world, act.participant, Participant(state=state, exit_until=act.exit_until))


def agree(world: World, act: acts.Agree) -> World:
    need_participant(signers(world.keys, act.by), act.participant)
    need_stage(world, act.kind, *_INVITING)
    return _onward(world, act)


def give_access(world: World, act: acts.GiveAccess) -> World:
    need_participant(signers(world.keys, act.by), act.participant)
    need_stage(world, act.kind, S.GATHERING)
    return _onward(world, act)


def finish_evaluation(world: World, act: acts.FinishEvaluation) -> World:
    need_assessor(signers(world.keys, act.by))
    need_stage(world, act.kind, S.GATHERING)
    return _onward(world, act)


def send_private_report(world: World, act: acts.SendPrivateReport) -> World:
    need_assessor(signers(world.keys, act.by))
    need_stage(world, act.kind, S.ANALYSIS)
    return _onward(world, act)


def open_pack(world: World, act: acts.OpenPack) -> World:
    need_participant(signers(world.keys, act.by), act.participant)
    need_stage(world, act.kind, S.DISCLOSURE)
    after = _onward(world, act)
    missing = [
        name
        for name, claim in world.claims_of(act.participant).items()
        if claim.state is not ClaimState.OFFERED
    ]
    need(
        not missing,
        "complete",
        f"expected every claim of {act.participant} offered, found {', '.join(missing)} not",
        "have the assessor offer or drop it, so that the pack is whole",
    )
    return after


def sign_approval(world: World, act: acts.SignApproval) -> World:
    need_participant(signers(world.keys, act.by), act.participant)
    need_stage(world, act.kind, *_OFFERING)
    after = _onward(world, act)
    _need_decided(world, act.participant)
    return put(after, act.participant, replace(after.participants[act.participant], decided=True))


def _need_decided(world: World, participant: str) -> None:
    undecided = [
        name for name, claim in world.claims_of(participant).items() if claim.state not in DECIDED
    ]
    need(
        not undecided,
        "complete",
        f"expected every claim of {participant} decided, found {', '.join(undecided)} open",
        "decide about it; have the assessor offer it first where it was not",
    )


def dispute(world: World, act: acts.Dispute) -> World:
    need_participant(signers(world.keys, act.by), act.participant)
    need_stage(world, act.kind, *_TALKING)
    after = _onward(world, act)
    _need_decided(world, act.participant)
    frozen = {
        name: replace(claim, state=step("claim", act.kind, claim.state, world.mode, name))
        for name, claim in world.claims_of(act.participant).items()
    }
    disputed = replace(after.participants[act.participant], positions=(act.theirs, act.ours))
    return replace(put(after, act.participant, disputed), claims={**world.claims, **frozen})


def withdraw(world: World, act: acts.Withdraw) -> World:
    need_participant(signers(world.keys, act.by), act.participant)
    need_stage(world, act.kind, *_BEFORE_FINAL)
    after = _onward(world, act)
    # Leaving takes back every word, so every claim counts as withheld, and may not be described.
    redacted = {
        name: replace(
            claim,
            state=step("claim", act.kind, claim.state, world.mode, name),
            choice=Choice.REDACT,
            approved=None,
            describable=False,
            importance=claim.effective or Importance.HIGH,
            locked=True,
            first=claim.first or claim.leaf,
        )
        for name, claim in world.claims_of(act.participant).items()
    }
    return replace(after, claims={**world.claims, **redacted})


def leave(world: World, act: acts.Exit) -> World:
    participant = _found(world, act)
    holders = signers(world.keys, act.by)
    # Who only was invited may have no key yet: the assessor writes down that it declined.
    if participant.state is ParticipantState.INVITED and holders[0].participant is None:
        need_assessor(holders)
    else:
        need_participant(holders, act.participant)
    allowed("participant", act.kind, participant.state, world.mode, act.participant)
    order = list(ParticipantState)
    ends = {
        ExitUntil.ACCESS: ParticipantState.ACCESS,
        ExitUntil.PACK: ParticipantState.NEGOTIATING,
        ExitUntil.DECISION: ParticipantState.APPROVED,
    }[participant.exit_until]
    need(
        not participant.decided and order.index(participant.state) < order.index(ends),
        "exit",
        f"expected a silent exit before {ends.value} and before any signed decision, found "
        f"{act.participant} in {participant.state.value}"
        + (" with a signed decision" if participant.decided else ""),
        "withdraw: that is published as a count",
    )
    gone = replace(
        participant,
        state=step("participant", act.kind, participant.state, world.mode, act.participant),
    )
    return put(world.without(act.participant), act.participant, gone)


def _hold(world: World, act: acts.ForParticipant, held: bool) -> World:
    need_assessor(signers(world.keys, act.by))
    after = _onward(world, act)
    participant = after.participants[act.participant]
    need(
        participant.held is not held,
        "hold",
        f"what {act.participant} left is {'already' if held else 'not'} under a hold",
        "nothing is to be done",
    )
    return put(after, act.participant, replace(participant, held=held))


def place_hold(world: World, act: acts.PlaceHold) -> World:
    return _hold(world, act, True)


def release_hold(world: World, act: acts.ReleaseHold) -> World:
    return _hold(world, act, False)


def purge(world: World, act: acts.Purge) -> World:
    need_four_eyes(signers(world.keys, act.by), world.mode, "a purge")
    participant = _found(world, act)
    allowed("participant", act.kind, participant.state, world.mode, act.participant)
    need(
        not participant.held,
        "hold",
        f"what {act.participant} left is under a legal hold",
        "wait until the hold is released",
    )
    left = {name: p for name, p in world.participants.items() if name != act.participant}
    return replace(world, participants=left)
