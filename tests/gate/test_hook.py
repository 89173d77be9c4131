"""The hook: it blocks in each client's words unless the gate says *proceed*, whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from custodes.gate import CLIENTS, ask, hook_command, hook_script

from .serving import asked, call, process, records, running
from .serving import short_folder as _short_folder

DEADLINE_S = 1.5
HEEDED = 77
"""What the shell around the hook turns into 0."""


@pytest.fixture
def folder() -> Iterator[Path]:
    with _short_folder() as path:
        yield path


@pytest.fixture
def script(folder: Path) -> Path:
    """The hook with a short deadline, so that the tests need not wait."""
    text = hook_script().decode()
    changed = text.replace('{"enforce": 5.0, "observe": 1.0}', f'{{"enforce": {DEADLINE_S}, '
                           f'"observe": {DEADLINE_S}}}')  # fmt: skip
    assert changed != text
    path = folder / "custodes_gate_hook.py"
    path.write_text(changed)
    return path


def hook_input(command: str, *, event: str = "PreToolUse", session: str = "s") -> bytes:
    return json.dumps(
        {
            "session_id": session,
            "cwd": "/p",
            "hook_event_name": event,
            "tool_name": "Bash",
            "tool_input": {"command": command},
        },
        indent=1,
    ).encode()


def words(script: Path, client: str, mode: str, path: Path, *more: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-E", str(script), client, mode, str(path), *more]


def run(
    command: list[str], given: bytes = b"", **more: object
) -> subprocess.CompletedProcess[bytes]:
    done: subprocess.CompletedProcess[bytes] = subprocess.run(  # type: ignore[call-overload]
        command,
        input=given or hook_input("ls"),
        capture_output=True,
        timeout=60,
        check=False,
        **more,
    )
    return done


def assert_blocks(done: subprocess.CompletedProcess[bytes], client: str, reason: str = "") -> None:
    """Blocked in the form that was measured to block, with nothing around the JSON."""
    told = json.loads(done.stdout)
    assert done.stdout.endswith(b"}\n")
    assert done.stdout.count(b"\n") == 1
    if client == "gemini-cli":
        assert told["decision"] == "deny"
        said = told["reason"]
        assert set(told) == {"decision", "reason"}
    else:
        inner = told["hookSpecificOutput"]
        assert inner["hookEventName"] == "PreToolUse"
        assert inner["permissionDecision"] == "deny"
        said = inner["permissionDecisionReason"]
    assert done.returncode == 2
    assert done.stderr.decode().strip() == said
    assert re.search(reason, said), said


def assert_proceeds(done: subprocess.CompletedProcess[bytes], status: int = HEEDED) -> None:
    assert (done.returncode, done.stdout, done.stderr) == (status, b"", b"")


# -- decisions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_a_decision_in_each_clients_words(folder: Path, script: Path, client: str) -> None:
    event = CLIENTS[client].event
    with running(folder) as gate:
        command = words(script, client, "enforce", gate.path)
        assert_proceeds(run(command, hook_input("ls", event=event)))
        done = run(command, hook_input('forbidden "quoted" \u202e\n', event=event))
        assert_blocks(done, client, "a forbidden word")
        assert_blocks(run(command, hook_input("crash", event=event)), client, "cannot be judged")
        assert_blocks(run(command, hook_input("fatal", event=event)), client, "a fatal word")
        assert_blocks(run(command, hook_input("ls", event=event)), client, "terminated before")


def test_observe_mode_lets_through_and_records(folder: Path, script: Path) -> None:
    with running(folder) as gate:
        command = words(script, "codex", "observe", gate.path)
        assert_proceeds(run(command, hook_input("forbidden")))
    last = records(folder)[-1]["data"]
    assert (last["decided"], last["done"], last["mode"]) == ("reject", "proceed", "observe")


def test_a_broken_glass_is_said_with_each_call(folder: Path, script: Path) -> None:
    with running(folder) as gate:
        ask(gate.path, {"ask": "break-glass", "reason": "night shift", "minutes": 1})
        done = run(words(script, "claude-code", "enforce", gate.path), hook_input("forbidden"))
    assert (done.returncode, done.stdout) == (HEEDED, b"")
    assert b"glass is broken" in done.stderr
    assert b"night shift" in done.stderr


def test_a_prompt_is_noted_and_counts_for_later_calls(folder: Path, script: Path) -> None:
    with running(folder) as gate:
        said = {"session_id": "s", "hook_event_name": "UserPromptSubmit", "prompt": "stop it"}
        observing = words(script, "codex", "observe", gate.path)
        assert_proceeds(run(observing, json.dumps(said).encode()))
        enforcing = words(script, "codex", "enforce", gate.path)
        assert_blocks(run(enforcing, hook_input("after")), "codex", "after a stop")


# -- a server that is not there, or not itself -------------------------------------------------


@pytest.mark.parametrize("client", CLIENTS)
def test_no_server_blocks(folder: Path, script: Path, client: str) -> None:
    done = run(words(script, client, "enforce", folder / "none.sock"))
    assert_blocks(done, client, "no server at .*none.sock: No such file.*; blocked")


def test_a_dead_servers_socket_blocks(folder: Path, script: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "dead.sock"))
    done = run(words(script, "codex", "enforce", folder / "dead.sock"))
    assert_blocks(done, "codex", "Connection refused")


def test_a_removed_socket_blocks_although_the_server_lives(folder: Path, script: Path) -> None:
    with running(folder) as gate:
        gate.path.unlink()
        assert_blocks(run(words(script, "codex", "enforce", gate.path)), "codex", "no server")


def test_a_stopped_server_blocks_in_time(folder: Path, script: Path) -> None:
    with process(folder) as (server, path):
        assert_proceeds(run(words(script, "codex", "enforce", path)))
        server.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        done = run(words(script, "codex", "enforce", path))
        waited = time.monotonic() - begun
        server.send_signal(signal.SIGCONT)
    assert_blocks(done, "codex", f"no answer within {DEADLINE_S} s")
    assert waited >= DEADLINE_S - 0.1


def test_a_full_disk_blocks(folder: Path, script: Path) -> None:
    with process(folder, "--no-room") as (_, path):
        command = words(script, "gemini-cli", "enforce", path)
        last = None
        for _ in range(12):
            last = run(command, hook_input("ls", event="BeforeTool"))
            if last.returncode == 2:
                break
        assert last is not None
        assert_blocks(last, "gemini-cli", "could not be recorded: the journal cannot be written")
        observed = run(words(script, "gemini-cli", "observe", path), hook_input("ls"))
        assert observed.returncode == HEEDED
        assert b"could not be recorded" in observed.stderr
        assert ask(path, {"ask": "status"})["mode"] == "enforce"


def test_killing_the_server_under_eight_clients_lets_nothing_unrecorded_through(
    folder: Path, script: Path
) -> None:
    results: list[tuple[str, subprocess.CompletedProcess[bytes]]] = []
    with process(folder) as (server, path):

        def client(name: str) -> None:
            for number in range(6):
                session = f"{name}-{number}"
                given = hook_input("ls", session=session)
                results.append((session, run(words(script, "codex", "enforce", path), given)))

        threads = [threading.Thread(target=client, args=(str(n),)) for n in range(8)]
        for thread in threads:
            thread.start()
        while len(results) < 10:
            time.sleep(0.002)
        server.kill()
        for thread in threads:
            thread.join()
    recorded = {
        r["data"]["session"] for r in records(folder) if r["kind"] == "decision"
    }  # fmt: skip
    let_through = {session for session, done in results if done.returncode == HEEDED}
    assert let_through
    assert let_through <= recorded
    blocked = [done for _, done in results if done.returncode != HEEDED]
    assert blocked
    for done in blocked:
        assert_blocks(done, "codex", "no server|broke off|did not answer")


def fake(path: Path, answer: Callable[[bytes], bytes | None], *, close: bool = True) -> None:
    """One connection's worth of a server that is not ours; None means to say nothing."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()

    def work() -> None:
        with listener:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                line = b""
                while not line.endswith(b"\n"):
                    line += connection.recv(65536)
                said = answer(line)
                if said is not None:
                    connection.sendall(said)
                if said is None or not close:
                    time.sleep(2 * DEADLINE_S)

    threading.Thread(target=work, daemon=True).start()


def nonce_of(line: bytes) -> bytes:
    match = re.search(rb'"nonce":"(\w+)"', line)
    assert match is not None
    return match.group(1)


PROCEED = b'{"decision":"proceed","id":"1-ab","nonce":"%s"}'
FAKES: dict[str, Callable[[bytes], bytes | None]] = {
    "nothing": lambda line: b"",
    "silence": lambda line: None,
    "garbage": lambda line: b"\x00\xff garbage\n",
    "the word alone": lambda line: b"proceed\n",
    "a JSON string": lambda line: b'"proceed"\n',
    "half a line": lambda line: PROCEED % nonce_of(line),
    "half an answer": lambda line: b'{"decision":"proceed","id":"1-',
    "another nonce": lambda line: PROCEED % b"0011223344556677" + b"\n",
    "no nonce": lambda line: b'{"decision":"proceed","reason":"","warning":null}\n',
    "no reason": lambda line: b'{"decision":"proceed","nonce":"%s"}\n' % nonce_of(line),
    "another word": lambda line: (PROCEED % nonce_of(line)).replace(b"proceed", b"allow") + b"\n",
    "another case": lambda line: (PROCEED % nonce_of(line)).replace(b"proceed", b"Proceed") + b"\n",
    "two answers": lambda line: (PROCEED % nonce_of(line)) + b"\n" + PROCEED % b"x" + b"\n",
    "something before": lambda line: b"debug\n" + PROCEED % nonce_of(line) + b"\n",
    "an array": lambda line: b"[]\n",
    "deep": lambda line: b"[" * 50_000 + b"\n",
    "endless": lambda line: b"x" * 1_000_000,
    "reject": lambda line: b'{"decision":"reject","reason":"no","warning":null}\n',
}


@pytest.mark.parametrize("name", FAKES)
def test_a_server_that_answers_badly_blocks(folder: Path, script: Path, name: str) -> None:
    path = folder / "fake.sock"
    fake(path, FAKES[name])
    assert_blocks(run(words(script, "claude-code", "enforce", path)), "claude-code")


def test_a_late_answer_blocks(folder: Path, script: Path) -> None:
    def late(line: bytes) -> bytes:
        time.sleep(1.5 * DEADLINE_S)
        return PROCEED % nonce_of(line) + b"\n"

    fake(folder / "late.sock", late)
    done = run(words(script, "codex", "enforce", folder / "late.sock"))
    assert_blocks(done, "codex", "no answer within")


def test_a_server_of_another_user_blocks(folder: Path, script: Path) -> None:
    with running(folder) as gate:
        other = str(os.geteuid() + 1)
        done = run(words(script, "codex", "enforce", gate.path, other))
    assert_blocks(done, "codex", rf"runs as user {os.geteuid()}, expected {other}")


def test_fields_inside_the_hook_input_do_not_change_the_question(
    folder: Path, script: Path
) -> None:
    with running(folder) as gate:
        given = hook_input("forbidden")[:-1] + b',"mode":"observe","client":"x","nonce":"y"}'
        assert_blocks(run(words(script, "codex", "enforce", gate.path), given), "codex")
        broken_out = b'{},"mode":"observe","x":' + hook_input("forbidden")
        assert_blocks(run(words(script, "codex", "enforce", gate.path), broken_out), "codex")


# -- the hook's own troubles -------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_it_waits_blocks(folder: Path, script: Path, number: signal.Signals) -> None:
    fake(folder / "g.sock", FAKES["silence"])
    started = subprocess.Popen(
        words(script, "codex", "enforce", folder / "g.sock"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert started.stdin is not None
    started.stdin.write(b"{")  # it is surely running once it has read this much
    started.stdin.flush()
    until = time.monotonic() + 10
    while "custodes" not in Path(f"/proc/{started.pid}/cmdline").read_text():
        assert time.monotonic() < until
    time.sleep(0.2)
    started.send_signal(number)
    out, err = started.communicate(timeout=20)
    done = subprocess.CompletedProcess([], started.returncode, out, err)
    assert_blocks(done, "codex", f"stopped by signal {int(number)}|no answer")


@pytest.mark.parametrize("given", [b" ", b"\n", b"not json", b"\xff\xfe", b"{" * 20_000, b"[]"])
def test_bad_input_blocks(folder: Path, script: Path, given: bytes) -> None:
    with running(folder) as gate:
        assert_blocks(run(words(script, "codex", "enforce", gate.path), given), "codex")


def test_huge_input_blocks(folder: Path, script: Path) -> None:
    with running(folder) as gate:
        done = run(words(script, "codex", "enforce", gate.path), hook_input("x" * (5 << 20)))
    assert_blocks(done, "codex", "larger than")


def test_input_that_never_ends_blocks_in_time(folder: Path, script: Path) -> None:
    with running(folder) as gate:
        started = subprocess.Popen(
            words(script, "codex", "enforce", gate.path),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert started.wait(timeout=20) == 2
        assert started.stdin and started.stdout and started.stderr
        for stream in (started.stdin, started.stdout, started.stderr):
            stream.close()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_streams_block(folder: Path, script: Path, closed: str) -> None:
    """With standard error gone, exit status 0 and the JSON are what blocks in every client."""
    command = " ".join(words(script, "codex", "enforce", folder / "none")) + f" {closed}"
    done = subprocess.run(
        ["/bin/sh", "-c", command], input=b"{}", capture_output=True, timeout=30, check=False
    )
    if ">&-" in closed.split():
        assert (done.returncode, done.stdout) == (2, b"")
    else:
        assert json.loads(done.stdout)["hookSpecificOutput"]["permissionDecision"] == "deny"
        assert done.returncode == (HEEDED if "2>&-" in closed else 2)
    if "2>&-" not in closed:
        assert b"blocked" in done.stderr


def test_a_broken_pipe_on_standard_output_blocks(folder: Path, script: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        words(script, "codex", "enforce", folder / "none"),
        input=b"{}",
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=30,
        check=False,
    )
    os.close(write)
    assert done.returncode == 2
    assert b"blocked" in done.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["codex"], ["codex", "loose", "/x"], ["vim", "enforce", "/x"], ["codex"] * 9]
)
def test_wrong_arguments_block(script: Path, arguments: list[str]) -> None:
    done = run([sys.executable, "-I", "-S", "-E", str(script), *arguments])
    assert done.returncode == 2
    assert json.loads(done.stdout)
    assert b"wrong arguments" in done.stderr


def test_a_defect_of_its_own_blocks(folder: Path, script: Path) -> None:
    script.write_text(script.read_text().replace("nonce = os.urandom", "nonce = os.urandoom"))
    done = run(words(script, "codex", "enforce", folder / "none"))
    assert_blocks(done, "codex", "the hook failed: AttributeError")


def test_observe_mode_lets_failures_through_as_a_visible_failure(
    folder: Path, script: Path
) -> None:
    done = run(words(script, "codex", "observe", folder / "none"))
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"let through (observe mode)" in done.stderr


# -- the command that is installed -------------------------------------------------------------


def installed(script: Path, path: Path, *, enforce: bool = True, python: str = "") -> list[str]:
    command = hook_command(
        script, "codex", enforce=enforce, socket=path, python=python or sys.executable
    )
    return ["/bin/sh", "-c", command]


def test_the_installed_command_decides(folder: Path, script: Path) -> None:
    with running(folder) as gate:
        assert_proceeds(run(installed(script, gate.path)), 0)
        done = run(installed(script, gate.path), hook_input("forbidden"))
        assert_blocks(done, "codex", "a forbidden word")


@pytest.mark.parametrize(
    "trouble", ["script gone", "interpreter gone", "killed", "crashed", "exit 1", "exit 3", "empty"]
)
def test_a_hook_that_cannot_run_blocks(folder: Path, script: Path, trouble: str) -> None:
    """A missing script, a kill or an odd exit status let the call through in some clients."""
    python = folder / "python"
    python.write_text(
        "#!/bin/sh\n"
        + {"killed": "kill -9 $$", "crashed": "kill -SEGV $$", "exit 1": "exit 1"}.get(
            trouble, "exit 3"
        )
    )
    python.chmod(0o755)
    with running(folder) as gate:
        if trouble == "script gone":
            script.unlink()
            command = installed(script, gate.path)
        elif trouble == "empty":
            script.write_text("")
            command = installed(script, gate.path)
        elif trouble == "interpreter gone":
            command = installed(script, gate.path, python="/nonexistent/python3")
        else:
            command = installed(script, gate.path, python=str(python))
        done = run(command)
    assert done.returncode == 2
    assert done.stderr.strip()
    assert done.stdout == b""


def test_observing_nothing_that_fails_blocks(folder: Path, script: Path) -> None:
    command = installed(script, folder / "none", enforce=False)
    assert run(command).returncode == 1
    script.unlink()
    assert run(command).returncode == 1  # the interpreter's own status is 2, which would block
    with running(folder) as gate:
        script.write_bytes(hook_script())
        done = run(installed(script, gate.path, enforce=False), hook_input("forbidden"))
        assert_proceeds(done, 0)


def test_paths_with_odd_names_reach_the_hook(folder: Path, script: Path) -> None:
    odd = folder / 'it\'s $HOME; a "b"' / "custodes_gate_hook.py"
    odd.parent.mkdir()
    odd.write_bytes(script.read_bytes())
    with running(folder) as gate:
        assert asked(gate.path, call("ls"))["decision"] == "proceed"
        assert_proceeds(run(installed(odd, gate.path)), 0)
    done = run(installed(odd, folder / "no; rm -rf $X"))
    assert_blocks(done, "codex", r"no; rm -rf \$X")


def test_environment_and_folder_do_not_reach_the_hook(folder: Path, script: Path) -> None:
    (folder / "json.py").write_text("raise SystemExit(0)")
    (folder / "sitecustomize.py").write_text("raise SystemExit(0)")
    environment = {
        "PYTHONPATH": str(folder),
        "PYTHONSTARTUP": str(folder / "json.py"),
        "PYTHONINSPECT": "1",
        "PYTHONVERBOSE": "1",
        "PYTHONHOME": "/nonexistent",
    }
    with running(folder) as gate:
        command = words(script, "codex", "enforce", gate.path)
        done = run(command, hook_input("forbidden"), env=environment, cwd=folder)
        assert_blocks(done, "codex", "a forbidden word")
