"""An experiment to tune, a queue that books in units, and units that belong to somebody else."""

__all__: list[str] = []
