"""What of a configuration is copied, where to, and what is said of the rest."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from custodes.clients import ClientError, Copied, Preset
from custodes.clients._copy import copy_configuration
from custodes.clients._copy_walk import LARGEST

FOLDERS = {
    "claude-code": ".claude",
    "codex": ".codex",
    "gemini-cli": ".gemini",
    "opencode": ".config/opencode",
    "mini-swe-agent": ".config/mini-swe-agent",
    "command": ".agent",
}


def preset(name: str) -> Preset:
    """All that a copy asks of a preset."""
    return cast(Preset, SimpleNamespace(name=name, config_folder=FOLDERS[name]))


def laid(home: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    return home


def copied(home: Path, name: str = "claude-code", **more: Any) -> Copied:
    return copy_configuration(preset(name), home / FOLDERS[name], **more)


HOOK = """\
#!/usr/bin/env python3
\"\"\"Refuses commands that touch the release branch.\"\"\"
import json
import sys

call = json.load(sys.stdin)
command = call["tool_input"].get("command", "")
max_tokens = 4096
for number, word in enumerate(command.split()):
    if word == "release/2024.1" or word.startswith("--force-with-lease"):
        print(f"token {number} is not allowed", file=sys.stderr)
        sys.exit(2)
"""

ORDINARY: dict[str, str] = {
    ".claude/CLAUDE.md": (
        "# House rules\n\nPasswords and tokens never go into the repository; ask for the secret in"
        " the vault.\nRun `make test PYTEST_FLAGS=-x` before each commit. See docs/adr/0012-keys.md"
        ".\nAPI docs: https://docs.example/v2/reference?page=3#auth\n"
    ),
    ".claude/agents/auth-reviewer.md": (
        "---\nname: auth-reviewer\ndescription: Reviews authentication code\ntools: Read, Grep\n"
        "model: claude-opus-4-20250514\n---\nLook for missing checks of tokens and sessions.\n"
    ),
    ".claude/hooks/guard.py": HOOK,
    ".claude/commands/fix-issue.md": "Fix issue $ARGUMENTS. Then run `npm test`.\n",
    ".claude/output-styles/terse.md": "Answer in one line.\n",
    ".claude/skills/pdf/SKILL.md": "---\nname: pdf\n---\nUse pdftotext -layout FILE.\n",
}
SETTINGS = {
    "model": "claude-sonnet-4-5-20250929",
    "permissions": {
        "allow": ["Bash(npm run test:*)", "Read(~/.zshrc)", "mcp__github__get_issue"],
        "deny": ["Bash(curl:*)", "Read(./.env)", "Read(./secrets/**)"],
        "defaultMode": "acceptEdits",
        "additionalDirectories": ["../docs"],
    },
    "env": {
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "32000",
        "BASH_DEFAULT_TIMEOUT_MS": "120000",
        "ANTHROPIC_MODEL": "claude-sonnet-4-5-20250929",
        "MAX_MCP_OUTPUT_TOKENS": "25000",
        "EDITOR": "vim",
    },
    "hooks": {
        "PreToolUse": [
            {
                "matcher": "Bash|Edit",
                "hooks": [{"type": "command", "command": "python3 ~/.claude/hooks/guard.py"}],
            }
        ]
    },
    "apiKeyHelper": "~/.claude/hooks/guard.py",
    "enabledPlugins": {"formatter@company-tools": True},
    "sandbox": {"enabled": True, "network": {"allowedDomains": ["registry.example"]}},
    "cleanupPeriodDays": 20,
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = laid(tmp_path / "mira", ORDINARY)
    (home / ".claude" / "settings.json").write_text(json.dumps(SETTINGS), "utf-8")
    return home


def test_an_ordinary_configuration_is_copied_as_it_is(home: Path) -> None:
    copy = copied(home)
    assert copy.replaced == ()
    assert copy.left_out == ()
    assert json.loads(copy.files[".claude/settings.json"]) == SETTINGS
    texts = {name: content.decode() for name, content in copy.files.items()}
    assert {name: texts[name] for name in ORDINARY} == ORDINARY
    assert set(texts) == {*ORDINARY, ".claude/settings.json"}


def test_the_home_may_be_named_instead_of_the_folder_in_it(home: Path) -> None:
    assert copy_configuration(preset("claude-code"), home) == copied(home)


def test_no_folder_is_an_empty_copy_and_a_missing_one_an_error(tmp_path: Path) -> None:
    empty = copy_configuration(preset("claude-code"), None)
    assert (empty.files, empty.replaced, empty.left_out) == ({}, (), ())
    with pytest.raises(ClientError, match="expected a folder of configuration, found none"):
        copied(tmp_path)


def test_history_credentials_and_state_are_left_out_with_their_reason(home: Path) -> None:
    laid(
        home,
        {
            ".claude/.credentials.json": "{}",
            ".claude/history.jsonl": "",
            ".claude/projects/-srv-app/1.jsonl": "",
            ".claude/todos/1.json": "",
            ".claude/shell-snapshots/s.sh": "",
            ".claude/statsig/id": "",
            ".claude/debug/1.txt": "",
            ".claude/settings.json.lock": "",
            ".claude/novel-thing.dat": "",
        },
    )
    assert copied(home).left_out == (
        "credentials: .credentials.json",
        "history and transcripts: history.jsonl, projects, shell-snapshots, todos",
        "not known to be configuration: novel-thing.dat",
        "state, caches and logs: debug, settings.json.lock, statsig",
    )


def test_many_files_left_out_for_one_reason_are_one_line(home: Path) -> None:
    laid(home, {f".claude/x{n:03}.dat": "" for n in range(300)})
    (line,) = copied(home).left_out
    assert line == (
        "not known to be configuration: x000.dat, x001.dat, x002.dat, x003.dat and 296 more"
    )


@pytest.mark.parametrize(
    ("name", "file", "content", "credentials"),
    [
        ("codex", "config.toml", 'model = "gpt-5"\n', "auth.json"),
        ("gemini-cli", "settings.json", "{}", "oauth_creds.json"),
        ("opencode", "opencode.jsonc", "{}", "auth.json"),
        ("mini-swe-agent", "mine.yaml", "agent:\n  mode: yolo\n", "credentials.json"),
        ("command", "agent.toml", "x = 1\n", "tokens.json"),
    ],
)
def test_each_client_has_its_own_folder(
    tmp_path: Path, name: str, file: str, content: str, credentials: str
) -> None:
    folder = FOLDERS[name]
    laid(tmp_path, {f"{folder}/{file}": content, f"{folder}/{credentials}": '{"a": "b"}'})
    copy = copied(tmp_path, name)
    assert list(copy.files) == [f"{folder}/{file}"]
    assert copy.left_out == (f"credentials: {credentials}",)


def test_a_secret_is_replaced_and_its_place_named(tmp_path: Path) -> None:
    key = "sk-ant-" + "api03-" + "a1B2" * 12
    laid(
        tmp_path,
        {
            ".codex/config.toml": f"""
model = "gpt-5" # the key was {key}
[mcp_servers.git]
command = "git-mcp"
args = ["--token", "tulip"]
env = {{ PASSWORD = "kite", LOG_LEVEL = "debug" }}
[model_providers.own]
env_key = "OWN_API_KEY"
base_url = "https://models.example/v1"
http_headers = {{ "X-Org" = "9f8a7b6c5d4e3f2a1b0c" }}
[profiles.careful]
approval_policy = "untrusted"
""",
        },
    )
    copy = copied(tmp_path, "codex")
    tree = tomllib.loads(copy.files[".codex/config.toml"].decode())
    assert tree == {
        "model": "gpt-5",
        "mcp_servers": {
            "git": {
                "command": "git-mcp",
                "args": ["--token", "placeholder"],
                "env": {"PASSWORD": "placeholder", "LOG_LEVEL": "debug"},
            }
        },
        "model_providers": {
            "own": {
                "env_key": "OWN_API_KEY",
                "base_url": "https://models.example/v1",
                "http_headers": {"X-Org": "placeholder"},
            }
        },
        "profiles": {"careful": {"approval_policy": "untrusted"}},
    }
    assert set(copy.replaced) == {
        ".codex/config.toml: mcp_servers.git.args[1]: telling option",
        ".codex/config.toml: mcp_servers.git.env.PASSWORD: telling name",
        ".codex/config.toml: model_providers.own.http_headers.X-Org: variable or header",
    }


@pytest.mark.parametrize(
    ("value", "put"),
    [
        ("ghp_" + "a1B2c3D4e5" * 4, "ghp_placeholder"),
        ("Bearer " + "z1Y2x3W4v5" * 4, "Bearer placeholder"),
        ("eyJhbGciOi1J9.eyJzdWIiOiIxMjM0.a1B2c3D4e5f6", "eyJhbGciOiJub25lIn0.e30.placeholder"),
        ("0f1e2d3c" * 4, "0" * 32),
        ("1f0a7b6c-5d4e-4f2a-9b0c-112233445566", "00000000-0000-4000-8000-000000000000"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----",
         "-----BEGIN PRIVATE KEY-----\nplaceholder\n-----END PRIVATE KEY-----"),
    ],
    ids=["github", "bearer", "jwt", "hex", "uuid", "pem"],
)  # fmt: skip
def test_a_placeholder_has_the_shape_of_the_secret(tmp_path: Path, value: str, put: str) -> None:
    laid(tmp_path, {".claude/settings.json": json.dumps({"a": {"apiKey": value}})})
    tree = json.loads(copied(tmp_path).files[".claude/settings.json"])
    assert tree["a"]["apiKey"].startswith(put)


def test_references_to_variables_stay(tmp_path: Path) -> None:
    servers = {
        "a": {"env": {"TOKEN": "${GITHUB_TOKEN}", "KEY": "$KEY"}},
        "b": {"headers": {"Authorization": "Bearer ${TOKEN}"}, "apiKey": "{env:MY_KEY}"},
    }
    laid(tmp_path, {".claude/settings.json": json.dumps({"mcpServers": servers})})
    copy = copied(tmp_path)
    assert json.loads(copy.files[".claude/settings.json"])["mcpServers"] == servers
    assert copy.replaced == ()


def test_paths_into_the_real_home_become_paths_into_the_synthetic_one(home: Path) -> None:
    hook = f"{home}/.claude/hooks/guard.py --log {home}/log"
    elsewhere = f"/srv{home}/x and {home}-old/y"
    settings = {"hooks": {"Stop": [{"command": hook}]}, "statusLine": "~/.claude/s", "n": elsewhere}
    laid(home, {".claude/settings.json": json.dumps(settings)})
    tree = json.loads(copied(home).files[".claude/settings.json"])
    assert tree["hooks"]["Stop"][0]["command"] == (
        "/home/dev/.claude/hooks/guard.py --log /home/dev/log"
    )
    assert tree["statusLine"] == "~/.claude/s"
    assert tree["n"] == elsewhere


def test_a_folder_that_was_moved_still_finds_its_hooks(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "settings.json").write_text(
        json.dumps({"statusLine": {"command": "/home/ana/.claude/line.sh"}}), "utf-8"
    )
    (tmp_path / "kept" / "line.sh").write_text("#!/bin/sh\necho ok\n", "utf-8")
    copy = copy_configuration(preset("claude-code"), tmp_path / "kept")
    assert b"/home/dev/.claude/line.sh" in copy.files[".claude/settings.json"]
    assert copy.left_out == ()


def test_a_hook_whose_program_is_elsewhere_is_said(home: Path) -> None:
    settings = {
        "hooks": {"PreToolUse": [{"hooks": [{"type": "command", "command": "/opt/policy/x -q"}]}]},
        "mcpServers": {"docs": {"command": "npx", "args": ["-y", "docs-mcp"]}},
    }
    laid(home, {".claude/settings.json": json.dumps(settings)})
    assert copied(home).left_out == (
        ".claude/settings.json: hooks.PreToolUse[0].hooks[0] names /opt/policy/x, which is not in"
        " the copy",
        ".claude/settings.json: mcpServers.docs is started by npx, which fetches it from a network",
    )


def test_a_script_that_a_hook_names_is_taken_wherever_it_lies(home: Path) -> None:
    settings = {"hooks": {"Stop": [{"command": f"{home}/.claude/odd/place/stop"}]}}
    laid(
        home,
        {
            ".claude/settings.json": json.dumps(settings),
            ".claude/odd/place/stop": "#!/bin/sh\nexit 0\n",
            ".claude/odd/place/other": "x",
        },
    )
    copy = copied(home)
    assert ".claude/odd/place/stop" in copy.files
    assert ".claude/odd/place/other" not in copy.files
    assert not any("which is not in the copy" in line for line in copy.left_out)


def test_naming_a_credentials_file_does_not_take_it(home: Path) -> None:
    settings = {"hooks": {"Stop": [{"command": "cat ~/.claude/.credentials.json"}]}}
    laid(home, {".claude/settings.json": json.dumps(settings), ".claude/.credentials.json": "{}"})
    copy = copied(home)
    assert ".claude/.credentials.json" not in copy.files
    assert "credentials: .credentials.json" in copy.left_out


def test_of_the_state_beside_the_folder_only_definitions_are_taken(home: Path) -> None:
    state = {
        "numStartups": 42,
        "userID": "f" * 64,
        "oauthAccount": {"emailAddress": "mira@example.org"},
        "mcpServers": {"git": {"command": "git-mcp"}},
        "projects": {
            "/srv/app": {"allowedTools": ["Bash(ls)"], "history": [{"display": "hello"}]},
            "/srv/other": {"allowedTools": ["WebFetch"]},
        },
    }
    laid(home, {".claude.json": json.dumps(state)})
    assert json.loads(copied(home).files[".claude.json"]) == {"mcpServers": state["mcpServers"]}
    with_project = copied(home, project=Path("/srv/app"))
    assert json.loads(with_project.files[".claude.json"]) == {
        "mcpServers": state["mcpServers"],
        "projects": {"/workspace": {"allowedTools": ["Bash(ls)"]}},
    }


def test_a_project_of_its_own_configuration_is_said_to_be_left_out(tmp_path: Path) -> None:
    laid(tmp_path, {"app/.claude/settings.json": "{}", "app/CLAUDE.md": "x"})
    (line,) = copy_configuration(preset("claude-code"), None, tmp_path / "app").left_out
    assert line.startswith("the project's own configuration")
    assert line.endswith("folder: .claude, CLAUDE.md")


def test_a_file_may_be_left_out_by_name(home: Path) -> None:
    copy = copied(home, without=["CLAUDE.md", "skills/*"])
    assert ".claude/CLAUDE.md" not in copy.files
    assert not any("skills" in name for name in copy.files)
    assert copy.left_out == ("left out by --without: CLAUDE.md, skills/pdf",)


def test_the_same_folder_gives_the_same_copy_and_a_change_another_digest(home: Path) -> None:
    first = copied(home)
    assert copied(home) == first
    (home / ".claude" / "CLAUDE.md").write_text("Other rules.\n", "utf-8")
    assert copied(home).digest != first.digest


def test_another_secret_in_the_same_place_is_the_same_configuration(tmp_path: Path) -> None:
    digests = set()
    for secret in ("ghp_" + "a1B2c3D4e5" * 4, "ghp_" + "Z9y8X7w6V5" * 4):
        laid(tmp_path, {".claude/settings.json": json.dumps({"env": {"TOKEN": secret}})})
        digests.add(copied(tmp_path).digest)
    assert len(digests) == 1


def test_nothing_is_written(home: Path) -> None:
    def state() -> dict[str, tuple[int, int]]:
        found = [home, *sorted(home.rglob("*"))]
        return {str(path): (path.stat().st_mtime_ns, path.stat().st_mode) for path in found}

    before = state()
    copied(home)
    assert state() == before


# --- hostile folders -----------------------------------------------------------------------------


def test_links_are_followed_inside_the_folder_only(home: Path, tmp_path: Path) -> None:
    outside = tmp_path / "elsewhere.md"
    outside.write_text("Not of this folder.\n", "utf-8")
    folder = home / ".claude"
    (folder / "shared" / "tdd").mkdir(parents=True)
    (folder / "shared" / "tdd" / "SKILL.md").write_text("Tests first.\n", "utf-8")
    (folder / "skills" / "out").symlink_to(tmp_path)
    (folder / "skills" / "none").symlink_to("nowhere")
    (folder / "skills" / "round").symlink_to("round")
    (folder / "skills" / "up").symlink_to("..")
    (folder / "skills" / "self").symlink_to("../skills")
    (folder / "commands" / "out.md").symlink_to(outside)
    (folder / "commands" / "copy.md").symlink_to("fix-issue.md")
    (folder / ".credentials.json").write_text("{}", "utf-8")
    (folder / "commands" / "login.md").symlink_to("../.credentials.json")
    copy = copied(home)
    assert copy.files[".claude/commands/copy.md"] == copy.files[".claude/commands/fix-issue.md"]
    assert not any("elsewhere" in name or b"Not of this" in copy.files[name] for name in copy.files)
    assert copy.left_out == (
        "a link in a circle: skills/self",
        "a link that leads out of the folder, or to nothing: commands/out.md, skills/out,"
        " skills/up",
        "cannot be read: skills/none, skills/round",
        "credentials: .credentials.json, commands/login.md",
        "not known to be configuration: shared",
    )


def test_what_is_no_file_is_left_out_without_waiting(home: Path) -> None:
    folder = home / ".claude"
    os.mkfifo(folder / "commands" / "fifo.md")
    os.mkfifo(folder / "settings.local.json")
    with (folder / "skills" / "huge.md").open("wb") as file:
        file.truncate(10 << 30)
    (folder / "skills" / "large.md").write_text("x" * (LARGEST + 1), "utf-8")
    copy = copied(home)
    assert copy.left_out == (
        "larger than 128 KiB: skills/huge.md, skills/large.md",
        "no regular file: commands/fifo.md, settings.local.json",
    )
    assert stat.S_ISFIFO((folder / "settings.local.json").stat().st_mode)


def test_names_that_are_no_text_are_one_line(home: Path) -> None:
    folder = home / ".claude" / "commands"
    (folder / "two\nlines.md").write_text("x", "utf-8")
    (folder / "red\x1b[31m.md").write_text("x", "utf-8")
    (Path(os.fsdecode(os.fsencode(folder) + b"/\xff\xfe.md"))).write_text("x", "utf-8")
    (line,) = copied(home).left_out
    assert line == "a name that is no plain text: " + ", ".join(["a name that is not shown"] * 3)


def test_what_cannot_be_read_is_one_line(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refusing(path: Any, flags: int, *args: Any, **more: Any) -> int:
        if path in ("guard.py", "skills"):
            raise PermissionError(13, "Permission denied")
        return real(path, flags, *args, **more)

    monkeypatch.setattr(os, "open", refusing)
    copy = copied(home)
    assert "cannot be read: hooks/guard.py, skills" in copy.left_out
    assert ".claude/settings.json" in copy.files


def test_folders_without_end_are_bounded(home: Path) -> None:
    deep = home / ".claude" / "commands"
    for _ in range(40):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "x.md").write_text("x", "utf-8")
    skills = home / ".claude" / "skills"
    for one in range(5):
        (skills / f"s{one}").mkdir()
        for other in range(5):
            (skills / f"s{one}" / f"l{other}").symlink_to(f"../s{other}")
    reasons = {line.partition(":")[0] for line in copied(home).left_out}
    assert reasons == {"deeper than 16 folders", "a link in a circle"}


@pytest.mark.slow
def test_a_hundred_thousand_files_are_a_few_lines(home: Path) -> None:
    for folder in ("projects", "commands", "."):
        root = home / ".claude" / folder
        root.mkdir(exist_ok=True)
        for number in range(34_000):
            (root / f"n{number:06}.md").touch()
    copy = copied(home)
    assert len(copy.files) <= 2000
    assert "history and transcripts: projects" in copy.left_out
    assert any(line.startswith("more than 2,000 files: ") for line in copy.left_out)
    assert len(copy.left_out) == 3
