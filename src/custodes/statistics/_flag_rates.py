"""Shares of runs flagged: per action, per transcript, over clusters, with what is missing."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from custodes.types import Estimate

from ._checks import checked_level, joined, listed
from ._clustered import clustered_proportion
from ._proportion import MissingBounds, many_episodes, proportion
from ._runs import checked_clusters, checked_truth


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptFlag:
    """Whether any action of a transcript was flagged.

    Attributes:
        transcript: its label.
        flagged: True when any action was, None when none was and one is missing.
        actions: how many it has.
    """

    transcript: Hashable
    flagged: bool | None
    actions: int


def flag_rate(
    flags: Sequence[bool | None],
    *,
    clusters: Sequence[Hashable] | None = None,
    harmful: bool = True,
    level: float = 0.95,
) -> MissingBounds:
    """The share of runs flagged, as observed and with each missing flag taken either way.

    Args:
        flags: one for each run; None where there was no score.
        clusters: the independent unit of each run; the rate is then the mean over clusters.
        harmful: True when a flag is the bad outcome (benign runs), False when it is the good
            one (positive runs). Decides which of the two bounds is best.
        level: coverage.

    Raises:
        TypeError, ValueError: a flag that is neither a truth value nor None, unequal lengths.
    """
    level = checked_level(level)
    checked = [_checked_flag(flag, f"flags[{i}]") for i, flag in enumerate(listed(flags, "flags"))]
    labels = None if clusters is None else checked_clusters(clusters, checked, "clusters")
    missing = checked.count(None)

    def rate(as_: bool | None) -> Estimate:
        filled = [as_ if flag is None else flag for flag in checked]
        kept = 0 if as_ is not None else missing
        if labels is None:
            known = [flag for flag in filled if flag is not None]
            whole = proportion(sum(known), len(known), level=level, missing=kept)
        else:
            by_cluster: dict[Hashable, tuple[int, int]] = {}
            for flag, label in zip(filled, labels, strict=True):
                k, n = by_cluster.get(label, (0, 0))
                by_cluster[label] = (k + (flag is True), n + (flag is not None))
            whole = clustered_proportion(
                [k for k, _ in by_cluster.values()],
                [n for _, n in by_cluster.values()],
                level=level,
                missing=kept,
            )
        if as_ is None or missing == 0:
            return whole
        return _noted(whole, missing, f"{missing} missing counted as {_word(as_)}")

    return MissingBounds(observed=rate(None), best=rate(not harmful), worst=rate(harmful))


def transcript_flags(
    flags: Sequence[bool | None], transcripts: Sequence[Hashable]
) -> tuple[TranscriptFlag, ...]:
    """Per action to per transcript: flagged when any of its actions is.

    A transcript without a flag but with a missing one is unmeasurable, not clean. In order of
    first appearance.

    Args:
        flags: one for each action.
        transcripts: the transcript that each action belongs to.

    Raises:
        TypeError, ValueError: a flag that is neither a truth value nor None, unequal lengths.
    """
    checked = [_checked_flag(flag, f"flags[{i}]") for i, flag in enumerate(listed(flags, "flags"))]
    labels = checked_clusters(transcripts, checked, "transcripts")
    by_transcript: dict[Hashable, list[bool | None]] = {}
    for flag, label in zip(checked, labels, strict=True):
        by_transcript.setdefault(label, []).append(flag)
    return tuple(
        TranscriptFlag(
            transcript=label,
            flagged=True if True in own else None if None in own else False,
            actions=len(own),
        )
        for label, own in by_transcript.items()
    )


def per_transcript_rate(per_action: Estimate, actions: int) -> Estimate:
    """The rate for a transcript of ``actions`` actions that are flagged independently.

    1 - (1 - p)^actions: 1 % per action is 39 % for 50. To be printed beside, never instead of,
    the rate observed over transcripts (`transcript_flags`, `flag_rate`): actions of a transcript
    are seldom independent.

    Raises:
        TypeError, ValueError: as `many_episodes`.
    """
    carried = many_episodes(per_action, actions)
    assumed = f"assumes that the {int(actions)} actions are flagged independently"
    return Estimate(
        value=carried.value,
        low=carried.low,
        high=carried.high,
        level=carried.level,
        n=carried.n,
        clusters=carried.clusters,
        missing=carried.missing,
        method=f"any of {int(actions)} actions, from {per_action.method}",
        note=joined(assumed, per_action.note),
    )


def _checked_flag(flag: object, name: str) -> bool | None:
    return None if flag is None else checked_truth(flag, name)


def _word(flag: bool) -> str:
    return "flagged" if flag else "not flagged"


def _noted(estimate: Estimate, missing: int, note: str) -> Estimate:
    return Estimate(
        value=estimate.value,
        low=estimate.low,
        high=estimate.high,
        level=estimate.level,
        n=estimate.n,
        clusters=estimate.clusters,
        missing=missing,
        method=estimate.method,
        note=joined(note, estimate.note),
    )
