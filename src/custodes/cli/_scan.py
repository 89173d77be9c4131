"""``custodes scan``."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ._exits import DONE, THRESHOLD, UNMEASURABLE, USAGE, Exit, reported, strongest
from ._progress import Bar, cores

if TYPE_CHECKING:
    from custodes.scan import File, Scanned, ScanThreshold, Settings, Suppressions

DEFAULT_FOLDER = Path("custodes-scan")


@click.command("scan")
@click.argument("paths", nargs=-1, metavar="PATH…")
@click.option("--local", is_flag=True, help="Scan this user's sessions of coding agents.")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Folder for findings and report.  [default: {DEFAULT_FOLDER}; with --json none]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.option("--since", help="Leave out what is older: 2026-11-01, 7d, 12h.")
@click.option(
    "--monitor",
    "monitors",
    multiple=True,
    help="rules, sequence, claims, a rule file, or an installed monitor.  [default: all three]",
)
@click.option("--fail-on", multiple=True, help="flagged>0, flagged@STEP>0, unreadable>0 …")
@click.option(
    "--suppressions",
    "suppressions_path",
    type=click.Path(dir_okay=False, exists=True),
    help="Findings that are known and accepted, with reason, owner and expiry.",
)
@click.option(
    "--mapping",
    type=click.Path(dir_okay=False, exists=True),
    help="How to understand a format of your own.",
)
@click.option("--jobs", type=click.IntRange(1, 256), help="Processes.  [default: one a core]")
@click.option("--watch", is_flag=True, help="Go on: scan what is added, until interrupted.")
@click.option(
    "--interval",
    type=click.FloatRange(0.2),
    default=5.0,
    show_default=True,
    help="Seconds between looks with --watch.",
)
@reported
def command(
    paths: tuple[str, ...],
    local: bool,
    out: Path | None,
    as_json: bool,
    since: str | None,
    monitors: tuple[str, ...],
    fail_on: tuple[str, ...],
    suppressions_path: str | None,
    mapping: str | None,
    jobs: int | None,
    watch: bool,
    interval: float,
) -> None:
    """Read recorded logs of agents in any format, judge what they did, account for the rest."""
    from custodes.scan import (
        DEFAULT_MONITORS,
        Settings,
        load_suppressions,
        parse_scan_threshold,
        parse_since,
    )
    from custodes.transcripts import load_mapping, reader_problems

    if not paths and not local:
        raise Exit(USAGE, "nothing to scan: name files or folders, or ask for --local")
    if watch and as_json:
        raise Exit(USAGE, "--watch prints findings as they come and cannot be one JSON document")
    thresholds = tuple(parse_scan_threshold(text) for text in fail_on)
    suppressions = (
        None
        if suppressions_path is None
        else load_suppressions(Path(suppressions_path), datetime.now(UTC).date())
    )
    settings = Settings(
        monitors=monitors or DEFAULT_MONITORS,
        since_us=None if since is None else parse_since(since, datetime.now(UTC)),
        mapping=mapping,
    )
    # What the user may have got wrong is said before anything is read.
    settings.load_monitors()
    if mapping is not None:
        load_mapping(mapping)
    if local:
        found, looked_at = _local()
        for line in looked_at:
            click.echo(line, err=as_json)
        if not paths and not found and not watch:
            raise Exit(USAGE, "no sessions of coding agents were found; see what was looked at")
    for problem in reader_problems():
        click.echo(problem, err=True)
    with _folder(out, as_json) as folder:
        scan = _Scan(paths, local, settings, folder, suppressions, thresholds, jobs or cores())
        if watch:
            scan.follow(interval)
        else:
            raise Exit(scan.once(as_json))


class _Scan:
    """One scan, or one look after the other at the same paths."""

    def __init__(
        self,
        paths: tuple[str, ...],
        local: bool,
        settings: Settings,
        folder: Path | None,
        suppressions: Suppressions | None,
        thresholds: tuple[ScanThreshold, ...],
        jobs: int,
    ) -> None:
        self._paths = paths
        self._local = local
        self._settings = settings
        self._folder = folder
        self._suppressions = suppressions
        self._thresholds = thresholds
        self._jobs = jobs

    def once(self, as_json: bool) -> int:
        """Scan, write, print; the exit code."""
        from custodes.reports import scan_summary_lines, write_scan_json, write_scan_reports
        from custodes.scan import scan_crossings
        from custodes.transcripts import reader_problems

        files = self._files()
        if all(file.note is not None for file in files):
            left_out = "".join(f"; {file.path} is {file.note}" for file in files[:3])
            raise Exit(USAGE, f"no file to read under {', '.join(self._paths)}{left_out}")
        with self._scanned(files, quiet=as_json) as result:
            written = [] if self._folder is None else write_scan_reports(result, self._folder)
            if as_json:
                write_scan_json(result, sys.stdout)
            else:
                for line in scan_summary_lines(result):
                    click.echo(line)
                for path in written:
                    click.echo(f"written: {path}")
            crossed = scan_crossings(result, self._thresholds)
            for crossing in crossed:
                more = f", and {crossing.unknown} unknown" if crossing.unknown else ""
                click.echo(
                    f"crossed: {crossing.threshold.text} ({crossing.counted}{more})", err=True
                )
            self._say_unused()
            unknown = result.totals.unreadable or result.totals.unmeasurable or reader_problems()
            return strongest(THRESHOLD if crossed else DONE, UNMEASURABLE if unknown else DONE)

    def follow(self, interval: float) -> None:
        """Look again and again; print each finding once, keep the folder up to date."""
        from custodes.reports import finding_lines, write_scan_reports
        from custodes.scan import scan_crossings

        told: set[str] = set()
        crossed_before: set[str] = set()
        before: list[File] | None = None
        click.echo("watching; interrupt to end", err=True)
        try:
            while True:
                files = self._files(missing_ok=before is not None)
                if files != before:
                    before = files
                    with self._scanned(files, quiet=True, keep=True) as result:
                        for finding in result.findings():
                            if finding.id not in told:
                                told.add(finding.id)
                                if finding.flagged and finding.suppressed is None:
                                    for line in finding_lines(finding):
                                        click.echo(line)
                        if self._folder is not None:
                            write_scan_reports(result, self._folder)
                        for crossing in scan_crossings(result, self._thresholds):
                            if crossing.threshold.text not in crossed_before:
                                crossed_before.add(crossing.threshold.text)
                                click.echo(f"crossed: {crossing.threshold.text}", err=True)
                    sys.stdout.flush()
                time.sleep(interval)
        except KeyboardInterrupt:
            self._forget()
            raise Exit(THRESHOLD if crossed_before else DONE) from None

    def _files(self, *, missing_ok: bool = False) -> list[File]:
        """What there is to read now: sessions begin and end while a scan goes on."""
        from custodes.scan import find_files, is_remote

        paths = [p for p in self._paths if not missing_ok or is_remote(p) or os.path.exists(p)]
        if self._local:
            # A client may remove a session between this list and the next line.
            paths += filter(os.path.exists, _local()[0])
        leave_out = [] if self._folder is None else [self._folder]
        return list(find_files(paths, leave_out=leave_out))

    @contextmanager
    def _scanned(self, files: list[File], *, quiet: bool, keep: bool = False) -> Iterator[Scanned]:
        from custodes.scan import scan_files

        with (
            tempfile.TemporaryDirectory(prefix="custodes-scan-") as scratch,
            Bar("reading", quiet=quiet, in_bytes=True) as bar,
        ):
            result, journal = scan_files(
                files,
                self._settings,
                folder=self._folder or Path(scratch),
                paths=self._paths,
                jobs=self._jobs,
                suppressions=self._suppressions,
                planned=lambda tasks, size: bar.planned(size),
                done=lambda task: bar.advance(task.file.size // task.part[1]),
            )
            bar.close()
            finished = False
            try:
                yield result
                finished = True
            finally:
                journal.close(done=finished and not keep)

    def _forget(self) -> None:
        from custodes.scan import JOURNAL_NAME

        if self._folder is not None:
            (self._folder / JOURNAL_NAME).unlink(missing_ok=True)

    def _say_unused(self) -> None:
        if self._suppressions is not None:
            for line in self._suppressions.unused():
                click.echo(line, err=True)


@contextmanager
def _folder(out: Path | None, as_json: bool) -> Iterator[Path | None]:
    if out is None and as_json:
        yield None
        return
    folder = out or DEFAULT_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    yield folder


def _local() -> tuple[tuple[str, ...], list[str]]:
    """Folders with sessions of this user's coding agents, and what was looked at."""
    from custodes.transcripts import find_local_sessions

    paths: list[str] = []
    lines: list[str] = []
    for sessions in find_local_sessions(Path.home(), os.environ):
        found = [*sessions.files, *sessions.stores]
        paths += map(str, found)
        lines.append(f"{sessions.client}: {len(found)} session files")
        for place in sessions.looked_at:
            what = "looked at" if place.exists else "not there"
            problem = f" ({place.problem})" if place.problem else ""
            lines.append(f"  {what}: {place.folder}{problem}")
    return tuple(paths), lines
