"""Artifacts of a version go to a registry in pieces, and so could a file that stays here."""

__all__: list[str] = []
