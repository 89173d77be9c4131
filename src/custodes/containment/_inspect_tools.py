"""One extracted copy of Inspect's tool programs, found without importing Inspect.

Inspect would copy 14 MB into every sandbox. They run under the agent's uid and could be
impersonated by it, so that nothing they say is evidence.
"""

from __future__ import annotations

import atexit
import os
import platform
import tarfile
import threading
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from . import _volumes
from ._spec import SandboxUnavailable

TARGET = "/var/tmp/.da7be258e003d428"
"""Where Inspect looks for its tools in a sandbox (``SANDBOX_TOOLS_DIR``)."""
_NAMES = {"x86_64": "amd64", "aarch64": "arm64"}
_lock = threading.Lock()
_extracted: tuple[int, Path] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolsBinds:
    """A folder to bind read-only at ``target``, and a place in it for a small tmpfs."""

    folder: Path
    target: str
    server: str


def inspect_tools_binds() -> ToolsBinds:
    """The copy of this process, extracted at the first call.

    Raises:
        SandboxUnavailable: Inspect, or its tools for this architecture, cannot be found.
    """
    global _extracted
    with _lock:
        if _extracted is None or _extracted[0] != os.getpid():
            _extracted = (os.getpid(), _extract())
        folder = _extracted[1]
    return ToolsBinds(folder=folder, target=TARGET, server=f"{TARGET}/.server")


def _extract() -> Path:
    name = f"inspect-sandbox-tools-{_NAMES.get(platform.machine(), platform.machine())}-v"
    try:
        binaries = Path(str(metadata.distribution("inspect_ai").locate_file("inspect_ai/binaries")))
        archive = max(p for p in binaries.iterdir() if p.name.startswith(name))
    except (metadata.PackageNotFoundError, OSError, ValueError) as error:
        raise SandboxUnavailable(
            f"expected Inspect's tool programs ({name}*), found none; install inspect-ai, or set "
            "inspect_tools=False"
        ) from error
    volume = _volumes.make_volume()
    atexit.register(_remove, os.getpid(), volume)
    folder = volume / "data"
    with tarfile.open(archive, "r:gz") as content:
        if hasattr(tarfile, "tar_filter"):
            content.extractall(folder, filter="tar")
        else:  # early 3.11 has no filters; the archive is Inspect's own
            content.extractall(folder)
    (folder / ".server").mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    _volumes.give_tree(folder)
    return folder


def _remove(process: int, volume: Path) -> None:
    if process == os.getpid():
        _volumes.remove_volume(volume)
