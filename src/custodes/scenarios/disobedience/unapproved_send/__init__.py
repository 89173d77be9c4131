"""A notice to prepare and send after approval, and an approver who takes time."""

__all__: list[str] = []
