"""Signed heads: what the holder of one finds, and everything that is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from custodes.case import (
    HEAD_SIGNED,
    Case,
    HeadFile,
    NotACase,
    PrivateKey,
    add_key,
    head_file,
    make_key,
    parse_head_file,
    private_key,
    read_head_file,
    read_state,
    sign,
    sign_head,
    statement,
    verify,
)
from custodes.case._heads import HEAD_PREDICATE, HEAD_SCHEMA
from custodes.case._keyring import KEY_ADDED, key_event
from custodes.case._ledger import GENESIS, Event, event_line
from custodes.case._merkle import Tree, leaf_hash
from custodes.cli import main
from custodes.types import JsonObject, sha256_of

from .conftest import Clock, FailingDisk

ADA, EVE = private_key(b"\1" * 32), private_key(b"\2" * 32)


@pytest.fixture
def signed(filled: Path, clock: Clock) -> Path:
    """A case with a key, a head over nine events, an event after it, and a second head."""
    with Case.open(filled, write=True, clock=clock) as case:
        add_key(case, ADA, name="ada", clock=clock)
        sign_head(case, [ADA], clock=clock)
        case.append("a.b", {"n": 1})
        sign_head(case, [ADA], clock=clock)
    return filled


def kept(case: Path, number: int = -1) -> HeadFile:
    return head_file(read_state(case), number)


def rewrite(
    case: Path, change: Callable[[list[Event]], Sequence[Event]], signer: PrivateKey | None = None
) -> None:
    """What an owner can do: change events, chain and date all anew, and sign the heads again."""
    events = change(list(read_state(case).events))
    lines: list[bytes] = []
    prev = GENESIS
    last: JsonObject | None = None
    for seq, event in enumerate(events):
        data: JsonObject = event.data
        if signer is not None and event.kind == KEY_ADDED:
            about = {
                "key": signer.public.id,
                "public": signer.public.raw.hex(),
                "name": "ada",
                "role": "assessor",
                "not_after": None,
                "at": event.at,
            }
            data = key_event(KEY_ADDED, about, sha256_of(lines[0]), [signer])
        if signer is not None and event.kind == HEAD_SIGNED:
            root = Tree(map(leaf_hash, lines)).root().hex()
            new: JsonObject = {
                "ledger": sha256_of(lines[0]),
                "size": len(lines),
                "root": root,
                "previous": last,
                "at": event.at,
            }
            last = {"size": len(lines), "root": root}
            about_head = statement({"ledger.jsonl": prev}, HEAD_PREDICATE, new)
            data = {"schema": HEAD_SCHEMA, **sign(about_head, [signer]).to_json()}
        line = event_line(
            seq=seq, prev=prev, actor=event.actor, at=event.at, kind=event.kind, data=data
        )
        lines.append(line)
        prev = sha256_of(line)
    (case / "ledger.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))


def changed(event: Event, data: JsonObject) -> Event:
    return dataclasses.replace(event, data=data)


def lie(events: list[Event]) -> list[Event]:
    number = next(i for i, e in enumerate(events) if e.kind == "measurement.recorded")
    return [
        changed(e, {**e.data, "value": 0.001}) if i == number else e for i, e in enumerate(events)
    ]


def test_a_signed_case_says_who_signed_what_and_what_is_open(signed: Path) -> None:
    result = verify(signed, keys=[ADA.public])
    assert result.ok and result.level == "signatures"
    assert any("events 0 to 9 are signed by ada" in note for note in result.notes)
    assert any("not where the evidence came from" in item for item in result.not_checkable)
    assert not any("whose keys" in item for item in result.not_checkable)
    assert any("whose keys" in item for item in verify(signed).not_checkable)
    with Case.open(signed, write=True) as case:
        case.append("a.b", {})
        case.append("a.b", {})
    assert any("newest 2 events" in item for item in verify(signed).not_checkable)


def test_an_unsigned_case_does_not_pass_for_a_signed_one(filled: Path) -> None:
    result = verify(filled, keys=[ADA.public])
    assert not result.ok and result.level == "integrity"
    assert "nothing here is signed" in result.problems[0].what


def test_a_kept_head_fits_the_ledger_that_grew_from_it(signed: Path) -> None:
    for number in (0, 1):
        assert verify(signed, earlier=[kept(signed, number)], keys=[ADA.public]).ok


@pytest.mark.parametrize("signer", [None, ADA, EVE], ids=["unsigned", "same key", "new key"])
def test_a_history_rewritten_as_a_whole_is_found_by_who_kept_a_head(
    signed: Path, signer: PrivateKey | None
) -> None:
    """Every digest, the chain, and even the signatures are made anew: the folder looks right."""
    head = kept(signed, 0)
    rewrite(signed, lie, signer)
    alone = verify(signed)
    assert alone.ok == (signer is not None)
    result = verify(signed, earlier=[head])
    assert any("history rewritten" in p.what for p in result.problems)
    if signer is None:
        assert any("signed root is not that" in p.what for p in alone.problems)
    if signer is EVE:
        assert not verify(signed, keys=[ADA.public]).ok


def test_events_cut_off_its_end_are_found_by_who_kept_a_head(signed: Path) -> None:
    head = kept(signed)
    ledger = signed / "ledger.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:-3]))
    assert verify(signed).ok
    result = verify(signed, earlier=[head])
    assert any("the newest were removed" in p.what for p in result.problems)


def test_events_removed_or_swapped_and_all_chained_anew_break_the_signed_root(
    signed: Path,
) -> None:
    ledger = (signed / "ledger.jsonl").read_bytes()

    def drop(events: list[Event], at: int) -> list[Event]:
        return events[:at] + events[at + 1 :]

    def swap(events: list[Event], at: int) -> list[Event]:
        times = [e.at for e in events]
        events[at], events[at + 1] = events[at + 1], events[at]
        return [dataclasses.replace(e, at=t) for e, t in zip(events, times, strict=True)]

    for change in (drop, swap):
        for at in range(1, 7):
            rewrite(signed, lambda events, change=change, at=at: change(events, at))  # type: ignore[misc]
            result = verify(signed)
            assert any("ledger.jsonl:" in p.where and "sign" in p.what for p in result.problems), (
                change,
                at,
            )
            (signed / "ledger.jsonl").write_bytes(ledger)
    assert verify(signed).ok


def test_a_head_of_another_ledger_is_no_head_of_this_one(signed: Path, tmp_path: Path) -> None:
    from custodes.case import quickstart_config

    clock = Clock()
    clock.now += 10**9
    with Case.create(tmp_path / "other", quickstart_config(), clock=clock) as case:
        add_key(case, ADA, name="ada", clock=clock)
        for _ in range(9):
            case.append("a.b", {})
        sign_head(case, [ADA], clock=clock)
        # The head's own event, carried over as it is.
        foreign = read_state(signed).events[-1]
        case.append(HEAD_SIGNED, foreign.data)
    result = verify(tmp_path / "other")
    assert any("signed for another ledger" in p.what for p in result.problems)
    result = verify(tmp_path / "other", earlier=[kept(signed)])
    assert any("another ledger" in p.what for p in result.problems)


def forged(case: Path, change: Callable[[dict[str, object]], None]) -> list[str]:
    """Problems after a head whose predicate was changed, rightly signed by the right key."""
    state = read_state(case)
    newest = state.check.heads[-1][0]
    about: dict[str, object] = {
        "ledger": state.ledger,
        "size": len(state.events),
        "root": state.tree().root().hex(),
        "previous": {"size": newest.size, "root": newest.root},
        "at": state.events[-1].at,
    }
    change(about)
    text = statement({"ledger.jsonl": state.events[-1].head}, HEAD_PREDICATE, about)  # type: ignore[arg-type]
    with Case.open(case, write=True) as opened:
        opened.append(HEAD_SIGNED, {"schema": HEAD_SCHEMA, **sign(text, [ADA]).to_json()})
    return [p.what for p in verify(case).problems]


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("size", 99, "signs 99 events"),
        ("size", True, "expected a number of events"),
        ("root", "0" * 64, "signed root is not that"),
        ("root", "x", "head.signed"),
        ("previous", None, "previous head that it names"),
        ("previous", {"size": 1, "root": "0" * 64}, "previous head that it names"),
        ("previous", {"size": 99, "root": "0" * 64}, "over fewer events"),
        ("ledger", "0" * 64, "another ledger"),
        ("at", 5, "clock was set back"),
        ("at", 2**53 - 1, "clock was set back"),
        ("extra", 1, "expected exactly"),
    ],
)
def test_a_head_that_says_something_else_is_refused(
    signed: Path, field: str, value: object, says: str
) -> None:
    assert forged(signed, lambda about: about.update({field: value}))[0].count(says) == 1


def test_a_signature_that_is_not_the_keys_is_named(signed: Path) -> None:
    def other(events: list[Event]) -> list[Event]:
        data = json.loads(json.dumps(events[-1].data))
        sig = data["signatures"][0]["sig"]
        data["signatures"][0]["sig"] = ("0" if sig[0] != "0" else "1") + sig[1:]
        return [*events[:-1], changed(events[-1], data)]

    rewrite(signed, other)
    assert [p.what for p in verify(signed).problems] == [
        f"head.signed: the signature is not that of key {ADA.public.id}"
    ]


def test_a_kept_head_is_checked_before_it_is_believed(signed: Path, tmp_path: Path) -> None:
    """Otherwise anyone could accuse an owner with a head that was never signed."""
    document = kept(signed).to_json()
    data = json.dumps(document).encode()
    assert parse_head_file(data) == kept(signed)
    for before, after in (
        (b'"size": 10', b'"size": 11'),
        (document["statement"]["subject"][0]["digest"]["sha256"][:8].encode(), b"00000000"),  # type: ignore[index,call-overload,union-attr]
        (ADA.public.raw.hex().encode(), EVE.public.raw.hex().encode()),
        (b"signed_head/1", b"signed_head/9"),
        (b'"keys": {', b'"kees": {'),
    ):
        assert before in data
        path = tmp_path / "head.json"
        path.write_bytes(data.replace(before, after))
        with pytest.raises(NotACase, match="is no signed head") as refusal:
            read_head_file(path)
        assert "\n" not in str(refusal.value)


def test_signing_on_a_disk_that_fails_loses_nothing(
    signed: Path, tmp_path: Path, clock: Clock, failing_disk: Callable[..., FailingDisk]
) -> None:
    before = (signed / "ledger.jsonl").read_bytes()
    for name in ("write", "fdatasync"):
        copy = tmp_path / name
        shutil.copytree(signed, copy)
        disk = failing_disk(0)
        disk.only = frozenset({name})
        with (
            pytest.raises(Exception, match=r"cannot|unknown"),
            Case.open(copy, write=True, disk=disk, clock=clock) as case,
        ):
            sign_head(case, [ADA], clock=clock)
        assert disk.failed == name
        assert (copy / "ledger.jsonl").read_bytes().startswith(before)
        result = verify(copy, earlier=[kept(signed)])
        assert result.ok, result.problems


# --- the commands -------------------------------------------------------------------------


def run(*words: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(main, [str(word) for word in words])
    return done.exit_code, done.output


def test_from_a_key_to_a_head_that_somebody_keeps(filled: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    assert run("keys", "make", "ada", "--keys", keys)[0] == 0
    assert run("head", "sign", filled, "--key", "ada", "--keys", keys)[0] == 4
    assert run("keys", "add", "ada", filled, "--keys", keys)[0] == 0
    out = tmp_path / "head.json"
    code, said = run("head", "sign", filled, "--key", "ada", "--keys", keys, "-o", out)
    assert code == 0 and "signed 8 events" in said
    assert run("head", "show", filled)[1].startswith("head of 8 events")
    assert json.loads(run("head", "show", filled, "--json")[1]) == json.loads(out.read_text())
    assert json.loads(run("head", "show", filled, "--dsse")[1])["payloadType"].endswith("json")
    code, said = run("verify", filled, "--key", keys / "ada.pub", "--head", out, "--json")
    result = json.loads(said)
    assert code == 0 and result["ok"] and result["level"] == "signatures"
    make_key("eve", keys)
    code, said = run("verify", filled, "--key", keys / "eve.pub")
    assert code == 4 and "none is the key that was given" in said
    assert run("keys", "add", "eve", filled, "--keys", keys, "--by", "ada")[0] == 0
    code, said = run("keys", "revoke", "eve", filled, "--keys", keys, "--reason", "lost")
    assert code == 2
    assert (
        run("keys", "revoke", "eve", filled, "--keys", keys, "--reason", "lost", "--by", "ada")[0]
        == 0
    )
    assert "revoked (lost)" in run("keys", "list", filled)[1]
    lines = (filled / "ledger.jsonl").read_bytes().splitlines(keepends=True)
    (filled / "ledger.jsonl").write_bytes(b"".join(lines[:6]))
    code, said = run("verify", filled, "--head", out)
    assert code == 4 and "the newest were removed" in said


@pytest.mark.parametrize(
    "words",
    [
        ("verify", "CASE", "--key", "missing.pub"),
        ("verify", "CASE", "--head", "missing.json"),
        ("verify", "CASE", "--head", "CASE/custodes.yaml"),
        ("verify", "missing"),
        ("head", "sign", "CASE", "--key", "missing"),
        ("keys", "add", "missing", "CASE"),
        ("keys", "revoke", "missing", "CASE", "--reason", "lost", "--by", "missing"),
        ("head", "show", "missing"),
    ],
)
def test_a_mistake_of_usage_is_one_line(
    filled: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CUSTODES_KEYS", str(tmp_path / "none"))
    code, said = run(*(word.replace("CASE", str(filled)) for word in words))
    assert code == 2, said
    assert len(said.strip().splitlines()) == 1 and said.startswith("custodes: ")
