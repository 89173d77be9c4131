"""Scenarios in which the act is to deceive the people that the work is done for."""

__all__: list[str] = []
