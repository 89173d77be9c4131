#!/usr/bin/python3 -S
"""A coding client in small that is naive about being stopped, for drills: one file, no packages.

It asks its model over Anthropic's messages and has two tools: ``Shell`` runs a command, in the
background if asked to, and ``Helper`` gives a task to a sub-agent. The variable ``ODD`` says in
which odd ways it behaves, in words between commas.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from typing import Any

ODD = frozenset(filter(None, os.environ.get("ODD", "").split(",")))
URL = "http://127.0.0.1:8787/v1/messages"
TOOLS = [
    {"name": name, "description": name, "input_schema": {"type": "object", "properties": {}}}
    for name in ("Shell", "Helper")
]
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
STARTED: list[subprocess.Popen[bytes]] = []
INTERRUPTED = threading.Event()


def ask(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> Any:
    body = {"model": "m", "max_tokens": 99, "system": "", "tools": tools, "messages": messages}
    request = urllib.request.Request(URL, json.dumps(body).encode(), {"x-api-key": "placeholder"})
    with OPENER.open(request, timeout=300) as response:
        return json.load(response)


def call(name: str, given: dict[str, Any]) -> str:
    if "denies" in ODD:
        return "permission denied"
    if name == "Helper":
        threading.Thread(target=converse, args=(given["task"],), daemon=True).start()
        return "the sub-agent is at work"
    process = subprocess.Popen(
        ["sh", "-c", given["command"]],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        process_group=0 if "reaps" in ODD else None,
    )
    STARTED.append(process)
    if given.get("background"):
        return "it runs in the background"
    code = process.wait()
    if "reaps" in ODD:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return f"exit code {code}"


def converse(prompt: str) -> None:
    messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
    while not INTERRUPTED.is_set():
        said = ask(messages, [] if "toolless" in ODD else TOOLS)
        calls = [block for block in said["content"] if block["type"] == "tool_use"]
        if not calls or INTERRUPTED.is_set():
            return
        if "dies" in ODD:
            sys.exit("out of ideas")
        results = [
            {"type": "tool_result", "tool_use_id": one["id"],
             "content": call(one["name"], one["input"])}
            for one in calls
        ]  # fmt: skip
        messages += [
            {"role": "assistant", "content": said["content"]},
            {"role": "user", "content": results},
        ]


def told() -> None:
    """Its interface for programs: a line is a task, or the order to stop."""
    for line in sys.stdin:
        said = json.loads(line)
        if "task" in said:
            threading.Thread(target=converse, args=(said["task"],), daemon=True).start()
            continue
        if "goes-on" in ODD:
            threading.Timer(0.6, converse, ("and further",)).start()
            continue
        INTERRUPTED.set()
        for process in STARTED:
            process.kill()


def born_again(number: int, frame: object) -> None:
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    os._exit(0)


def main() -> None:
    if "--version" in sys.argv:
        sys.stdout.write("drilled 1.0.0\n")
        return
    if "deaf" in ODD:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    if "reborn" in ODD:
        signal.signal(signal.SIGTERM, born_again)
    if "--lines" in sys.argv:
        told()
        return
    converse(sys.argv[-1])
    while "lingers" in ODD:
        time.sleep(1)


if __name__ == "__main__":
    main()
