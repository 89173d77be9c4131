"""What acts about claims and conclusions do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from custodes.types import Sha256

from . import _acts as acts
from ._moves_participant import need_stage, put
from ._refusal import need
from ._roles import need_assessor, need_four_eyes, need_participant, signers
from ._tables import allowed, step
from ._words import (
    Attribution,
    Choice,
    ClaimState,
    Mode,
    ParticipantState,
    RoundStage,
    highest,
)
from ._world import Claim, Conclusion, Notice, NoticeKind, World

S, P = RoundStage, ParticipantState
_OFFERING = (S.DISCLOSURE, S.RE_OFFER)
_NON_PUBLIC = (S.GATHERING, S.ANALYSIS, *_OFFERING)
_WRITING = (S.GATHERING, S.ANALYSIS, S.DISCLOSURE, S.DRAFTING, S.COURTESY, S.RE_OFFER)


def _found(world: World, name: str) -> Claim:
    need(name in world.claims, "known", f"no claim {name}", "draft it first")
    return world.claims[name]


def _put(world: World, name: str, claim: Claim) -> World:
    return replace(world, claims={**world.claims, name: claim})


def _need_new(world: World, name: str) -> None:
    need(
        bool(name) and name not in world.claims,
        "known",
        f"the claim id {name!r} is taken or empty",
        "use another id",
    )


def _need_writable(world: World, kind: str, participant: str | None) -> None:
    """Refuses text of a claim where it can no longer be offered, or where it is frozen."""
    need_stage(world, kind, *_WRITING)
    if participant is None:
        return
    need(
        world.stage in _NON_PUBLIC,
        "disclosure",
        f"non-public text cannot change in {world.stage.value}: its participant could not see it",
        "open a re-offer from courtesy",
    )
    need(participant in world.participants, "known", f"no participant {participant}", "invite it")
    state = world.participants[participant].state
    need(
        state not in {P.EXITED, P.WITHDRAWN},
        "exited",
        f"{participant} has left",
        "leave its claims out",
    )
    need(
        state is not P.DISPUTED,
        "frozen",
        f"the text of {participant} is frozen by its dispute",
        "print both positions",
    )


def draft(world: World, act: acts.DraftClaim) -> World:
    author = need_assessor(signers(world.keys, act.by))
    _need_new(world, act.claim)
    if world.mode is Mode.SELF:
        need(
            act.attribution is Attribution.PUBLIC and not act.over,
            "mode",
            f"a self-assessment's claims are its own: expected attribution public, found "
            f"{act.attribution.value}",
            "mark it public",
        )
    owned = act.participant is not None
    need(
        owned is act.attribution.needs_approval,
        "known",
        f"expected a participant exactly for attributed and non-attributed claims, found "
        f"{act.participant} for {act.attribution.value}",
        "name the participant, or leave it out",
    )
    _need_writable(world, act.kind, act.participant)
    over = tuple(sorted(set(act.over)))
    missing = [name for name in over if name not in world.present]
    need(
        not missing,
        "exited",
        f"expected an aggregate over participants of the round, found {', '.join(missing)}",
        "leave them out",
    )
    least = 3 if act.attribution is Attribution.AGGREGATE else 0
    need(
        len(over) >= least if least else not over,
        "aggregate",
        f"expected {'three subjects or more' if least else 'subjects for aggregates only'}, found "
        f"{len(over)}",
        "drop the claim, or make it one that its participant approves",
    )
    claim = Claim(
        state=ClaimState.DRAFT,
        attribution=act.attribution,
        participant=act.participant,
        over=over,
        leaf=act.leaf,
        author=author.person,
    )
    return _put(world, act.claim, claim)


def support(world: World, act: acts.SupportClaim) -> World:
    need_assessor(signers(world.keys, act.by))
    claim = _found(world, act.claim)
    state = step("claim", act.kind, claim.state, world.mode, act.claim)
    need_stage(world, act.kind, *_WRITING)
    need(
        bool(act.evidence) or act.opinion,
        "evidence",
        f"{act.claim} has neither evidence nor the mark of an opinion",
        "name its evidence, or mark it as opinion",
    )
    claim = replace(claim, state=state, evidence=act.evidence, opinion=act.opinion)
    return _put(world, act.claim, claim)


def review(world: World, act: acts.ReviewClaim) -> World:
    holders = signers(world.keys, act.by)
    need_assessor(holders)
    claim = _found(world, act.claim)
    state = step("claim", act.kind, claim.state, world.mode, act.claim)
    need_stage(world, act.kind, *_WRITING)
    need(
        world.mode is Mode.SELF or any(holder.person != claim.author for holder in holders),
        "reviewer",
        f"{claim.author} wrote {act.claim} and cannot be its reviewer",
        "have another person review it",
    )
    return _put(world, act.claim, replace(claim, state=state))


def set_importance(world: World, act: acts.SetImportance) -> World:
    holders = signers(world.keys, act.by)
    need_assessor(tuple(holder for holder in holders if holder.participant is None))
    need(
        all(holder.participant is None for holder in holders),
        "role",
        "a participant has no say in importance",
        "leave its signature out",
    )
    claim = _found(world, act.claim)
    need_stage(world, act.kind, *_WRITING)
    before = claim.effective
    lowers = claim.locked and before is not None and act.importance.rank < before.rank
    after = replace(claim, importance=act.importance)
    if not lowers:
        return _put(world, act.claim, after)
    need_four_eyes(holders, world.mode, "lowering a locked importance", rule="downgrade")
    notice = Notice(
        kind=NoticeKind.DOWNGRADE,
        about=act.claim,
        participants=(claim.participant,) if claim.participant else (),
        was=before,
        now=act.importance,
        people=tuple(sorted({holder.person for holder in holders})),
    )
    lowered = _put(world, act.claim, replace(after, lowered=True))
    return replace(lowered, notices=(*world.notices, notice))


def lock_importance(world: World, act: acts.LockImportance) -> World:
    need_assessor(signers(world.keys, act.by))
    claim = _found(world, act.claim)
    need_stage(world, act.kind, *_WRITING)
    need(
        claim.effective is not None,
        "importance",
        f"the importance of {act.claim} is not set",
        "set it first",
    )
    return _put(world, act.claim, replace(claim, locked=True, importance=claim.effective))


def revise(world: World, act: acts.ReviseClaim) -> World:
    author = need_assessor(signers(world.keys, act.by))
    claim = _found(world, act.claim)
    when = "without support" if claim.state is ClaimState.DRAFT else "with support"
    if claim.state is ClaimState.FROZEN:
        _need_writable(world, act.kind, claim.participant)
    state = step("claim", act.kind, claim.state, world.mode, act.claim, when=when)
    _need_writable(world, act.kind, claim.participant)
    return _put(
        world,
        act.claim,
        _undecided(replace(claim, leaf=act.leaf, author=author.person), state),
    )


def _undecided(claim: Claim, state: ClaimState) -> Claim:
    return replace(claim, state=state, choice=None, approved=None, describable=False)


def _made_from(sources: list[Claim], leaf: Sha256, author: str) -> Claim:
    """A claim with everything that it inherits."""
    inherited = highest(*(claim.effective for claim in sources))
    drafts = any(claim.state is ClaimState.DRAFT for claim in sources)
    firsts = [claim.first for claim in sources if claim.first is not None]
    return Claim(
        state=ClaimState.DRAFT if drafts else ClaimState.SUPPORTED,
        attribution=sources[0].attribution,
        participant=sources[0].participant,
        over=sources[0].over,
        leaf=leaf,
        author=author,
        evidence=tuple(sorted({item for claim in sources for item in claim.evidence})),
        opinion=any(claim.opinion for claim in sources),
        importance=inherited,
        inherited=() if inherited is None else (inherited,),
        locked=any(claim.locked for claim in sources),
        first=firsts[0] if firsts else None,
    )


def _exchange(world: World, old: set[str], new: Mapping[str, Claim]) -> World:
    """Puts claims in the place of others, dependences included."""
    claims = {name: claim for name, claim in world.claims.items() if name not in old}

    def rests_on(names: tuple[str, ...]) -> tuple[str, ...]:
        kept = set(names) - old
        return tuple(sorted(kept | set(new) if kept != set(names) else kept))

    conclusions = {
        name: replace(conclusion, rests_on=rests_on(conclusion.rests_on))
        for name, conclusion in world.conclusions.items()
    }
    return replace(world, claims={**claims, **new}, conclusions=conclusions)


def split(world: World, act: acts.SplitClaim) -> World:
    author = need_assessor(signers(world.keys, act.by))
    claim = _found(world, act.claim)
    _need_writable(world, act.kind, claim.participant)
    allowed("claim", act.kind, claim.state, world.mode, act.claim)
    for part in act.parts:
        _need_new(world, part.claim)
    made = {part.claim: _made_from([claim], part.leaf, author.person) for part in act.parts}
    return _exchange(world, {act.claim}, made)


def merge(world: World, act: acts.MergeClaims) -> World:
    author = need_assessor(signers(world.keys, act.by))
    sources = [_found(world, name) for name in act.sources]
    for name, claim in zip(act.sources, sources, strict=True):
        _need_writable(world, act.kind, claim.participant)
        allowed("claim", act.kind, claim.state, world.mode, name)
    _need_new(world, act.claim)
    need(
        len({(c.attribution, c.participant, c.over) for c in sources}) == 1,
        "alike",
        "the claims to merge differ in attribution, owner or subjects",
        "merge claims that are alike",
    )
    made = {act.claim: _made_from(sources, act.leaf, author.person)}
    return _exchange(world, set(act.sources), made)


def drop(world: World, act: acts.DropClaim) -> World:
    need_assessor(signers(world.keys, act.by))
    claim = _found(world, act.claim)
    need(
        not claim.offered,
        "offered",
        f"{act.claim} was offered: dropping it would hide what was withheld",
        "have its participant decide about it",
    )
    allowed("claim", act.kind, claim.state, world.mode, act.claim)
    need_stage(world, act.kind, *_WRITING)
    left = {name: c for name, c in world.claims.items() if name != act.claim}
    conclusions = {
        name: replace(c, rests_on=tuple(n for n in c.rests_on if n != act.claim), stale=True)
        if act.claim in c.rests_on
        else c
        for name, c in world.conclusions.items()
    }
    return replace(world, claims=left, conclusions=conclusions)


def offer(world: World, act: acts.OfferClaim) -> World:
    need_assessor(signers(world.keys, act.by))
    claim = _found(world, act.claim)
    name = claim.participant
    state = step("claim", act.kind, claim.state, world.mode, act.claim)
    if name is None:
        need(
            False,
            "stage",
            f"{act.claim} is {claim.attribution.value} and needs no approval",
            "leave it: nobody can block it",
        )
    assert name is not None
    _need_writable(world, act.kind, name)
    need_stage(world, act.kind, *_OFFERING)
    need(
        claim.locked and claim.importance is not None,
        "importance",
        f"the importance of {act.claim} is not locked",
        "set and lock it before it is offered",
    )
    owner = world.participants[name]
    need(
        owner.state in {P.PRIVATE_REPORT, P.NEGOTIATING, P.APPROVED},
        "stage",
        f"{name} is in {owner.state.value}: an offer expects its private report sent",
        "send the private report first",
    )
    after = _put(world, act.claim, replace(claim, state=state, first=claim.first or claim.leaf))
    if owner.state is P.APPROVED:
        again = step("participant", act.kind, owner.state, world.mode, name)
        after = put(after, name, replace(owner, state=again))
    return after


def decide(world: World, act: acts.Decide) -> World:
    claim = _found(world, act.claim)
    name = claim.participant
    need(
        name is not None,
        "role",
        f"{act.claim} is {claim.attribution.value}: no participant decides about it",
        "leave it: nobody can block it",
    )
    assert name is not None
    need_participant(signers(world.keys, act.by), name)
    state = step("claim", act.kind, claim.state, world.mode, act.claim, when=act.choice.value)
    need_stage(world, act.kind, *_OFFERING)
    owner = world.participants[name]
    need(
        owner.state is P.NEGOTIATING,
        "stage",
        f"{name} is in {owner.state.value}: a decision expects it negotiating",
        "open the review pack first; after its approval, only what is offered anew is decided",
    )
    need(
        act.leaf == claim.leaf,
        "exact_text",
        f"the decision is about other words than those of {act.claim} now",
        "read the words offered now and sign their digest",
    )
    attribution = claim.attribution
    if act.choice is Choice.ANONYMISE:
        attribution = Attribution.NON_ATTRIBUTED
    leaf = act.replacement or claim.leaf
    claim = replace(
        claim,
        state=state,
        attribution=attribution,
        leaf=leaf,
        choice=act.choice,
        approved=None if act.choice is Choice.REDACT else leaf,
        describable=act.describable,
    )
    return put(_put(world, act.claim, claim), name, replace(owner, decided=True))


def sign_meaning(world: World, act: acts.SignMeaning) -> World:
    need_assessor(signers(world.keys, act.by))
    claim = _found(world, act.claim)
    need_stage(world, act.kind, *_WRITING)
    need(
        act.leaf == claim.leaf,
        "exact_text",
        f"the signature is over other words than those of {act.claim} now",
        "read the words as they stand and sign their digest",
    )
    return _put(world, act.claim, replace(claim, meaning=act.leaf))


def _need_in_report(claim: Claim, name: str) -> None:
    need(
        claim.publishable,
        "withheld",
        f"{name} is withheld",
        "open it instead, when and to whom the agreement says",
    )


def correct(world: World, act: acts.CorrectClaim) -> World:
    holders = signers(world.keys, act.by)
    need_four_eyes(holders, world.mode, "a correction")
    claim = _found(world, act.claim)
    stage = step("round", act.kind, world.stage, world.mode, "the round")
    state = step("claim", act.kind, claim.state, world.mode, act.claim)
    _need_in_report(claim, act.claim)
    sides = {holder.participant for holder in holders if holder.participant is not None}
    need(
        sides == ({claim.participant} if claim.participant else set()),
        "approval",
        f"expected the approval of {claim.participant or 'no participant'} over the new words, "
        f"found {', '.join(sorted(sides)) or 'none'}",
        "have exactly its participant sign the correction",
    )
    claim = replace(
        claim,
        state=state,
        leaf=act.leaf,
        approved=act.leaf if claim.participant else None,
        # What counted as withheld goes on counting so, and what did not, not.
        first=act.leaf if claim.first == claim.leaf else claim.first,
        meaning=act.leaf if claim.meaning == claim.leaf else None,
    )
    return replace(_put(world, act.claim, claim), stage=stage)


def retract(world: World, act: acts.RetractClaim) -> World:
    need_four_eyes(signers(world.keys, act.by), world.mode, "a retraction")
    claim = _found(world, act.claim)
    stage = step("round", act.kind, world.stage, world.mode, "the round")
    state = step("claim", act.kind, claim.state, world.mode, act.claim)
    _need_in_report(claim, act.claim)
    return replace(_put(world, act.claim, replace(claim, state=state)), stage=stage)


def conclude(world: World, act: acts.Conclude) -> World:
    rests_on = tuple(sorted(set(act.rests_on)))
    for name in rests_on:
        _found(world, name)
    after = _rest(world, act, act.conclusion, rests_on)
    made = {**world.conclusions, act.conclusion: Conclusion(rests_on=rests_on)}
    return replace(after, conclusions=made)


def drop_conclusion(world: World, act: acts.DropConclusion) -> World:
    need(
        act.conclusion in world.conclusions,
        "known",
        f"no conclusion {act.conclusion}",
        "name one that was made",
    )
    after = _rest(world, act, act.conclusion, ())
    left = {name: c for name, c in world.conclusions.items() if name != act.conclusion}
    return replace(after, conclusions=left)


def _rest(world: World, act: acts.Act, name: str, rests_on: tuple[str, ...]) -> World:
    """The world with the notice of what a conclusion is freed of; refuses what takes two people."""
    holders = signers(world.keys, act.by)
    need_assessor(holders)
    need_stage(world, act.kind, *_WRITING)
    before = world.conclusions.get(name)
    freed = set(before.rests_on) - set(rests_on) if before else set()
    offered = sorted(claim for claim in freed if world.claims[claim].offered)
    if not offered:
        return world
    need_four_eyes(holders, world.mode, f"freeing {name} of offered claims", rule="narrowed")
    owners = {world.claims[claim].participant for claim in offered}
    notice = Notice(
        kind=NoticeKind.NARROWED,
        about=name,
        participants=tuple(sorted(owner for owner in owners if owner)),
        people=tuple(sorted({holder.person for holder in holders})),
    )
    return replace(world, notices=(*world.notices, notice))
