"""Twelve configurations to measure, and an instrument that fails at some of them."""

__all__: list[str] = []
