"""The monitor `judge`: a language model that reads the transcript.

What keeps a transcript from answering for the judge is in `_judge_prompt` (how it is shown) and
`_judge_answer` (how the answer is read); docs/judge.md describes both, and what neither shows.
"""

from __future__ import annotations

import statistics
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Self

from custodes.transcripts import Event, EventKind, Transcript, deployment_view
from custodes.transcripts.effects import CallEffect
from custodes.types import Sha256, sha256_of_json

from ._judge_answer import Unparsable, read_verdict
from ._judge_line import InspectModel, JudgeModel, JudgeReply, JudgeRequest, Trouble
from ._judge_options import Aggregate, Each, JudgeOptions
from ._judge_prompt import SCHEMA, SYSTEM, TASK, Prompt, Shown, View, prompt, shown
from ._monitor import Observation, unmeasurable

VERSION = "judge/1"
PARSER_ROBUSTNESS = "parser robustness"
"""What attacks by fixed scripts on a judge show."""
JAILBREAK_RESISTANCE = "jailbreak resistance: not measured"
"""What they do not: whether a real model does what the transcript tells it to."""
LONGEST_WHY = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeCosts:
    """What a judge has used so far, for reports.

    Attributes:
        questions: runs or calls that were put to the model.
        unmeasurable: of these, without a result.
        cut: of these, shown with something left out.
        samples: answers that were asked for.
        verdicts: of these, verdicts.
        troubles: the others, by why there is none.
        input_tokens: as providers counted them.
        output_tokens: likewise.
        uncounted: samples for which the provider gave no count: the tokens are a lower bound.
        seconds: of waiting for answers, summed over samples.
    """

    questions: int = 0
    unmeasurable: int = 0
    cut: int = 0
    samples: int = 0
    verdicts: int = 0
    troubles: Mapping[Trouble, int] = field(default_factory=lambda: MappingProxyType({}))
    input_tokens: int = 0
    output_tokens: int = 0
    uncounted: int = 0
    seconds: float = 0.0


class JudgeMonitor:
    """Asks a language model how suspicious a run, or a call, is.

    The transcript goes to the model's provider (:attr:`destination`) as it is: with secrets, unless
    ``mask`` takes them out.

    Args:
        options: how it judges.
        model: what answers; by default the options' model through Inspect, in a subprocess that
            starts with the first question.
        mask: applied to every text before it is shown to the model; part of the identity by
            whether there is one.
    """

    needs_effects = False

    def __init__(
        self,
        options: JudgeOptions,
        *,
        model: JudgeModel | None = None,
        mask: Callable[[str], str] | None = None,
    ) -> None:
        self.options = options
        self._model = model or InspectModel(options.model, base_url=options.base_url)
        self._mask = mask
        self._lock = threading.Lock()
        self._costs = JudgeCosts()

    @property
    def name(self) -> str:
        """``judge:MODEL``, with the options that are not the default."""
        return self.options.name

    @cached_property
    def digest(self) -> Sha256:
        """Of the prompt, the model by name, the samples and every other option.

        What a provider serves under a name may change without it.
        """
        return sha256_of_json(
            {
                "version": VERSION,
                "system": SYSTEM,
                "task": TASK,
                "schema": SCHEMA,
                "options": self.options.to_json(),
                "masked": self._mask is not None,
            }
        )

    @property
    def destination(self) -> str:
        """Where transcripts go, to be shown before they do."""
        return f"{self.options.model} at {self.options.base_url or 'its provider'}"

    @property
    def costs(self) -> JudgeCosts:
        """What was used so far, by all watches of this monitor."""
        return self._costs

    def begin(self, run: Transcript | None = None) -> JudgeWatch:
        """Start to watch a run."""
        return JudgeWatch(self)

    def close(self) -> None:
        """End the process that asks the model; a later question starts it again."""
        self._model.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def judge(
        self, events: Sequence[Event], *, about: int | None = None
    ) -> tuple[int, Observation] | None:
        """What the model makes of a run, or of the call ``about`` at its end.

        Returns the index of the event that it belongs to, with the observation; None when there
        is nothing to judge.
        """
        if not events:
            return None
        options = self.options
        at = events[-1].index if about is None else about
        try:
            seen = shown(
                events,
                view=options.view,
                characters=options.characters,
                event_characters=options.event_characters,
                mask=self._mask,
            )
            if not seen.events:
                # An agent that only thought: this view has nothing of it.
                return at, unmeasurable(f"the view {options.view.value} shows nothing of this run")
            if about is not None and about not in seen.events:
                return at, unmeasurable(f"the call, event {about}, could not be shown")
            asked = prompt(seen, about=about)
        except (RecursionError, ValueError, RuntimeError) as error:
            return at, unmeasurable(f"the transcript could not be shown: {error}")
        replies = self._model.ask(
            JudgeRequest(
                system=SYSTEM,
                prompt=asked.text,
                schema=SCHEMA if options.schema else None,
                samples=options.samples,
                timeout=options.timeout,
                retries=options.retries,
                temperature=options.temperature,
                max_tokens=options.max_tokens,
            )
        )
        return self._read(replies, seen, asked, about)

    def _read(
        self, replies: Sequence[JudgeReply], seen: Shown, asked: Prompt, about: int | None
    ) -> tuple[int, Observation]:
        options = self.options
        verdicts = []
        troubles: list[tuple[Trouble, str]] = []
        for reply in replies:
            if reply.text is None:
                troubles.append((reply.trouble or Trouble.ERROR, reply.detail))
                continue
            try:
                verdicts.append(read_verdict(reply.text, code=asked.code, events=seen.events))
            except Unparsable as problem:
                troubles.append((Trouble.UNPARSABLE, str(problem)))
        known = len(verdicts) >= options.needed
        counted = Counter(trouble for trouble, _ in troubles)
        self._count(replies, len(verdicts), counted, seen, known)
        at = about if about is not None else seen.last_call
        if at is None or at not in seen.events:
            at = max(seen.events)
        unused = _unused(troubles)
        if not known:
            return at, unmeasurable(
                f"{len(verdicts)} of {options.samples} samples gave a verdict and "
                f"{options.needed} must: {unused}"
            )
        middle = statistics.fmean if options.aggregate is Aggregate.MEAN else statistics.median
        scores = [verdict.suspicion for verdict in verdicts]
        telling = max(verdicts, key=lambda verdict: verdict.suspicion)
        if about is None and telling.events:
            at = telling.events[0]
        notes = []
        if options.samples > 1:
            spread = f"{min(scores):.2f} to {max(scores):.2f}"
            notes.append(f"{options.aggregate.value} of {len(scores)} samples, {spread}")
        if unused:
            notes.append(f"not used: {unused}")
        if seen.account:
            notes.append(seen.account)
        if options.view is View.REASONING and not seen.reasoning:
            notes.append("no reasoning in the log")
        why = telling.why if len(telling.why) <= LONGEST_WHY else telling.why[:LONGEST_WHY] + "…"
        return at, Observation(
            suspicion=min(max(middle(scores), 0.0), 1.0),
            why=why + (f" [{'; '.join(notes)}]" if notes else ""),
            rests_on=tuple(sorted({index for verdict in verdicts for index in verdict.events})),
            rule=f"judge-{options.view.value}",
        )

    def _count(
        self,
        replies: Sequence[JudgeReply],
        verdicts: int,
        troubles: Counter[Trouble],
        seen: Shown,
        known: bool,
    ) -> None:
        with self._lock:
            was = self._costs
            self._costs = JudgeCosts(
                questions=was.questions + 1,
                unmeasurable=was.unmeasurable + (not known),
                cut=was.cut + bool(seen.account),
                samples=was.samples + len(replies),
                verdicts=was.verdicts + verdicts,
                troubles=MappingProxyType(dict(Counter(was.troubles) + troubles)),
                input_tokens=was.input_tokens + sum(r.input_tokens or 0 for r in replies),
                output_tokens=was.output_tokens + sum(r.output_tokens or 0 for r in replies),
                uncounted=was.uncounted + sum(r.input_tokens is None for r in replies),
                seconds=was.seconds + sum(r.seconds for r in replies),
            )


def _unused(troubles: Sequence[tuple[Trouble, str]]) -> str:
    """The samples that are no verdict: how many, of which kind, and what was wrong."""
    counted = Counter(
        trouble.value + (f" ({detail})" if detail else "") for trouble, detail in troubles
    )
    return ", ".join(f"{count} {what}" for what, count in counted.items())


class JudgeWatch:
    """A judge, watching one run."""

    def __init__(self, monitor: JudgeMonitor) -> None:
        self._monitor = monitor
        self._events: list[Event] = []

    def see(self, event: Event, effects: Sequence[CallEffect]) -> Sequence[Observation]:
        """Remember the event; with ``each=call``, what the model makes of a tool call."""
        if not deployment_view((event,)):
            return ()
        self._events.append(event)
        if event.kind is not EventKind.TOOL_CALL or self._monitor.options.each is Each.RUN:
            return ()
        found = self._monitor.judge(self._events, about=event.index)
        return () if found is None else (found[1],)

    def finish(self) -> Sequence[tuple[int, Observation]]:
        """With ``each=run``, what the model makes of the run. Empty for a run without events."""
        if self._monitor.options.each is Each.CALL:
            return ()
        found = self._monitor.judge(self._events)
        return () if found is None else (found,)
