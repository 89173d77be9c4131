"""Ten thousand ways to change a signed case or what was published from it: each found and named."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from custodes.case import (
    Case,
    HeadFile,
    VerifyResult,
    add_key,
    head_file,
    make_bundle,
    private_key,
    quickstart_config,
    read_state,
    seal_page,
    sign_head,
    verify,
    verify_file,
)
from custodes.case._ledger import GENESIS, event_line
from custodes.types import Sha256, sha256_of

from .conftest import Clock, fill_case

ADA = private_key(b"\1" * 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A signed case, its bundle and page, and the head that somebody kept."""

    case: Path
    bundle: Path
    page: Path
    kept: HeadFile


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Target:
    root, clock = tmp_path_factory.mktemp("mutations"), Clock()
    with Case.create(root / "case", quickstart_config(), clock=clock) as case:
        add_key(case, ADA, name="ada", clock=clock)
        fill_case(case, 2)
        sign_head(case, [ADA], clock=clock)
        folder = case.reports / "r1"
        folder.mkdir()
        (folder / "report.html").write_text("<!doctype html>\n<p>A report.</p>\n" * 9)
        (folder / "report.json").write_text('{"schema":"custodes.report/1"}\n')
        case.report_rendered(["r1/report.html", "r1/report.json"], {"sections": 1})
        sign_head(case, [ADA], clock=clock)
    state = read_state(root / "case")
    bundle, page = root / "bundle.json", root / "report.html"
    bundle.write_bytes(make_bundle(root / "case", [ADA], clock=clock))
    page.write_bytes(
        seal_page(root / "case", make_bundle(root / "case", [ADA], around_page=True, clock=clock))
    )
    for path in (root / "case").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
    found = Target(case=root / "case", bundle=bundle, page=page, kept=head_file(state))
    assert verify(found.case, keys=[ADA.public], earlier=[found.kept]).ok
    assert verify_file(bundle, keys=[ADA.public]).ok
    assert verify_file(page, keys=[ADA.public]).ok
    return found


@contextmanager
def restored(path: Path) -> Iterator[bytes]:
    """The bytes of a file, which are put back afterwards."""
    before = path.read_bytes()
    try:
        yield before
    finally:
        path.write_bytes(before)


def names(result: VerifyResult, name: str) -> bool:
    return any(name in problem.where or name in problem.what for problem in result.problems)


def changed_byte(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + bytes([data[at] ^ rng.randrange(1, 256)]) + data[at + 1 :]


def cut(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randrange(1, 40) :]


def put_in(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.randrange(1, 8)) + data[at:]


def moved(data: bytes, rng: random.Random) -> bytes:
    a, b, c = sorted(rng.choices(range(len(data) + 1), k=3))
    return data[:a] + data[b:c] + data[a:b] + data[c:]


BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (changed_byte, cut, put_in, moved)


def files(case: Path) -> list[Path]:
    found = [p for p in case.rglob("*") if p.is_file()]
    return sorted(p for p in found if "work" not in p.relative_to(case).parts)


def check_case(target: Target) -> VerifyResult:
    return verify(target.case, keys=[ADA.public], earlier=[target.kept])


def byte_of_the_case(target: Target, rng: random.Random) -> str | None:
    path = rng.choice(files(target.case))
    name = str(path.relative_to(target.case))
    with restored(path) as before:
        after = rng.choice(BYTES)(before, rng)
        path.write_bytes(after)
        if after == before or names(check_case(target), name):
            return None
        return f"{name}: {len(before)} to {len(after)} bytes"


def byte_of_a_file(target: Target, rng: random.Random) -> str | None:
    path = rng.choice([target.bundle, target.page])
    with restored(path) as before:
        after = rng.choice(BYTES)(before, rng)
        path.write_bytes(after)
        if after == before or names(verify_file(path, keys=[ADA.public]), path.name):
            return None
        return f"{path.name}: {len(before)} to {len(after)} bytes"


def file_of_the_case(target: Target, rng: random.Random) -> str | None:
    """A file removed, or one in the place of another."""
    path, other = rng.sample(files(target.case), 2)
    name = str(path.relative_to(target.case))
    with restored(path) as before:
        if rng.random() < 0.5:
            path.unlink()
        elif other.read_bytes() == before:
            return None
        else:
            path.write_bytes(other.read_bytes())
        result = check_case(target)
        # A report may be kept elsewhere: that it is not here is said, and is no damage.
        told = any(name in text for text in result.not_checkable)
        return None if names(result, name) or (told and not path.exists()) else name


def blob_put_in(target: Target, rng: random.Random) -> str | None:
    """A file put among the evidence: under a wrong name it is damage, else nothing rests on it."""
    data = rng.randbytes(8)
    right = rng.random() < 0.5
    digest = sha256_of(data) if right else rng.randbytes(32).hex()
    folder = target.case / "evidence" / digest[:2]
    fresh = not folder.exists()
    folder.mkdir(exist_ok=True)
    path = folder / digest[2:]
    name = str(path.relative_to(target.case))
    try:
        path.write_bytes(data)
        result = check_case(target)
        found = any(name in note for note in result.notes) if right else names(result, name)
        return None if found else name
    finally:
        path.unlink()
        if fresh:
            folder.rmdir()


def events_chained_anew(target: Target, rng: random.Random) -> str | None:
    """An event changed, removed, doubled or moved, and every digest after it made anew."""
    path = target.case / "ledger.jsonl"
    with restored(path) as before:
        events = [json.loads(line) for line in before.splitlines()]
        at = rng.randrange(1, len(events))
        kind = rng.randrange(4)
        if kind == 0:
            events[at]["actor"] = rng.choice(["eve", "mallory"])
        elif kind == 1:
            events.pop(at)
        elif kind == 2:
            events.insert(at, events[at])
        else:
            events.insert(rng.randrange(1, len(events)), events.pop(at))
        times = sorted(event["at"] for event in events)
        lines: list[bytes] = []
        prev = GENESIS
        for seq, (event, time) in enumerate(zip(events, times, strict=True)):
            lines.append(
                event_line(
                    seq=seq,
                    prev=Sha256(prev),
                    actor=event["actor"],
                    at=time,
                    kind=event["kind"],
                    data=event["data"],
                )
            )
            prev = sha256_of(lines[-1])
        after = b"".join(line + b"\n" for line in lines)
        path.write_bytes(after)
        # What happened to the newest event is under no head: only its holder's note shows it.
        expected = sha256_of(before.splitlines()[-1])
        result = verify(
            target.case, keys=[ADA.public], earlier=[target.kept], expected_head=expected
        )
        return None if after == before or names(result, "ledger.jsonl") else f"events, {kind} {at}"


ATTACKS: tuple[Callable[[Target, random.Random], str | None], ...] = (
    byte_of_the_case,
    byte_of_the_case,
    byte_of_a_file,
    byte_of_a_file,
    file_of_the_case,
    blob_put_in,
    events_chained_anew,
)


def attack(target: Target, seed: int, times: int) -> None:
    rng = random.Random(seed)
    missed = [
        f"{number}: {chosen.__name__}: {found}"
        for number in range(times)
        if (found := (chosen := rng.choice(ATTACKS))(target, rng)) is not None
    ]
    assert missed == []
    assert check_case(target).ok


def test_300_mutations_are_all_found_and_named(target: Target) -> None:
    attack(target, 1, 300)


@pytest.mark.slow
def test_10000_mutations_are_all_found_and_named(target: Target) -> None:
    attack(target, 2, 10_000)


def test_the_attack_itself_can_fail(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a check that sees nothing, every kind of mutation is reported as missed."""
    blind = verify(target.case)
    blind = VerifyResult(
        **{
            **{name: getattr(blind, name) for name in VerifyResult.__slots__},
            "problems": (),
            "notes": (),
            "not_checkable": (),
        }
    )
    for name in ("verify", "verify_file"):
        monkeypatch.setattr(f"{__name__}.{name}", lambda *_, **__: blind)
    for chosen in set(ATTACKS):
        rng = random.Random(3)
        assert any(chosen(target, rng) for _ in range(5)), chosen


def test_a_copy_of_a_case_verifies_like_it(target: Target, tmp_path: Path) -> None:
    copy = shutil.copytree(target.case, tmp_path / "copy")
    assert verify(copy, keys=[ADA.public], earlier=[target.kept]).ok
