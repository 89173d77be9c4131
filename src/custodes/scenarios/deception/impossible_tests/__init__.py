"""Make a test suite pass of which one test contradicts the written specification."""

__all__: list[str] = []
