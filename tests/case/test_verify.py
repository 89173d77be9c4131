"""``verify``: whatever is changed is found and named, and nothing it meets makes it fall over."""

from __future__ import annotations

import itertools
import json
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custodes.case import Case, Ledger, VerifyResult, quickstart_config, verify
from custodes.case._ledger import GENESIS, event_line
from custodes.types import Sha256, sha256_of

from .conftest import Clock


def attackable(case: Path) -> list[Path]:
    """Every file that is the truth of something."""
    files = [p for p in case.rglob("*") if p.is_file()]
    return sorted(p for p in files if "work" not in p.relative_to(case).parts)


def named(result: VerifyResult, case: Path, file: Path) -> bool:
    relative = str(file.relative_to(case))
    return any(relative in problem.where for problem in result.problems)


def test_a_sound_case_is_sound(filled: Path) -> None:
    result = verify(filled)
    assert result.to_json() == {
        "schema": "custodes.verify/1",
        "ok": True,
        "level": "integrity",
        "events": 7,
        "evidence": 4,
        "logs": 3,
        "head": result.head,
        "problems": [],
        "notes": [],
        "not_checkable": list(result.not_checkable),
    }
    lines = (filled / "ledger.jsonl").read_bytes().splitlines()
    assert result.head == sha256_of(lines[-1])
    assert any("newest events" in item for item in result.not_checkable)
    assert any("signed" in item for item in result.not_checkable)
    json.dumps(result.to_json())


def flip(case: Path, seed: int, times: int) -> None:
    """Change one byte anywhere, ``times`` times; each must be found and its file named."""
    rng = random.Random(seed)
    files = attackable(case)
    assert {f.name for f in files} >= {"ledger.jsonl", "custodes.yaml", "shard-1.eval"}
    sizes = [f.stat().st_size for f in files]
    for f in files:
        f.chmod(0o644)
    missed = []
    for number in range(times):
        # Half by size, so that every byte counts the same; half by file, so that small ones do.
        file = rng.choices(files, sizes if number % 2 else None)[0]
        data = bytearray(file.read_bytes())
        at = rng.randrange(len(data))
        change = rng.choice([1 << rng.randrange(8), rng.randrange(1, 256)])
        data[at] ^= change
        original = file.read_bytes()
        file.write_bytes(data)
        result = verify(case)
        if result.ok or not named(result, case, file):
            missed.append((str(file.relative_to(case)), at, change, result.problems))
        file.write_bytes(original)
    assert missed == []
    assert verify(case).ok


def test_150_changed_bytes_are_all_found_and_named(filled: Path) -> None:
    flip(filled, 1, 150)


@pytest.mark.slow
def test_2000_changed_bytes_are_all_found_and_named(filled: Path) -> None:
    flip(filled, 2, 2000)


def test_every_bit_of_the_newest_event_is_guarded(filled: Path) -> None:
    """Nothing follows it: the chain alone would not notice."""
    ledger = filled / "ledger.jsonl"
    data = ledger.read_bytes()
    start = data.rindex(b"\n", 0, -1) + 1
    for at in range(start, len(data), 3):
        changed = bytearray(data)
        changed[at] ^= 1 << (at % 8)
        ledger.write_bytes(changed)
        assert named(verify(filled), filled, ledger), at
    ledger.write_bytes(data)
    assert verify(filled).ok


def test_events_removed_repeated_or_swapped_are_found(filled: Path) -> None:
    ledger = filled / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    head = verify(filled).head
    changed: list[list[bytes]] = []
    for i in range(len(lines)):
        changed.append([*lines[:i], lines[i], *lines[i:]])
        if i < len(lines) - 1:
            changed.append(lines[:i] + lines[i + 1 :])
            for j in range(i + 1, len(lines)):
                other = list(lines)
                other[i], other[j] = other[j], other[i]
                changed.append(other)
    assert len(changed) > 30
    for attempt in changed:
        ledger.write_bytes(b"".join(attempt))
        assert named(verify(filled), filled, ledger)
    # A whole end cut off is found only against a head that was noted elsewhere, and that is said.
    for keep in range(1, len(lines)):
        ledger.write_bytes(b"".join(lines[:keep]))
        assert any("newest events were removed" in item for item in verify(filled).not_checkable)
        against = verify(filled, expected_head=head)
        assert named(against, filled, ledger)
        assert not any("newest" in item for item in against.not_checkable)


def test_an_expected_head_may_be_older_than_the_newest(filled: Path) -> None:
    head = verify(filled).head
    assert verify(filled, expected_head=head).notes == ()
    with Case.open(filled, write=True) as case:
        case.append("a.b", {})
    result = verify(filled, expected_head=head)
    assert result.ok
    assert any("grown" in note for note in result.notes)
    for odd in ("", "x", "0" * 64):
        assert not verify(filled, expected_head=odd).ok


def test_a_whole_new_chain_over_a_change_is_found_against_a_noted_head(filled: Path) -> None:
    """Someone who rewrites every hash fools the folder, not the one who kept the head."""
    ledger = filled / "ledger.jsonl"
    head = verify(filled).head
    prev, out = GENESIS, []
    for line in ledger.read_bytes().splitlines():
        event = json.loads(line)
        event.pop("digest")
        event.pop("schema")
        event["actor"] = "mallory"
        forged = event_line(**{**event, "prev": prev})
        prev = sha256_of(forged)
        out.append(forged + b"\n")
    ledger.write_bytes(b"".join(out))
    result = verify(filled)
    assert result.ok
    assert any("write a new chain" in item for item in result.not_checkable)
    assert not verify(filled, expected_head=head).ok


def test_every_missing_file_is_named(filled: Path) -> None:
    for file in attackable(filled):
        data = file.read_bytes()
        file.unlink()
        result = verify(filled)
        if file.parent.name == "reports":
            assert result.ok
            assert any("report.html" in item for item in result.not_checkable)
        else:
            assert named(result, filled, file), file
        file.write_bytes(data)
    assert verify(filled).ok


def test_truncated_and_lengthened_files_are_named(filled: Path) -> None:
    for file in attackable(filled):
        data = file.read_bytes()
        file.chmod(0o644)
        for changed in (data[:-1], data[: len(data) // 2], b"", data + b"\n", data + b"\x00"):
            file.write_bytes(changed)
            assert named(verify(filled), filled, file), (file, len(changed))
        file.write_bytes(data)


def test_two_files_swapped_are_named(filled: Path) -> None:
    # Without a ledger nobody knows what a log should be: swapping it is another matter.
    files = [f for f in attackable(filled) if f.name != "ledger.jsonl"]
    assert len(files) > 7
    for a, b in itertools.pairwise(files):
        one, two = a.read_bytes(), b.read_bytes()
        if one == two:  # the configuration and its copy
            continue
        for file, data in ((a, two), (b, one)):
            file.chmod(0o644)
            file.write_bytes(data)
        result = verify(filled)
        assert named(result, filled, a)
        assert named(result, filled, b)
        a.write_bytes(one)
        b.write_bytes(two)


def forge(case: Path, kind: str, data: object) -> None:
    """Append an event that the honest writer would refuse, with right hashes."""
    ledger = case / "ledger.jsonl"
    last = json.loads(ledger.read_bytes().splitlines()[-1])
    line = event_line(
        seq=last["seq"] + 1,
        prev=sha256_of(ledger.read_bytes().splitlines()[-1]),
        actor="mallory",
        at=last["at"],
        kind=kind,
        data=data,  # type: ignore[arg-type]
    )
    with ledger.open("ab") as stream:
        stream.write(line + b"\n")


def test_lines_that_carry_right_digests_still_have_to_fit(filled: Path) -> None:
    """What someone can write who knows the format, and leaves the rest of the file alone."""
    ledger = filled / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines()
    middle = json.loads(lines[3])
    fields = {k: middle[k] for k in ("seq", "prev", "actor", "at", "kind", "data")}
    last = json.loads(lines[-1])
    after = {**fields, "seq": last["seq"] + 1, "prev": sha256_of(lines[-1]), "data": {}}
    after["at"] = last["at"]
    spaced = event_line(**after)
    body = spaced[: spaced.rindex(b',"digest"')] + spaced[spaced.rindex(b',"kind"') :]
    spaced = spaced.replace(sha256_of(body).encode(), sha256_of(b" " + body).encode())
    for changed, where, said in (
        ([*lines[:3], event_line(**{**fields, "actor": "mallory"}), *lines[4:]], 5, "chain"),
        ([*lines, event_line(**{**after, "prev": sha256_of(b"other")})], 8, "chain"),
        ([*lines, event_line(**{**after, "seq": 8})], 8, "number is 8, expected 7"),
        ([*lines, event_line(**{**after, "at": last["at"] - 1})], 8, "before the previous"),
        ([*lines, b" " + spaced], 8, "canonical form"),
    ):
        ledger.write_bytes(b"".join(line + b"\n" for line in changed))
        (problem,) = [p for p in verify(filled).problems if p.where == f"ledger.jsonl:{where}"]
        assert said in problem.what
        assert "digest" not in problem.what
    ledger.write_bytes(b"".join(line + b"\n" for line in [*lines, event_line(**after)]))
    assert verify(filled).ok


def test_references_that_do_not_hold_are_found(filled: Path) -> None:
    with Case.open(filled, write=True) as case:
        ref = case.evidence.put(b"0123456789")
        good = case.evidence.locate(ref, 2, 5).to_json()
        case.append("a.b", {"ref": good})
        log = case.logs["shard-0"]
        inside = case.evidence.locate(
            case.evidence.ref(log.sha256), 2, 5, member="header.json"
        ).to_json()
        case.append("a.b", {"ref": inside})
    assert verify(filled).ok
    before = (filled / "ledger.jsonl").read_bytes()
    span, member = good["locator"], inside["locator"]
    assert isinstance(span, dict) and isinstance(member, dict)
    zero = Sha256("0" * 64)
    entry = {"file": "logs/shard-0.eval", "sha256": log.sha256, "bytes": log.size}
    for data, said in (
        ({"blob": zero, "locator": None}, "is missing"),
        ({**good, "locator": {**span, "excerpt": zero}}, "not the excerpt"),
        ({**good, "locator": {**span, "end": 11}}, "beyond its end"),
        ({**good, "locator": {**span, "start": 3}}, "not the excerpt"),
        ({**good, "locator": {**span, "member": "x"}}, "zip archive"),
        ({**good, "locator": {**span, "source": zero}}, "differs"),
        ({**good, "locator": {**span, "start": -1}}, "no evidence reference"),
        ({**good, "blob": 3}, "no evidence reference"),
        ({**inside, "locator": {**member, "end": 10_000}}, "beyond its end"),
        ({**inside, "locator": {**member, "excerpt": zero}}, "not the excerpt"),
        ({**inside, "locator": {**member, "member": "absent"}}, "no member"),
        ({**entry, "sha256": zero}, "named otherwise"),
        ({**entry, "bytes": 1}, "named otherwise"),
        ({**entry, "file": "logs/absent.eval"}, "is missing"),
        ({**entry, "file": "../../etc/passwd"}, "no path inside"),
        ({**entry, "file": "/etc/passwd"}, "no path inside"),
        ({**entry, "file": "logs/../ledger.jsonl"}, "no path inside"),
        ({**entry, "file": "work/x"}, "no place for a file"),
        ({**entry, "file": "ledger.jsonl"}, "no place for a file"),
        ({**entry, "file": "custodes.yaml"}, "bytes were changed"),
    ):
        forge(filled, "a.b", {"deep": [[{"x": data}]]})
        result = verify(filled)
        assert not result.ok
        assert any(said in p.what for p in result.problems), (said, result.problems)
        (filled / "ledger.jsonl").write_bytes(before)
    assert verify(filled).ok


def test_a_first_event_that_is_not_the_creation_is_found(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger.jsonl", actor="a") as ledger:
        ledger.append("a.b", {})
    what = [p.what for p in verify(tmp_path).problems]
    assert any("expected case.created" in w for w in what)


def test_what_rests_on_nothing_is_a_note(filled: Path) -> None:
    with Case.open(filled, write=True) as case:
        case.evidence.put(b"stored, and then the writer was killed")
    (filled / "logs" / "unsealed.eval").write_bytes(b"x")
    (filled / "notes.txt").write_text("mine")
    (filled / "evidence" / ".tmp-1-x").write_bytes(b"half")
    (filled / "work" / "anything").write_bytes(b"x")
    result = verify(filled)
    assert result.ok
    said = "\n".join(result.notes)
    for part in ("1 blobs that no event names", "unsealed.eval", "notes.txt", "1 unfinished"):
        assert part in said
    assert "anything" not in said


def test_foreign_files_among_the_evidence_are_problems(filled: Path) -> None:
    evidence = filled / "evidence"
    some = next(evidence.iterdir())
    for odd in (evidence / "stranger", evidence / "zz", some / "short", some / ("A" * 62)):
        odd.write_bytes(b"x")
        assert any(str(odd.relative_to(filled)) in p.where for p in verify(filled).problems)
        odd.unlink()
    assert verify(filled).ok


def test_links_and_pipes_are_named_not_followed(filled: Path) -> None:
    for file in attackable(filled):
        if file.parent.name == "reports":
            continue
        copy = filled.parent / "copy"
        shutil.copy(file, copy)
        file.unlink()
        file.symlink_to(copy)
        assert named(verify(filled), filled, file), file
        file.unlink()
        os.mkfifo(file)
        assert named(verify(filled), filled, file), file
        file.unlink()
        shutil.copy(copy, file)
    for folder in ("evidence", "logs"):
        real = filled.parent / "elsewhere"
        (filled / folder).rename(real)
        (filled / folder).symlink_to(real)
        assert any(folder in p.where for p in verify(filled).problems), folder
        (filled / folder).unlink()
        real.rename(filled / folder)
    assert verify(filled).ok


def test_a_log_behind_a_link_is_named_not_followed(filled: Path) -> None:
    outside = filled.parent / "outside"
    outside.mkdir()
    (outside / "x.eval").write_bytes(b"x")
    (filled / "logs" / "sub").symlink_to(outside)
    forge(filled, "a.b", {"x": {"file": "logs/sub/x.eval", "sha256": sha256_of(b"x"), "bytes": 1}})
    (problem,) = verify(filled).problems
    assert problem.where == "logs/sub/x.eval"
    assert "symbolic link" in problem.what


def test_what_is_no_case_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    for odd in ("file", "empty", "absent"):
        result = verify(tmp_path / odd)
        assert not result.ok
        assert result.head is None


def test_terminal_codes_in_names_do_not_reach_the_output(filled: Path) -> None:
    (filled / "evil\x1b[2J\nname").write_text("x")
    os.mkdir(os.fsencode(filled) + b"/evidence/\xff\x1b[1m")
    forge(filled, "a.b", {"x": {"file": "\x1b[2J", "sha256": "0" * 64, "bytes": 0}})
    said = json.dumps(verify(filled).to_json(), ensure_ascii=False)
    assert "\x1b" not in said
    assert all(
        item.isprintable()
        for result in [verify(filled)]
        for item in [*result.notes, *(p.where for p in result.problems)]
    )


@settings(max_examples=150)
@given(
    data=st.lists(
        st.binary(max_size=40)
        | st.sampled_from(
            [b"\n", b"[" * 200_000, b'{"a":' * 3000, b"9" * 6000, b'"\\ud800"', b"\x00" * 9]
        ),
        max_size=6,
    )
)
def test_no_ledger_whatever_it_holds_makes_it_raise(
    tmp_path_factory: pytest.TempPathFactory, data: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "ledger.jsonl").write_bytes(b"".join(data))
    assert not verify(folder).ok


NAMES = ["blob", "locator", "source", "member", "start", "end", "excerpt"]
NAMES += ["file", "sha256", "bytes"]
odd = st.recursive(
    st.none() | st.integers(-5, 5) | st.text(max_size=3) | st.just("0" * 64),
    lambda s: (
        st.lists(s, max_size=3)
        | st.dictionaries(
            st.sampled_from(NAMES),
            s,
            max_size=5,
        )
    ),
)


@given(data=st.dictionaries(st.sampled_from(["blob", "locator", "x"]), odd))
def test_no_event_whatever_it_claims_makes_it_raise(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, object]
) -> None:
    folder = tmp_path_factory.mktemp("hostile")
    line = event_line(seq=0, prev=GENESIS, actor="m", at=1, kind="case.created", data=data)  # type: ignore[arg-type]
    (folder / "ledger.jsonl").write_bytes(line + b"\n")
    assert not verify(folder).ok


def test_a_line_without_end_is_reported_without_filling_memory(filled: Path) -> None:
    with (filled / "ledger.jsonl").open("ab") as stream:
        for _ in range(40):
            stream.write(b"x" * (1 << 20))
    result = verify(filled)
    assert result.problems[0].where == "ledger.jsonl:8"
    assert result.events == 7


def test_many_problems_are_counted_not_all_listed(filled: Path) -> None:
    (filled / "ledger.jsonl").write_bytes(b"{}\n" * 5000)
    result = verify(filled)
    assert len(result.problems) <= 2001
    assert "more problems not listed" in result.problems[-1].what


def test_a_bomb_in_an_archive_is_not_unpacked(filled: Path, tmp_path: Path) -> None:
    import zipfile

    with Case.open(filled, write=True) as case:
        bomb = tmp_path / "bomb"
        with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("m", b"\x00" * (200 << 20))
        ref = case.evidence.put_file(bomb)
        case.append("a.b", {"ref": case.evidence.locate(ref, 0, 10, member="m").to_json()})
    script = (
        "import re, sys; from pathlib import Path; from custodes.case import verify\n"
        "result = verify(Path(sys.argv[1])); assert result.ok, result\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', status)[1]) // 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(filled)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 80


def test_a_thousand_events_in_half_a_second_including_imports(tmp_path: Path, clock: Clock) -> None:
    with Case.create(tmp_path / "c", quickstart_config(), clock=clock) as case:
        ref = case.evidence.put(b"0123456789" * 100)
        part = case.evidence.locate(ref, 5, 50).to_json()
        answers = {q: {"value": True, "reason": None, "evidence": [part]} for q in "abcde"}
        case.append_many([("shard.sealed", {"n": n, "answers": answers}) for n in range(999)])
    script = (
        "import sys, time; from pathlib import Path; from custodes.case import verify\n"
        "result = verify(Path(sys.argv[1])); assert result.ok and result.events == 1000\n"
        "assert not {'inspect_ai', 'pydantic', 'yaml', 'numpy'} & set(sys.modules)\n"
        "print(time.process_time())"
    )
    times = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "c")],
            capture_output=True,
            text=True,
            check=True,
        )
        times.append(float(done.stdout))
    assert min(times) < 0.5


def test_reports_beside_the_ledger_are_copies_of_recorded_ones(filled: Path) -> None:
    copy = filled / "report.html"
    copy.write_bytes((filled / "reports" / "report.html").read_bytes())
    found = verify(filled)
    assert found.ok and not any("report" in note for note in found.notes)

    copy.write_text("<p>another report</p>")
    found = verify(filled)
    assert [problem.where for problem in found.problems] == ["report.html"]
    assert "no copy of a report that an event names" in found.problems[0].what

    copy.unlink()
    copy.symlink_to(filled / "reports" / "report.html")
    assert [problem.where for problem in verify(filled).problems] == ["report.html"]

    copy.unlink()
    (filled / "report.json").write_text("{}")
    found = verify(filled)
    assert found.ok and any("report.json: no event names a report" in n for n in found.notes)
