"""Bundles and sealed pages: checked by someone who has that file and a public key only."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from custodes.case import (
    Case,
    SignatureRefused,
    VerifyResult,
    add_key,
    canonical_document,
    head_file,
    make_bundle,
    make_key,
    private_key,
    quickstart_config,
    read_state,
    rotate_key,
    seal_page,
    sign,
    sign_head,
    statement,
    verify_file,
)
from custodes.case._bundle import BUNDLE_PREDICATE
from custodes.cli import main
from custodes.types import sha256_of

from .conftest import Clock, fill_case

ADA, EVE = private_key(b"\1" * 32), private_key(b"\2" * 32)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A case with evidence, a report of two files, and a head over both and over an earlier one."""
    path, clock = tmp_path_factory.mktemp("signed") / "case", Clock()
    with Case.create(path, quickstart_config(), clock=clock) as case:
        add_key(case, ADA, name="ada", clock=clock)
        fill_case(case, 1)
        sign_head(case, [ADA], clock=clock)
        observed = case.evidence.put(b"what was seen")
        case.append("measurement.recorded", {"value": 0.5, "inputs": [observed.to_json()]})
        folder = case.reports / "r1"
        folder.mkdir()
        (folder / "report.html").write_text("<!doctype html>\n<p>Märchen</p>\n" * 9)
        (folder / "report.json").write_text('{"schema":"custodes.report/1"}\n')
        case.report_rendered(["r1/report.html", "r1/report.json"], {"sections": 1})
        sign_head(case, [ADA], clock=clock)
    return path


@pytest.fixture
def signed(template: Path, tmp_path: Path, clock: Clock) -> Path:
    """The same case, to change."""
    clock.now += 10**6
    return shutil.copytree(template, tmp_path / "case")


@pytest.fixture(scope="module")
def made(template: Path) -> dict[str, bytes]:
    """Its bundle and its page."""
    clock = Clock()
    clock.now += 10**6
    page = make_bundle(template, [ADA], around_page=True, clock=clock)
    blob = sha256_of(b"what was seen")
    return {
        "bundle.json": make_bundle(template, [ADA], blobs=[blob], clock=clock),
        "report.html": seal_page(template, page),
    }


@pytest.fixture
def published(made: dict[str, bytes], tmp_path: Path) -> dict[str, Path]:
    """The bundle and the page as files, away from the case."""
    found = {"bundle": tmp_path / "bundle.json", "page": tmp_path / "report.html"}
    for path in found.values():
        path.write_bytes(made[path.name])
    return found


def said(result: VerifyResult) -> list[str]:
    return [f"{p.where}: {p.what}" for p in result.problems]


@pytest.mark.parametrize("which", ["bundle", "page"])
def test_a_file_and_a_public_key_are_enough(published: dict[str, Path], which: str) -> None:
    result = verify_file(published[which], keys=[ADA.public])
    assert said(result) == []
    assert result.ok and result.level == "signatures"
    assert result.evidence == (1 if which == "bundle" else 0)
    assert any("signed by ada" in note for note in result.notes)
    assert not any("whose keys" in item for item in result.not_checkable)
    for open_point in ("the rest of the ledger", "the arithmetic", "revoked after", "is true"):
        assert any(open_point in item for item in result.not_checkable), open_point
    assert any("whose keys" in item for item in verify_file(published[which]).not_checkable)
    other = verify_file(published[which], keys=[EVE.public])
    assert any("not signed by the key that was given" in text for text in said(other))
    json.dumps(result.to_json())


def test_the_same_case_gives_the_same_bytes(signed: Path, clock: Clock) -> None:
    first = make_bundle(signed, [ADA], clock=clock)
    clock.now += 10**9
    assert make_bundle(signed, [ADA], clock=clock) == first


def test_trust_in_an_old_key_leads_to_the_new_one(
    signed: Path, tmp_path: Path, clock: Clock
) -> None:
    with Case.open(signed, write=True, clock=clock) as case:
        rotate_key(case, ADA.public.id, EVE, by=[ADA], clock=clock)
        sign_head(case, [EVE], clock=clock)
    with pytest.raises(SignatureRefused, match="was rotated"):
        make_bundle(signed, [ADA], clock=clock)
    path = tmp_path / "bundle.json"
    path.write_bytes(make_bundle(signed, [EVE], clock=clock))
    for key in (ADA, EVE):
        assert said(verify_file(path, keys=[key.public])) == []


def test_a_kept_head_is_held_against_the_file(
    signed: Path, published: dict[str, Path], tmp_path: Path, clock: Clock
) -> None:
    for number in (0, 1):
        kept = head_file(read_state(signed), number)
        assert said(verify_file(published["page"], earlier=[kept])) == []
    with Case.open(signed, write=True, clock=clock) as case:
        sign_head(case, [ADA], clock=clock)
    newer = head_file(read_state(signed))
    result = verify_file(published["page"], earlier=[newer])
    assert any("covers more events" in text for text in said(result))
    # The owner makes another case up, with the same key.
    with Case.create(tmp_path / "other", quickstart_config(), clock=clock) as case:
        add_key(case, ADA, name="ada", clock=clock)
        sign_head(case, [ADA], clock=clock)
    foreign = head_file(read_state(tmp_path / "other"))
    result = verify_file(published["page"], earlier=[foreign])
    assert any("another ledger" in text for text in said(result))


def test_what_cannot_be_published_is_refused_with_one_line(signed: Path, clock: Clock) -> None:
    with pytest.raises(SignatureRefused, match="not one of this case"):
        make_bundle(signed, [EVE], clock=clock)
    with Case.open(signed, write=True, clock=clock) as case:
        add_key(case, EVE, name="eve", role="witness", by=[ADA], clock=clock)
        with pytest.raises(SignatureRefused, match="expected an assessor's key"):
            make_bundle(signed, [EVE], clock=clock)
        case.report_rendered(["r1/report.html"], {"sections": 2})
    with pytest.raises(SignatureRefused, match="no signed head covers"):
        make_bundle(signed, [ADA], clock=clock)


# --- attacks ------------------------------------------------------------------------------


def resigned(document: dict[str, Any], key: Any) -> bytes:
    """A bundle whose outermost signature was made anew."""
    about = document["signature"]["statement"]["predicate"]
    digest = sha256_of(canonical_document(document["content"]))
    new = sign(statement({"content": digest}, BUNDLE_PREDICATE, about), [key])
    return canonical_document({**document, "signature": new.to_json()}) + b"\n"


def drop(name: str, at: int) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[name].pop(at)


def other_line(content: dict[str, Any]) -> None:
    event = next(e for e in content["events"] if "measurement.recorded" in e["line"])
    event["line"] = event["line"].replace('"value":0.', '"value":0.9')


def other_text(content: dict[str, Any]) -> None:
    content["files"][0]["text"] += " "


def other_report(content: dict[str, Any]) -> None:
    file = content["files"][0]
    file["text"] = "<p>all is well</p>"
    file["sha256"], file["bytes"] = sha256_of(file["text"].encode()), len(file["text"])


def other_blob(content: dict[str, Any]) -> None:
    content["blobs"][0]["base64"] = base64.b64encode(b"something else").decode()


def new_blob(content: dict[str, Any]) -> None:
    data = b"never seen"
    content["blobs"].append({"sha256": sha256_of(data), "base64": base64.b64encode(data).decode()})


def swap(content: dict[str, Any]) -> None:
    content["events"].reverse()


def other_earlier(content: dict[str, Any]) -> None:
    content["earlier"][0]["root"] = "0" * 64


@pytest.mark.parametrize("key", [None, ADA], ids=["not signed anew", "signed anew"])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        (other_line, "its proof does not lead"),
        (other_text, "report.html: the bytes of the report were changed"),
        (other_report, "report.html: is not the report that the ledger names"),
        (other_blob, "the bytes were changed"),
        (new_blob, "no event in the bundle names it"),
        (swap, "not in the order"),
        (other_earlier, "does not continue it"),
        (drop("files", 0), "report.html: is missing"),
        (drop("events", 0), "which the ledger does not name"),
        (drop("events", -1), "is not the report that the ledger names"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_changed_bundle_is_found_even_when_it_is_signed_anew(
    published: dict[str, Path], change: Callable[[dict[str, Any]], None], named: str, key: Any
) -> None:
    path = published["bundle"]
    document = json.loads(path.read_bytes())
    change(document["content"])
    path.write_bytes(
        canonical_document(document) + b"\n" if key is None else resigned(document, key)
    )
    found = said(verify_file(path, keys=[ADA.public]))
    assert any(named in text for text in found), found
    assert any("is over other content" in text for text in found) == (key is None)


def test_events_dropped_from_a_bundle_are_found_by_its_signature(
    published: dict[str, Path],
) -> None:
    """A measurement that nothing else needs: only the signature over the whole notices."""
    path = published["bundle"]
    document = json.loads(path.read_bytes())
    events = document["content"]["events"]
    document["content"]["events"] = [e for e in events if '"value":0.3' not in e["line"]]
    assert len(document["content"]["events"]) == len(events) - 1
    path.write_bytes(canonical_document(document) + b"\n")
    assert said(verify_file(path)) == [
        "bundle.json: signature: is over other content: something was changed, added or removed"
    ]


def test_a_signature_by_somebody_else_is_refused(published: dict[str, Path]) -> None:
    path = published["bundle"]
    path.write_bytes(resigned(json.loads(path.read_bytes()), EVE))
    found = said(verify_file(path))
    assert found == [
        f"bundle.json: signature: signed by key {EVE.public.id}, which the ledger does not name",
        "bundle.json: signature: not signed by an assessor's key",
    ]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda data: data[:-1], "does not end with its bundle"),
        (lambda data: data + b"\n", "does not end with its bundle"),
        (lambda data: data + b"<script>1</script>", "does not end with its bundle"),
        (lambda data: data.replace("Märchen".encode(), b"Maerchen", 1), "bytes of the report"),
        (lambda data: b" " + data, "bytes of the report were changed"),
        (lambda data: data[: data.index(b"<!-- custodes")], "carries no bundle"),
        (lambda data: b"", "carries no bundle"),
        (lambda data: b"{" + data, "not JSON"),
        (lambda data: data.replace(b" -->", b"= -->"), "its bundle is damaged"),
    ],
)
def test_a_changed_page_is_found(
    published: dict[str, Path], change: Callable[[bytes], bytes], says: str
) -> None:
    path = published["page"]
    path.write_bytes(change(path.read_bytes()))
    assert any(says in text for text in said(verify_file(path))), said(verify_file(path))


@pytest.mark.parametrize(
    "data",
    [
        b"{}\n",
        b"[]\n",
        b"{" * 100_000,
        b'{"schema":"custodes.bundle/1"}\n',
        b'{"schema":"custodes.bundle/2"}\n',
        b'{"a":1,"a":2}\n',
        b"\xff\xfe\n",
    ],
)
def test_a_file_that_is_no_bundle_is_one_problem(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(data)
    (problem,) = verify_file(path).problems
    assert problem.where == "x.json" and "\n" not in problem.what
    path.unlink()
    assert not verify_file(path).ok
    path.symlink_to("/etc/hostname")
    assert not verify_file(path).ok


def test_the_commands(signed: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    for name, key in (("ada", ADA), ("eve", EVE)):
        make_key(name, keys, seed=key.seed)

    def run(*words: str | Path) -> tuple[int, str]:
        done = CliRunner().invoke(main, [str(word) for word in words])
        return done.exit_code, done.output

    out = tmp_path / "out"
    assert run("head", "bundle", signed, "--key", "ada", "--keys", keys, "-o", out)[0] == 0
    for name in ("bundle.json", "report.html"):
        code, text = run("verify", out / name, "--key", keys / "ada.pub", "--json")
        result = json.loads(text)
        assert (code, result["ok"], result["level"]) == (0, True, "signatures"), text
        assert result["not_checkable"]
        code, text = run("verify", out / name, "--key", keys / "eve.pub")
        assert code == 4 and text.startswith("NOT INTACT")
        code, text = run("verify", out / name, "--recompute")
        assert code == 2 and "need the folder" in text
