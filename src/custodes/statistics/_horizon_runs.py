"""Task runs with their human lengths, checked and laid out as arrays."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Cheats = Literal["fail", "pass"]
Unscored = Literal["left out", "fail", "pass"]


class RunError(ValueError):
    """A record that cannot be used.

    Attributes:
        index: its place in the records, from 0, so that a reader can name file and line.
        other: the earlier record that it contradicts, or None.
    """

    def __init__(self, message: str, *, index: int, other: int | None = None) -> None:
        super().__init__(message)
        self.index = index
        self.other = other


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """One run of one agent on one task.

    Attributes:
        agent: who ran. task: what was run. family: tasks that resemble each other share it.
        human_minutes: how long the task takes a person; above 0, one length per task.
        score: in [0, 1], 1 is solved; None when the run was not scored, which is not 0.
        cheated: the score was reached in a way that the task does not mean.
        run_id: names the run; a second run with the same name is refused. None is not compared.
    """

    agent: str
    task: str
    family: str
    human_minutes: float
    score: float | None
    cheated: bool = False
    run_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HorizonRuns:
    """Runs as arrays; made by `from_records`, which checks them.

    Attributes:
        agents, tasks, families: names, in the order in which they were first seen.
        task_minutes, task_family: by task: human minutes, and the place in ``families``.
        run_agent, run_task: by run: places in ``agents`` and ``tasks``.
        run_score: by run, in [0, 1]; NaN where it was not scored.
        run_cheated: by run.
    """

    agents: tuple[str, ...]
    tasks: tuple[str, ...]
    families: tuple[str, ...]
    task_minutes: NDArray[np.float64]
    task_family: NDArray[np.int64]
    run_agent: NDArray[np.int64]
    run_task: NDArray[np.int64]
    run_score: NDArray[np.float64]
    run_cheated: NDArray[np.bool_]

    @classmethod
    def from_records(cls, records: Iterable[TaskRun]) -> HorizonRuns:
        """Check the records and lay them out.

        Raises:
            RunError: (a ValueError) an empty name, minutes that are not above 0 and finite, a
                score outside [0, 1], a task with two lengths or two families, a run named
                twice. Its ``index`` says which record.
            TypeError: a record that is no `TaskRun`.
            ValueError: no records.
        """
        import numpy as np

        agents: dict[str, int] = {}
        tasks: dict[str, int] = {}
        families: dict[str, int] = {}
        minutes: list[float] = []
        family_of: list[int] = []
        first_of: list[int] = []
        named: dict[str, int] = {}
        run_agent: list[int] = []
        run_task: list[int] = []
        scores: list[float] = []
        cheated: list[bool] = []
        for index, run in enumerate(records):
            _check(run, index)
            if run.run_id is not None:
                earlier = named.setdefault(run.run_id, index)
                if earlier != index:
                    raise RunError(
                        f"expected each run once, found run {run.run_id!r} twice",
                        index=index,
                        other=earlier,
                    )
            family = families.setdefault(run.family, len(families))
            task = tasks.setdefault(run.task, len(tasks))
            if task == len(minutes):
                minutes.append(float(run.human_minutes))
                family_of.append(family)
                first_of.append(index)
            elif minutes[task] != float(run.human_minutes):
                raise RunError(
                    f"expected one length per task, found {run.task!r} with {minutes[task]:g} "
                    f"minutes and {run.human_minutes:g}",
                    index=index,
                    other=first_of[task],
                )
            elif family_of[task] != family:
                known = tuple(families)[family_of[task]]
                raise RunError(
                    f"expected one family per task, found {run.task!r} in {known!r} and "
                    f"{run.family!r}",
                    index=index,
                    other=first_of[task],
                )
            run_agent.append(agents.setdefault(run.agent, len(agents)))
            run_task.append(task)
            scores.append(math.nan if run.score is None else float(run.score))
            cheated.append(run.cheated)
        if not run_agent:
            raise ValueError("expected at least one run, found none")
        return cls(
            agents=tuple(agents),
            tasks=tuple(tasks),
            families=tuple(families),
            task_minutes=np.array(minutes, dtype=np.float64),
            task_family=np.array(family_of, dtype=np.int64),
            run_agent=np.array(run_agent, dtype=np.int64),
            run_task=np.array(run_task, dtype=np.int64),
            run_score=np.array(scores, dtype=np.float64),
            run_cheated=np.array(cheated, dtype=np.bool_),
        )

    def scores(
        self, *, cheats: Cheats = "fail", unscored: Unscored = "left out"
    ) -> NDArray[np.float64]:
        """Each run's score with cheats and unscored runs counted as asked.

        A cheated run counts as 0 ("fail") or 1 ("pass") whatever was recorded, so that the two
        bound what it can mean. NaN marks what is left out.
        """
        import numpy as np

        values = self.run_score.copy()
        if unscored != "left out":
            values[np.isnan(values)] = float(unscored == "pass")
        values[self.run_cheated] = float(cheats == "pass")
        return values


def _check(run: object, index: int) -> None:
    if not isinstance(run, TaskRun):
        raise TypeError(f"expected records of TaskRun, found {run!r} at {index}")
    names: tuple[tuple[str, object], ...] = (
        ("agent", run.agent),
        ("task", run.task),
        ("family", run.family),
    )
    for name, text in names:
        if not isinstance(text, str) or not text.strip():
            raise RunError(f"expected a name of the {name}, found {text!r}", index=index)
    minutes = _number(run.human_minutes, "human_minutes", index)
    if not 0 < minutes < math.inf:
        raise RunError(
            f"expected human_minutes above 0 and finite, found {run.human_minutes!r}", index=index
        )
    if run.score is not None and not 0 <= _number(run.score, "a score", index) <= 1:
        raise RunError(
            f"expected a score within [0, 1], or None for not scored, found {run.score!r}",
            index=index,
        )
    if not isinstance(run.cheated, bool):
        raise RunError(f"expected cheated to be true or false, found {run.cheated!r}", index=index)


def _number(value: object, name: str, index: int) -> float:
    """A float; a truth value is one (solved or not), text is not."""
    if isinstance(value, (str, bytes)):
        raise RunError(f"expected {name} to be a number, found {value!r}", index=index)
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise RunError(f"expected {name} to be a number, found {value!r}", index=index) from None
