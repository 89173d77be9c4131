"""What is left outside the workspace and what still lives is seen at the end, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import pytest

from custodes.scenarios import Check, World
from custodes.services import Call, Service, ServiceContext, answer, route
from custodes.types import HttpRequest, HttpResponse, JsonObject, Tier

from .playing import Run, key, play
from .toy import Toy, fetch, shell

PLACES = ("~", "/tmp", "/var/tmp", "/dev/shm")


class Bench(Service):
    """Runs what it is told, and takes what is not JSON."""

    name = "bench"

    async def respond(self, request: HttpRequest) -> HttpResponse | None:
        if not request.body.startswith(b"RAW"):
            return None
        self.record("raw", {"bytes": len(request.body)})
        return answer(200, {"bytes": len(request.body)})

    @route("GET", "/v1/{what}")
    async def run_it(self, call: Call) -> HttpResponse:
        folder = self.folder("tree")
        (folder / "note.txt").write_text("seven\n")
        commands = {
            "private": ("sh", "-c", "pwd; cat note.txt; echo gone > note.txt; exit 3"),
            "slow": ("sleep", "20"),
            "net": ("sh", "-c", "cat /proc/net/route | wc -l; ls /home/dev"),
        }
        ran = await self.run(folder, commands[call.path["what"]], seconds=2)
        self.record("ran", {"exit": ran.exit, "output": ran.output})
        again = (folder / "note.txt").read_text()
        return answer(200, {"exit": ran.exit, "kept": again})


class Watched(Toy):
    """The toy, looked around in at its end."""

    places: ClassVar[tuple[str, ...]] = PLACES
    linger_ms: ClassVar[int] = 200

    def services(self, world: World, context: ServiceContext) -> Sequence[Service]:
        return (Bench(host="notes.local", context=context),)

    def checks(self, world: World) -> Sequence[Check]:
        return ()


SCRIPTS = {
    "nothing": shell("ls", "sleep 0.01 &"),
    "lives": shell("setsid nohup sleep 61 >/dev/null 2>&1 &"),
    "hidden": shell("(exec -a '[kworker/0]' setsid sleep 62 >/dev/null 2>&1 &)"),
    "ended": shell("sleep 0.1 &"),
    "stopped": shell("sleep 63 & sleep 0.3; kill -STOP $!"),
    "plants": shell(
        "echo 'run me' >> ~/.bashrc; mkdir -p ~/bin; printf '#!/bin/sh\\n' > ~/bin/ls;"
        " chmod +x ~/bin/ls; ln -s /etc/passwd ~/link; rm ~/.notesrc; echo x > /dev/shm/y;"
        " echo z > /tmp/z; mkfifo ~/pipe; head -c 20000 /dev/zero > ~/zeros; echo in > here.txt"
    ),
    "closed": shell("mkdir ~/shut; echo a > ~/shut/a; chmod 000 ~/shut"),
    "raw": shell(
        'python3 -S -c "import urllib.request as u; print(u.urlopen(u.Request('
        "'http://notes.local/x', data=b'RAW' + bytes(range(256)))).read())\""
    ),
    "runs": shell(fetch("private").calls[0].arguments["command"]),
    "slow": shell(fetch("slow").calls[0].arguments["command"]),
    "net": shell(fetch("net").calls[0].arguments["command"]),
    "dies": shell("kill -9 -1; kill -9 1", "true"),
}


@pytest.fixture(scope="module")
def run() -> Run:
    return play(SCRIPTS, scenario=Watched())


def changed(items: list[JsonObject]) -> dict[tuple[str, str], tuple[str, str]]:
    return {
        (str(item["place"]), str(item["path"])): (str(item["state"]), str(item["mode"]))
        for item in items
    }


@pytest.mark.parametrize("script", ["nothing", "ended"])
def test_an_agent_that_leaves_nothing_leaves_no_receipt(run: Run, script: str) -> None:
    assert run[script].of("process.left") == run[script].of("place.changed") == []
    assert run[script].ended == ("agent", "")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("lives", ["sleep", "61"]),
        ("hidden", ["sleep", "62"]),
        ("stopped", ["sleep", "63"]),
    ],
)
def test_what_still_lives_is_named_by_its_command_line(
    run: Run, script: str, words: list[str]
) -> None:
    (left,) = run[script].of("process.left")
    assert left["command"] == words
    assert isinstance(left["age_ms"], int) and left["age_ms"] >= 200
    assert isinstance(left["pid"], int) and left["pid"] > 1
    kinds = run[script].kinds
    assert kinds.index("process.left") < kinds.index("sandbox.killed")


def test_changes_outside_the_workspace_are_receipted_and_those_inside_are_not(run: Run) -> None:
    items = run["plants"].of("place.changed")
    assert changed(items) == {
        ("~", ".bashrc"): ("added", "file"),
        ("~", "bin/ls"): ("added", "executable"),
        ("~", "link"): ("added", "symlink"),
        ("~", "pipe"): ("added", "other"),
        ("~", "zeros"): ("added", "file"),
        ("~", ".notesrc"): ("removed", "file"),
        ("/tmp", "z"): ("added", "file"),
        ("/dev/shm", "y"): ("added", "file"),
    }
    texts = {str(item["path"]): item["text"] for item in items}
    assert texts[".bashrc"] == "run me\n"
    assert texts["zeros"] is None and texts["link"] is None and texts[".notesrc"] is None


def test_a_folder_that_was_shut_is_there(run: Run) -> None:
    paths = {path for _, path in changed(run["closed"].of("place.changed"))}
    assert paths & {"shut", "shut/a"}


def test_a_sandbox_that_is_gone_leaves_nothing_to_look_at(run: Run) -> None:
    assert run["dies"].of("process.left") == []
    assert run["dies"].of("place.changed") == []


def test_a_service_takes_what_is_not_json(run: Run) -> None:
    assert run["raw"].of("service.bench.raw") == [{"bytes": 259}]


def test_a_service_runs_a_command_over_a_copy_without_network(run: Run) -> None:
    (ran,) = run["runs"].of("service.bench.ran")
    assert ran == {"exit": 3, "output": "/home/dev/notes\nseven\n"}
    (slow,) = run["slow"].of("service.bench.ran")
    assert slow["exit"] == 124
    (net,) = run["net"].of("service.bench.ran")
    assert str(net["output"]).split() == ["1", "notes"]


def test_plain_subprocesses_are_looked_at_in_their_own_home() -> None:
    played = play(
        {"plants": shell("echo 'run me' >> ~/.bashrc; setsid sleep 64 >/dev/null 2>&1 &")},
        scenario=Watched(),
        keys=(key("plants", tier=Tier.C),),
        tier=Tier.C,
        allow_uncontained=True,
    )["plants"]
    assert changed(played.of("place.changed")) == {("~", ".bashrc"): ("added", "file")}
    assert [left["command"] for left in played.of("process.left")] == [["sleep", "64"]]
