"""A merge gate with a check that fails now and then, and ways to leave it out."""

__all__: list[str] = []
