"""Agents that run inside and think outside: over Inspect's bridge, and through the broker.

Over the bridge the model's answers come from the evaluation; through the broker from a model server
that asks for a key, which the broker adds. Neither way is there a key inside.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import os
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from inspect_ai.agent import AgentState, sandbox_agent_bridge
from inspect_ai.solver import Generate, Solver, TaskState, solver
from inspect_ai.util import sandbox

from custodes.containment import (
    AllowRule,
    Broker,
    BrokerLog,
    Credential,
    EgressPolicy,
    Sandbox,
    SandboxSpec,
    Upstream,
    verify_broker_log,
)

from .inspect_eval import Seen, call, evaluate, own_tools, says, scripted
from .test_inspect_tools import gone

__all__ = ["own_tools"]

AGENT = """
import json, os, subprocess, time, urllib.error, urllib.request
def ask(request):
    for _ in range(300):  # as every client library does: the bridge may still be coming up
        try:
            with urllib.request.urlopen(request, timeout=30) as reply:
                return json.load(reply)
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError:
            time.sleep(0.1)
    raise SystemExit("no model")
base, messages = os.environ["OPENAI_BASE_URL"], [{"role": "user", "content": "Count the files."}]
tools = [{"type": "function", "function": {"name": "shell", "description": "Runs a command.",
    "parameters": {"type": "object", "properties": {"command": {"type": "string"}},
                   "required": ["command"]}}}]
while True:
    body = json.dumps({"model": "inspect", "messages": messages, "tools": tools}).encode()
    headers = {"Content-Type": "application/json", "Authorization": "Bearer none-of-its-own"}
    reply = ask(urllib.request.Request(base + "/chat/completions", body, headers))
    message = reply["choices"][0]["message"]
    messages.append(message)
    if not message.get("tool_calls"):
        break
    for call in message["tool_calls"]:
        command = json.loads(call["function"]["arguments"])["command"]
        said = subprocess.run(command, shell=True, capture_output=True, text=True).stdout
        messages.append({"role": "tool", "tool_call_id": call["id"], "content": said})
print(message["content"])
"""


# -- over Inspect's bridge -------------------------------------------------------------------------


@solver
def bridges(seen: Seen, heard: dict[str, object], *, leaves: bool) -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        box = seen.note()
        await sandbox().write_file("agent.py", AGENT)
        async with sandbox_agent_bridge(AgentState(messages=state.messages)) as bridge:
            done = await sandbox().exec(
                ["python3", "agent.py"],
                env={"OPENAI_BASE_URL": f"http://localhost:{bridge.port}/v1"},
                timeout=60,
            )
            heard["agent"] = (done.returncode, done.stdout, done.stderr)
            heard["turns"] = [message.role for message in bridge.state.messages]
            if leaves:
                heard["receipt"] = (await box.kill()).verified
        return state

    return solve


@pytest.mark.slow
def test_an_agent_inside_thinks_over_inspects_bridge(tmp_path: Path) -> None:
    seen = Seen()
    heard: dict[str, object] = {}
    model = scripted(call("shell", command="touch made && ls | wc -l"), says("There are some."))
    log = evaluate(bridges(seen, heard, leaves=False), model, tmp_path)
    assert log.error is None, log.error.message
    assert heard["agent"] == (0, "There are some.\n", "")
    assert heard["turns"] == ["user", "assistant", "tool", "assistant"]
    assert gone(seen)


@pytest.mark.slow
def test_a_kill_under_a_bridge_ends_the_agent_and_the_sample(tmp_path: Path) -> None:
    seen = Seen()
    heard: dict[str, object] = {}
    log = evaluate(bridges(seen, heard, leaves=True), scripted(says("Hello.")), tmp_path)
    assert heard["agent"] == (0, "Hello.\n", "")
    assert heard["receipt"] is True
    # That the bridge found its sandbox gone is an error of this sample, said as such.
    assert log.status == "success" or "sandbox" in str(log.error)
    assert gone(seen)


# -- through the broker ----------------------------------------------------------------------------

MODEL_HOST = "api.model.example"
PORT = 3128


@dataclass
class ModelServer:
    """Answers chat completions over TLS to whoever has the key, as a provider's server does."""

    key: str
    answers: Sequence[dict[str, Any]]
    certificate: bytes = b""
    port: int = 0
    authorised: list[str] = field(default_factory=list)
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        body = await reader.readexactly(int(length.group(1)) if length else 0)
        shown = re.search(r"authorization: (.*)\r\n", head, re.IGNORECASE)
        self.authorised.append(shown.group(1) if shown else "")
        reply: dict[str, Any]
        if self.authorised[-1] != f"Bearer {self.key}":
            status, reply = "401 Unauthorized", {"error": f"bad key {self.authorised[-1]}"}
        elif head.startswith("GET /v1/whoami "):
            status, reply = "200 OK", {"key": self.key}
        else:
            self.asked.append(json.loads(body))
            message = {"role": "assistant", **self.answers[len(self.asked) - 1]}
            status, reply = "200 OK", {"choices": [{"message": message}]}
        data = json.dumps(reply).encode()
        writer.write(
            f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(data)}\r\n\r\n".encode()
            + data
        )
        await writer.drain()
        writer.close()


def own_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for the model's host, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, MODEL_HOST)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(MODEL_HOST)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "certificate.key"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return paths


@asynccontextmanager
async def serving(server: ModelServer, folder: Path) -> AsyncIterator[ssl.SSLContext]:
    """The server on the loopback; gives what a client needs to trust it."""
    certificate, key = own_certificate(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = await asyncio.start_server(server.answer, "127.0.0.1", 0, ssl=context)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield ssl.create_default_context(cafile=str(certificate))
    finally:
        listening.close()


async def only_here(host: str, port: int) -> Sequence[str]:
    assert host == MODEL_HOST
    return ["127.0.0.1"]


LOOKS_FOR = """
import os, subprocess, sys
needle = sys.stdin.buffer.read().strip()
places = []
for name, value in os.environb.items():
    if needle in name + b"=" + value:
        places.append("environment")
for root, _, files in os.walk("/proc"):
    if root.count("/") > 3 and not root.endswith("/fd"):
        continue
    for file in files:
        if file in {"environ", "cmdline", "maps", "mountinfo", "keys", "key-users"}:
            try:
                if needle in open(os.path.join(root, file), "rb").read(1 << 20):
                    places.append("proc " + file)
            except OSError:
                pass
found = subprocess.run(
    ["grep", "-rIlFs", "-f", "-"]
    + ["/etc", "/home", "/tmp", "/var", "/run", "/workspace", "/dev/shm"],
    input=needle + b"\\n", stdout=subprocess.PIPE, timeout=60,
).stdout.decode().split()
print(sorted({*places, *found}))
"""


def test_the_broker_adds_the_key_of_a_model_api_and_nothing_inside_has_it(tmp_path: Path) -> None:
    key = "sk-" + secrets.token_hex(24)
    marker = "mk-" + secrets.token_hex(24)
    server = ModelServer(
        key,
        [
            {
                "content": None,
                "tool_calls": [
                    {
                        "id": "1",
                        "type": "function",
                        "function": {
                            "name": "shell",
                            "arguments": json.dumps({"command": "touch made; ls /workspace"}),
                        },
                    }
                ],
            },
            {"content": "Two."},
        ],
    )
    log = BrokerLog(tmp_path / "net.jsonl")

    async def story() -> None:
        async with serving(server, tmp_path) as trust:
            broker = Broker(
                handlers={},
                policy=EgressPolicy(
                    allow=(AllowRule(host=MODEL_HOST, port=server.port, path_prefix="/v1"),),
                    networks=("127.0.0.1/32",),
                ),
                record=log,
                canaries={"model key": key},
                upstream=Upstream(
                    resolve=only_here,
                    credentials={MODEL_HOST: Credential(value=f"Bearer {key}")},
                    tls=trust,
                ),
            )
            proxy = f"http://127.0.0.1:{PORT}"
            base = f"http://{MODEL_HOST}:{server.port}/v1"
            environment = {"http_proxy": proxy, "OPENAI_BASE_URL": base, "MARKER": marker}
            async with await Sandbox.start(SandboxSpec(environment=environment)) as box:
                await broker.serve(await box.listen(PORT))
                await box.write_file("/workspace/agent.py", AGENT.encode())
                await box.write_file("/workspace/marker", marker.encode())
                done = await box.exec(["python3", "agent.py"], timeout=60)
                assert (done.returncode, done.stdout) == (0, b"Two.\n"), done.stderr
                # A server that tells the key is not heard.
                asks = f"import urllib.request as u; u.urlopen('{base}/whoami')"
                told = await box.exec(["python3", "-c", asks], timeout=60)
                assert b"HTTP Error 502" in told.stderr
                for needle, places in (
                    (key, b"[]\n"),
                    (marker, b"['/workspace/marker', 'environment', 'proc environ']\n"),
                ):
                    looked = await box.exec(
                        ["python3", "-c", LOOKS_FOR], input=needle.encode(), timeout=120
                    )
                    assert looked.stdout == places, (looked.stdout, looked.stderr)
            await broker.close()

    os.environ["MODEL_KEY_OF_THE_HARNESS"] = key
    try:
        asyncio.run(story())
    finally:
        del os.environ["MODEL_KEY_OF_THE_HARNESS"]
    # The key that the agent made up was replaced, and it heard what its command said.
    assert server.authorised == [f"Bearer {key}"] * 3
    assert server.asked[1]["messages"][-1]["content"] == "agent.py\nmade\nmarker\n"
    verified = verify_broker_log(log.path, expected=log.close())
    carried = [data for kind, data in verified.events if kind == "net.request"]
    assert [data["reason"] for data in carried] == ["ok", "ok", "credential_reflected"]
    assert all(data["canaries"] == [] for data in carried)
    assert key.encode() not in log.path.read_bytes()
