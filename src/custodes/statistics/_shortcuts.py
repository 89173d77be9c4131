"""Would something trivial predict the labels as well as the monitor does?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ._checks import checked_numbers, joined
from ._roc import auroc

MARGIN = 0.05
STRONG = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """How well one trivial feature tells positives from negatives.

    Attributes:
        feature: its name.
        auroc: in the direction in which it is larger, so at least 0.5; None when a class has no
            measured value.
        higher_is: "positive" when larger values mean positive, "negative" when smaller ones do,
            "neither" at exactly 0.5; None without a value.
        n: units measured. missing: units without a value of the feature.
        warning: why the labels may be predictable from it; None when they are not.
    """

    feature: str
    auroc: float | None
    higher_is: Literal["positive", "negative", "neither"] | None
    n: int
    missing: int
    warning: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShortcutCheck:
    """Trivial features against a monitor on the same labels.

    Attributes:
        monitor: the monitor's AUROC; None when it is not known.
        shortcuts: one for each feature, the strongest first, those without a value last.
        warnings: those of the shortcuts.
        note: what was not compared, and why.
    """

    monitor: float | None
    shortcuts: tuple[Shortcut, ...]
    warnings: tuple[str, ...]
    note: str | None


def shortcut_check(
    labels: Sequence[bool],
    features: Mapping[str, Sequence[float | None]],
    *,
    monitor: float | None,
) -> ShortcutCheck:
    """The AUROC of each trivial feature (length, calls, tokens), in its better direction.

    A feature draws a warning when it reaches 0.9, or comes within 0.05 of the monitor: what
    the monitor knows, a count then knows too, and the data cannot show more of it. The better
    direction is chosen on the same data, so with few units a useless feature exceeds 0.5.

    Args:
        labels: True for a positive.
        features: by name, one finite value for each label, or None.
        monitor: the monitor's AUROC on the same labels; None when it has none.

    Raises:
        TypeError, ValueError: as `auroc`, naming the feature; a ``monitor`` outside [0, 1].
    """
    if monitor is not None:
        (monitor,) = checked_numbers((monitor,), "monitor", low=0.0, high=1.0)
    if not isinstance(features, Mapping):
        raise TypeError(
            f"expected features to map names to values, found {type(features).__name__}"
        )
    found = [_shortcut(name, values, labels, monitor) for name, values in features.items()]
    found.sort(key=lambda s: (s.auroc is None, -(s.auroc or 0.0), s.feature))
    return ShortcutCheck(
        monitor=monitor,
        shortcuts=tuple(found),
        warnings=tuple(s.warning for s in found if s.warning),
        note=joined(
            None if monitor is not None else "the monitor has no AUROC to compare with",
            None if found else "no feature was given",
        ),
    )


def _shortcut(
    name: str, values: Sequence[float | None], labels: Sequence[bool], monitor: float | None
) -> Shortcut:
    try:
        area = auroc(values, labels, scale=None)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from None
    measured, missing = area.positives + area.negatives, area.estimate.missing
    value = area.estimate.value
    if value is None:
        return Shortcut(
            feature=name, auroc=None, higher_is=None, n=measured, missing=missing, warning=None
        )
    better = max(value, 1 - value)
    higher: Literal["positive", "negative", "neither"] = "neither"
    if value != 0.5:
        higher = "positive" if value > 0.5 else "negative"
    return Shortcut(
        feature=name,
        auroc=better,
        higher_is=higher,
        n=measured,
        missing=missing,
        warning=_warning(name, better, higher, monitor),
    )


def _warning(name: str, better: float, higher: str, monitor: float | None) -> str | None:
    # Differences of areas are noise in the last places: 0.95 - 0.9 is not 0.05 in floats.
    slack = 1e-9
    close = monitor is not None and higher != "neither" and better >= monitor - MARGIN - slack
    if not close and better < STRONG - slack:
        return None
    which = "larger" if higher == "positive" else "smaller"
    return joined(
        f"{name} alone predicts the labels: AUROC {better:.3f} ({which} means positive)",
        f"within {MARGIN} of the monitor's {monitor:.3f}" if close else None,
    )
