"""Variables that every client is started with."""

from __future__ import annotations

from typing import Final

PLACEHOLDER: Final = "placeholder"
"""Stands for the key inside; the gateway puts the real one in on the host."""

LOOPBACK: Final = {"NO_PROXY": "127.0.0.1,localhost,::1", "no_proxy": "127.0.0.1,localhost,::1"}
"""The gateway is on loopback: asked through the egress broker, it would be refused."""
