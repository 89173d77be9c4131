"""Four protocols tell the same conversation, and no bytes of a stranger break their readers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from custodes.clients import (
    DIALECTS,
    DialectName,
    Heard,
    Payload,
    Spoken,
    ToolReturn,
    ToolUse,
    form_in,
)
from custodes.scenarios import Conversation, Move, Opening, Reply, ToolCall, finish

from .asking import SHELL, TOOLS, Shell, Turn, path_of, request

NAMES: tuple[DialectName, ...] = ("messages", "responses", "chat", "gemini")
SSE = "text/event-stream"
LONG = 10_000_000


def bash(*commands: str, **more: Any) -> Move:
    calls = tuple(ToolCall(name="bash", arguments={"command": one}) for one in commands)
    return Move(calls=calls, **more)


def events(*said: Mapping[str, Any] | str) -> Payload:
    lines = [one if isinstance(one, str) else json.dumps(one) for one in said]
    body = "".join(f"data: {line}\n\n" for line in lines)
    return Payload(body=body.encode(), content_type=f"{SSE}; charset=utf-8")


def document(said: object) -> Payload:
    return Payload(body=json.dumps(said).encode())


def only_use(spoken: Spoken) -> tuple[str, object]:
    (use,) = spoken.calls
    return use.name, use.arguments


# --- the four against each other ---

SAID = Turn(
    text="I look.",
    calls=(("a", SHELL, {"cmd": "ls"}), ("b", SHELL, {"cmd": "pwd"})),
    returns=(("a", "printed: x"), ("b", "printed: y")),
    failed=("b",),
    user=("Stop now.",),
)


@pytest.mark.parametrize("name", NAMES)
def test_a_request_says_the_same_in_every_protocol(name: DialectName) -> None:
    path, body = request(name, ["Do it.", "Please."], [SAID], system="Be kind.")
    errors = name in ("messages", "gemini")  # the others have no mark for it
    assert DIALECTS[name].heard(path, body) == Heard(
        model="wanted",
        tools=TOOLS,
        returns=(
            ToolReturn(id="a", text="printed: x"),
            ToolReturn(id="b", text="printed: y", error=errors),
        ),
        user=("Do it.", "Please.", "Stop now."),
        system="Be kind.",
    )
    assert DIALECTS[name].conversation(path, body, Shell()) == Conversation(
        opening=Opening(system="Be kind.", task="Do it.\n\nPlease.", tools=TOOLS),
        replies=(Reply(outputs=("x", "y"), notices=("Stop now.",)),),
    )


MOVES = {
    "one call": bash("ls", reasoning="Where am I?"),
    "parallel calls": bash("ls", "echo 'ü ☃ 𝄞'", "ls", text="I look around."),
    "text": Move(text="Nothing more.\nÄ \U0001f600"),
    "nothing": Move(),
    "form": finish("Done.", notes="none", why="All is well."),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_what_is_spoken_is_read_again(name: DialectName, stream: bool, move: Move) -> None:
    path, body = request(name, ["Do it."], stream=stream)
    payload = DIALECTS[name].speak(path, body, move, Shell())
    assert (payload.content_type == SSE) is stream
    spoken = DIALECTS[name].spoken(payload)
    commands = [call.arguments["command"] for call in move.calls if call.name == "bash"]
    assert [(call.name, call.arguments) for call in spoken.calls] == [
        (SHELL, {"cmd": command}) for command in commands
    ]
    assert len({call.id for call in spoken.calls}) == len(commands)
    assert spoken.reasoning == move.reasoning
    assert spoken.complete
    assert spoken.input_tokens and spoken.output_tokens
    if "finish" in [call.name for call in move.calls]:
        assert form_in(spoken.text) == move.calls[0].arguments
    else:
        assert spoken.text == move.text


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_that_breaks_off_at_any_byte_gives_what_came(name: DialectName) -> None:
    path, body = request(name, ["Do it."], stream=True)
    dialect = DIALECTS[name]
    move = bash("ls ☃", "pwd", text="So: äö.", reasoning="Hm.")
    whole = dialect.speak(path, body, move, Shell())
    said = dialect.spoken(whole)
    seen: list[Spoken] = []
    for end in range(len(whole.body)):
        cut = Payload(body=whole.body[:end], content_type=SSE)
        seen.append(dialect.spoken(cut))
    for spoken in seen:
        assert said.text.startswith(spoken.text)
        assert said.reasoning.startswith(spoken.reasoning)
        for call, known in zip(spoken.calls, said.calls, strict=False):
            assert call in (known, ToolUse(id=known.id, name=known.name, arguments=None))
        # A stream that came to its end may lack only what counts its tokens.
        if spoken.complete:
            assert (spoken.text, spoken.calls) == (said.text, said.calls)
    assert not seen[len(whole.body) // 2].complete
    assert any(spoken.text and spoken.text != said.text for spoken in seen)
    assert seen[0] == Spoken(complete=False)


@pytest.mark.parametrize("name", NAMES)
def test_lines_may_end_as_they_like_and_comments_count_for_nothing(name: DialectName) -> None:
    path, body = request(name, ["Do it."], stream=True)
    whole = DIALECTS[name].speak(path, body, bash("ls", text="So."), Shell())
    said = DIALECTS[name].spoken(whole)
    for end in (b"\r\n", b"\r"):
        changed = b": waiting" + end * 2 + whole.body.replace(b"\n", end)
        changed = changed.replace(b"data: ", b"id: 1" + end + b"retry: 5" + end + b"data:")
        assert DIALECTS[name].spoken(Payload(body=changed, content_type=SSE)) == said


@pytest.mark.parametrize("name", NAMES)
def test_only_its_own_path_asks_for_a_completion(name: DialectName) -> None:
    wanted = {other: path_of(other).partition("?")[0] for other in NAMES}
    dialect = DIALECTS[name]
    assert [other for other in NAMES if dialect.wants("POST", wanted[other])] == [name]
    assert not dialect.wants("GET", wanted[name])
    assert not dialect.wants("POST", wanted[name] + "/count_tokens")


@pytest.mark.parametrize("name", NAMES)
def test_a_form_beside_other_calls_waits_for_the_next_completion(name: DialectName) -> None:
    path, body = request(name, ["Do it."])
    move = Move(calls=(*bash("ls").calls, *finish("Done.").calls))
    spoken = DIALECTS[name].spoken(DIALECTS[name].speak(path, body, move, Shell()))
    assert only_use(spoken) == (SHELL, {"cmd": "ls"})
    assert spoken.text == ""


@pytest.mark.parametrize("name", NAMES)
def test_what_comes_twice_is_told_twice(name: DialectName) -> None:
    twice = Turn(
        calls=(("same", SHELL, {"cmd": "ls"}), ("same", SHELL, {"cmd": "ls"})),
        returns=(("same", "1"), ("same", "2")),
    )
    path, body = request(name, ["Do it."], [twice])
    returns = DIALECTS[name].heard(path, body).returns
    assert [back.text for back in returns] == ["1", "2"]


@pytest.mark.parametrize("name", NAMES)
def test_an_error_is_no_completion(name: DialectName) -> None:
    payload = DIALECTS[name].failure(500, "try\nagain")
    with pytest.raises(ValueError, match=r"^expected a completion, found an error: try again$"):
        DIALECTS[name].spoken(payload)


@pytest.mark.parametrize("name", NAMES)
def test_a_large_conversation_and_a_large_completion_are_read(name: DialectName) -> None:
    long = "ä<system-reminder>" * (LONG // 50)
    turn = Turn(calls=(("a", SHELL, {}),), returns=(("a", long),), user=(long,))
    path, body = request(name, [long], [turn], stream=True)
    dialect = DIALECTS[name]
    assert len(body) > LONG
    assert dialect.heard(path, body).returns[0].text == long
    assert len(dialect.conversation(path, body, Shell()).replies) == 1
    payload = dialect.speak(path, body, bash(long, text=long), Shell())
    assert only_use(dialect.spoken(payload)) == (SHELL, {"cmd": long})


# --- what is of one protocol ---


def test_messages_put_a_call_together_from_its_pieces() -> None:
    start = {"type": "tool_use", "id": "t", "name": "Bash", "input": {}}
    pieces = ['{"command": "ec', "ho \\ud834", '\\udd1e"', "}"]
    spoken = DIALECTS["messages"].spoken(
        events(
            {
                "type": "message_start",
                "message": {"usage": {"input_tokens": 3, "cache_read_input_tokens": 40}},
            },
            {"type": "ping"},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "novelty"}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "new", "text": "?"}},
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_start", "index": 1, "content_block": start},
            *(
                {
                    "type": "content_block_delta",
                    "index": 1,
                    "delta": {"type": "input_json_delta", "partial_json": piece},
                }
                for piece in pieces
            ),
            {"type": "content_block_stop", "index": 1},
            {"type": "content_block_start", "index": 2, "content_block": {**start, "id": "u"}},
            {"type": "content_block_stop", "index": 2},
            {"type": "message_delta", "delta": {}, "usage": {"output_tokens": 7}},
            {"type": "message_stop"},
        )
    )
    assert spoken == Spoken(
        calls=(
            ToolUse(id="t", name="Bash", arguments={"command": "echo \U0001d11e"}),
            ToolUse(id="u", name="Bash", arguments={}),
        ),
        input_tokens=43,
        output_tokens=7,
    )


def test_a_stream_that_ends_in_an_error_is_not_complete() -> None:
    said: list[dict[str, Any]] = [
        {"type": "message_start", "message": {}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text"}},
        {"type": "content_block_delta", "index": 0, "delta": {"text": "So"}},
    ]
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    stop = {"type": "message_stop"}
    spoken = DIALECTS["messages"].spoken(events(*said, overloaded, stop))
    assert spoken == Spoken(text="So", complete=False)


def test_responses_read_custom_tools_built_in_ones_and_refusals() -> None:
    spoken = DIALECTS["responses"].spoken(
        document(
            {
                "status": "completed",
                "output": [
                    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]},
                    {"type": "novelty", "content": 5},
                    {
                        "type": "custom_tool_call",
                        "call_id": "c",
                        "name": "apply_patch",
                        "input": "*** Begin Patch",
                    },
                    {
                        "type": "local_shell_call",
                        "call_id": "l",
                        "action": {"command": ["ls"]},
                    },
                    {
                        "type": "function_call",
                        "call_id": "f",
                        "namespace": "agents",
                        "name": "spawn",
                        "arguments": "[]",
                    },
                    {"type": "message", "content": [{"type": "refusal", "refusal": "No."}]},
                ],
                "usage": {"input_tokens": 5, "output_tokens": 6},
            }
        )
    )
    assert spoken == Spoken(
        text="No.",
        reasoning="Hm.",
        calls=(
            ToolUse(id="c", name="apply_patch", arguments={"input": "*** Begin Patch"}),
            ToolUse(id="l", name="local_shell", arguments={"command": ["ls"]}),
            ToolUse(id="f", name="agents.spawn", arguments=None),
        ),
        input_tokens=5,
        output_tokens=6,
    )


def test_responses_hear_custom_outputs_and_speak_through_custom_tools() -> None:
    class Freeform(Shell):
        def call(self, command: str, tools: object) -> tuple[str, dict[str, str]]:
            return "functions.exec", {"input": command}

    body = {
        "model": "m",
        "tools": [
            {"type": "web_search"},
            {"type": "namespace", "name": "agents", "tools": [{"name": "spawn"}]},
        ],
        "input": [
            {
                "type": "additional_tools",
                "tools": [
                    {
                        "type": "namespace",
                        "name": "functions",
                        "tools": [{"type": "custom", "name": "exec"}],
                    }
                ],
            },
            {"type": "custom_tool_call_output", "call_id": "c", "output": [{"text": "one"}]},
            {"type": "shell_call_output", "call_id": "s", "output": [{"stdout": "two"}]},
        ],
    }
    dialect = DIALECTS["responses"]
    path, raw = path_of("responses"), json.dumps(body).encode()
    heard = dialect.heard(path, raw)
    assert heard.tools == ("web_search", "agents.spawn", "functions.exec")
    assert [back.text for back in heard.returns] == ["one", '[{"stdout": "two"}]']
    for stream in (False, True):
        asked = json.dumps({**body, "stream": stream}).encode()
        payload = dialect.speak(path, asked, bash("ls"), Freeform())
        assert b"custom_tool_call" in payload.body
        assert only_use(dialect.spoken(payload)) == ("functions.exec", {"input": "ls"})


def test_responses_count_an_item_once_wherever_it_stands() -> None:
    call = {"type": "function_call", "call_id": "f", "name": "run", "arguments": "{}"}
    other = {**call, "call_id": "g"}
    done: dict[str, Any] = {"type": "response.output_item.done", "item": call}  # without an index

    def at_end(*items: object) -> dict[str, object]:
        return {"type": "response.completed", "response": {"output": items}}

    cases: tuple[tuple[list[Any], str], ...] = (
        ([done, at_end()], "f"),
        ([done, at_end(call)], "f"),
        ([at_end(call)], "f"),
        ([done, at_end(call, other)], "fg"),
        ([done, {**done, "item": other}, at_end()], "fg"),
    )
    for said, ids in cases:
        spoken = DIALECTS["responses"].spoken(events(*said))
        assert [call.id for call in spoken.calls] == list(ids)


@pytest.mark.parametrize(
    ("event", "complete"),
    [("response.completed", True), ("response.incomplete", True), ("response.failed", False)],
)
def test_responses_end_in_three_ways(event: str, complete: bool) -> None:
    delta = {"type": "response.output_text.delta", "output_index": 0, "delta": "So"}
    spoken = DIALECTS["responses"].spoken(events(delta, {"type": event, "response": {}}))
    assert (spoken.text, spoken.complete) == ("So", complete)


def test_chat_reads_what_different_servers_make_of_calls() -> None:
    def chunk(*calls: dict[str, Any], end: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": {"tool_calls": list(calls)}, "finish_reason": end}
        return {"choices": [choice]}

    def call(arguments: object, **more: Any) -> dict[str, Any]:
        return {"type": "function", "function": {"name": "run", "arguments": arguments}, **more}

    dialect = DIALECTS["chat"]
    more = {"index": 0, "function": {"arguments": '"ls"}'}}
    for said in (
        [chunk(call('{"cmd": ', id="a", index=0), call("", id="b", index=1)), chunk(more)],
        [chunk(call('{"cmd": "ls"}', id="a", index=0)), chunk(call("{}", id="b", index=0))],
        [chunk(call('{"cmd": "ls"}', id="a")), chunk(call("{}", id="b"))],
        [chunk(call({"cmd": "ls"}, id="a")), chunk(call({}, id="b"))],
    ):
        spoken = dialect.spoken(events(*said, chunk(end="tool_calls"), "[DONE]"))
        assert spoken == Spoken(
            calls=(
                ToolUse(id="a", name="run", arguments={"cmd": "ls"}),
                ToolUse(id="b", name="run", arguments={}),
            )
        )
    whole = {"choices": [{"message": {"tool_calls": [call("{}", id="a"), call("{}", id="a")]}}]}
    assert len(dialect.spoken(document(whole)).calls) == 2
    custom = {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "text"}}
    said_whole = {"choices": [{"message": {"tool_calls": [custom], "refusal": "No."}}]}
    spoken = dialect.spoken(document(said_whole))
    assert (spoken.text, only_use(spoken)) == ("No.", ("patch", {"input": "text"}))


def test_chat_is_complete_when_the_choice_ends_or_the_server_says_done() -> None:
    text = {"choices": [{"index": 0, "delta": {"content": "So"}}]}
    usage = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    spoken = DIALECTS["chat"].spoken(events(text, usage, "[DONE]"))
    assert spoken == Spoken(text="So", input_tokens=3, output_tokens=4)
    assert not DIALECTS["chat"].spoken(events(text)).complete
    assert not DIALECTS["chat"].spoken(events("[DONE]")).complete


def test_gemini_knows_a_call_again_although_it_has_no_id() -> None:
    call = {"functionCall": {"name": "run", "args": {"b": 1, "a": "ls"}}, "thoughtSignature": "s"}
    other = {"functionCall": {"name": "run", "args": {"a": "pwd"}}}
    chunk = {"candidates": [{"content": {"parts": [call, other]}, "finishReason": "STOP"}]}
    spoken = DIALECTS["gemini"].spoken(events(chunk))
    contents = [
        {"role": "user", "parts": [{"text": "Do it."}]},
        {"role": "model", "parts": [call, other]},
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "own", "name": "run", "response": {"output": "x"}}},
                {"functionResponse": {"name": "run", "response": {"error": "y"}}},
                {"functionResponse": {"name": "run", "response": {"n": 1}}},
            ],
        },
    ]
    heard = DIALECTS["gemini"].heard(path_of("gemini"), json.dumps({"contents": contents}).encode())
    one, two = spoken.calls
    assert one.id != two.id
    assert heard.returns == (
        ToolReturn(id=one.id, text="x"),
        ToolReturn(id=two.id, text="y", error=True),
        ToolReturn(id="run", text='{"n": 1}'),
    )


def test_gemini_thinks_blocks_and_streams_as_a_list() -> None:
    thought = {"content": {"parts": [{"text": "Hm.", "thought": True}, {"text": "So"}]}}
    end = {"content": {"parts": [{"text": "."}, {"novelty": 1}]}, "finishReason": "STOP"}
    usage = {"promptTokenCount": 3, "candidatesTokenCount": 4, "thoughtsTokenCount": 5}
    chunks: list[dict[str, Any]] = [
        {"candidates": [thought]},
        {"candidates": [end], "usageMetadata": usage},
    ]
    said = Spoken(text="So.", reasoning="Hm.", input_tokens=3, output_tokens=9)
    dialect = DIALECTS["gemini"]
    assert dialect.spoken(events(*chunks)) == dialect.spoken(document(chunks)) == said
    blocked = {"promptFeedback": {"blockReason": "OTHER"}}
    assert dialect.spoken(events(blocked)) == Spoken()
    path = path_of("gemini", stream=True).replace("?alt=sse", "")
    _, body = request("gemini", ["Do it."])
    listed = dialect.speak(path, body, bash("ls"), Shell())
    assert isinstance(json.loads(listed.body), list)
    assert only_use(dialect.spoken(listed)) == (SHELL, {"cmd": "ls"})


# --- what strangers send ---


def test_arguments_that_a_client_could_read_and_we_cannot_are_refused() -> None:
    def whole(arguments: str) -> Payload:
        call = {"id": "a", "function": {"name": "run", "arguments": arguments}}
        return document({"choices": [{"message": {"tool_calls": [call]}}]})

    read = DIALECTS["chat"].spoken
    for arguments in ("no", "[1]", "{", '{"a": NaN}', '{"a": "\n"}'):
        assert only_use(read(whole(arguments))) == ("run", None)
    assert only_use(read(whole('{"a": "\\ud800"}'))) == ("run", {"a": "\ufffd"})
    assert only_use(read(whole('{"a": 1e999}')))[1] == {"a": 1.7976931348623157e308}
    for arguments in ('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}", '{"a": ' + "1" * 5000 + "}"):
        with pytest.raises(ValueError, match="expected the arguments of a call") as refused:
            read(whole(arguments))
        assert "\n" not in str(refused.value)


def _tried(name: DialectName, path: str, body: bytes, *, stream: bool) -> None:
    dialect = DIALECTS[name]
    for act in (
        lambda: dialect.heard(path, body),
        lambda: dialect.conversation(path, body, Shell()),
        lambda: dialect.speak(path, body, Move(text="ok"), Shell()),
        lambda: dialect.spoken(Payload(body=body, content_type=SSE if stream else "x")),
    ):
        try:
            result = act()
        except ValueError as error:
            assert "\n" not in str(error) and len(str(error)) < 400
        else:
            if isinstance(result, Heard | Spoken):
                repr(result).encode()  # nothing that could not be stored


_KEYS = st.sampled_from(
    [
        "type",
        "role",
        "content",
        "text",
        "messages",
        "input",
        "contents",
        "parts",
        "tools",
        "name",
        "id",
        "call_id",
        "arguments",
        "output",
        "function",
        "functionCall",
        "functionResponse",
        "args",
        "response",
        "delta",
        "index",
        "choices",
        "message",
        "tool_calls",
        "usage",
        "item",
        "candidates",
        "finish_reason",
        "stream",
        "system",
        "instructions",
        "content_block",
        "summary",
        "input_tokens",
        "promptFeedback",
        "generationConfig",
        "functionDeclarations",
        "custom",
        "namespace",
        "event",
        "tool_use_id",
        "is_error",
        "model",
        "error",
        "output_index",
        "item_id",
        "partial_json",
        "finishReason",
    ]
)
_WORDS = st.one_of(
    st.text(max_size=5),
    st.sampled_from(
        [
            "tool_use",
            "tool_result",
            "text",
            "thinking",
            "function_call",
            "function_call_output",
            "reasoning",
            "message",
            "custom_tool_call",
            "user",
            "assistant",
            "model",
            "tool",
            "system",
            "content_block_start",
            "content_block_delta",
            "content_block_stop",
            "message_start",
            "message_stop",
            "message_delta",
            "response.output_item.done",
            "response.output_item.added",
            "response.completed",
            "response.output_text.delta",
            "error",
        ]
    ),
)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 3), st.floats(allow_nan=False), _WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(_KEYS, inner, max_size=6)),
    max_leaves=25,
)
_FIELDS = ("messages", "input", "contents", "content", "output", "choices", "candidates", "tools")
_BOUND = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("name", NAMES)
@given(value=st.dictionaries(_KEYS, _VALUES, max_size=6), more=st.lists(_VALUES, max_size=4))
@_BOUND
def test_any_json_is_read_or_refused_in_one_line(
    name: DialectName, value: dict[str, Any], more: list[Any]
) -> None:
    for holder in (value, {**value, **dict.fromkeys(_FIELDS, more)}):
        _tried(name, path_of(name), json.dumps(holder).encode(), stream=False)
    lines = "".join(f"data: {json.dumps(one)}\n\n" for one in (value, *more))
    _tried(name, path_of(name), lines.encode(), stream=True)


@pytest.mark.parametrize("name", NAMES)
@given(body=st.binary(max_size=200), stream=st.booleans(), path=st.text(max_size=30))
@_BOUND
def test_any_bytes_are_read_or_refused_in_one_line(
    name: DialectName, body: bytes, stream: bool, path: str
) -> None:
    _tried(name, path, body, stream=stream)
    _tried(name, path_of(name), b"data: " + body + b"\n\n" if stream else body, stream=stream)


# --- the vendors' own libraries ---


@contextmanager
def serving(name: DialectName, move: Move) -> Iterator[str]:
    """A server that says that move to whatever it is asked."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            return

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            payload = DIALECTS[name].speak(self.path, body, move, Shell())
            self.send_response(payload.status)
            self.send_header("content-type", payload.content_type)
            self.send_header("content-length", str(len(payload.body)))
            self.end_headers()
            self.wfile.write(payload.body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


WORK = bash("ls ☃", "pwd", text="I look.", reasoning="Where am I?")
ORDERED = [(SHELL, {"cmd": "ls ☃"}), (SHELL, {"cmd": "pwd"})]


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_the_library_of_anthropic_reads_messages(stream: bool) -> None:
    anthropic = pytest.importorskip("anthropic")
    asked: dict[str, Any] = {
        "model": "claude",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": "Do it."}],
        "tools": [{"name": SHELL, "input_schema": {"type": "object"}}],
    }
    with serving("messages", WORK) as address:
        client = anthropic.Anthropic(base_url=address, api_key="none", max_retries=0)
        if stream:
            with client.messages.stream(**asked) as opened:
                message = opened.get_final_message()
        else:
            message = client.messages.create(**asked)
    thinking, text, *calls = message.content
    assert (thinking.thinking, text.text) == ("Where am I?", "I look.")
    assert [(call.name, call.input) for call in calls] == ORDERED
    assert message.stop_reason == "tool_use"


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_the_library_of_openai_reads_responses(stream: bool) -> None:
    openai = pytest.importorskip("openai")
    asked: dict[str, Any] = {
        "model": "gpt",
        "input": "Do it.",
        "tools": [{"type": "function", "name": SHELL, "parameters": {}, "strict": False}],
    }
    with serving("responses", WORK) as address:
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
        if stream:
            with client.responses.stream(**asked) as opened:
                assert [event.type for event in opened][-1] == "response.completed"
                response = opened.get_final_response()
        else:
            response = client.responses.create(**asked)
    reasoning, _, *calls = response.output
    assert (reasoning.summary[0].text, response.output_text) == ("Where am I?", "I look.")
    assert [(call.name, json.loads(call.arguments)) for call in calls] == ORDERED


@pytest.mark.slow
@pytest.mark.parametrize("stream", [False, True])
def test_the_library_of_openai_reads_chat(stream: bool) -> None:
    openai = pytest.importorskip("openai")
    asked: dict[str, Any] = {
        "model": "gpt",
        "messages": [{"role": "user", "content": "Do it."}],
        "tools": [{"type": "function", "function": {"name": SHELL}}],
    }
    with serving("chat", WORK) as address:
        client = openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0)
        if stream:
            with client.chat.completions.stream(**asked) as opened:
                (choice,) = opened.get_final_completion().choices
        else:
            (choice,) = client.chat.completions.create(**asked).choices
    assert (choice.message.content, choice.finish_reason) == ("I look.", "tool_calls")
    calls = [call.function for call in choice.message.tool_calls]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == ORDERED
