"""What of a client's configuration folder is configuration, and what is not."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Final

from ._copy_walk import Parts

TRANSCRIPTS: Final = "history and transcripts"
CREDENTIALS: Final = "credentials"
STATE: Final = "state, caches and logs"
UNKNOWN: Final = "not known to be configuration"

_CREDENTIALS: Final = re.compile(
    r"(?i)\.?credentials?(?:[-_.].*)?|auth\.json|oauth.*\.json|.*oauth[-_]?(?:creds|tokens?).*"
    r"|.*accounts\.json|.*tokens?\.(?:json|txt|ya?ml|toml)|.*cookies?(?:\.\w+)?|login data"
    r"|.*\.(?:pem|key|p12|pfx|jks|kdbx|keychain(?:-db)?|keystore|asc|gpg|ppk|crt|cer|der)"
    r"|id_(?:rsa|dsa|ecdsa|ed25519)(?:[-_.].*)?|\.netrc|_netrc|\.npmrc|\.pypirc|\.pgpass"
    r"|\.git-credentials|.*secrets?\.(?:json|txt|ya?ml|toml)|(?:api[-_]?)?keys?(?:\.(?:json|txt))?"
    r"|.*passwords?(?:\.\w+)?|\.aws|\.ssh|\.gnupg|\.docker|\.kube"
)
_STATE: Final = re.compile(
    r"(?i).*\.(?:log|lock|pid|sock|db|sqlite\d?(?:[-.].*)?|db-(?:wal|shm)|bak|backup\S*|orig|swp"
    r"|tmp|old)|.*~|\.git|\.hg|\.svn|\.venv|venv|node_modules|__pycache__|\.ds_store|.*\.pyc"
    r"|installation_id|statsig|telemetry|logs?|debug|tmp|te?mp|\.cache"
)
_TRANSCRIPTS: Final = re.compile(
    r"(?i).*\.jsonl|.*history.*|.*transcripts?|(?:archived[-_])?sessions?(?:\.\w+)?|chats?"
    r"|conversations?|todos|shell[-_]snapshots|session-env|.*\.traj(?:\.json)?"
)
_SCRIPTS: Final = ("*.sh", "*.bash", "*.zsh", "*.py", "*.js", "*.mjs", "*.cjs", "*.ts", "*.rb",
                   "*.pl")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How a client lays out its configuration.

    Attributes:
        taken: patterns of what stands at the top: names of files, and of folders with a ``/``.
        transcripts, state: names at the top that are what they say, for the report.
    """

    taken: tuple[str, ...]
    transcripts: tuple[str, ...] = ()
    state: tuple[str, ...] = ()

    def why_not(self, path: Parts, is_folder: bool) -> str | None:
        """Why an entry is not copied; None when it is."""
        top, name = path[0], path[-1]
        if len(path) == 1:
            if name in self.transcripts:
                return TRANSCRIPTS
            if name in self.state:
                return STATE
        if not is_folder and _CREDENTIALS.fullmatch(name):
            return CREDENTIALS
        if is_folder and name.lower() in (".ssh", ".aws", ".gnupg", ".kube", ".docker"):
            return CREDENTIALS
        inside_cache = len(path) > 1 and path[:2] == ("plugins", "cache")
        if _STATE.fullmatch(name) and not inside_cache:
            return STATE
        if len(path) > 1:
            known = any(p[-1] == "/" and fnmatchcase(top, p[:-1]) for p in self.taken)
        else:
            wanted = f"{name}/" if is_folder else name
            known = any(fnmatchcase(wanted, pattern) for pattern in self.taken)
        if _TRANSCRIPTS.fullmatch(name) and not (known and name.endswith((".md", *_ENDINGS))):
            return TRANSCRIPTS
        return None if known else UNKNOWN


_ENDINGS: Final = tuple(pattern[1:] for pattern in _SCRIPTS)

_CLAUDE: Final = Layout(
    taken=(
        "settings.json", "settings.local.json", "managed-settings.json", "CLAUDE.md",
        "CLAUDE.local.md", "AGENTS.md", ".mcp.json", "mcp.json", "managed-mcp.json",
        "keybindings.json", "agents/", "skills/", "commands/", "output-styles/", "hooks/",
        "scripts/", "bin/", "rules/", "workflows/", "plugins/", *_SCRIPTS,
    ),
    transcripts=("projects", "history.jsonl", "todos", "tasks", "plans", "shell-snapshots",
                 "file-history", "session-env", "sessions", "teams", "paste-cache"),
    state=("statsig", "debug", "logs", "cache", "ide", "backups", "telemetry", "usage-data",
           "stats-cache.json", "downloads", "local"),
)  # fmt: skip
_CODEX: Final = Layout(
    taken=(
        "config.toml", "*.config.toml", "managed_config.toml", "requirements.toml", "hooks.json",
        "AGENTS.md", "AGENTS.override.md", "instructions.md", "prompts/", "rules/", "skills/",
        "agents/", "hooks/", "scripts/", "plugins/", "memories/", *_SCRIPTS,
    ),
    transcripts=("history.jsonl", "sessions", "archived_sessions", "shell_snapshots"),
    state=("log", "version.json", "models_cache.json", "internal_storage.json", "tmp", "cache",
           ".personality_migration"),
)  # fmt: skip
_GEMINI: Final = Layout(
    taken=(
        "settings.json", "system-defaults.json", "GEMINI.md", "AGENTS.md", "memory.md", ".env",
        "trustedFolders.json", "mcp-server-enablement.json", "keybindings.json", "extensions/",
        "commands/", "policies/", "skills/", "agents/", "hooks/", "scripts/", *_SCRIPTS,
    ),
    transcripts=("history", "tmp", "antigravity"),
    state=("state.json", "projects.json", "installation_id", "google_accounts.json"),
)  # fmt: skip
_OPENCODE: Final = Layout(
    taken=(
        "opencode.json", "opencode.jsonc", "config.json", "tui.json", "tui.jsonc", "AGENTS.md",
        "CLAUDE.md", "package.json", "agent/", "agents/", "command/", "commands/", "mode/",
        "modes/", "plugin/", "plugins/", "tool/", "tools/", "skill/", "skills/", "theme/",
        "themes/", "prompts/", "rules/", *_SCRIPTS,
    ),
)  # fmt: skip
_MINI: Final = Layout(taken=("*.yaml", "*.yml", ".env", "*.md", "*.txt", *_SCRIPTS))
_OTHER: Final = Layout(
    taken=(
        "*.json", "*.jsonc", "*.toml", "*.yaml", "*.yml", "*.md", "*.txt", "*.ini", "*.cfg",
        "*.conf", ".env", "config/", "conf/", "agents/", "commands/", "hooks/", "policies/",
        "prompts/", "rules/", "scripts/", "skills/", "tools/", *_SCRIPTS,
    ),
)  # fmt: skip
_LAYOUTS: Final[Mapping[str, Layout]] = MappingProxyType(
    {
        "claude-code": _CLAUDE,
        "codex": _CODEX,
        "gemini-cli": _GEMINI,
        "opencode": _OPENCODE,
        "mini-swe-agent": _MINI,
    }
)


def layout_of(preset: str) -> Layout:
    """The layout of a client by the name of its preset; what is unknown is taken by suffix."""
    return _LAYOUTS.get(preset, _OTHER)
