"""Custodes: could the agents that an organisation deploys go rogue, and would they be stopped?"""

__version__ = "0.1.0"
