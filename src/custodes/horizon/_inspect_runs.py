"""Task runs from logs of Inspect, read without Inspect: one for each sample."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from custodes.transcripts import Archive, Limits, ReadError, Source, decode_json

from ._table import BadInput, Row, shown

_SAMPLE: Final = re.compile(r"samples/.+_epoch_\d+\.json", re.DOTALL)
_HEADERS: Final = ("header.json", "_journal/start.json")
_FIELDS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
# What Inspect's own conversion makes of the words that its scorers write.
_WORDS: Final = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, "correct": 1.0, "incorrect": 0.0}


def is_inspect_log(source: Source) -> bool:
    """Whether a file is a log of Inspect: an archive, or one JSON object with its fields."""
    if source.is_archive:
        return True
    top = None if source.looks_like_lines else source.top
    return top is not None and "eval" in top and "samples" in top


def rows_of_log(source: Source, scorer: str | None) -> Iterator[Row]:
    """A row for each sample, with the columns that a runs file has.

    Args:
        source: the log.
        scorer: whose score counts; None: the only one.

    Raises:
        BadInput: no log, no model or task in it, a sample without `human_minutes` in its metadata,
            several scorers and none named, a score that is no number.
    """
    try:
        yield from _rows(source, scorer)
    except ReadError as error:
        raise BadInput(source.path, error.position, error.reason) from None


def _rows(source: Source, scorer: str | None) -> Iterator[Row]:
    limits = source.limits
    if source.is_archive:
        archive = Archive(source)
        entries = {entry.name: entry for entry in archive}
        named = next((name for name in _HEADERS if name in entries), None)
        if named is None:
            raise BadInput(source.path, "", "expected a log of Inspect, found another archive")
        header = decode_json(archive.read(entries[named]), limits, named)
        about = _about(source, header)
        for name, entry in entries.items():
            if _SAMPLE.fullmatch(name):
                yield _row(source, name, archive.read(entry), about, scorer, limits)
        return
    document = decode_json(source.document(), limits)
    about = _about(source, document)
    samples = document.get("samples")
    if not isinstance(samples, list):
        raise BadInput(source.path, "", "expected a list of samples, found none")
    for number, sample in enumerate(samples, 1):
        if not isinstance(sample, dict):
            raise BadInput(source.path, f"sample {number}", "expected an object, found none")
        yield _of_sample(source, f"sample {number}", sample, about, scorer)


class _About(NamedTuple):
    """What a log says of all its samples."""

    model: str
    task: str
    run: str | None


def _about(source: Source, header: object) -> _About:
    found = header.get("eval") if isinstance(header, dict) else None
    if not isinstance(found, dict) or not isinstance(found.get("model"), str):
        raise BadInput(source.path, "", "expected eval.model in a log of Inspect, found none")
    run = found.get("eval_id") or found.get("run_id")
    return _About(found["model"], str(found.get("task") or ""), str(run) if run else None)


def _row(
    source: Source,
    name: str,
    data: bytes,
    about: _About,
    scorer: str | None,
    limits: Limits,
) -> Row:
    try:
        # Most of a sample is messages and events, which do not matter here.
        raw = _FIELDS.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadInput(source.path, name, f"expected a sample, found: {error}") from None
    wanted = ("id", "epoch", "uuid", "metadata", "scores", "score", "error")
    sample = {
        key: decode_json(bytes(raw[key]), limits, f"{name} {key}") for key in wanted if key in raw
    }
    return _of_sample(source, name, sample, about, scorer)


def _of_sample(
    source: Source,
    place: str,
    sample: Mapping[str, Any],
    about: _About,
    scorer: str | None,
) -> Row:
    model, task, run = about
    metadata = sample.get("metadata")
    row = Row(file=source.path, place=place, values={})
    if not isinstance(metadata, dict) or metadata.get("human_minutes") is None:
        raise row.refuse("expected human_minutes in the sample's metadata, found none")
    name = metadata.get("task_id") or f"{task}/{sample.get('id')}"
    score = _score(row, sample, scorer)
    values = {
        "agent": metadata.get("agent") or model,
        "task_id": name,
        "task_family": metadata.get("task_family") or task or name,
        "human_minutes": metadata["human_minutes"],
        "score_binarized": score,
        "score_cont": score,
        "cheated": metadata.get("cheated"),
        "fatal_error_from": "sample" if sample.get("error") else None,
        "run_id": run and f"{run}/{sample.get('id')}/{sample.get('epoch')}",
    }
    return Row(file=source.path, place=place, values=values)


def _score(row: Row, sample: Mapping[str, Any], scorer: str | None) -> float | None:
    """The sample's score; None when it has none (an error, a limit)."""
    scores = sample.get("scores") or {}
    if not scores and sample.get("score"):
        scores = {"score": sample["score"]}
    if not isinstance(scores, dict):
        raise row.refuse(f"expected scores by scorer, found {shown(scores)}")
    if not scores:
        return None
    if scorer is not None:
        if scorer not in scores:
            known = shown(", ".join(sorted(map(str, scores))))
            raise row.refuse(f"expected the scorer {shown(scorer)}, found {known[1:-1]}")
        scores = {scorer: scores[scorer]}
    if len(scores) > 1:
        known = shown(", ".join(sorted(map(str, scores))))
        raise row.refuse(f"expected one scorer, found {known[1:-1]}; name one with --scorer")
    ((name, found),) = scores.items()
    value = found.get("value") if isinstance(found, dict) else found
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and value in _WORDS:
        return _WORDS[value]
    if isinstance(value, (int, float)):
        return float(value)
    if value is None:
        return None
    raise row.refuse(
        f"expected a number or C, P, I, N as the score of {shown(name)}, found {shown(value)}"
    )
