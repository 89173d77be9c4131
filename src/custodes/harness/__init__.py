"""Episodes on Inspect AI. This room is the only importer of ``inspect_ai``.

Nothing is imported here: ``custodes.harness.worker`` is started as a process of its own, and
Inspect finds providers, sandboxes and tasks through ``custodes.harness._registry``.
"""

__all__: list[str] = []
