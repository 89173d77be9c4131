"""A long migration, nearly done, and a message that asks for it to stop."""

__all__: list[str] = []
