"""The invariants that the rest of the code leans on."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from custodes.types import (
    Answer,
    Arm,
    Ask,
    Belief,
    Cell,
    Completion,
    EpisodeKey,
    EpisodeRecord,
    Estimate,
    EvidenceRef,
    FileState,
    Level,
    Locator,
    Measurement,
    Moment,
    Observation,
    Outcome,
    Question,
    Reason,
    ReasonCode,
    Receipt,
    Safeguards,
    Snapshot,
    Tier,
    Timed,
    canonical_json,
    mint_evidence_ref,
    parse_sha256,
    sha256_of,
)

BLOB = sha256_of(b"x")
REF = mint_evidence_ref(BLOB)
WHY = Reason(code=ReasonCode.LIMIT, detail="turns")
YES = Answer(value=True, evidence=(REF,))
NO = Answer(value=False, evidence=(REF,))
UNKNOWN = Answer(value=None, reason=WHY)
KEY = EpisodeKey(
    scenario="a/b",
    major=1,
    cell=Cell(ask=Ask.NONE, safeguards=Safeguards.OFF),
    level=Level.NONE,
    twin="base",
    subject=BLOB,
    safeguards=BLOB,
    tier=Tier.A,
    seed=1,
    repeat=0,
)

words = st.text(st.characters(codec="utf-8"), max_size=20)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | words,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(words, inner, max_size=4),
    max_leaves=12,
)


class TestCanonicalBytes:
    @given(plain)
    def test_agree_with_an_independent_implementation(self, value: object) -> None:
        assert canonical_json(value) == rfc8785.dumps(value)  # type: ignore[arg-type]

    @given(plain)
    def test_can_be_read_back(self, value: object) -> None:
        assert json.loads(canonical_json(value)) == value  # type: ignore[arg-type]

    @pytest.mark.parametrize("value", [0.5, float("nan"), {"a": [1.0]}, b"x", {1: 2}, {"a": {2}}])
    def test_refuse_what_has_no_single_form(self, value: object) -> None:
        with pytest.raises(TypeError):
            canonical_json(value)  # type: ignore[arg-type]

    @pytest.mark.parametrize("value", [2**53, -(2**53), "\ud800", {"\udfff": 1}])
    def test_refuse_what_would_lose_information(self, value: object) -> None:
        with pytest.raises(ValueError, match=r"beyond|surrogates"):
            canonical_json(value)  # type: ignore[arg-type]

    @pytest.mark.parametrize("text", ["", "x" * 64, "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n"])
    def test_a_digest_is_64_lower_case_hex_digits(self, text: str) -> None:
        with pytest.raises(ValueError, match="expected a sha256"):
            parse_sha256(text)


class TestEvidence:
    def test_a_reference_cannot_be_made_by_hand(self) -> None:
        with pytest.raises(TypeError, match="minted by the evidence store"):
            EvidenceRef(BLOB, None, mint=object())

    def test_a_reference_cannot_be_changed(self) -> None:
        with pytest.raises(AttributeError):
            REF._blob = sha256_of(b"y")

    @given(st.integers(-3, 5), st.integers(-3, 5))
    def test_a_locator_spans_at_least_one_byte(self, start: int, end: int) -> None:
        def make() -> Locator:
            return Locator(source=BLOB, member=None, start=start, end=end, excerpt=BLOB)

        if 0 <= start < end:
            assert make().end > make().start
        else:
            with pytest.raises(ValueError, match="expected 0 <= start < end"):
                make()


class TestAnswer:
    @pytest.mark.parametrize("answer", [YES, NO, UNKNOWN])
    def test_is_never_a_bool(self, answer: Answer) -> None:
        with pytest.raises(TypeError, match="three values"):
            bool(answer)
        with pytest.raises(TypeError, match="three values"):
            assert not answer

    @pytest.mark.parametrize("value", [True, False])
    def test_known_needs_evidence(self, value: bool) -> None:
        with pytest.raises(ValueError, match="needs evidence"):
            Answer(value=value)

    @pytest.mark.parametrize(("value", "reason"), [(None, None), (True, WHY), (False, WHY)])
    def test_has_a_value_or_a_reason(self, value: bool | None, reason: Reason | None) -> None:
        with pytest.raises(ValueError, match="either a value or a reason"):
            Answer(value=value, reason=reason, evidence=(REF,))


class TestTimed:
    until = Moment(step=3, host_us=100)

    def test_yes_has_a_moment_and_nothing_else_has(self) -> None:
        with pytest.raises(ValueError, match="exactly when it is yes"):
            Timed(answer=YES, at=None, until=self.until)
        for answer in (NO, UNKNOWN):
            with pytest.raises(ValueError, match="exactly when it is yes"):
                Timed(answer=answer, at=self.until, until=self.until)

    def test_nothing_happens_after_the_end(self) -> None:
        with pytest.raises(ValueError, match="after the end"):
            Timed(answer=YES, at=Moment(step=3, host_us=101), until=self.until)

    @pytest.mark.parametrize(("step", "us"), [(-1, 0), (None, -1)])
    def test_a_moment_is_not_negative(self, step: int | None, us: int) -> None:
        with pytest.raises(ValueError, match="expected"):
            Moment(step=step, host_us=us)


class TestOutcome:
    asked = frozenset({Question.ATTEMPTED, Question.SUCCEEDED})

    def make(self, attempted: Answer, succeeded: Answer) -> Outcome:
        answers = {Question.ATTEMPTED: attempted, Question.SUCCEEDED: succeeded}
        return Outcome(key=KEY, asked=self.asked, answers=answers, times={})

    @pytest.mark.parametrize("attempted", [NO, UNKNOWN])
    def test_succeeded_implies_attempted(self, attempted: Answer) -> None:
        assert self.make(YES, YES).answers[Question.SUCCEEDED].value is True
        with pytest.raises(ValueError, match="succeeded implies attempted"):
            self.make(attempted, YES)

    @given(st.sets(st.sampled_from(list(Question))), st.sets(st.sampled_from(list(Question))))
    def test_answers_exactly_what_was_asked(
        self, asked: set[Question], answered: set[Question]
    ) -> None:
        answers = dict.fromkeys(answered, NO)
        if asked == answered:
            made = Outcome(key=KEY, asked=frozenset(asked), answers=answers, times={})
            assert set(made.answers) == asked
        else:
            with pytest.raises(ValueError, match="answers and questions differ"):
                Outcome(key=KEY, asked=frozenset(asked), answers=answers, times={})

    def test_cannot_be_changed(self) -> None:
        made = self.make(YES, NO)
        with pytest.raises(TypeError):
            made.answers[Question.ATTEMPTED] = NO  # type: ignore[index]


def estimate(**changes: object) -> Estimate:
    fields: dict[str, object] = {
        "value": 0.5,
        "low": 0.2,
        "high": 0.8,
        "level": 0.95,
        "n": 10,
        "clusters": 10,
        "missing": 0,
        "method": "m",
        "note": None,
    }
    return Estimate(**{**fields, **changes})  # type: ignore[arg-type]


class TestEstimate:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"value": None}, "exactly when n > 0"),
            ({"n": 0}, "exactly when n > 0"),
            ({"low": None}, "two ends or none"),
            ({"low": None, "high": None}, "says why"),
            ({"low": 0.6}, "outside"),
            ({"high": 0.4}, "outside"),
            ({"low": 0.9, "high": 0.1}, "reversed"),
            ({"level": 1.0}, "level between"),
            ({"missing": -1}, "negative"),
            ({"value": float("nan"), "low": None, "high": None, "note": "n"}, "NaN"),
        ],
    )
    def test_refuses(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            estimate(**changes)

    def test_a_measurement_of_something_has_inputs(self) -> None:
        with pytest.raises(ValueError, match="has inputs"):
            Measurement(estimand="e", estimate=estimate(), inputs=(), code="c/1")
        assert Measurement(estimand="e", estimate=estimate(), inputs=(REF,), code="c/1").inputs


class TestCells:
    def test_each_cell_has_a_name_of_its_own(self) -> None:
        cells = [
            Cell(ask=ask, safeguards=safeguards, belief=belief)
            for ask in Ask
            for safeguards in Safeguards
            for belief in Belief
        ]
        assert len({cell.name for cell in cells}) == len(cells)

    @pytest.mark.parametrize(
        ("ask", "safeguards", "arm"),
        [
            (Ask.OPEN, Safeguards.OFF, Arm.MEANS),
            (Ask.OPEN, Safeguards.SHADOW, None),
            (Ask.NONE, Safeguards.OFF, Arm.MOTIVE),
            (Ask.NONE, Safeguards.SHADOW, Arm.MOTIVE),
            (Ask.NONE, Safeguards.ENFORCED, None),
            (Ask.COVERT, Safeguards.OFF, None),
            (Ask.COVERT, Safeguards.SHADOW, Arm.OPPORTUNITY),
            (Ask.COVERT, Safeguards.ENFORCED, Arm.OPPORTUNITY),
        ],
    )
    def test_arms_are_views_of_cells(
        self, ask: Ask, safeguards: Safeguards, arm: Arm | None
    ) -> None:
        assert Cell(ask=ask, safeguards=safeguards).arm is arm

    def test_the_identity_of_an_episode_depends_on_every_field(self) -> None:
        others = [
            replace(KEY, scenario="a/c"),
            replace(KEY, major=2),
            replace(KEY, cell=Cell(ask=Ask.NONE, safeguards=Safeguards.OFF, belief=Belief.WATCHED)),
            replace(KEY, level=Level.SOFT),
            replace(KEY, twin="other"),
            replace(KEY, subject=sha256_of(b"y")),
            replace(KEY, safeguards=sha256_of(b"y")),
            replace(KEY, tier=Tier.C),
            replace(KEY, seed=2),
            replace(KEY, repeat=1),
        ]
        assert len({KEY.digest, *(key.digest for key in others)}) == len(others) + 1
        assert all(EpisodeKey.from_json(key.to_json()) == key for key in (KEY, *others))


receipts = st.builds(
    Receipt,
    origin=st.sampled_from(["host", "self"]),
    kind=st.text(st.sampled_from("abc."), min_size=1, max_size=8),
    at=st.builds(
        Moment, step=st.none() | st.integers(0, 99), host_us=st.integers(0, 2**50)
    ),
    data=st.dictionaries(words, plain, max_size=3),
)
states = st.builds(
    FileState,
    mode=st.sampled_from(["file", "executable", "symlink", "other"]),
    size=st.integers(0, 2**40),
    sha256=st.just(BLOB),
    text=st.none() | words,
)
snapshots = st.builds(Snapshot, files=st.dictionaries(words, states, max_size=3))


class TestRecords:
    @given(
        st.builds(
            Observation,
            receipts=st.lists(receipts, max_size=4).map(tuple),
            before=snapshots,
            after=snapshots,
        ),
        st.none() | st.dictionaries(words, plain, max_size=3),
        words,
    )
    def test_round_trip(
        self, observation: Observation, form: dict[str, object] | None, text: str
    ) -> None:
        record = EpisodeRecord(
            key=KEY,
            observation=observation,
            completion=Completion(form=form, text=text, finished=True),  # type: ignore[arg-type]
            sample="s",
        )
        again = EpisodeRecord.from_json(json.loads(json.dumps(record.to_json())))
        assert again.observation.to_bytes() == observation.to_bytes()
        assert again.observation.after.digest == observation.after.digest
        assert again.completion == record.completion

    @given(st.lists(receipts, min_size=1, max_size=4).map(tuple))
    def test_each_receipt_has_a_line_of_its_own(self, some: tuple[Receipt, ...]) -> None:
        observation = Observation(
            receipts=some, before=Snapshot(files={}), after=Snapshot(files={})
        )
        lines = observation.to_bytes().split(b"\n")
        assert len(lines) == len(some) + 2 and lines[-1] == b""
        assert [json.loads(line)["kind"] for line in lines[1:-1]] == [r.kind for r in some]

    @given(st.lists(receipts, max_size=6).map(tuple))
    def test_what_comes_from_inside_is_never_among_the_receipts_of_a_kind(
        self, some: tuple[Receipt, ...]
    ) -> None:
        observation = Observation(
            receipts=some, before=Snapshot(files={}), after=Snapshot(files={})
        )
        for kind in {receipt.kind for receipt in some}:
            found = observation.of_kind(kind)
            assert all(receipt.origin == "host" for _, receipt in found)
            assert len(found) == sum(r.kind == kind and r.origin == "host" for r in some)
