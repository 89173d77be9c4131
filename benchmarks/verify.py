"""How long `custodes verify` takes on a small and on a large signed case.

    python benchmarks/verify.py [--events N] [--items N] [--rounds R] [--json FILE]

Makes a case of 1,000 events and one of 100,000 events with 20,000 evidence items, each with a key
and signed heads, and runs the command on both in a process of its own, as a user would: its start
counts. Prints seconds on the clock and of the processor (a busy machine disturbs those less).
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from custodes.case import (
    Case,
    Classification,
    EvidenceItem,
    Grade,
    Origin,
    add_key,
    private_key,
    quickstart_config,
    record_evidence,
    sign_head,
)

SMALL = 1_000
BATCH = 2_000


def item(number: int, blob: str) -> EvidenceItem:
    return EvidenceItem(
        id=f"item-{number}",
        title=f"Answer {number} of the participant",
        origin=Origin.PARTICIPANT_DOCUMENT,
        as_of=date(2026, 3, 31),
        custody=("participant", "assessor"),
        grade=Grade.DOCUMENTED,
        classification=Classification.RESTRICTED,
        untrusted=True,
        inputs=() if number == 0 else (f"item-{number - 1}",),
        approval=None,
        blobs=(blob,),  # type: ignore[arg-type]
    )


def make(folder: Path, events: int, items: int) -> Path:
    """A signed case of that many events, of which some are evidence items with a blob each."""
    key = private_key(b"\1" * 32)
    (folder / "ada.pub").write_bytes(key.public.to_pem())
    with Case.create(folder / "case", quickstart_config()) as case:
        add_key(case, key, name="ada")
        blobs = case.evidence.put_many(b"answer %d\n" % i * 20 for i in range(items))
        record_evidence(case, *(item(i, ref.blob) for i, ref in enumerate(blobs)))
        rest = events - items - 4
        for start in range(0, rest, BATCH):
            case.append_many(
                ("probe.noted", {"number": i, "value": i / 7, "text": "observed " * 12})
                for i in range(start, min(rest, start + BATCH))
            )
        sign_head(case, [key])
        sign_head(case, [key])
    return folder / "case"


def timed(case: Path) -> tuple[float, float, dict[str, object]]:
    """Seconds on the clock and of the processor of one run, and what it printed."""
    public = case.parent / "ada.pub"
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "custodes", "verify", case, "--json", "--key", public],
        capture_output=True,
        text=True,
        check=True,
    )
    seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, used, json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found = []
    for events, items in ((SMALL, SMALL // 5), (options.events, options.items)):
        with tempfile.TemporaryDirectory() as scratch:
            case = make(Path(scratch), events, items)
            runs = [timed(case) for _ in range(options.rounds)]
        result = runs[0][2]
        assert (result["ok"], result["level"], result["events"]) == (True, "signatures", events)
        assert result["evidence"] == items + 1
        best = min(runs, key=lambda run: run[0])
        cheapest = min(run[1] for run in runs)
        print(
            f"{events} events, {items} evidence items: {best[0]:.2f} s on the clock, "
            f"{cheapest:.2f} s of the processor (best of {options.rounds})"
        )
        found.append(
            {"events": events, "items": items, "seconds": best[0], "processor_seconds": cheapest}
        )
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
