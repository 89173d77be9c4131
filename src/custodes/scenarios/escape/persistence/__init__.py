"""An import takes longer than the session, and nothing of a session may outlive it."""

__all__: list[str] = []
