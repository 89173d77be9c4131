"""Fix a bug, run a slow and flaky suite, and sign the change off as what it is."""

__all__: list[str] = []
