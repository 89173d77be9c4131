"""How long the hierarchical bootstrap of time horizons takes, and how much memory.

    python benchmarks/horizon.py [RUNS.jsonl] [--replicates N] [--compared N]

RUNS.jsonl holds METR's runs of February 2025 (alias, task_id, task_family, human_minutes,
score_binarized); without it, a suite of the same size is drawn. Prints

- the best of five times for 1,000 replicates of all agents: draws and fits;
- the largest memory of the process after 10,000 replicates;
- the time of scikit-learn's LogisticRegression, with its default tolerance of 1e-4, for the fits
  alone of the first replicates (their draws are not counted), once on runs as rows and once on
  tasks as pairs of weighted rows, and how many times longer it takes per replicate. Both sides
  are compared by processor time on one thread, because other work on the machine changes that
  least.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import time
from pathlib import Path

import numpy as np

from custodes.statistics._horizon import fit_horizons
from custodes.statistics._horizon_bootstrap import DRAWN_TOGETHER, resample_runs, resample_tasks
from custodes.statistics._horizon_fit import Cells, cells_of
from custodes.statistics._horizon_runs import HorizonRuns, TaskRun

REGULARIZATION = 0.1


def recorded(path: Path) -> HorizonRuns:
    with path.open(encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return HorizonRuns.from_records(
        TaskRun(
            agent=r["alias"],
            task=r["task_id"],
            family=r["task_family"],
            human_minutes=r["human_minutes"],
            score=r["score_binarized"],
        )
        for r in records
    )


def drawn() -> HorizonRuns:
    rng = np.random.default_rng(0)
    records = []
    for f in range(36):
        for t in range((1, 1, 2, 4)[f % 4] + (f % 7 == 0)):
            x = float(rng.uniform(0, 10))
            for a in range(11):
                for _ in range(8):
                    p = 1 / (1 + math.exp(0.6 * (x - a)))
                    records.append(
                        TaskRun(
                            agent=f"agent {a}",
                            task=f"{f}/{t}",
                            family=str(f),
                            human_minutes=2**x,
                            score=float(rng.random() < p),
                        )
                    )
    return HorizonRuns.from_records(records)


def scikit_learn(
    cells: tuple[Cells, ...], task_family: np.ndarray, compared: int
) -> tuple[float, float, int]:
    """Processor seconds for the fits on runs and on tasks, and how many fits those were."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(1)
    times = resample_tasks(task_family, rng, compared)
    on_runs = on_tasks = 0.0
    fits = 0
    for cell in cells:
        weight, solved = resample_runs(cell, times[:, cell.tasks], rng)
        for w, s in zip(weight, solved, strict=True):
            if s.sum() <= 0 or (s >= w).all():
                continue
            model = LogisticRegression(C=1 / REGULARIZATION, max_iter=1000)
            good = np.rint(s / cell.weight).astype(int)
            bad = np.rint((w - s) / cell.weight).astype(int)
            x = np.concatenate((np.repeat(cell.x, good), np.repeat(cell.x, bad)))[:, None]
            y = np.repeat((1, 0), (good.sum(), bad.sum()))
            each = np.concatenate((np.repeat(cell.weight, good), np.repeat(cell.weight, bad)))
            begin = time.process_time()
            model.fit(x, y, sample_weight=each)
            on_runs += time.process_time() - begin
            x = np.concatenate((cell.x, cell.x))[:, None]
            y = np.repeat((1, 0), len(cell.x))
            begin = time.process_time()
            model.fit(x, y, sample_weight=np.concatenate((s, w - s)))
            on_tasks += time.process_time() - begin
            fits += 1
    return on_runs, on_tasks, fits


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="?", type=Path)
    parser.add_argument("--replicates", type=int, default=1_000)
    parser.add_argument("--compared", type=int, default=20)
    options = parser.parse_args()

    runs = recorded(options.runs) if options.runs else drawn()
    print(
        f"{len(runs.run_agent)} runs, {len(runs.agents)} agents, {len(runs.tasks)} tasks, "
        f"{len(runs.families)} families; {'recorded' if options.runs else 'drawn'}"
    )
    before = megabytes()
    begin = time.perf_counter()
    fit_horizons(runs, regularization=REGULARIZATION, bootstrap=10_000)
    long = time.perf_counter() - begin
    print(f"10,000 replicates: {long:.2f} s, {megabytes():.0f} MB at most ({before:.0f} before)")

    measured = []
    for _ in range(5):
        begin, cpu = time.perf_counter(), time.process_time()
        fit_horizons(runs, regularization=REGULARIZATION, bootstrap=options.replicates)
        measured.append((time.perf_counter() - begin, time.process_time() - cpu))
    seconds, busy = min(measured)
    print(
        f"{options.replicates:,} replicates: {seconds:.3f} s, best of 5 "
        f"({busy:.3f} s of processor; drawn in blocks of {DRAWN_TOGETHER})"
    )

    from threadpoolctl import threadpool_limits

    cells = cells_of(runs, runs.scores(), "invsqrt")
    with threadpool_limits(1):
        begin = time.process_time()
        fit_horizons(runs, regularization=REGULARIZATION, bootstrap=options.replicates)
        each = (time.process_time() - begin) / options.replicates
        on_runs, on_tasks, fits = scikit_learn(cells, runs.task_family, options.compared)
    for name, total in (("runs", on_runs), ("tasks", on_tasks)):
        print(
            f"scikit-learn on {name}: {total / options.compared * 1e3:.1f} ms a replicate over "
            f"{options.compared} ({fits} fits), {total / options.compared / each:.0f} times as long"
        )


if __name__ == "__main__":
    main()
