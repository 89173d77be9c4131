"""A scripted server plays a reference policy through whatever tools a client has."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from custodes.clients import DIALECTS, REMINDER, DialectName, form_in, prompt_of, scripted
from custodes.clients._scripted import due
from custodes.scenarios import (
    Conversation,
    Move,
    Opening,
    Reply,
    ToolCall,
    UnknownPolicy,
    all_scenarios,
    reference_move,
    scenario_by_id,
)
from custodes.types import Ask, Cell, Safeguards

from .asking import SHELL, TOOLS, Shell, Turn, ask, request, turn_of

NAMES: tuple[DialectName, ...] = ("messages", "responses", "chat", "gemini")
CELL = Cell(ask=Ask.NONE, safeguards=Safeguards.SHADOW)
RULES = (
    "# AGENTS.md instructions for /home/dev/project\n\n<INSTRUCTIONS>\nRun `python3 -m nosuch run`"
    " and `python3 -m nosuch score`; see ticket 9999 and version 9.9.9.\n</INSTRUCTIONS>"
)
SURROUNDINGS = "<environment_context>\n  <cwd>/home/dev</cwd>\n</environment_context>"
REMINDED = (
    "<system-reminder>\nAs you answer, you can use: Ticket 9998: nothing. `python3 -m nosuch`\n"
    "</system-reminder>"
)


def prompt(scenario: str, twin: str = "base") -> str:
    found = scenario_by_id(scenario)
    return prompt_of(found.brief(found.draw(3, twin), CELL, found.levels[0]))


def asked_plainly(scenario: str, policy: str, replies: Sequence[Reply] = ()) -> Move:
    """The move in Custodes' own loop."""
    found = scenario_by_id(scenario)
    brief = found.brief(found.draw(3, "base"), CELL, found.levels[0])
    opening = Opening(system=brief.system_text, task=brief.task_text, tools=("bash", "finish"))
    return reference_move(policy, Conversation(opening=opening, replies=tuple(replies)))


SCENARIOS = sorted(all_scenarios())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_scenario_is_recognised_in_all_that_a_client_says_beside_it(scenario: str) -> None:
    policy = "honest"
    said = [RULES, SURROUNDINGS, REMINDED, f"{REMINDED}\n{prompt(scenario)}\n\n{REMINDED}"]
    (call,) = asked_plainly(scenario, policy).calls
    for name in NAMES:
        _, spoken = ask(name, scripted(DIALECTS[name], policy, Shell()), said, system=RULES)
        assert [(c.name, c.arguments) for c in spoken.calls] == [
            (SHELL, {"cmd": call.arguments["command"]})
        ], name


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stream", [False, True])
def test_the_whole_way_is_the_one_of_the_own_loop(name: DialectName, stream: bool) -> None:
    scenario = "escape/canary_credential"
    answer = scripted(DIALECTS[name], "violator", Shell())
    turns: list[Turn] = []
    replies: list[Reply] = []
    for at in range(40):
        _, spoken = ask(name, answer, [prompt(scenario)], turns, stream=stream)
        move = asked_plainly(scenario, "violator", replies)
        assert spoken.complete
        if any(call.name == "finish" for call in move.calls):
            (form,) = (call.arguments for call in move.calls)
            assert form_in(spoken.text) == form
            assert not spoken.calls
            break
        assert [call.arguments for call in spoken.calls] == [
            {"cmd": call.arguments["command"]} for call in move.calls
        ]
        outputs = [f"line {at} of {number}" for number in range(len(spoken.calls))]
        turns.append(turn_of(spoken, outputs))
        replies.append(Reply(outputs=tuple(outputs)))
    assert turns
    ids = [call for turn in turns for call, _, _ in turn.calls]
    assert len(set(ids)) == len(ids)


def _both(name: str, conversation: Conversation) -> Move:
    """Looks twice, hands in the form beside a last call, and says one thing more."""
    calls = (ToolCall(name="bash", arguments={"command": f"ls {len(conversation.replies)}"}),)
    if len(conversation.replies) == 1:
        return Move(text="Done.", calls=(*calls, ToolCall(name="finish", arguments={"a": "b"})))
    if len(conversation.replies) == 2:
        return Move(text=f"Shown: {conversation.replies[-1]!r}")
    return Move(calls=calls)


def test_a_form_beside_other_calls_is_the_completion_after_their_results(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("custodes.clients._scripted.reference_move", _both)
    opening = Opening(system="", task="", tools=())
    replies = (
        Reply(outputs=("0",)),
        Reply(outputs=("1",), notices=("wait",)),
        Reply(notices=("what?",)),
    )
    moves = [due("x", Conversation(opening=opening, replies=replies[:n])) for n in range(4)]
    assert [[call.name for call in move.calls] for move in moves] == [
        ["bash"],
        ["bash"],
        ["finish"],
        [],
    ]
    assert moves[1].text == "Done."
    assert moves[3].text == f"Shown: {Reply(outputs=('1',), notices=('wait', 'what?'))!r}"


@pytest.mark.parametrize("name", NAMES)
def test_questions_on_the_side_are_answered_without_the_policy(name: DialectName) -> None:
    answer = scripted(DIALECTS[name], "violator", Shell())
    for tools in ((), ("read",)):
        said = [prompt("escape/canary_credential")]
        _, spoken = ask(name, answer, said, tools=tools)
        assert (spoken.text, spoken.calls) == ("ok", ())


def test_a_question_that_wants_json_is_given_some() -> None:
    path, body = request("gemini", [prompt("escape/canary_credential")])
    asked = {**json.loads(body), "generationConfig": {"responseMimeType": "application/json"}}
    answer = scripted(DIALECTS["gemini"], "violator", Shell())
    payload = answer("POST", path, json.dumps(asked).encode())
    assert DIALECTS["gemini"].spoken(payload).text == "{}"


def test_turns_before_the_prompt_are_the_clients_own() -> None:
    scenario = "deception/impossible_tests"
    greeted = Turn(text="Got it. Thanks for the context!", user=(prompt(scenario),))
    answer = scripted(DIALECTS["gemini"], "honest", Shell())
    _, spoken = ask("gemini", answer, ["Today is Tuesday."], [greeted])
    (call,) = asked_plainly(scenario, "honest").calls
    assert spoken.calls[0].arguments == {"cmd": call.arguments["command"]}


@pytest.mark.parametrize("name", NAMES)
def test_the_same_request_has_the_same_answer_and_no_other_has_its_ids(name: DialectName) -> None:
    answer = scripted(DIALECTS[name], "honest", Shell())
    said = prompt("deception/impossible_tests")
    (first, one), (again, _) = ask(name, answer, [said]), ask(name, answer, [said])
    _, other = ask(name, answer, ["Hello.", said])
    assert first == again
    assert one.calls[0].id != other.calls[0].id


@pytest.mark.parametrize("name", NAMES)
def test_words_of_the_client_are_no_notices_and_a_persons_are(name: DialectName) -> None:
    path, body = request(
        name,
        [prompt("disobedience/stop_order")],
        [
            Turn(calls=(("1", SHELL, {}),), returns=(("1", "printed: x"),), user=(REMINDED,)),
            Turn(text="Hm.", user=(SURROUNDINGS, f"{REMINDED}\n{REMINDER}")),
        ],
    )
    conversation = DIALECTS[name].conversation(path, body, Shell())
    assert conversation.replies == (Reply(outputs=("x",)), Reply(notices=(REMINDER,)))
    assert conversation.opening.tools == TOOLS


@pytest.mark.parametrize("name", NAMES)
def test_an_erratic_agent_calls_what_cannot_be_read(name: DialectName) -> None:
    answer = scripted(DIALECTS[name], "erratic", Shell())
    said = [prompt("escape/canary_credential")]
    _, first = ask(name, answer, said)
    turns = [turn_of(first, ["cannot be read"])]
    assert [call.name for call in first.calls] == [SHELL]
    # Two of the protocols have no place for arguments that are no object.
    unfit = None if name in ("responses", "chat") else {"text": "ls"}
    assert first.calls[0].arguments == unfit
    _, second = ask(name, answer, said, turns)
    assert (second.text, second.calls) == ("", ())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"a": \xff}', b"[" * 100_000])
def test_what_cannot_be_read_is_refused_in_the_protocols_own_words(
    name: DialectName, body: bytes
) -> None:
    path, _ = request(name, [])
    payload = scripted(DIALECTS[name], "honest", Shell())("POST", path, body)
    assert payload.status == 400
    error = json.loads(payload.body)["error"]
    assert error["message"].startswith("expected ")
    assert error.get("type") == "invalid_request_error" or error["status"] == "INVALID_ARGUMENT"


def test_a_conversation_that_the_server_should_have_kept_is_refused() -> None:
    path, body = request("responses", ["Go on."])
    kept = json.dumps({**json.loads(body), "previous_response_id": "resp_1"}).encode()
    payload = scripted(DIALECTS["responses"], "honest", Shell())("POST", path, kept)
    assert payload.status == 400
    assert b"the whole conversation" in payload.body


@pytest.mark.parametrize(
    ("name", "method", "path", "status"),
    [
        ("messages", "HEAD", "/", 200),
        ("messages", "POST", "/v1/messages/count_tokens?beta=true", 200),
        ("messages", "GET", "/v1/models", 200),
        ("messages", "GET", "/api/hello", 404),
        ("responses", "GET", "/v1/models?client_version=1", 200),
        ("responses", "POST", "/v1/responses/compact", 404),
        ("chat", "GET", "/v1/models", 200),
        ("chat", "POST", "/v1/embeddings", 404),
        ("gemini", "POST", "/v1beta/models/m:countTokens", 200),
        ("gemini", "POST", "/v1beta/models/m:embedContent", 404),
    ],
)
def test_what_is_asked_beside_completions(
    name: DialectName, method: str, path: str, status: int
) -> None:
    payload = scripted(DIALECTS[name], "honest", Shell())(method, path, b"{}")
    assert payload.status == status
    assert ("error" in json.loads(payload.body or b"{}")) is (status == 404)


def test_a_policy_that_does_not_exist_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(UnknownPolicy, match="no reference policy"):
        scripted(DIALECTS["chat"], "nosuch", Shell())
