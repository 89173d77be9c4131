# ruff: noqa: E501, UP031 - the planted files read better as they are
"""Secrets of all kinds in all places: what a copy of a configuration must not contain."""

from __future__ import annotations

import base64
import gzip
import json
import os
import random
import string
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

_ANY = string.ascii_letters + string.digits


@dataclass
class Planted:
    """A folder with secrets.

    Attributes:
        secrets: what must not be found, by where it was planted.
        kept: words that must be found, so that an empty copy proves nothing.
    """

    folder: Path
    secrets: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)


def _token(dice: random.Random, size: int, letters: str = _ANY) -> str:
    # At least three digits, spread: an issuer's alphabet has them.
    word = [dice.choice(letters) for _ in range(size)]
    for at in range(2, size, 5):
        word[at] = dice.choice(string.digits)
    return "".join(word)


def _jwt(dice: random.Random) -> str:
    return ".".join(("eyJ" + _token(dice, 24), "eyJ" + _token(dice, 60), _token(dice, 43)))


def _uuid(dice: random.Random) -> str:
    word = "".join(dice.choice("0123456789abcdef") for _ in range(32))
    return "-".join((word[:8], word[8:12], word[12:16], word[16:20], word[20:]))


KINDS: dict[str, Callable[[random.Random], str]] = {
    "anthropic": lambda d: "sk-ant-api03-" + _token(d, 80),
    "openai": lambda d: "sk-proj-" + _token(d, 48),
    "github": lambda d: "ghp_" + _token(d, 36),
    "github-fine": lambda d: "github_pat_" + _token(d, 60),
    "gitlab": lambda d: "glpat-" + _token(d, 20),
    "slack": lambda d: "xoxb-" + _token(d, 12, string.digits) + "-" + _token(d, 24),
    "aws-id": lambda d: "AKIA" + _token(d, 16, string.ascii_uppercase),
    "aws-secret": lambda d: _token(d, 40),
    "google": lambda d: "AIza" + _token(d, 35),
    "hf": lambda d: "hf_" + _token(d, 34),
    "npm": lambda d: "npm_" + _token(d, 36),
    "jwt": _jwt,
    "hex": lambda d: "".join(d.choice("0123456789abcdef") for _ in range(40)),
    "uuid": _uuid,
    "random": lambda d: _token(d, 24),
}


def plant(folder: Path, seed: int) -> Planted:
    """A Claude Code configuration with about 300 secrets in about 40 kinds of place."""
    dice = random.Random(seed)
    planted = Planted(folder)
    folder.mkdir(parents=True)

    def secret(where: str, kind: str) -> str:
        value = KINDS[kind](dice)
        planted.secrets[f"{where} ({kind})"] = value
        return value

    def word(where: str, value: str) -> str:
        value = f"{value}{dice.randrange(100, 999)}"
        planted.secrets[where] = value
        return value

    def path(name: str) -> Path:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        return target

    servers: dict[str, object] = {}
    for kind in KINDS:
        label = f"srv-{kind}"
        whole = secret("args split in two", kind) if kind in ("anthropic", "openai", "npm") else ""
        servers[label] = {
            "command": "/opt/tools/server",
            "args": [
                "--verbose",
                "--token",
                secret("args after an option", kind),
                f"--api-key={secret('args with =', kind)}",
                "-e",
                f"SERVICE_TOKEN={secret('args -e', kind)}",
                "--plain",
                secret("args under a harmless option", kind),
                "-H",
                f"Authorization: Bearer {secret('args header', kind)}",
                *((whole[:9], whole[9:]) if whole else ()),
            ],
            "env": {
                "API_KEY": secret("env", kind),
                "LABEL": secret("env under a harmless name", kind),
                "DATABASE": f"postgres://app:{secret('URL password', kind)}@db.example:5432/x",
                "MODE": "production",
            },
            "headers": {
                "Authorization": f"Bearer {secret('bearer', kind)}",
                "X-Custom": secret("headers", kind),
                "Cookie": f"sid={secret('cookie', kind)}; theme=dark",
            },
            "url": f"https://mcp.example/{kind}?token={secret('URL query', kind)}",
        }
    settings = {
        "model": "claude-sonnet-4-5-20250929",
        "permissions": {"allow": ["Bash(npm run test:*)", "Read(~/notes/**)"], "deny": ["WebFetch"]},
        "env": {"MAX_THINKING_TOKENS": "8000", "DEPLOY_PASSWORD": word("a word of a password", "swordfish")},
        "nested": {"a": [{"b": {"c": [[secret("nested lists", "random")]]}}]},
        secret("a key", "github"): {"note": "a key that is a secret"},
        "pairs": [{"name": "STRIPE_SECRET", "value": word("name and value", "tulip")}],
        "password": word("short password", "kite"),
        "pinCode": 48151623,
        "apiKey": base64.b64encode(word("base64 under a telling name", "lantern").encode()).decode(),
        "note": "see " + base64.b64encode(
            f"token={secret('base64 in prose', 'github')}".encode()).decode(),
        "escaped": "x",
        "hooks": {"PreToolUse": [{"matcher": "Bash", "hooks": [
            {"type": "command", "command": "~/.claude/hooks/check.sh --strict"},
            {"type": "command", "command": "/opt/policy/guard --key " + secret("hook command", "hf")},
        ]}]},
        "mcpServers": servers,
    }  # fmt: skip
    planted.secrets["a number under pinCode"] = "48151623"
    escaped = secret("escaped in JSON", "openai")
    text = json.dumps(settings, indent=1).replace(
        '"escaped": "x"', '"escaped": "' + "".join(f"\\u{ord(c):04x}" for c in escaped) + '"'
    )
    text = text.replace("{", "{ // rotate " + secret("comment in JSONC", "gitlab") + "\n", 1)
    path("settings.json").write_text(text, "utf-8")
    planted.kept += ["claude-sonnet-4-5-20250929", "Bash(npm run test:*)", "production", "8000"]

    again = planted.secrets["a word of a password"]
    path("CLAUDE.md").write_text(
        f"""# How we work
Run the tests before each commit.
The staging login is {again}, ask Mira.
API key: {secret('prose', 'random')}
curl -u deploy:{word('curl -u', 'hunter')} https://ci.example/
curl -H 'X-Api-Key: {secret('curl header', 'uuid')}' https://ci.example/
<!-- {secret('HTML comment', 'slack')} -->
export GITLAB_TOKEN={secret('export in prose', 'gitlab')}
reversed elsewhere, see https://x:{secret('URL with user', 'random')}@git.example/r.git
""", "utf-8")  # fmt: skip
    planted.kept.append("Run the tests before each commit.")
    path("hooks/check.sh").write_text(
        f"""#!/bin/bash
# key {secret('shell comment', 'anthropic')}
TOKEN="{secret('shell variable', 'random')}"
export PGPASSWORD={word('PGPASSWORD', 'orchid')}
cat > /tmp/c <<'EOF'
[default]
aws_access_key_id = {secret('here-document', 'aws-id')}
aws_secret_access_key = {secret('here-document', 'aws-secret')}
EOF
curl --data "api_key={secret('form data', 'hex')}" https://x.example
mysql -u root -p{word('mysql -p', 'Maple!')} app
echo {base64.b64encode(word('echo into base64', 'pumpkin').encode()).decode()} | base64 -d
gh""p_split
python3 - <<'PY'
conn = connect(password='{word('Python call', 'harbour')}')
PY
exit 0
""", "utf-8")  # fmt: skip
    path("hooks/key.py").write_text(
        "KEY = '''-----BEGIN RSA PRIVATE KEY-----\n"
        + "\n".join(secret(f"PEM line {n}", "aws-secret") for n in range(4))
        + "\n-----END RSA PRIVATE KEY-----'''\n"
        f"client = Client(secret={word('Python argument', 'walnut')!r})\n"
        f"x = {base64.b64encode(secret('base64 in code', 'anthropic').encode()).decode()!r}\n"
        f"y = {secret('hex in code', 'github').encode().hex()!r}\n", "utf-8")  # fmt: skip
    value = planted.secrets["hex in code (github)"]
    path("agents/reviewer.md").write_text(
        f"---\nname: reviewer\ntoken: {secret('front matter', 'random')}\n---\nReview. {value}\n", "utf-8")  # fmt: skip
    planted.kept.append("name: reviewer")
    path("commands/deploy.yaml").write_text(
        f"""deploy:
  password: {word('YAML', 'rosebud')}
  steps: [build, test]
  list:
    - api_key: {secret('YAML list', 'uuid')}
  block: |
    token={secret('YAML block', 'random')}
  # {secret('YAML comment', 'hf')}
""", "utf-8")  # fmt: skip
    path("skills/db/config.toml").write_text(
        f"""name = "db" # {secret('TOML comment', 'npm')}
[auth]
user = "app"
value = "{word('TOML within auth', 'violet')}"
[http]
headers = {{ X-Key = "{secret('TOML inline table', 'random')}" }}
text = '''
password = {word('TOML text', 'crocus')}
'''
""", "utf-8")  # fmt: skip
    path("skills/db/.env").write_text(
        f"# {secret('.env comment', 'openai')}\nDB_PASS={word('.env', 'heron')}\n"
        f"export X_LABEL='{secret('.env label', 'random')}'\nLOG_LEVEL=debug\n", "utf-8")  # fmt: skip
    path("skills/db/blob.bin").write_bytes(b"\0\1" + secret("binary", "aws-secret").encode())
    path("skills/db/wide.md").write_bytes(("token " + secret("UTF-16", "random")).encode("utf-16"))
    path("skills/db/note.gz").write_bytes(gzip.compress(secret("gz", "hf").encode()))
    path("skills/db/latin.md").write_bytes(b"\xe9 token=" + secret("Latin-1", "hf").encode())
    path("skills/db/broken.json").write_text('{"token": "' + secret("broken JSON", "slack") + '"', "utf-8")  # fmt: skip
    path("skills/db/encoded.md").write_text(
        "plain words %s and %s\n" % (
            planted.secrets["prose (random)"][::-1],
            base64.b64encode(b"ab" + planted.secrets["short password"].encode() + b"cd").decode(),
        ), "utf-8")  # fmt: skip
    path(f"commands/run-{secret('file name', 'github')}.md").write_text("Run it.\n", "utf-8")
    path(f"junk-{secret('name of what is left out', 'slack')}").write_text("x", "utf-8")
    os.symlink("/vault/" + secret("target of a link", "npm"), path("commands/out.md"))
    (folder / "vault.txt").write_text(secret("behind a link", "random"), "utf-8")
    os.symlink("../.credentials.json", path("commands/creds.md"))
    path(".credentials.json").write_text(json.dumps({"accessToken": secret("credentials", "anthropic")}))  # fmt: skip
    path("projects/-workspace/s.jsonl").write_text(secret("transcript", "anthropic"), "utf-8")
    path("history.jsonl").write_text(secret("history", "github"), "utf-8")
    path("plugins/cache/m/p/1.0/.mcp.json").write_text(
        json.dumps({"mcpServers": {"p": {"command": "npx", "args": ["-y", "p"],
                    "env": {"P_TOKEN": secret("plugin", "gitlab")}}}}), "utf-8")  # fmt: skip
    (folder.parent / ".claude.json").write_text(
        json.dumps({
            "oauthAccount": {"emailAddress": "a@b.example", "accountUuid": secret("account", "uuid")},
            "userID": secret("telemetry id", "hex"),
            "customApiKeyResponses": {"approved": [secret("approved key", "random")]},
            "mcpServers": {"user": {"type": "http", "url": "https://mcp.example/sse", "headers": {
                "Authorization": "Bearer " + secret("user's server", "jwt")}}},
            "projects": {"/srv/app": {"history": [secret("prompts", "random")]}},
        }), "utf-8")  # fmt: skip
    return planted
