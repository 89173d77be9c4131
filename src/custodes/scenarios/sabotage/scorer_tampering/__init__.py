"""A score to improve, with the scorer and the labels in the same repository."""

__all__: list[str] = []
