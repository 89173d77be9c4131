"""Episodes that no worker ran: records, sealed shards and results, made up to the last byte."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from custodes.case import Case, EvidenceStore
from custodes.runs import Episode, Plan, Results, Shard, SubjectView, WorkerResult, seal
from custodes.types import (
    Answer,
    Cell,
    Completion,
    EpisodeKey,
    EpisodeRecord,
    EvidenceRef,
    FileState,
    JsonObject,
    Level,
    Moment,
    Observation,
    Outcome,
    Question,
    Reason,
    ReasonCode,
    Receipt,
    Sha256,
    Snapshot,
    Tier,
    sha256_of,
)

FORM: JsonObject = {
    "summary": "Done.",
    "checks": [],
    "deviations": [],
    "access": [],
    "notes": "",
    "declined": True,
}
STATE = Snapshot(files={"a.txt": FileState(mode="file", size=1, sha256=sha256_of(b"a"), text="a")})


def receipt(at: int, kind: str, **data: object) -> Receipt:
    """A host receipt at a microsecond."""
    return Receipt(
        origin="host",
        kind=kind,
        at=Moment(step=1, host_us=at),
        data=data,  # type: ignore[arg-type]
    )


def record(key: EpisodeKey, *, by: str = "agent", form: JsonObject | None = FORM) -> EpisodeRecord:
    """An agent that made one call and handed in its form."""
    receipts = [
        receipt(1, "episode.started", tier="A"),
        receipt(2, "tool.call", call="c1", name="bash"),
        receipt(3, "tool.result", call="c1", parsed=True, error=""),
        receipt(4, "form.filed", sha256=sha256_of(b"form")),
        receipt(5, "episode.ended", by=by, detail="limit" if by == "limit" else ""),
    ]
    return EpisodeRecord(
        key=key,
        observation=Observation(receipts=tuple(receipts), before=STATE, after=STATE),
        completion=Completion(form=form, text="Über fertig ✓", finished=True),
        sample=key.digest[:16],
    )


def left_by_worker(
    folder: Path,
    shard: Shard,
    records: Iterable[EpisodeRecord | bytes] | None = None,
    *,
    problem: str | None = None,
    failures: Mapping[str, str] | None = None,
) -> WorkerResult:
    """The folder that a worker leaves: a closed log, the records, and what failed."""
    folder.mkdir(parents=True)
    log: Path | None = None
    if problem is None:
        log = folder / "log.eval"
        with zipfile.ZipFile(log, "w") as archive:
            archive.writestr("header.json", json.dumps({"shard": shard.id}))
    with (folder / "records.jsonl").open("wb") as out:
        for item in [record(key) for key in shard.keys] if records is None else records:
            line = item if isinstance(item, bytes) else json.dumps(item.to_json()).encode()
            out.write(line + b"\n")
    (folder / "failures.json").write_text(json.dumps(failures or {}), encoding="utf-8")
    return WorkerResult(shard=shard, folder=folder, log=log, problem=problem)


def seal_all(case: Case, shards: Iterable[Shard], scratch: Path, *, attempt: int = 1) -> None:
    """Seal shards as if workers had run them."""
    for number, shard in enumerate(shards):
        folder = scratch / f"{attempt}-{number}"
        seal(case, left_by_worker(folder, shard), attempt)


def first(plan: Plan) -> Shard:
    """The plan's first shard."""
    return plan.shards[0]


# Results without a case

A_CELL = "none-off"


def evidence(folder: Path) -> EvidenceRef:
    """A reference to bytes that are there."""
    return EvidenceStore(folder / "evidence").put(b"what was seen")


def episode(
    ref: EvidenceRef,
    answers: Mapping[Question, bool | None],
    *,
    cell: Cell,
    subject: str = "s",
    seed: int = 1,
    repeat: int = 0,
    scenario: str = "escape/canary_credential",
    level: Level = Level.EXPLICIT,
    twin: str = "base",
) -> Episode:
    """An episode with these answers; None is unmeasurable."""
    broken = Reason(code=ReasonCode.LIMIT, detail="turns: 30")
    said = {
        question: Answer(value=None, reason=broken)
        if value is None
        else Answer(value=value, evidence=(ref,))
        for question, value in answers.items()
    }
    key = EpisodeKey(
        scenario=scenario,
        major=1,
        cell=cell,
        level=level,
        twin=twin,
        subject=sha256_of(subject.encode()),
        safeguards=sha256_of(b""),
        tier=Tier.A,
        seed=seed,
        repeat=repeat,
    )
    return Episode(
        outcome=Outcome(key=key, asked=frozenset(said), answers=said, times={}),
        subject=subject,
        event=1,
        log="logs/x.eval",
        log_sha256=sha256_of(b"x"),
        sample="x",
        observation=ref,
        completion=ref,
        before=ref,
        after=ref,
    )


def results(
    episodes: Sequence[Episode],
    *,
    model: str = "openai/x",
    role: str = "subject",
    not_run: int = 0,
    probes: JsonObject | None = None,
    drills: JsonObject | None = None,
) -> Results:
    """What a case with these episodes reads back as."""
    policy = model.removeprefix("reference/") if model.startswith("reference/") else None
    names = dict.fromkeys([e.subject for e in episodes] or ["s"])
    return Results(
        plan=None,
        subjects=tuple(
            SubjectView(
                id=name,
                role=role,
                model=model,
                digest=sha256_of(name.encode()),
                policy=policy,
                description=None,
                elicitation=None,
            )
            for name in names
        ),
        episodes=tuple(episodes),
        attempts={},
        planned=len(episodes) + not_run,
        probes=probes,
        drills=drills,
        measurements={},
        environment=None,
        plans=1,
        head=Sha256("0" * 64),
        events=1,
        first_at=1,
        last_at=1,
    )


def renamed(shard: Shard, name: str) -> Shard:
    """The shard of a subject that the case calls otherwise."""
    return replace(shard, subject=replace(shard.subject, id=name))
