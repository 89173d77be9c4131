"""Runs the few tests that failed once more, alone, before the run is called a failure.

``make test`` loads this with ``-p tests.unsteady``. Eleven thousand tests with real processes,
clocks and signals share the machine; one that fails beside others and passes alone is a fault of
that test, told with its first failure, and does not fail the run. What fails alone as well, and
more than ``MOST`` failures, are failures: nothing is run again a third time.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

MOST = 5
"""Failed tests above which none is run again: then something is broken."""

_FAILED = ("failed", "error")


def pytest_configure(config: pytest.Config) -> None:
    """Watches in the process that reports, which is not one of the workers."""
    if not hasattr(config, "workerinput") and not config.option.collectonly:
        config.pluginmanager.register(_SecondRun(config), "unsteady-second-run")


class _SecondRun:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._notes: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        # A run that was cut short (-x, Ctrl-C, an error in a file) has tests that did not run.
        whole = not (session.shouldfail or session.shouldstop or self._config.option.maxfail)
        if session.exitstatus != pytest.ExitCode.TESTS_FAILED or not whole:
            return
        names = list(dict.fromkeys(report.nodeid for report in self._failed()))
        if not names or len(names) > MOST:
            self._notes.append(f"{len(names)} tests failed: more than {MOST} are not run again")
            return
        terminal = self._terminal()
        terminal.write_line(f"\n{_tests(len(names))} failed; once more, alone")
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "", *self._options(), *names],
            cwd=self._config.rootpath,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        if done.returncode != pytest.ExitCode.OK:
            self._notes += ["failed again, alone:", "", *done.stdout.splitlines()]
            return
        terminal.stats["unsteady"] = [
            report for outcome in _FAILED for report in terminal.stats.pop(outcome, [])
        ]
        session.exitstatus = pytest.ExitCode.OK

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._notes:
            terminalreporter.section("second run")
            for line in self._notes:
                terminalreporter.write_line(line)
        unsteady = terminalreporter.stats.get("unsteady", [])
        if unsteady:
            terminalreporter.section("unsteady", yellow=True)
        for report in unsteady:
            terminalreporter.write_line(
                f"unsteady: failed beside others, passed alone: {report.nodeid}"
            )
        for report in unsteady:
            terminalreporter.section(f"first failure of {report.nodeid}", sep="_")
            report.toterminal(terminalreporter._tw)
            for name, content in report.sections:
                terminalreporter.section(name, sep="-")
                terminalreporter.write_line(content)

    def _terminal(self) -> pytest.TerminalReporter:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        assert isinstance(terminal, pytest.TerminalReporter)
        return terminal

    def _failed(self) -> Iterator[pytest.TestReport]:
        for outcome in _FAILED:
            yield from self._terminal().stats.get(outcome, [])

    def _options(self) -> Iterator[str]:
        # The cache keeps what failed in the whole run.
        yield from ("-p", "no:cacheprovider")
        if profile := self._config.getoption("--hypothesis-profile", None):
            yield f"--hypothesis-profile={profile}"
        if seconds := self._config.getini("faulthandler_timeout"):
            yield from ("-o", f"faulthandler_timeout={seconds}")
            yield from ("-o", "faulthandler_exit_on_timeout=true")


def _tests(count: int) -> str:
    return "1 test" if count == 1 else f"{count} tests"
