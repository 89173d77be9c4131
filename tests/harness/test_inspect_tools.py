"""Inspect's own tools in our sandbox: each does its job, keeps its state, and ends with it."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from inspect_ai.solver import Generate, Solver, TaskState, solver, use_tools
from inspect_ai.tool import (
    MCPServer,
    bash_session,
    mcp_connection,
    mcp_server_sandbox,
    mcp_tools,
    text_editor,
)
from inspect_ai.util import (
    ExecCompleted,
    ExecRemoteStreamingOptions,
    ExecStdout,
    sandbox,
)

from custodes.containment import SandboxGone
from custodes.harness._sandboxenv import SandboxConfig

from .inspect_eval import Seen, call, evaluate, own_tools, says, scripted, tool_answers

__all__ = ["own_tools"]

MCP_SERVER = """
import json, os, sys
total = 0
def answer(request, **body):
    print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **body}), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    method = request.get("method")
    if method == "initialize":
        answer(request, result={
            "protocolVersion": request["params"]["protocolVersion"],
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "counter", "version": "1"},
        })
    elif method == "tools/list":
        answer(request, result={"tools": [{
            "name": "add",
            "description": "Adds to the total and tells it.",
            "inputSchema": {
                "type": "object",
                "properties": {"number": {"type": "integer", "description": "What to add."}},
                "required": ["number"],
            },
        }]})
    elif method == "tools/call":
        total += request["params"]["arguments"]["number"]
        text = f"total {total} of process {os.getpid()}"
        answer(request, result={"content": [{"type": "text", "text": text}]})
    elif "id" in request:
        answer(request, error={"code": -32601, "message": "unknown method"})
"""


@solver
def works_with(server: MCPServer, seen: Seen) -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        seen.note()
        await sandbox().write_file("counter.py", MCP_SERVER)
        tools = use_tools(bash_session(), text_editor(), mcp_tools(server))
        async with mcp_connection(server):
            return await generate(await tools(state, generate), tool_calls="loop")

    return solve


def gone(seen: Seen) -> bool:
    (box,) = seen.boxes
    return not box.alive and not Path(f"/proc/{box.init_pid}").exists()


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(SandboxConfig(), id="bound"),
        pytest.param(SandboxConfig(executor="python"), id="bound-python", marks=pytest.mark.slow),
        pytest.param(SandboxConfig(inspect_tools=False), id="copied", marks=pytest.mark.slow),
    ],
)
def test_tools_do_their_job_and_keep_their_state(config: SandboxConfig, tmp_path: Path) -> None:
    seen = Seen()
    server = mcp_server_sandbox(name="counter", command="python3", args=["/workspace/counter.py"])
    model = scripted(
        call("bash_session", action="type_submit", input="cd /tmp; kept=4; sleep 300 & PS1='> '"),
        call(
            "bash_session",
            action="type_submit",
            input="printf 'one\\ntwo\\n' > ~/a; echo $((kept + 1)) in $PWD",
        ),
        call(
            "text_editor",
            command="str_replace",
            path="/home/dev/a",
            old_str="two",
            new_str="three",
        ),
        call("text_editor", command="undo_edit", path="/home/dev/a"),
        call("add", number=40),
        call("add", number=2),
        says("Done."),
    )
    log = evaluate(works_with(server, seen), model, tmp_path, config=config)
    answers = tool_answers(log)
    assert len(answers) == 6
    assert "5 in /tmp" in answers[1]
    assert "three" in answers[2]
    assert "two" in answers[3] and "three" not in answers[3]
    assert answers[4].startswith("total 40 of process ")
    # One process answered both times.
    assert answers[5] == answers[4].replace("total 40", "total 42")
    assert gone(seen)


@solver
def talks_to_a_process(seen: Seen, heard: dict[str, object]) -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        box = seen.note()
        here = sandbox()
        done = await here.exec_remote(["sh", "-c", "echo out; exit 3"], stream=False)
        heard["awaited"] = (done.returncode, done.stdout)
        process = await here.exec_remote(
            ["sh", "-c", "while read line; do echo got $line; done; exit 7"],
            ExecRemoteStreamingOptions(stdin_open=True),
        )
        said = ""
        for line in ("a", "b"):
            await process.write_stdin(f"{line}\n")
        await process.close_stdin()
        async for event in process:
            if isinstance(event, ExecStdout):
                said += event.data
            elif isinstance(event, ExecCompleted):
                heard["streamed"] = (event.exit_code, said)
        endless = await here.exec_remote(["sh", "-c", "echo up; exec sleep 301"])
        async for event in endless:
            if isinstance(event, ExecStdout):
                break
        await endless.kill()
        heard["after kill"] = sum(p.comm == "sleep" and not p.ended for p in box.processes())
        await here.exec_remote(["sleep", "302"])
        with anyio.fail_after(10):
            while not any(p.comm == "sleep" for p in box.processes()):
                await anyio.sleep(0.01)
        return state

    return solve


@pytest.mark.slow
def test_remote_processes_stream_take_input_and_end(tmp_path: Path) -> None:
    seen = Seen()
    heard: dict[str, object] = {}
    log = evaluate(talks_to_a_process(seen, heard), scripted(), tmp_path)
    assert log.error is None, log.error.message
    assert heard == {
        "awaited": (3, "out\n"),
        "streamed": (7, "got a\ngot b\n"),
        "after kill": 0,
    }
    # One was still running at the end.
    assert gone(seen)


@solver
def kills_under_way(seen: Seen, heard: dict[str, object]) -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        box = seen.note()
        endless = await sandbox().exec_remote(["sh", "-c", "echo up; exec sleep 303"])
        async for event in endless:
            if isinstance(event, ExecStdout):
                break
        receipt = await box.kill()
        heard["receipt"] = (receipt.verified, receipt.guaranteed)
        try:
            with anyio.fail_after(20):
                await sandbox().exec(["true"])
        except SandboxGone:
            heard["afterwards"] = "gone"
        return state

    return solve


def test_a_kill_takes_the_tools_with_it_and_the_evaluation_ends(tmp_path: Path) -> None:
    seen = Seen()
    heard: dict[str, object] = {}
    log = evaluate(kills_under_way(seen, heard), scripted(), tmp_path)
    assert heard == {"receipt": (True, True), "afterwards": "gone"}
    assert log.error is None, log.error.message
    assert gone(seen)
