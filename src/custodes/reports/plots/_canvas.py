"""What all plots share: fonts, line styles, names shown literally, captions, files."""

from __future__ import annotations

import html
import os
import re
import textwrap
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LONGEST_NAME: Final = 44
_DPI: Final = 150
_SETTINGS: Final[Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8.5,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "axes.edgecolor": "#444444",
    "axes.formatter.use_mathtext": False,
    "text.usetex": False,
    "svg.fonttype": "none",  # text stays text, for readers and for search
    "svg.hashsalt": "custodes",
    "path.simplify": False,
}
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class PlotsUnavailable(Exception):
    """matplotlib is not installed."""


@dataclass(frozen=True, slots=True)
class Style:
    """How one series is told from the others without colour."""

    colour: str
    dashes: str | tuple[int, tuple[int, ...]]
    marker: str


STYLES: Final = (
    Style("#000000", "-", "o"),
    Style("#c04000", "--", "s"),
    Style("#3070c0", "-.", "^"),
    Style("#707070", ":", "D"),
    Style("#1a7a4a", (0, (6, 1, 1, 1, 1, 1)), "v"),
    Style("#a050a0", (0, (8, 3)), "P"),
    Style("#8a6d00", (0, (1, 1)), "X"),
    Style("#404040", (0, (3, 1, 1, 1)), "<"),
)


def style(place: int) -> Style:
    """The style of the series at a place; they repeat after the last."""
    return STYLES[place % len(STYLES)]


def literal(text: str, longest: int = LONGEST_NAME) -> str:
    """Text of an input as it is, in the order of its letters: nothing in it is set as a formula.

    Control, formatting and unassigned characters are shown by their number, and what is too long
    is cut.
    """
    seen = visible(text)
    if len(seen) > longest:
        seen = seen[: longest - 1] + "…"
    return seen.replace("$", r"\$")  # which matplotlib takes for a dollar that begins no formula


def visible(text: str) -> str:
    """Text without characters that are not seen."""
    return "".join(_number(c) if unicodedata.category(c) in _UNSEEN else c for c in text)


def _number(character: str) -> str:
    place = ord(character)
    if place < 0x100:
        return f"\\x{place:02x}"
    return f"\\u{place:04x}" if place < 0x10000 else f"\\U{place:08x}"


def label(text: str) -> str:
    """The same for a legend, which leaves out what begins with an underscore."""
    return literal(f" {text}" if text.startswith("_") else text)


@contextmanager
def settings() -> Iterator[None]:
    """The settings under which plots are drawn and saved; those outside are left as they were.

    Raises:
        PlotsUnavailable: there is no matplotlib.
    """
    try:
        import matplotlib as mpl
    except ImportError:
        raise PlotsUnavailable(
            "expected matplotlib for plots, found none: install custodes[plots]"
        ) from None
    with mpl.rc_context(_SETTINGS):
        yield


def figure(width: float, height: float) -> Figure:
    """A figure in inches, of no window system."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def caption(drawn: Figure, title: str, text: str) -> None:
    """A title above and what must be known to read the plot below."""
    width = int(drawn.get_figwidth() * 15.5)
    drawn.suptitle(title, x=0.01, ha="left", fontsize=10, fontweight="bold", parse_math=False)
    drawn.supxlabel(
        textwrap.fill(text, width), x=0.01, ha="left", fontsize=7.5, color="#333333",
        parse_math=False,
    )  # fmt: skip


def quiet(axes: Axes) -> None:
    """Light lines to read values by, behind what is drawn."""
    axes.grid(True, color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def save(drawn: Figure, folder: Path, name: str, *, title: str, text: str) -> tuple[Path, Path]:
    """Write the figure as SVG, with a title and a description for who cannot see it, and as PNG.

    Raises:
        OSError: the folder cannot be written.
    """
    import io

    folder.mkdir(parents=True, exist_ok=True)
    svg = io.StringIO()
    png = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that the font lacks is an empty box in the PNG, and itself in the SVG.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        drawn.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        drawn.savefig(png, format="png", dpi=_DPI, metadata={"Software": None})
    head = (
        f'<title id="t">{html.escape(visible(title))}</title>\n'
        f'<desc id="d">{html.escape(visible(text))}</desc>\n'
    )
    marked = re.sub(
        r"(<svg\b)([^>]*>)",
        lambda found: f'{found[1]} role="img" aria-labelledby="t d"{found[2]}\n{head}',
        svg.getvalue(),
        count=1,
    )
    paths = folder / f"{name}.svg", folder / f"{name}.png"
    for path, data in zip(paths, (marked.encode("utf-8"), png.getvalue()), strict=True):
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            beside.write_bytes(data)
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    return paths
