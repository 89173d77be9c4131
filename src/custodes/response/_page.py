"""The page that a responder sees: what was flagged, and two forms. Nothing active, no resource."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_CSS = """
:root{--ink:#16181d;--soft:#4a4f5a;--paper:#fff;--faint:#f4f3ef;--rule:#c9c6bd;--stop:#9b1c1c;
color-scheme:light dark}
@media(prefers-color-scheme:dark){:root{--ink:#e6e4df;--soft:#b0b3ba;--paper:#17181b;
--faint:#212328;--rule:#454952;--stop:#d24545}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);overflow-wrap:anywhere;
font:1.0625rem/1.5 system-ui,-apple-system,"Segoe UI",Arial,"DejaVu Sans",sans-serif}
main{max-width:44rem;margin:0 auto;padding:1.2rem clamp(1rem,4vw,2rem) 3rem}
h1{font-size:1.5rem;line-height:1.25;margin:.2rem 0 .6rem}
h2{font-size:1.1rem;margin:0 0 .5rem}
dl{margin:1rem 0;display:grid;grid-template-columns:minmax(6rem,9rem) 1fr;gap:.35rem 1rem}
dt{color:var(--soft)}dd{margin:0;min-width:0}
pre{margin:0;background:var(--faint);padding:.5rem .7rem;white-space:pre-wrap;
font:.84rem/1.45 ui-monospace,Menlo,Consolas,"DejaVu Sans Mono",monospace}
form{border:1px solid var(--rule);border-radius:6px;padding:1rem;margin:1rem 0}
label{display:block;margin:0 0 .7rem}
input{display:block;width:100%;font:inherit;padding:.45rem .6rem;margin-top:.15rem;
color:inherit;background:var(--paper);border:1px solid var(--soft);border-radius:4px}
button{font:inherit;font-weight:600;padding:.6rem 1.2rem;border-radius:4px;cursor:pointer;
border:1px solid var(--ink);background:var(--ink);color:var(--paper)}
button.stop{background:var(--stop);border-color:var(--stop);color:#fff}
:focus-visible{outline:3px solid #4a7fd6;outline-offset:2px}
pre.flagged{border-left:5px solid var(--stop)}
@media(max-width:34rem){dl{display:block}dt{margin-top:.6rem}}
.said{border-left:5px solid var(--ink);background:var(--faint);padding:.6rem .9rem}
.aside{color:var(--soft);font-size:.9rem}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What a responder is told.

    Attributes:
        why: the monitor's reason. monitor, rule: whose.
        evidence: the calls that led to it, the flagged one last: tool and what it was given.
        task: what the agent was asked to do.
    """

    why: str
    monitor: str
    rule: str | None
    task: str
    evidence: tuple[tuple[str, str], ...]


def render(alert: Alert, *, address: str, said: Sequence[str], over: bool, name: str = "") -> bytes:
    """The page.

    Args:
        address: path under which the forms are sent.
        said: what has happened since, a line each.
        over: the stop was carried out: there is nothing left to send.
        name: who acknowledged, to be offered again.
    """
    calls = "".join(
        f"<pre{' class=flagged' if number == len(alert.evidence) else ''}>"
        f"{escape(tool)}: {escape(given)}</pre>"
        for number, (tool, given) in enumerate(alert.evidence, 1)
    )
    by = escape(alert.monitor + (f", rule {alert.rule}" if alert.rule else ""))
    lines = "".join(f'<p class="said" role="status">{escape(line)}</p>' for line in said)
    forms = ""
    if not over:
        who = (
            '<label>Your name<input name="by" required maxlength="100" autocomplete="name" '
            f'value="{escape(name)}"></label><input type="hidden" name="kind" value="person">'
        )
        if not name:
            forms += (
                f'<form method="post" action="{escape(address)}/acknowledge"><h2>Acknowledge</h2>'
                f"{who}<button>I am looking at it</button></form>"
            )
        forms += (
            f'<form method="post" action="{escape(address)}/stop"><h2>Order the stop</h2>{who}'
            '<label>Reason<input name="reason" maxlength="300" value="Flagged by a monitor">'
            '</label><button class="stop">Stop the agent</button></form>'
        )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        '<meta name="robots" content="noindex"><link rel="icon" href="data:,">'
        f"<title>Agent flagged</title><style>{_CSS}</style></head><body><main>"
        f"<h1>An agent was flagged: {escape(alert.why)}</h1>{lines}"
        f"<dl><dt>Flagged by</dt><dd>{by}</dd><dt>Its task</dt><dd>{escape(alert.task)}</dd>"
        f"<dt>What it did</dt><dd>{calls}</dd></dl>{forms}"
        '<p class="aside">This is a drill of Custodes. The agent is a script in a sandbox, and '
        "what it did is harmless. Acknowledge and stop as if it were not: the time from the page "
        "to each of the two is measured.</p></main></body></html>"
    ).encode("utf-8", "replace")  # a call may hold half a surrogate pair


POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""Content security policy of the page."""
