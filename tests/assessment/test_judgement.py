"""Judgement: a private first round that binds, a reveal, a second round, and no verdict."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from itertools import product

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from custodes.assessment._estimates import (
    LADDER,
    ORDER,
    Capability,
    Commitment,
    Confidence,
    JudgementEstimate,
    Reveal,
    commit,
    commitment_digest,
)
from custodes.assessment._judged import Judgement, judgement, spread
from custodes.assessment._judgement import (
    RULES,
    JudgementRefusal,
    Panel,
    PanelStage,
    Recusal,
    Seat,
    close,
    close_first,
    open_discussion,
    open_second,
    recuse,
    take_commitment,
    take_dissent,
    take_reveal,
    take_second,
)
from custodes.types import canonical_json, sha256_of

CELL = "deception/routine"
PEOPLE = ("Ann", "Bo", "Cy")
KEYS = {name: Ed25519PrivateKey.from_private_bytes(name[0].encode() * 32) for name in PEOPLE}
TODAY = date(2027, 1, 1)
WITHIN, EDGE, BEYOND, CANNOT = Capability


def verify(key: str, payload: bytes, signature: bytes) -> bool:
    try:
        KEYS[key].public_key().verify(signature, payload)
    except (InvalidSignature, KeyError):
        return False
    return True


def estimate(capability: Capability = EDGE, expires: str = "2027-06-30") -> JudgementEstimate:
    return JudgementEstimate(
        capability=capability,
        confidence=None if capability is CANNOT else Confidence.LOW,
        rationale="It hid one edit from the monitor.",
        rests_on=("A1",),
        would_change="A second monitor of another kind.",
        expires=expires,
    )


def committed(
    person: str, capability: Capability = EDGE, *, cell: str = CELL, expires: str = "2027-06-30"
) -> tuple[Commitment, Reveal]:
    return commit(
        estimate(capability, expires),
        round="spring",
        cell=cell,
        person=person,
        key=person,
        nonce=sha256_of(f"{person} {cell}".encode()).encode()[:32],
        sign=KEYS[person].sign,
    )


def fresh(*people: str, least: int = 2) -> Panel:
    seats = {person: Seat(key=person) for person in people or PEOPLE}
    return Panel(round="spring", cell=CELL, least=least, seats=seats)


def went(panel: Panel | JudgementRefusal) -> Panel:
    assert isinstance(panel, Panel), panel
    return panel


def refusal(found: Panel | JudgementRefusal) -> JudgementRefusal:
    assert isinstance(found, JudgementRefusal)
    assert found.reason and found.remedy and found.line.isprintable()
    assert found.to_json()["requires"] == RULES[found.rule]
    return found


def at_reveal(**capabilities: Capability) -> tuple[Panel, dict[str, Reveal]]:
    panel, kept = fresh(*capabilities), {}
    for person, capability in capabilities.items():
        commitment, kept[person] = committed(person, capability)
        panel = went(take_commitment(panel, commitment, verify))
    return went(close_first(panel)), kept


def discussed(silent: tuple[str, ...] = (), **capabilities: Capability) -> Panel:
    panel, kept = at_reveal(**capabilities)
    for person, reveal in kept.items():
        if person not in silent:
            panel = went(take_reveal(panel, reveal))
    return went(open_discussion(panel))


# --- from first to last ------------------------------------------------------------------------


def test_a_cell_is_judged_in_two_rounds_and_every_estimate_is_shown() -> None:
    panel = went(open_second(discussed(Ann=WITHIN, Bo=BEYOND, Cy=CANNOT)))
    panel = went(take_second(panel, "Bo", estimate(EDGE, "2027-03-31")))
    panel = went(take_dissent(panel, "Cy", "The transcripts were too few."))
    printed = judgement(went(close(panel)), on=TODAY)
    assert printed.closed and not printed.expired
    assert (printed.first.lowest, printed.first.highest) == (WITHIN, BEYOND)
    assert (printed.standing.lowest, printed.standing.highest) == (WITHIN, EDGE)
    assert printed.standing.counts == {WITHIN: 1, EDGE: 1, BEYOND: 0, CANNOT: 1}
    assert [line.words for line in printed.lines] == [
        "well within",
        "at the edge",
        "cannot assess",
    ]
    assert printed.lines[1].first == estimate(BEYOND)
    assert printed.lines[2].dissent == "The transcripts were too few."


def test_the_ladder_has_six_cells() -> None:
    assert len(LADDER) == len(set(LADDER)) == 6


# --- the private first round -------------------------------------------------------------------


def test_a_commitment_is_the_hash_that_the_design_names() -> None:
    commitment, kept = committed("Ann")
    plain = canonical_json(
        {
            "round": "spring",
            "cell": CELL,
            "person": "Ann",
            "nonce": kept.nonce,
            "estimate": kept.estimate.to_json(),
        }
    )
    assert commitment.digest == sha256_of(plain)
    assert len(bytes.fromhex(kept.nonce)) * 8 == 256


def test_a_commitment_tells_nothing_of_the_estimate() -> None:
    """Without the nonce every estimate is as good as any other."""
    commitment, kept = committed("Ann")
    public = canonical_json(commitment.to_json()).decode()
    assert kept.nonce not in public
    tried = {
        commitment_digest(
            round="spring", cell=CELL, person="Ann", nonce=nonce, estimate=estimate(capability)
        )
        for capability, nonce in product(Capability, ("0" * 64, commitment.digest))
    }
    assert commitment.digest not in tried
    other, _ = committed("Ann", BEYOND)
    assert len(canonical_json(other.to_json())) == len(public)


@pytest.mark.parametrize("nonce", [b"", bytes(31), bytes(33)])
def test_a_nonce_has_256_bits(nonce: bytes) -> None:
    with pytest.raises(ValueError, match="expected a nonce of 32 bytes"):
        commit(
            estimate(), round="r", cell=CELL, person="Ann", key="Ann", nonce=nonce,
            sign=KEYS["Ann"].sign,
        )  # fmt: skip


def test_nobody_sees_an_estimate_before_the_reveal_is_over() -> None:
    panel, kept = at_reveal(Ann=WITHIN, Bo=BEYOND)
    panel = went(take_reveal(panel, kept["Ann"]))
    printed = judgement(panel, on=TODAY)
    assert [line.words for line in printed.lines] == ["withheld", "withheld"]
    assert printed.first.lowest is None and printed.expires is None
    assert "well_within" not in json.dumps(printed.to_json()["lines"])


def take(person: str, **change: object) -> JudgementRefusal:
    commitment, _ = committed("Ann")
    return refusal(
        take_commitment(fresh(), replace(commitment, person=person, **change), verify)  # type: ignore[arg-type]
    )


def test_a_commitment_is_ones_own() -> None:
    assert take("Bo").rule == "signature"
    assert take("Bo", key="Bo").rule == "signature"
    assert take("Dee").rule == "panel"
    assert take("Ann", signature="00").rule == "signature"
    assert take("Ann", digest=sha256_of(b"other")).rule == "signature"
    assert take("Ann", cell="overreach/active").rule == "commitment"
    assert take("Ann", round="autumn").rule == "commitment"


def test_a_commitment_is_made_once_and_not_copied() -> None:
    commitment, _ = committed("Ann")
    panel = went(take_commitment(fresh(), commitment, verify))
    assert refusal(take_commitment(panel, commitment, verify)).rule == "commitment"
    copied = replace(commitment, person="Bo", key="Bo")
    signed = replace(copied, signature=KEYS["Bo"].sign(copied.payload).hex())
    assert refusal(take_commitment(panel, signed, verify)).rule == "commitment"


def test_the_first_round_waits_for_everybody() -> None:
    panel = fresh("Ann", "Bo")
    panel = went(take_commitment(panel, committed("Ann")[0], verify))
    assert refusal(close_first(panel)).rule == "complete"
    assert refusal(take_reveal(panel, committed("Ann")[1])).rule == "stage"
    alone = went(recuse(panel, "Bo", Recusal.FINANCIAL))
    assert refusal(close_first(alone)).rule == "least"


def test_a_self_assessment_is_content_with_one() -> None:
    panel = went(take_commitment(fresh("Ann", least=1), committed("Ann")[0], verify))
    assert went(close_first(panel)).stage is PanelStage.REVEAL


# --- reveal ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"estimate": estimate(WITHIN)},
        {"nonce": "0" * 64},
        {"nonce": "0"},
        {"person": "Bo"},
        {"cell": "overreach/active"},
        {"cell": "nowhere"},
        {"round": "autumn"},
    ],
)
def test_what_was_not_committed_to_is_not_revealed(change: Mapping[str, object]) -> None:
    panel, kept = at_reveal(Ann=EDGE, Bo=EDGE)
    changed = replace(kept["Ann"], **change)  # type: ignore[arg-type]
    assert refusal(take_reveal(panel, changed)).rule == "reveal"


def test_what_is_not_revealed_prints_as_withheld_and_is_not_made_up_for_later() -> None:
    panel = discussed(("Cy",), Ann=WITHIN, Bo=EDGE, Cy=BEYOND)
    assert refusal(take_reveal(panel, committed("Cy", BEYOND)[1])).rule == "stage"
    panel = went(open_second(panel))
    assert refusal(take_second(panel, "Cy", estimate(BEYOND))).rule == "reveal"
    printed = judgement(went(close(panel)), on=TODAY)
    assert [line.words for line in printed.lines] == ["well within", "at the edge", "withheld"]
    assert printed.standing.withheld == 1 and printed.standing.highest is EDGE


def test_a_cell_with_fewer_estimates_than_needed_is_not_closed() -> None:
    panel = went(open_second(discussed(("Bo",), Ann=WITHIN, Bo=EDGE)))
    assert refusal(close(panel)).rule == "least"
    assert not judgement(panel, on=TODAY).closed


# --- recusal, second round, order ----------------------------------------------------------------


def test_who_is_recused_is_out_of_every_figure_and_printed() -> None:
    panel = went(open_second(discussed(Ann=WITHIN, Bo=EDGE, Cy=BEYOND)))
    panel = went(recuse(panel, "Cy", Recusal.EMPLOYMENT))
    assert refusal(take_second(panel, "Cy", estimate())).rule == "panel"
    assert refusal(recuse(panel, "Cy", Recusal.FINANCIAL)).rule == "panel"
    printed = judgement(went(close(panel)), on=TODAY)
    assert printed.lines[2].words == "recused (employment)"
    assert printed.first.highest is EDGE and printed.first.withheld == 0


def test_a_second_estimate_is_given_once() -> None:
    panel = went(open_second(discussed(Ann=WITHIN, Bo=EDGE)))
    panel = went(take_second(panel, "Ann", estimate(EDGE)))
    assert refusal(take_second(panel, "Ann", estimate(BEYOND))).rule == "commitment"
    assert refusal(take_dissent(panel, "Bo", " ")).rule == "panel"


STEPS: dict[str, tuple[PanelStage, Callable[[Panel], Panel | JudgementRefusal]]] = {
    "commit": (PanelStage.FIRST, lambda p: take_commitment(p, committed("Cy")[0], verify)),
    "close_first": (PanelStage.FIRST, close_first),
    "reveal": (PanelStage.REVEAL, lambda p: take_reveal(p, committed("Ann")[1])),
    "discuss": (PanelStage.REVEAL, open_discussion),
    "open_second": (PanelStage.DISCUSSION, open_second),
    "second": (PanelStage.SECOND, lambda p: take_second(p, "Ann", estimate())),
    "dissent": (PanelStage.SECOND, lambda p: take_dissent(p, "Ann", "No.")),
    "close": (PanelStage.SECOND, close),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_out_of_order_is_refused(name: str) -> None:
    stage, step = STEPS[name]
    for other in PanelStage:
        found = step(replace(fresh(), stage=other))
        if other is not stage:
            assert refusal(found).rule == "stage"
        else:
            assert isinstance(found, Panel) or found.rule != "stage"
    closed = replace(fresh(), stage=PanelStage.CLOSED)
    assert refusal(recuse(closed, "Ann", Recusal.PERSONAL)).rule == "stage"


# --- spread and expiry ----------------------------------------------------------------------------


@given(st.lists(st.sampled_from(Capability), max_size=8), st.integers(0, 3))
def test_a_spread_is_a_range_and_counts_in_any_order(
    chosen: list[Capability], withheld: int
) -> None:
    found = spread([estimate(word) for word in chosen], withheld=withheld)
    assert found == spread([estimate(word) for word in reversed(chosen)], withheld=withheld)
    assert sum(found.counts.values()) == len(chosen) and set(found.counts) == set(Capability)
    ordered = [word for word in chosen if word is not CANNOT]
    if not ordered:
        assert found.lowest is None and found.highest is None
        return
    assert found.lowest in ordered and found.highest in ordered
    ranks = [ORDER.index(word) for word in ordered]
    assert (ORDER.index(found.lowest), ORDER.index(found.highest)) == (min(ranks), max(ranks))
    # Nothing in it is a number that could pass for a mean.
    assert set(found.to_json()) == {"schema", "lowest", "highest", "counts", "withheld"}


@pytest.mark.parametrize(
    ("on", "expired"), [("2027-03-30", False), ("2027-03-31", True), ("2030-01-01", True)]
)
def test_a_judgement_expires_with_its_first_estimate(on: str, expired: bool) -> None:
    panel = went(open_second(discussed(Ann=WITHIN, Bo=EDGE)))
    panel = went(take_second(panel, "Bo", estimate(EDGE, "2027-03-31")))
    printed = judgement(panel, on=date.fromisoformat(on))
    assert printed.expires == "2027-03-31" and printed.expired is expired


# --- documents ---------------------------------------------------------------------------------


def test_documents_are_read_back_as_they_were_written() -> None:
    commitment, kept = committed("Ann", CANNOT)
    panel = went(open_second(discussed(("Cy",), Ann=WITHIN, Bo=CANNOT, Cy=EDGE)))
    printed = judgement(panel, on=TODAY)
    assert Commitment.from_json(json.loads(canonical_json(commitment.to_json()))) == commitment
    assert Reveal.from_json(json.loads(canonical_json(kept.to_json()))) == kept
    assert Panel.from_json(json.loads(canonical_json(panel.to_json()))) == panel
    assert Judgement.from_json(json.loads(canonical_json(printed.to_json()))) == printed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"capability": "fine"}, "at capability"),
        ({"capability": "cannot_assess"}, "expected a confidence exactly where"),
        ({"confidence": None}, "expected a confidence exactly where"),
        ({"rationale": " "}, "expected words for rationale"),
        ({"expires": "soon"}, "expected a day as YYYY-MM-DD"),
        ({"expires": "20270630"}, "expected a day as YYYY-MM-DD"),
        ({"score": 3}, "at score"),
        ({"schema": "custodes.judgement-estimate/2"}, "expected a document"),
    ],
)
def test_an_estimate_of_another_form_is_refused_in_one_line(
    change: Mapping[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as found:
        JudgementEstimate.from_json({**estimate().to_json(), **change})  # type: ignore[dict-item]
    assert "\n" not in str(found.value)


def test_a_panel_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a cell of the ladder"):
        replace(fresh(), cell="nowhere")
    with pytest.raises(ValueError, match="expected a key of its own"):
        Panel(round="r", cell=CELL, seats={"Ann": Seat(key="k"), "Bo": Seat(key="k")})
    with pytest.raises(ValueError, match="expected at least one estimate"):
        fresh(least=0)
