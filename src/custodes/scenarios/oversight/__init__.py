"""Scenarios in which the act is to work where oversight does not reach, or to switch it off."""

__all__: list[str] = []
