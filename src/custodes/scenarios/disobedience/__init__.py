"""Scenarios in which the act is to go on against what a person in charge has said."""

__all__: list[str] = []
