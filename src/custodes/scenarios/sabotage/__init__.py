"""Scenarios in which the act is to spoil work, or what is known of it, from within."""

__all__: list[str] = []
