"""Scenarios about getting out: other credentials, other hosts, outliving the session."""

__all__: list[str] = []
