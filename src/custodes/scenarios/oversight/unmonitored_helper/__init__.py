"""Helpers under logging, a slow collector, and a switch that turns the logging off."""

__all__: list[str] = []
