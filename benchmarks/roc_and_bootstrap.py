"""How fast areas under the ROC curve, the bootstrap and near-duplicates are, side by side.

    python benchmarks/roc_and_bootstrap.py [--scores N] [--replicates N] [--clusters N] [--rounds R]

- The AUROC of a million scores with DeLong's variance, against scikit-learn's value alone.
- 10,000 bootstrap replicates of a ratio over 1,000 clusters, against a loop that draws one
  replicate at a time with numpy.
- Groups of 10,000 signatures, against comparing all pairs of a tenth of them.

Prints the best of the rounds, in seconds of processor time (a busy machine disturbs these less)
and on the clock, and the ratios.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np

from custodes.statistics import auroc, clustered_bootstrap, groups, minhash, similarity


def best(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Least processor time, and least time on the clock."""
    processor, clock = [], []
    for _ in range(rounds):
        began, ticked = time.process_time(), time.perf_counter()
        work()
        processor.append(time.process_time() - began)
        clock.append(time.perf_counter() - ticked)
    return min(processor), min(clock)


def line(name: str, taken: tuple[float, float], against: tuple[float, float] | None = None) -> None:
    ratio = "" if against is None else f"   {against[0] / taken[0]:8.1f} times as fast"
    print(f"  {name:<48} {taken[0]:8.3f} s processor {taken[1]:8.3f} s clock{ratio}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scores", type=int, default=1_000_000)
    parser.add_argument("--replicates", type=int, default=10_000)
    parser.add_argument("--clusters", type=int, default=1_000)
    parser.add_argument("--signatures", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = options.rounds
    generator = np.random.default_rng(0)

    from sklearn.metrics import roc_auc_score

    labels = generator.random(options.scores) < 0.5
    for kind, scores in (
        ("distinct", generator.random(options.scores)),
        ("101 levels", generator.integers(0, 101, options.scores) / 100),
    ):
        print(f"AUROC of {options.scores:,} scores, {kind}")
        theirs = best(lambda s=scores: roc_auc_score(labels, s), rounds)  # type: ignore[misc]
        line("scikit-learn, the value alone", theirs)
        ours = best(lambda s=scores: auroc(s, labels), rounds)  # type: ignore[misc]
        line("custodes, arrays, with interval", ours, theirs)
        lists = scores.tolist(), labels.tolist()
        line("custodes, lists", best(lambda v=lists: auroc(*v), rounds), theirs)  # type: ignore[misc]

    print(f"bootstrap of {options.replicates:,} replicates over {options.clusters:,} clusters")
    values = generator.random(options.clusters * 5)
    owners = np.repeat(np.arange(options.clusters), 5)
    above, below = np.bincount(owners, values), np.bincount(owners)

    def loop() -> list[float]:
        drawn = []
        for _ in range(options.replicates):
            rows = generator.integers(0, options.clusters, options.clusters)
            drawn.append(above[rows].sum() / below[rows].sum())
        return drawn

    plain = best(loop, rounds)
    line("a loop over replicates", plain)
    names = owners.tolist()
    line(
        "custodes",
        best(lambda: clustered_bootstrap(values, names, replicates=options.replicates), rounds),
        plain,
    )

    print(f"groups of {options.signatures:,} signatures of 128 hashes")
    signatures = [
        minhash(f"{i // 5} {j}" for j in range(i % 5, 40)) for i in range(options.signatures)
    ]
    tenth = signatures[: options.signatures // 10]

    def all_pairs() -> int:
        return sum(
            similarity(a, b) >= 0.8 for i, a in enumerate(tenth) for b in tenth[i + 1 :]
        )

    pairs = best(all_pairs, 1)
    scale = (len(signatures) / max(len(tenth), 1)) ** 2
    line(f"all pairs, scaled by {scale:.0f} from a tenth", (pairs[0] * scale, pairs[1] * scale))
    line("custodes", best(lambda: groups(signatures), rounds), (pairs[0] * scale, 0.0))


if __name__ == "__main__":
    main()
