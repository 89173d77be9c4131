"""The state machines: a round from first to last, what is refused on the way, and silent exit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from custodes.rounds import _acts as acts
from custodes.rounds._acts import KINDS, act_from_json
from custodes.rounds._refusal import RULES
from custodes.rounds._roles import Holder, Role
from custodes.rounds._statement import Verdict
from custodes.rounds._states import _MOVES, NotReplayable, advance, replay
from custodes.rounds._tables import ARROWS, STANDING, as_markdown
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
from custodes.rounds._world import NoticeKind, World

from .told import (
    ANN,
    BO,
    FOUR,
    KEYS,
    PUBLIC,
    WES,
    about,
    approves,
    begun,
    claims_drafted,
    done,
    is_evaluated,
    joins,
    leaf,
    refused,
    stages,
    until,
    whole,
)


def test_a_round_goes_from_draft_to_published_and_on() -> None:
    world = done(begun(), whole("A", "B", "C"))
    assert world.stage is RoundStage.PUBLISHED
    assert {p.state for p in world.participants.values()} == {ParticipantState.INCLUDED}
    assert {c.state for c in world.claims.values()} == {ClaimState.PUBLISHED}
    assert world.public()["published"] == sorted(leaf(c) for c in ("A1", "B1", "C1", "p1"))
    world = done(world, [acts.CorrectClaim(by=(*FOUR, "a"), claim="A1", leaf=leaf("A1 right"))])
    world = done(world, [acts.RetractClaim(by=FOUR, claim="B1"), acts.Supersede(by=ANN)])
    assert world.stage is RoundStage.SUPERSEDED
    assert world.public()["published"] == sorted(leaf(c) for c in ("A1 right", "C1", "p1"))


def test_one_person_runs_a_self_assessment() -> None:
    told: list[acts.Act] = [
        acts.FreezeProtocol(by=ANN, protocol=leaf("protocol")),
        acts.StartGathering(by=ANN),
        acts.StartAnalysis(by=ANN),
        *(replace(act, by=ANN) for act in PUBLIC),
        acts.StartDrafting(by=ANN),
        acts.StartFinalCheck(by=ANN),
        acts.Publish(by=ANN, report=leaf("report")),
    ]
    assert done(begun(Mode.SELF), told).stage is RoundStage.PUBLISHED
    assert refused(begun(Mode.SELF), joins("A")[0]).rule == "mode"


@pytest.mark.parametrize("stage", [*RoundStage])
def test_a_round_can_be_aborted_at_any_stage_before_publication(stage: RoundStage) -> None:
    world = replace(begun(), stage=stage)
    late = {
        RoundStage.PUBLISHED, RoundStage.CORRECTED, RoundStage.SUPERSEDED, RoundStage.ABORTED
    }  # fmt: skip
    after = advance(world, acts.Abort(by=ANN))
    assert isinstance(after, World) is (stage not in late)


# --- every guard, with the act that it is there for ------------------------------------------

Prepared = Callable[[], World]


def at(kind: str) -> Prepared:
    return lambda: until(begun(), kind, "A", "B", "C")


def then(kind: str, *more: acts.Act) -> Prepared:
    return lambda: done(at(kind)(), more)


def decided() -> World:
    return done(at("round.drafting")(), [])


REDACTED = [*approves("A", Choice.REDACT)]
OFFER = acts.OfferClaim(by=ANN, claim="A1")
DECIDE = acts.Decide(by=("a",), claim="A1", choice=Choice.APPROVE, leaf=leaf("A1"))
EXIT = acts.Exit(by=("a",), participant="A")
AGGREGATE = acts.DraftClaim(
    by=ANN, claim="g", attribution=Attribution.AGGREGATE, over=("A", "B", "C"), leaf=leaf("g")
)

GUARDED: list[tuple[str, str, Prepared, acts.Act]] = [
    ("nobody signs", "role", begun, acts.FreezeProtocol(by=(), protocol=leaf("p"))),
    ("a stranger signs", "role", begun, acts.FreezeProtocol(by=("x",), protocol=leaf("p"))),
    ("a key signs twice", "role", begun, acts.Abort(by=("ann", "ann"))),
    ("a witness acts alone", "role", begun, acts.Abort(by=WES)),
    ("a participant runs the round", "role", at("round.gathering"), acts.StartGathering(by=("a",))),
    ("another participant decides", "role", then("participant.negotiating"),
     replace(DECIDE, by=("b",))),
    ("an assessor decides", "role", then("participant.negotiating"), replace(DECIDE, by=ANN)),
    ("an assessor agrees for it", "role", at("participant.agreed"),
     acts.Agree(by=ANN, participant="A")),
    ("a revoked key", "role", then("round.gathering", acts.RevokeKey(by=("ann", "wes"), key="bo")),
     acts.StartGathering(by=BO)),
    ("one person revokes", "four_eyes", begun, acts.RevokeKey(by=ANN, key="bo")),
    ("one person publishes", "four_eyes", at("round.published"),
     acts.Publish(by=ANN, report=leaf("r"))),
    ("two keys of one person", "four_eyes",
     then("round.published", acts.AddKey(by=ANN, key="ann2", holder=KEYS["ann"])),
     acts.Publish(by=("ann", "ann2"), report=leaf("r"))),
    ("a participant is the second pair of eyes", "four_eyes", at("round.published"),
     acts.Publish(by=("ann", "a"), report=leaf("r"))),
    ("one person waives", "four_eyes", begun, acts.Waive(by=ANN, waived="07")),
    ("one person exports", "four_eyes", at("round.drafting"),
     acts.ExportRestricted(by=ANN, material=leaf("m"), participants=("A",), to="regulator")),
    ("one person purges", "four_eyes", then("round.gathering", EXIT),
     acts.Purge(by=ANN, participant="A")),
    ("one person retracts", "four_eyes", lambda: done(begun(), whole("A")),
     acts.RetractClaim(by=ANN, claim="A1")),
    ("keys on two sides", "conflict", at("round.gathering"), acts.AddKey(
        by=ANN, key="k", holder=Holder(person="of A", role=Role.WITNESS))),
    ("a second draft of an id", "known", at("round.disclosure"),
     claims_drafted("A")[0]),
    ("out of order", "order", begun, acts.StartAnalysis(by=ANN)),
    ("an invitation after gathering", "stage", at("round.disclosure"),
     acts.Invite(by=ANN, participant="D")),
    ("access before the protocol is frozen", "stage", at("round.protocol_frozen"),
     acts.GiveAccess(by=("a",), participant="A")),
    ("analysis before everybody is evaluated", "complete", at("participant.evaluated"),
     acts.StartAnalysis(by=ANN)),
    ("disclosure before every private report", "complete", at("claim.drafted"),
     acts.OpenDisclosure(by=ANN)),
    ("disclosure before importance is locked", "importance",
     then("round.disclosure", about(claims_drafted("A")[0], "A2")),
     acts.OpenDisclosure(by=ANN)),
    ("a pack with a claim missing", "complete", at("claim.offered"),
     acts.OpenPack(by=("a",), participant="A")),
    ("an offer of what is not locked", "importance", then(
        "participant.negotiating",
        about(claims_drafted("A")[0], "A2"),
        acts.SupportClaim(by=ANN, claim="A2", opinion=True),
        acts.ReviewClaim(by=BO, claim="A2")), acts.OfferClaim(by=ANN, claim="A2")),
    ("an offer of public text", "mode", lambda: replace(at("claim.offered")(), mode=Mode.SELF),
     acts.OfferClaim(by=ANN, claim="p1")),
    ("no evidence", "evidence",
     then("round.disclosure", about(PUBLIC[0], "p2")),
     acts.SupportClaim(by=ANN, claim="p2")),
    ("an author reviews", "reviewer", at("claim.reviewed"), acts.ReviewClaim(by=ANN, claim="p1")),
    ("one person lowers a locked importance", "downgrade", at("round.disclosure"),
     acts.SetImportance(by=ANN, claim="A1", importance=Importance.LOW)),
    ("a decision before the pack is open", "stage", at("participant.negotiating"), DECIDE),
    ("a decision about other words", "exact_text", at("claim.decided"),
     replace(DECIDE, leaf=leaf("other"))),
    ("approval with a claim undecided", "complete", at("claim.decided"),
     acts.SignApproval(by=("a",), participant="A")),
    ("drafting before all approved", "settled", at("participant.approved"),
     acts.StartDrafting(by=ANN)),
    ("new non-public text in courtesy", "disclosure", at("round.final_check"),
     about(claims_drafted("A")[0], "A2")),
    ("changed non-public text in courtesy", "disclosure", at("round.final_check"),
     acts.ReviseClaim(by=ANN, claim="A1", leaf=leaf("A1 changed"))),
    ("publication of what was not reviewed", "complete",
     then("round.final_check", acts.ReviseClaim(by=ANN, claim="p1", leaf=leaf("new"))),
     acts.StartFinalCheck(by=ANN)),
    ("dropping what was offered", "offered", at("claim.decided"),
     acts.DropClaim(by=ANN, claim="A1")),
    ("an aggregate over two", "aggregate", at("round.disclosure"),
     replace(AGGREGATE, over=("A", "B"))),
    ("a merge across participants", "alike", at("round.disclosure"),
     acts.MergeClaims(by=ANN, claim="m", sources=("A1", "B1"), leaf=leaf("m"))),
    ("meaning signed over other words", "exact_text", at("round.drafting"),
     acts.SignMeaning(by=ANN, claim="A1", leaf=leaf("other"))),
    ("a correction without approval", "approval", lambda: done(begun(), whole("A")),
     acts.CorrectClaim(by=FOUR, claim="A1", leaf=leaf("new"))),
    ("a correction of what is withheld", "withheld",
     lambda: done(begun(), [
         act for part in stages("A")[:6] for act in part
     ] + REDACTED + [act for part in stages("A")[7:] for act in part]),
     acts.RetractClaim(by=FOUR, claim="A1")),
    ("material crosses early", "settled", at("participant.approved"), acts.ExportRestricted(
        by=FOUR, material=leaf("m"), participants=("A", "B"), to="regulator")),
    ("material of one goes to another early", "settled", at("participant.approved"),
     acts.ExportRestricted(by=FOUR, material=leaf("m"), participants=("A",), to="B")),
    ("exit after the pack is open", "exit", at("claim.decided"), EXIT),
    ("exit after a decision", "order", at("round.drafting"), EXIT),
    ("use of who left", "exited", then("round.disclosure", EXIT),
     about(claims_drafted("A")[0], "A2")),
    ("purge under a hold", "hold",
     then("round.disclosure", EXIT, acts.PlaceHold(by=ANN, participant="A")),
     acts.Purge(by=FOUR, participant="A")),
    ("text under dispute", "frozen", then(
        "round.drafting",
        acts.Dispute(by=("a",), participant="A", theirs=leaf("t"), ours=leaf("o"))),
     acts.ReviseClaim(by=ANN, claim="A1", leaf=leaf("new"))),
    ("a conclusion is freed by one", "narrowed", then(
        "round.drafting", acts.Conclude(by=ANN, conclusion="k", rests_on=("A1",))),
     acts.Conclude(by=ANN, conclusion="k", rests_on=())),
    ("a stale conclusion", "remade", then(
        "round.courtesy",
        about(PUBLIC[0], "p2"),
        acts.Conclude(by=ANN, conclusion="k", rests_on=("p2",)),
        acts.DropClaim(by=ANN, claim="p2"), acts.SendCourtesy(by=ANN, draft=leaf("d"))),
     acts.StartFinalCheck(by=ANN)),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "prepared", "act"),
    [case[1:] for case in GUARDED],
    ids=[case[0].replace(" ", "_") for case in GUARDED],
)
def test_a_guard_refuses(rule: str, prepared: Prepared, act: acts.Act) -> None:
    found = refused(prepared(), act)
    assert found.rule == rule, found.line
    assert found.reason and found.remedy and "\n" not in found.line
    assert found.to_json()["requires"] == RULES[rule]


def test_every_rule_of_the_machines_refuses_something_here() -> None:
    elsewhere = {"signature", "opening", "opens", "approval"}
    assert set(RULES) - elsewhere <= {case[1] for case in GUARDED}


# --- words that change -----------------------------------------------------------------------


def test_words_changed_after_approval_need_a_new_one() -> None:
    revised = acts.ReviseClaim(by=ANN, claim="A1", leaf=leaf("A1 new"))
    world = done(at("round.drafting")(), [revised])
    assert world.claims["A1"].approved is None
    assert refused(world, acts.StartDrafting(by=ANN)).rule == "settled"
    again = [
        acts.SupportClaim(by=ANN, claim="A1", evidence=("e1",)),
        acts.ReviewClaim(by=BO, claim="A1"),
        OFFER,
    ]
    told = [act for act in again if act.kind != "claim.supported"]
    world = done(world, told)
    assert world.participants["A"].state is ParticipantState.NEGOTIATING
    assert refused(world, DECIDE).rule == "exact_text"
    world = done(
        world,
        [replace(DECIDE, leaf=leaf("A1 new")), acts.SignApproval(by=("a",), participant="A")],
    )
    assert world.claims["A1"].publishable


def test_a_milder_text_in_place_of_an_offered_one_counts_as_withheld_until_signed() -> None:
    world = until(begun(), "claim.decided", "A")
    told: list[acts.Act] = [
        acts.ReviseClaim(by=ANN, claim="A1", leaf=leaf("mild")),
        acts.ReviewClaim(by=BO, claim="A1"),
        OFFER,
        replace(DECIDE, leaf=leaf("mild")),
    ]
    world = done(world, told)
    assert world.statement_of("A").verdict is Verdict.QUALIFIED
    world = done(world, [acts.SignMeaning(by=ANN, claim="A1", leaf=leaf("mild"))])
    assert world.statement_of("A").verdict is Verdict.UNQUALIFIED


def test_parts_inherit_importance_dependence_and_the_offer() -> None:
    world = until(begun(), "claim.decided", "A")
    parts = tuple(acts.Part(claim=name, leaf=leaf(name)) for name in ("x", "y"))
    told: list[acts.Act] = [
        acts.Conclude(by=ANN, conclusion="k", rests_on=("A1",)),
        acts.SplitClaim(by=ANN, claim="A1", parts=parts),
    ]
    world = done(world, told)
    assert {c.effective for c in world.claims_of("A").values()} == {Importance.HIGH}
    assert world.conclusions["k"].rests_on == ("x", "y")
    assert refused(world, acts.DropClaim(by=ANN, claim="x")).rule == "offered"
    lower = acts.SetImportance(by=ANN, claim="x", importance=Importance.LOW)
    assert refused(world, lower).rule == "downgrade"
    world = done(world, [replace(lower, by=("ann", "wes"))])
    assert world.claims["x"].effective is Importance.LOW
    (notice,) = world.notices
    assert (notice.kind, notice.people) == (NoticeKind.DOWNGRADE, ("Ann", "Wes"))
    (printed,) = world.statement_of("A").downgrades
    assert (printed.was, printed.now) == (Importance.HIGH, Importance.LOW)


def test_new_text_after_the_courtesy_draft_is_offered_again() -> None:
    new: list[acts.Act] = [about(act, "A2") for act in claims_drafted("A")[:-1]]
    told: list[acts.Act] = [
        acts.OpenReoffer(by=ANN),
        *new,
        acts.OfferClaim(by=ANN, claim="A2"),
    ]
    world = done(until(begun(), "round.final_check", "A", "B"), told)
    assert world.participants["A"].state is ParticipantState.NEGOTIATING
    assert refused(world, acts.StartFinalCheck(by=ANN)).rule == "settled"
    assert refused(world, EXIT).rule == "exit"
    more: list[acts.Act] = [
        replace(DECIDE, claim="A2", choice=Choice.REDACT),
        acts.SignApproval(by=("a",), participant="A"),
        acts.StartFinalCheck(by=ANN),
        acts.SendBack(by=ANN),
    ]
    world = done(world, more)
    assert world.claims["A2"].state is ClaimState.REDACTED
    assert world.claims["A1"].state is ClaimState.APPROVED


def test_a_dispute_freezes_the_text_and_does_not_stop_publication() -> None:
    dispute = acts.Dispute(by=("a",), participant="A", theirs=leaf("t"), ours=leaf("o"))
    world = done(until(begun(), "round.drafting", "A", "B"), [dispute])
    rest = [act for part in stages("A", "B")[7:] for act in part]
    world = done(world, rest)
    assert world.participants["A"].state is ParticipantState.DISPUTED
    assert leaf("A1") in world.public()["published"]  # type: ignore[operator]


def test_a_withdrawal_is_a_count_and_withholds_every_word() -> None:
    world = done(
        until(begun(), "round.drafting", "A", "B"), [acts.Withdraw(by=("a",), participant="A")]
    )
    assert world.statement_of("A").verdict is Verdict.QUALIFIED
    world = done(world, [act for part in stages("A", "B")[7:] for act in part])
    public = world.public()
    assert public["withdrawn"] == 1 and public["participants"] == {"B": "included"}
    assert leaf("A1") not in public["published"]  # type: ignore[operator]


def test_a_conclusion_on_withheld_content_is_to_be_labelled() -> None:
    world = until(begun(), "claim.decided", "A")
    told: list[acts.Act] = [
        acts.Conclude(by=ANN, conclusion="k", rests_on=("A1", "p1")),
        replace(DECIDE, choice=Choice.REDACT, describable=True),
    ]
    world = done(world, told)
    assert world.to_label() == {"k": ("A1",)}
    assert world.statement_of("A").why()[0].startswith("dependence: A1")


# --- silent exit -----------------------------------------------------------------------------


def with_exit_after(count: int) -> tuple[World, World]:
    """The worlds of a round that X left after its count-th own act, and that never knew X."""
    with_x, without = begun(), begun()
    left = 0
    others = stages("A", "B", "C")
    own: list[list[acts.Act]] = [
        joins("X", ExitUntil.DECISION),
        [],
        is_evaluated("X"),
        [],
        claims_drafted("X"),
        [],
        approves("X")[:2],
    ]
    own += [[]] * (len(others) - len(own))
    gone = False
    for theirs, ours in zip(own, others, strict=True):
        for act in theirs:
            if gone:
                break
            with_x = done(with_x, [act])
            left += 1
            if left == count:
                with_x = done(with_x, [acts.Exit(by=ANN if count < 3 else ("x",),
                                                 participant="X")])  # fmt: skip
                gone = True
        with_x, without = done(with_x, ours), done(without, ours)
        if gone:
            assert with_x.public() == without.public()
    assert gone, f"X has no act {count}"
    return done(with_x, [acts.Purge(by=FOUR, participant="X")]), without


@pytest.mark.parametrize("count", range(1, 14))
def test_exited_and_never_invited_are_the_same_world(count: int) -> None:
    with_x, without = with_exit_after(count)
    assert with_x == without
    assert with_x.to_json() == without.to_json()


def test_an_exit_makes_aggregates_and_conclusions_be_made_again() -> None:
    names = ("A", "B", "C", "X")
    told = whole(*names)
    world = done(begun(), told[: [a.kind for a in told].index("round.disclosure")])
    more: list[acts.Act] = [
        replace(AGGREGATE, over=names),
        acts.SupportClaim(by=ANN, claim="g", evidence=("e",)),
        acts.Conclude(by=ANN, conclusion="k", rests_on=("g", "X1")),
        acts.Exit(by=("x",), participant="X"),
    ]
    world = done(world, more)
    assert world.claims["g"].state is ClaimState.DRAFT
    assert world.claims["g"].over == ("A", "B", "C")
    assert world.conclusions["k"].stale and world.conclusions["k"].rests_on == ("g",)
    assert "X" not in str(world.public()) and "x" not in world.keys
    world = done(world, [acts.Conclude(by=ANN, conclusion="k", rests_on=("g",))])
    assert not world.conclusions["k"].stale


@pytest.mark.parametrize(
    ("until_", "last"),
    [
        (ExitUntil.ACCESS, ParticipantState.AGREED),
        (ExitUntil.PACK, ParticipantState.PRIVATE_REPORT),
        (ExitUntil.DECISION, ParticipantState.NEGOTIATING),
    ],
)
def test_the_agreement_says_until_when(until_: ExitUntil, last: ParticipantState) -> None:
    order = list(ParticipantState)
    told = [act for part in stages("A") for act in part]
    assert isinstance(told[0], acts.Invite)
    told[0] = replace(told[0], exit_until=until_)
    world = begun()
    for act in told:
        world = done(world, [act])
        participant = world.participants["A"]
        if "a" not in world.keys:
            continue
        possible = isinstance(advance(world, EXIT), World)
        early = order.index(participant.state) <= order.index(last)
        assert possible is (early and not participant.decided), (act.kind, participant)


# --- acts and tables ---------------------------------------------------------------------------


def test_every_act_has_a_move_and_a_place_in_the_tables() -> None:
    assert set(_MOVES) == set(KINDS.values())
    assert {arrow.kind for arrow in ARROWS} | set(STANDING) == set(KINDS)


def test_every_state_is_in_the_tables() -> None:
    for machine, states in (
        ("round", RoundStage),
        ("participant", ParticipantState),
        ("claim", ClaimState),
    ):
        own = [arrow for arrow in ARROWS if arrow.machine == machine]
        named = {state for arrow in own for state in (*arrow.sources, arrow.target)} - {None}
        assert named == {state.value for state in states}


def test_acts_and_worlds_are_read_back_as_they_were_written() -> None:
    world = begun()
    for act in whole("A", "B"):
        assert act_from_json(act.to_json()) == act
        world = done(world, [act])
    assert World.from_json(world.to_json()) == world


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "round.burnt"}, "expected the kind of an act"),
        ({"schema": "custodes.round-act/9"}, "expected schema custodes.round-act/1"),
        ({"report": 7}, "at report: Input should be a valid string"),
        ({"report": "7"}, "expected a sha256"),
        ({"extra": 1}, "at extra"),
        ({"by": "ann"}, "at by"),
    ],
)
def test_a_document_that_is_no_act_is_refused_in_one_line(
    change: dict[str, object], message: str
) -> None:
    document = {**acts.Publish(by=ANN, report=leaf("r")).to_json(), **change}
    with pytest.raises(ValueError, match=message) as found:
        act_from_json(document)  # type: ignore[arg-type]
    assert "\n" not in str(found.value)


def test_a_record_that_is_refused_is_not_replayed() -> None:
    told = whole("A")
    assert replay(begun(), told).stage is RoundStage.PUBLISHED
    del told[3]
    with pytest.raises(NotReplayable, match=r"act 3 \(round.gathering\) is refused: "):
        replay(begun(), told)


def test_the_documentation_has_the_tables_as_they_are(repository: Path) -> None:
    page = (repository / "docs" / "rounds.md").read_text("utf-8")
    assert as_markdown() in page, "write custodes.rounds' tables into docs/rounds.md again"
