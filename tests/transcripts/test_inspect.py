"""Reading Inspect's samples: every event points at the exact bytes that it was read from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from custodes.case import EvidenceStore
from custodes.transcripts import (
    ATTACK_PARTS,
    Event,
    EventKind,
    Transcript,
    UnreadableSample,
    _inspect,
    deployment_view,
    read_inspect_sample,
    sample_member,
)
from custodes.types import sha256_of

SOURCE = sha256_of(b"a log")
MEMBER = "samples/x_epoch_1.json"


def read(sample: Any) -> tuple[Transcript, bytes]:
    data = sample if isinstance(sample, bytes) else json.dumps(sample).encode()
    return read_inspect_sample(data, source=SOURCE, member=MEMBER), data


def check_locators(transcript: Transcript, data: bytes, messages: list[Any]) -> None:
    """Each event's bytes are one whole message; together they are all of them, in order."""
    spans: list[tuple[int, int]] = []
    for number, event in enumerate(transcript.events):
        assert event.index == number
        locator = event.locator
        assert locator is not None
        assert (locator.source, locator.member) == (SOURCE, MEMBER)
        cut = data[locator.start : locator.end]
        assert sha256_of(cut) == locator.excerpt
        if not spans or spans[-1] != (locator.start, locator.end):
            spans.append((locator.start, locator.end))
    found = [json.loads(data[start:end]) for start, end in spans]
    assert spans == sorted(spans)
    said = [
        m for m in messages if m["role"] != "assistant" or m.get("content") or m.get("tool_calls")
    ]
    assert found == said


def call(number: int, **arguments: Any) -> dict[str, Any]:
    return {"id": f"c{number}", "function": "bash", "arguments": arguments, "type": "function"}


MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "You keep notes."},
    {"role": "user", "content": [{"type": "text", "text": "Zähle die Wörter. 数える 🧮"}]},
    {
        "role": "assistant",
        "content": [
            {"type": "reasoning", "reasoning": "let me see"},
            {
                "type": "reasoning",
                "reasoning": "gibberish",
                "redacted": True,
                "summary": "in short",
            },
            {"type": "reasoning", "reasoning": "gibberish", "redacted": True},
            {"type": "text", "text": "On it."},
            {"type": "image", "image": "data:..."},
        ],
        "tool_calls": [call(1, command="wc -w"), call(2, command="ls", seconds=3)],
    },
    {"role": "tool", "content": "five\n", "tool_call_id": "c1", "function": "bash"},
    {
        "role": "tool",
        "content": "",
        "tool_call_id": "c2",
        "function": "bash",
        "error": {"type": "timeout", "message": "took too long"},
    },
    {
        "role": "assistant",
        "content": "",
        "tool_calls": [{**call(3), "arguments": "{oops", "parse_error": "not JSON"}],
    },
    {"role": "user", "content": ""},
    {"role": "assistant", "content": "Done."},
]


def test_every_part_becomes_an_event() -> None:
    transcript, data = read({"id": "x", "messages": MESSAGES, "scores": {}})
    check_locators(transcript, data, MESSAGES)
    assert [(e.kind.value, e.text, e.call, e.error) for e in transcript.events] == [
        ("system", "You keep notes.", None, None),
        ("user", "Zähle die Wörter. 数える 🧮", None, None),
        ("reasoning", "let me see", None, None),
        ("reasoning", "in short", None, None),
        ("assistant", "On it.\n[image]", None, None),
        ("tool_call", "", "c1", None),
        ("tool_call", "", "c2", None),
        ("tool_result", "five\n", "c1", None),
        ("tool_result", "", "c2", "took too long"),
        ("tool_call", "", "c3", "not JSON"),
        ("user", "", None, None),
        ("assistant", "Done.", None, None),
    ]
    calls = [e.arguments for e in transcript.events if e.kind is EventKind.TOOL_CALL]
    assert calls == [{"command": "wc -w"}, {"command": "ls", "seconds": 3}, None]
    assert transcript.name == MEMBER


@pytest.mark.parametrize("escape", [True, False])
@pytest.mark.parametrize("indent", [None, 0, 3])
def test_bytes_are_counted_and_not_characters(escape: bool, indent: int | None) -> None:
    sample = {"före": "é" * 7, "messages": MESSAGES, "efter": "𝄞"}
    data = json.dumps(sample, ensure_ascii=escape, indent=indent).encode()
    transcript, _ = read(data)
    check_locators(transcript, data, MESSAGES)
    if not escape:
        assert len(data) > len(data.decode())


def test_a_field_that_only_looks_like_messages_is_not_read() -> None:
    sample = {
        "input": '{"messages": [{"role": "user", "content": "not me"}]}',
        "metadata": {"messages": [{"role": "user", "content": "nor me"}]},
        "messages": [{"role": "user", "content": "me"}],
        "output": {"messages": []},
    }
    transcript, data = read(sample)
    assert [event.text for event in transcript.events] == ["me"]
    check_locators(transcript, data, sample["messages"])  # type: ignore[arg-type]


def test_attachments_are_put_in() -> None:
    sample = {
        "messages": [
            {"role": "user", "content": "attachment://a"},
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "attachment://missing"}],
                "tool_calls": [call(1, command="attachment://b", other=["attachment://a"])],
            },
        ],
        "attachments": {"a": "long text é", "b": "rm -rf ~"},
    }
    transcript, data = read(sample)
    texts = [event.text for event in transcript.events]
    assert texts == ["long text é", "attachment://missing", ""]
    assert transcript.events[2].arguments == {"command": "rm -rf ~", "other": ["attachment://a"]}
    check_locators(transcript, data, sample["messages"])  # type: ignore[arg-type]


# --- what is refused -----------------------------------------------------------------------------

GOOD = json.dumps({"id": 1, "messages": MESSAGES, "attachments": {"k": "v"}}).encode()

REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "space": b" \n",
    "null": b"null",
    "array": b"[]",
    "text": b'"messages"',
    "no_messages": b'{"id": 1}',
    "messages_null": b'{"messages": null}',
    "messages_object": b'{"messages": {}}',
    "messages_text": b'{"messages": "[]"}',
    "message_text": b'{"messages": ["hello"]}',
    "message_null": b'{"messages": [null]}',
    "no_role": b'{"messages": [{"content": "x"}]}',
    "unknown_role": b'{"messages": [{"role": "god", "content": "x"}]}',
    "role_list": b'{"messages": [{"role": ["user"], "content": "x"}]}',
    "part_text": b'{"messages": [{"role": "user", "content": ["x"]}]}',
    "calls_number": b'{"messages": [{"role": "assistant", "content": "", "tool_calls": 7}]}',
    "call_text": b'{"messages": [{"role": "assistant", "content": "", "tool_calls": ["x"]}]}',
    "error_text": b'{"messages": [{"role": "tool", "content": "", "error": "x"}]}',
    "twice": b'{"messages": [], "messages": [{"role": "user", "content": "x"}]}',
    "twice_elsewhere": b'{"id": 1, "id": 2, "messages": []}',
    "twice_escaped": b'{"messages": [], "m\\u0065ssages": []}',
    "twice_in_a_message": b'{"messages": [{"role": "user", "role": "system", "content": "x"}]}',
    "after_the_end": b'{"messages": []} {"messages": []}',
    "garbage_after": b'{"messages": []}x',
    "two_commas": b'{"messages": [],, "id": 1}',
    "no_comma": b'{"messages": [] "id": 1}',
    "comma_at_end": b'{"messages": [],}',
    "comma_in_array": b'{"messages": [{"role": "user", "content": "x"},]}',
    "no_comma_in_array": b'{"messages": [{"role":"user","content":""} {"role":"user"}]}',
    "leading_comma": b'{,"messages": []}',
    "name_number": b'{1: 2, "messages": []}',
    "no_colon": b'{"messages" []}',
    "single_quotes": b"{'messages': []}",
    "utf16": json.dumps({"messages": []}).encode("utf-16"),
    "latin1": '{"messages": [{"role": "user", "content": "é"}]}'.encode("latin-1"),
    "bom": b"\xef\xbb\xbf" + b'{"messages": []}',
    "nul": b'{"messages": [{"role": "user", "content": "\x00"}]}',
    "deep": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "messages": []}',
    "deep_message": b'{"messages": [' + b'{"role":' * 50_000,
    "attachments_broken": b'{"messages": [], "attachments": {"a": }}',
    "huge_number": b'{"messages": [], "x": ' + b"9" * 10_000 + b"}",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_sample_is_refused(name: str) -> None:
    with pytest.raises(UnreadableSample) as refused:
        read(REFUSED[name])
    assert len(str(refused.value)) < 500
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("number", range(0, len(GOOD), 3))
def test_a_truncated_sample_is_refused(number: int) -> None:
    with pytest.raises(UnreadableSample):
        read(GOOD[:number])


def test_a_sample_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_inspect, "LARGEST_SAMPLE", len(GOOD) - 1)
    with pytest.raises(UnreadableSample, match="more than"):
        read(GOOD)


def never_anything_else(data: bytes) -> None:
    try:
        transcript, _ = read(data)
    except UnreadableSample:
        return
    for event in transcript.events:
        assert event.locator is not None
        assert sha256_of(data[event.locator.start : event.locator.end]) == event.locator.excerpt


@given(st.binary(max_size=200))
def test_no_bytes_make_it_raise_anything_else(data: bytes) -> None:
    never_anything_else(data)


@given(
    at=st.integers(0, len(GOOD)),
    gone=st.integers(0, 9),
    put=st.binary(max_size=6) | st.sampled_from([b"}", b"]", b",", b'"', b"\\", b"null", b"\xff"]),
)
def test_no_change_makes_it_raise_anything_else(at: int, gone: int, put: bytes) -> None:
    never_anything_else(GOOD[:at] + put + GOOD[at + gone :])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["role", "content", "tool_calls", "type", "text", "error", "arguments", "reasoning"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
)
ROLE = st.sampled_from(["system", "user", "assistant", "tool"])


@given(
    st.lists(
        st.builds(
            lambda role, fields: {**fields, "role": role},
            ROLE,
            st.dictionaries(
                st.sampled_from(["content", "tool_calls", "error", "tool_call_id"]), JSON
            ),
        ),
        max_size=4,
    ),
    JSON,
)
@example([{"role": "user", "content": {"type": "text"}}], None)
def test_no_message_makes_it_raise_anything_else(messages: list[Any], attachments: Any) -> None:
    never_anything_else(
        json.dumps({"messages": messages, "attachments": attachments}).encode(
            "utf-8", "surrogatepass"
        )
    )


WORDS = st.text(max_size=20)


@given(
    st.lists(
        st.fixed_dictionaries({"role": ROLE, "content": WORDS.filter(bool)}), min_size=1, max_size=6
    ),
    st.dictionaries(
        WORDS.filter(lambda t: t not in ("messages", "attachments")), WORDS, max_size=3
    ),
    st.booleans(),
)
def test_locators_are_exact_for_any_text(
    messages: list[Any], around: dict[str, str], escape: bool
) -> None:
    data = json.dumps({**around, "messages": messages}, ensure_ascii=escape).encode()
    transcript, _ = read(data)
    check_locators(transcript, data, messages)
    assert [event.text for event in transcript.events] == [m["content"] for m in messages]


# --- the deployment's view -----------------------------------------------------------------------


def test_the_deployment_does_not_see_what_only_an_assessment_says() -> None:
    parts = [None, "role", "ask", "task", *sorted(ATTACK_PARTS)]
    events = [
        Event(index=index, kind=EventKind.USER, text=str(part), part=part)
        for index, part in enumerate(parts)
    ]
    seen = deployment_view(events)
    assert [event.part for event in seen] == [None, "role", "task"]
    assert [event.index for event in seen] == [0, 1, 3]


# --- recorded logs -------------------------------------------------------------------------------


def test_recorded_logs_are_read(shared_data: Path, tmp_path: Path) -> None:
    """Logs of several versions of Inspect, some compressed with Zstandard."""
    logs = sorted((shared_data / "inspect_logs").glob("*.eval"))
    assert logs
    samples = events = 0
    store = EvidenceStore(tmp_path / "evidence")
    for log in logs:
        with ZipFile(log) as archive:
            members = [n for n in archive.namelist() if n.startswith("samples/")]
        ref = store.put_file(log)
        for member in members:
            data = store.read_member(ref, member)
            sample = json.loads(data)
            if not sample.get("messages"):
                with pytest.raises(UnreadableSample):
                    read_inspect_sample(data, source=ref.blob, member=member)
                continue
            transcript = read_inspect_sample(data, source=ref.blob, member=member)
            samples += 1
            events += len(transcript.events)
            spans = {(e.locator.start, e.locator.end) for e in transcript.events if e.locator}
            cut = [json.loads(data[start:end]) for start, end in sorted(spans)]
            assert [m["role"] for m in cut] == [
                m["role"]
                for m in sample["messages"]
                if m["role"] != "assistant" or m["content"] or m.get("tool_calls")
            ]
    assert samples > 20
    assert events > 3 * samples


def test_the_name_of_a_sample() -> None:
    assert sample_member("abc") == "samples/abc_epoch_1.json"
    assert sample_member("abc", 2) == "samples/abc_epoch_2.json"
