"""The command ``custodes``."""

from __future__ import annotations

import importlib

import click

from custodes import __version__

_COMMANDS: dict[str, tuple[str, str]] = {
    "scan": ("_scan", "Read recorded agent logs, judge what they did, account for the rest."),
    "effects": ("_effects", "What one shell or Python command would do."),
    "permissions": (
        "_permissions",
        "What installed coding agents may do, against what they did.",
    ),
    "gate": ("_gate", "Decide before a tool call runs, and prove it in the client."),
    "init": ("_init", "Make a case: a folder that holds one assessment."),
    "assess": ("_assess", "Run or resume a case's plan, then write the report."),
    "agents": ("_agents", "Which installed agents can be assessed as they are deployed."),
    "report": ("_report", "Render the report of a case."),
    "compare": ("_compare", "What changed between two subjects, or between two cases."),
    "verify": ("_verify", "Check a case, a bundle or a published report, offline."),
    "head": ("_head", "Sign what a case holds now, and show it."),
    "keys": ("_keys", "Make keys, and say in a case which may sign."),
    "scenarios": ("_scenarios", "List, show and admit scenarios."),
    "monitor": ("_monitor", "Test rules; measure a monitor on labelled transcripts."),
    "horizon": ("_horizon", "How long a task agents complete, and how fast that doubles."),
    "tiers": ("_tiers", "Which sandbox tiers work on this machine, tried out."),
    "probe": ("_probe", "Try to get out of the sandbox in every known way."),
    "drill": ("_drill", "Run stubborn processes against stop mechanisms, ours or yours."),
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        if name not in _COMMANDS:
            return None
        module = importlib.import_module(f".{_COMMANDS[name][0]}", __package__)
        command: click.Command = module.command
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.command(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="custodes")
def main() -> None:
    """Could the AI agents that an organisation deploys go rogue, and would they be stopped?

    Exit codes, strongest first: 4 failed; 2 usage or configuration error; 1 a threshold of
    --fail-on was crossed; 3 something was unmeasurable; 0 done.
    """
