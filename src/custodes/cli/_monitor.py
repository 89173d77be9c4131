"""``custodes monitor``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ._exits import DONE, FAILED, USAGE, Exit, reported, strongest
from ._monitor_pack import pack
from ._monitor_validate import validate


@click.group("monitor")
def command() -> None:
    """Test rules against their examples, and measure monitors on labelled runs."""


command.add_command(validate)
command.add_command(pack)


@command.command("test")
@click.argument("file", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@reported
def test(file: tuple[Path, ...], as_json: bool) -> None:
    """Lint rule files and run every rule against its own examples.

    Each fault is one line, `file:line: what was expected and found`. docs/rules.md describes the
    language. Exit codes: 0 all good, 4 a rule or an example is wrong, 2 not a rule file.
    """
    from custodes.monitors import BadRules, Problem, check_rules, parse_rules, read_rule_file

    code = DONE
    tested: list[dict[str, object]] = []
    problems: list[Problem] = []
    for path in file:
        rules: int = 0
        examples: int = 0
        try:
            parsed = parse_rules(read_rule_file(path), str(path))
            rules = len(parsed)
            examples = sum(len(r.must_match) + len(r.must_not_match) for r in parsed)
            failed = check_rules(parsed)
            code = strongest(code, FAILED if failed else DONE)
        except BadRules as error:
            failed = error.problems
            code = strongest(code, FAILED if error.is_rule_file else USAGE)
        except OSError as error:
            failed = (Problem(str(path), 1, f"expected a rule file, found: {error.strerror}"),)
            code = strongest(code, USAGE)
        problems += failed
        tested.append({"file": str(path), "rules": rules, "examples": examples})
        if not as_json:
            for problem in failed:
                click.echo(_visible(str(problem)))
            if not failed:
                click.echo(_visible(f"{path}: {rules} rules, {examples} examples: all good"))
    if as_json:
        document = {
            "schema": "custodes.monitor-test/1",
            "files": tested,
            "problems": [
                {"file": problem.file, "line": problem.line, "text": problem.text}
                for problem in problems
            ],
        }
        click.echo(json.dumps(document, indent=2))
    if code != DONE:
        raise Exit(code)


def _visible(line: str) -> str:
    # A rule file may be somebody else's: its control characters stay out of the terminal.
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in line)
