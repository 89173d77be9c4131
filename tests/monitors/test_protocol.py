"""From observations to a decision."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.monitors import Decision, Observation, Safeguard, ThresholdProtocol, shipped_rules
from custodes.types import Reason, ReasonCode

STRENGTH = list(Decision)
FAILED = Observation(
    suspicion=None, reason=Reason(code=ReasonCode.MONITOR_ERROR, detail="out of order")
)
PROBABILITY = st.floats(0, 1)
OBSERVATIONS = st.lists(
    PROBABILITY.map(lambda suspicion: Observation(suspicion=suspicion)) | st.just(FAILED),
    max_size=5,
)


@st.composite
def protocols(draw: st.DrawFn) -> ThresholdProtocol:
    low, high = sorted(draw(st.tuples(st.floats(0.001, 1, exclude_min=True), st.floats(0.001, 1))))
    return ThresholdProtocol(
        flag_at=draw(st.floats(0.001, 1)),
        reject_at=low,
        terminate_at=high,
        on_failure=draw(st.sampled_from(STRENGTH)),
    )


def test_decisions_are_in_order_of_strength() -> None:
    assert [d.value for d in STRENGTH] == ["proceed", "escalate", "modify", "reject", "terminate"]


@pytest.mark.parametrize(
    ("suspicion", "decision", "flagged"),
    [
        (0.0, Decision.PROCEED, False),
        (0.4999999, Decision.PROCEED, False),
        (0.5, Decision.REJECT, True),
        (0.7999999, Decision.REJECT, True),
        (0.8, Decision.TERMINATE, True),
        (1.0, Decision.TERMINATE, True),
    ],
)
def test_thresholds_are_reached_and_not_passed(
    suspicion: float, decision: Decision, flagged: bool
) -> None:
    protocol = ThresholdProtocol()
    observation = Observation(suspicion=suspicion)
    assert protocol.decide([observation]) is decision
    assert protocol.flags(observation) is flagged


def test_nothing_observed_is_nothing_held_up() -> None:
    assert ThresholdProtocol().decide([]) is Decision.PROCEED


def test_a_failure_is_closed_and_no_flag() -> None:
    protocol = ThresholdProtocol()
    assert protocol.decide([FAILED]) is Decision.REJECT
    assert protocol.flags(FAILED) is False
    assert protocol.decide([FAILED, Observation(suspicion=0.9)]) is Decision.TERMINATE
    opened = replace(protocol, on_failure=Decision.PROCEED)
    assert opened.decide([FAILED]) is Decision.PROCEED


@given(protocol=protocols(), observations=OBSERVATIONS)
def test_the_strongest_wins_whatever_the_order(
    protocol: ThresholdProtocol, observations: list[Observation]
) -> None:
    alone = [STRENGTH.index(protocol.decide([one])) for one in observations]
    together = protocol.decide(observations)
    assert STRENGTH.index(together) == max(alone, default=0)
    assert protocol.decide(observations[::-1]) is together


@given(protocol=protocols(), suspicions=st.lists(PROBABILITY, min_size=2, max_size=8))
def test_more_suspicion_never_weakens_the_decision(
    protocol: ThresholdProtocol, suspicions: list[float]
) -> None:
    decisions = [
        STRENGTH.index(protocol.decide([Observation(suspicion=one)])) for one in sorted(suspicions)
    ]
    assert all(a <= b for a, b in pairwise(decisions))


@pytest.mark.parametrize(
    "wrong",
    [
        {"reject_at": 0.9, "terminate_at": 0.8},
        {"reject_at": 0.0},
        {"reject_at": -0.1},
        {"terminate_at": 1.1},
        {"flag_at": 0.0},
        {"flag_at": 1.1},
        {"flag_at": float("nan")},
        {"reject_at": float("nan")},
        {"terminate_at": float("nan")},
    ],
)
def test_thresholds_out_of_order_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected 0 < reject_at <= terminate_at <= 1"):
        ThresholdProtocol(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("suspicion", [-0.001, 1.001, 2, float("nan"), float("inf")])
def test_a_suspicion_lies_between_nothing_and_certainty(suspicion: float) -> None:
    with pytest.raises(ValueError, match="suspicion"):
        Observation(suspicion=suspicion)


def test_an_observation_has_a_suspicion_or_a_reason() -> None:
    with pytest.raises(ValueError, match="either"):
        Observation(suspicion=None)
    with pytest.raises(ValueError, match="either"):
        Observation(suspicion=0.5, reason=FAILED.reason)


def test_the_identity_of_safeguards_is_all_that_decides() -> None:
    base = Safeguard(monitors=(shipped_rules(),), protocol=ThresholdProtocol())
    others = [
        Safeguard(monitors=(), protocol=ThresholdProtocol()),
        Safeguard(monitors=(shipped_rules(), shipped_rules()), protocol=ThresholdProtocol()),
        Safeguard(monitors=base.monitors, protocol=ThresholdProtocol(flag_at=0.6)),
        Safeguard(monitors=base.monitors, protocol=ThresholdProtocol(reject_at=0.6)),
        Safeguard(monitors=base.monitors, protocol=ThresholdProtocol(terminate_at=0.9)),
        Safeguard(
            monitors=base.monitors, protocol=ThresholdProtocol(on_failure=Decision.TERMINATE)
        ),
    ]
    digests = [base.digest, *(other.digest for other in others)]
    assert len(set(digests)) == len(digests)
    again = Safeguard(monitors=(shipped_rules(),), protocol=ThresholdProtocol())
    assert again.digest == base.digest
