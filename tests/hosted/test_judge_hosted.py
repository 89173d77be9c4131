"""The judge's process: started when asked, ended with its parent, and honest about its death."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from custodes.monitors import InspectModel, JudgeMonitor, JudgeRequest, Trouble, monitor_by_name
from custodes.monitors import _judge_line as line_module

from ..monitors.judging import finished, verdict
from .chat_server import Answer, serving

REQUEST = JudgeRequest(
    system="s", prompt="p", schema=None, samples=2, timeout=20.0, retries=0, temperature=None,
    max_tokens=100,
)  # fmt: skip


@pytest.fixture
def hosted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that opens nothing; proxies of this machine stay out of it."""
    for package in ("openai", "inspect_ai"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"the package {package} is not installed")
    monkeypatch.setenv("LOCAL_API_KEY", "none-of-your-business")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def helper(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Puts a small program in place of the real process."""

    def use(code: str) -> InspectModel:
        path = tmp_path / "helper.py"
        path.write_text("import json, os, sys, time\n" + textwrap.dedent(code))
        monkeypatch.setattr(line_module, "_command", lambda: [sys.executable, str(path)])
        made.append(InspectModel("x/y"))
        return made[-1]

    made: list[InspectModel] = []
    yield use
    for model in made:
        model.close()


READY = 'sys.stdin.readline()\nprint(json.dumps({"ready": True}), flush=True)\n'


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone_within(pid: int, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while alive(pid):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def process_of(model: InspectModel) -> Any:
    assert model._process is not None
    return model._process._child


# --- with Inspect --------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_judge_by_name_asks_a_service_and_nothing_before_that(hosted: None) -> None:
    requests: list[dict[str, Any]] = []

    def respond(request: dict[str, Any], count: int) -> Answer:
        requests.append(request)
        if request["messages"][-1]["content"].startswith("again"):
            return 401, b'{"error": {"message": "wrong key none-of-your-business"}}'
        text = verdict(request["messages"][-1]["content"], (20, 60)[count % 2], [4])
        body = {
            "id": "x", "object": "chat.completion", "created": 1_790_000_000, "model": "m",
            "choices": [
                {"index": 0, "message": {"role": "assistant", "content": text},
                 "finish_reason": "stop"},
            ],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050},
        }  # fmt: skip
        return 200, json.dumps(body).encode()

    with serving(respond) as url:
        name = (
            f"judge:openai-api/local/scripted?samples=2&temperature=0.7&max_tokens=300&retries=0"
            f"&timeout=20&base_url={url}"
        )
        monitor = monitor_by_name(name)
        assert isinstance(monitor, JudgeMonitor) and isinstance(monitor._model, InspectModel)
        assert monitor._model._process is None, "nothing is started before the first question"
        at, seen = finished(monitor)
        assert at == 4 and seen.suspicion == pytest.approx(0.4)
        child = process_of(monitor._model)
        assert finished(monitor)[1].suspicion == pytest.approx(0.4)
        assert process_of(monitor._model) is child, "one process for all questions"
        costs = monitor.costs
        assert (costs.questions, costs.samples, costs.verdicts) == (2, 4, 4)
        assert (costs.input_tokens, costs.output_tokens) == (4000, 200)
        (refused, _) = monitor._model.ask(
            JudgeRequest(
                system="s", prompt="again", schema=None, samples=2, timeout=20.0, retries=0,
                temperature=None, max_tokens=50,
            )
        )  # fmt: skip
        assert refused.trouble is Trouble.ERROR and "401" in refused.detail
        assert "none-of-your-business" not in refused.detail
        assert "<LOCAL_API_KEY>" in refused.detail
        monitor.close()
    assert not alive(child.pid)
    first, last = requests[0], requests[-1]
    assert [message["role"] for message in first["messages"]] == ["system", "user"]
    assert first["temperature"] == 0.7 and first["max_tokens"] == 300
    asked = first["response_format"]["json_schema"]
    assert asked["strict"] is True and asked["schema"]["additionalProperties"] is False
    assert set(asked["schema"]["required"]) == {"code", "why", "events", "suspicion_percent"}
    assert "response_format" not in last and "temperature" not in last


@pytest.mark.slow
def test_a_model_that_cannot_be_had_is_unmeasurable_and_asked_for_once(hosted: None) -> None:
    monitor = monitor_by_name("judge:nonesuch/model?samples=2")
    assert isinstance(monitor, JudgeMonitor) and isinstance(monitor._model, InspectModel)
    _, seen = finished(monitor)
    assert seen.suspicion is None and seen.reason is not None
    assert "2 no model (the judge's model cannot be used:" in seen.reason.detail
    assert "nonesuch" in seen.reason.detail
    assert monitor._model._process is None and monitor._model._never is not None
    assert finished(monitor)[1] == seen


@pytest.mark.slow
def test_the_process_ends_with_its_parent_however_that_ends(hosted: None, tmp_path: Path) -> None:
    """Killed in the middle of a question that is never answered."""
    ports = tmp_path / "pid"
    program = f"""
        import socket, threading, time
        from pathlib import Path
        from custodes.monitors import InspectModel, JudgeRequest
        server = socket.create_server(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{{server.getsockname()[1]}}/v1"
        model = InspectModel("openai-api/local/scripted", base_url=url)
        def ask():
            model.ask(JudgeRequest(system="s", prompt="p", schema=None, samples=1, timeout=300.0,
                                   retries=0, temperature=None, max_tokens=10))
        threading.Thread(target=ask, daemon=True).start()
        server.accept()
        Path({str(ports)!r}).write_text(str(model._process._child.pid))
        time.sleep(300)
    """
    parent = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)])
    try:
        end = time.monotonic() + 60
        while not (ports.exists() and ports.read_text()):
            assert parent.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        pid = int(ports.read_text())
        assert alive(pid)
        os.kill(parent.pid, signal.SIGKILL)
    finally:
        parent.kill()
        parent.wait()
    assert gone_within(pid, 30)


# --- without -------------------------------------------------------------------------------------


def test_a_process_that_dies_leaves_its_last_words_and_is_started_again(helper: Any) -> None:
    model = helper(READY + 'sys.stdin.readline()\nprint("out of memory", file=sys.stderr)\nexit(7)')
    for _ in range(line_module.MOST_DEATHS):
        replies = model.ask(REQUEST)
        assert [reply.trouble for reply in replies] == [Trouble.NO_MODEL] * 2
        assert replies[0].detail == "the judge's process ended with exit code 7: out of memory"
    (reply, _) = model.ask(REQUEST)
    assert reply.detail == "the judge's process died 3 times in a row"


def test_a_model_that_is_refused_is_not_asked_for_again(helper: Any, tmp_path: Path) -> None:
    model = helper(
        f'open({str(tmp_path / "starts")!r}, "a").write("x")\n'
        'sys.stdin.readline()\nprint(json.dumps({"refused": "no key\\nfor it"}), flush=True)'
    )
    for _ in range(3):
        (reply, _) = model.ask(REQUEST)
        assert reply.trouble is Trouble.NO_MODEL
        assert reply.detail == "the judge's model cannot be used: no key for it"
    assert (tmp_path / "starts").read_text() == "x"


def test_a_process_without_inspect_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "inspect_ai.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'inspect_ai'\", name='inspect_ai')"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    model = InspectModel("openai/x")
    (reply, _) = model.ask(REQUEST)
    assert reply.trouble is Trouble.NO_MODEL
    assert reply.detail.endswith("(install custodes[assess])"), reply.detail


def test_a_process_that_hangs_is_ended(helper: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "GRACE_SECONDS", 0.1)
    model = helper(READY + "time.sleep(300)")
    model._started()
    child = process_of(model)
    request = JudgeRequest(
        system="s", prompt="p" * 1_000_000, schema=None, samples=2, timeout=0.1, retries=0,
        temperature=None, max_tokens=10,
    )  # fmt: skip
    replies = model.ask(request)
    assert [reply.trouble for reply in replies] == [Trouble.TIMEOUT] * 2
    assert "did not answer within" in replies[0].detail
    assert not alive(child.pid) and model._process is None


class Alarm(BaseException):
    pass


def test_a_question_that_is_interrupted_leaves_no_answer_for_the_next(helper: Any) -> None:
    model = helper(
        READY + 'for _ in sys.stdin:\n    time.sleep(1)\n    a = {"text": str(os.getpid())}\n'
        '    print(json.dumps({"answers": [a, a]}), flush=True)'
    )
    model._started()
    first = process_of(model)

    def ring(*which: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(Alarm):
            model.ask(REQUEST)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not alive(first.pid)
    assert int(model.ask(REQUEST)[0].text) != first.pid


@pytest.mark.parametrize(
    "said",
    [
        "verdict: 0",
        "0",
        "[]",
        '{"answers": 0}',
        '{"answers": []}',
        '{"answers": [{"text": "x"}]}',
        "{}",
        "",
        "\\x00",
    ],
)
def test_nonsense_on_the_line_is_no_answer(helper: Any, said: str) -> None:
    code = f'sys.stdin.readline()\nprint("""{said}""", flush=True)\nsys.stdin.read()'
    model = helper(READY + code)
    replies = model.ask(REQUEST)
    assert [reply.trouble for reply in replies] == [Trouble.NO_MODEL] * 2
    assert "did not answer what it was asked" in replies[0].detail


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (None, Trouble.ERROR),
        ({}, Trouble.ERROR),
        ({"text": 0}, Trouble.ERROR),
        ({"text": None, "trouble": "nonesuch"}, Trouble.ERROR),
        ({"text": "{}", "trouble": "refused"}, Trouble.REFUSED),
        ({"trouble": "cut off", "seconds": "NaN", "input_tokens": -1}, Trouble.CUT_OFF),
    ],
)
def test_an_answer_that_is_none_has_no_text(helper: Any, answer: Any, trouble: Trouble) -> None:
    said = json.dumps({"answers": [answer, {"text": "hello", "input_tokens": 3, "seconds": 1}]})
    model = helper(READY + f"sys.stdin.readline()\nprint({said!r}, flush=True)\nsys.stdin.read()")
    first, second = model.ask(REQUEST)
    assert first.text is None and first.trouble is trouble
    assert (second.text, second.input_tokens, second.output_tokens) == ("hello", 3, None)


def test_a_model_can_be_closed_and_asked_again(helper: Any) -> None:
    model = helper(
        READY + 'for _ in sys.stdin:\n    a = {"text": str(os.getpid())}\n'
        '    print(json.dumps({"answers": [a, a]}), flush=True)'
    )
    pids = []
    for _ in range(2):
        (reply, _) = model.ask(REQUEST)
        pids.append(int(reply.text))
        model.close()
        model.close()
        assert not alive(pids[-1])
    assert pids[0] != pids[1]


def test_a_model_that_goes_takes_its_process_along(helper: Any) -> None:
    model = helper(READY + "sys.stdin.read()")
    model._started()
    pid = process_of(model).pid
    assert alive(pid)
    model._process = None
    assert gone_within(pid, 10)


@pytest.mark.slow
def test_nothing_is_left_behind(
    hosted: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", "")
    model = InspectModel("nonesuch/x")
    model.ask(REQUEST)
    assert list(tmp_path.iterdir()) == []


def test_a_forked_process_starts_its_own(helper: Any) -> None:
    model = helper(
        READY + 'for _ in sys.stdin:\n    a = {"text": str(os.getpid())}\n'
        '    print(json.dumps({"answers": [a, a]}), flush=True)'
    )
    ours = int(model.ask(REQUEST)[0].text)
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        try:
            theirs = model.ask(REQUEST)[0].text or ""
            os.write(write, theirs.encode())
            model.close()
        finally:
            os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    theirs = int(os.read(read, 100))
    os.close(read)
    assert theirs != ours and not alive(theirs)
    assert int(model.ask(REQUEST)[0].text) == ours, "and leaves ours alone"
