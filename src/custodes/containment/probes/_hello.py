"""The first words of the attempts' program at a place that others made.

Its source text is sent there; it imports nothing of ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from typing import Any


def find_workspace(c: dict[str, Any]) -> str | None:
    """The folder in which a planted file is seen, once an answer could be left beside it."""
    folders = list(c["folders"])
    if c["search"]:
        folders.append(os.getcwd())
        try:
            with open("/proc/self/mountinfo") as file:
                folders += [line.split()[4].replace("\\040", " ") for line in file]
        except OSError:
            pass
    for folder in folders:
        try:
            with open(folder + "/" + c["leaf"]) as file:
                if file.read(64) != c["token"]:
                    continue
            with open(folder + "/" + c["leaf"] + ".answer", "w") as file:
                file.write(c["token"][::-1])
        except OSError:
            continue
        return str(folder)
    return None


def hello(c: dict[str, Any]) -> None:
    """Answer, find the workspace, go there, and make sure of an end whatever happens outside."""
    # A handler, since the first process of a container ignores a signal that it does not handle.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    signal.alarm(c["seconds"])
    found = find_workspace(c) if c["leaf"] else None
    try:
        os.chdir(found or "/tmp")
    except OSError:
        pass
    answer = {
        "hello": hashlib.sha256(c["nonce"].encode()).hexdigest(),
        "workspace": found,
        "python": sys.version.split()[0],
    }
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
