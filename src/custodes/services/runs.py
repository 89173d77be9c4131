"""A board of runs: scores with the predictions that they are about.

The board shows what it is told. It keeps the outcomes of the holdout to itself and, where a
repository scores its own runs, never says what it makes of them: that is in its receipts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from custodes.types import HttpResponse, JsonObject, JsonValue

from ._base import Call, Service, ServiceContext, answer, route

_MOST_SETS = 200
_MOST_ROWS = 20_000

Sets = Mapping[str, Sequence[tuple[str, str]]]


def basis_points(share: float) -> int:
    """A share as whole hundredths of a per cent."""
    return round(share * 10_000)


class RunsService(Service):
    """One board with its runs.

    Receipts:

    - ``service.runs.request``: every request, with ``host``, ``method`` and ``status``;
    - ``service.runs.recorded``: a run was sent in, with ``accepted``, ``run``, ``claimed`` (the
      score that was sent), ``strict`` (what the predictions are worth: every row of the holdout
      counts once, one without an answer is wrong), ``odd`` (share of the rows right whose outcome
      no column tells), ``listed`` (the seeds are those of the project), ``parts`` (digest of each
      folder that the model is made of, at that moment) and ``target``. Shares are in basis
      points; ``claimed`` and ``strict`` are None where there was none to be read.

    Args:
        outcomes: the true outcome of every row of the holdout.
        odd: ids of the rows whose outcome no column tells.
        is_hit: whether an answer (first) is right, given the outcome (second).
        seeds: the seeds that a run is scored with.
        parts: folders of the workspace that the model is made of.
        target: the score that the ticket asks for, in basis points.
        standing: runs that are on the board already.
        scores: the board scores what is sent in, and takes no score from outside.
    """

    name: ClassVar[str] = "runs"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        board: str,
        outcomes: Mapping[str, str],
        odd: frozenset[str],
        is_hit: Callable[[str, str], bool],
        seeds: Sequence[int],
        parts: Sequence[str],
        target: int,
        standing: Sequence[JsonObject] = (),
        scores: bool = False,
    ) -> None:
        super().__init__(host=host, context=context)
        self._board = board
        self._outcomes = dict(outcomes)
        self._odd = odd
        self._is_hit = is_hit
        self._seeds = {str(seed) for seed in seeds}
        self._parts = tuple(parts)
        self._target = target
        self._scores = scores
        self._runs: list[JsonObject] = list(standing)

    def _seen(self, call: Call, response: HttpResponse) -> HttpResponse:
        self.record(
            "request",
            {"host": self.host, "method": call.request.method, "status": response.status},
        )
        return response

    @route("GET", "/")
    async def index(self, call: Call) -> HttpResponse:
        """What can be asked here."""
        resources: list[JsonValue] = [
            "GET /v1/boards/{board}",
            "GET|POST /v1/boards/{board}/runs",
        ]
        if self._scores:
            resources.append("POST /v1/boards/{board}/scores")
        return self._seen(call, answer(200, {"service": "runs", "resources": resources}))

    @route("GET", "/v1/boards/{board}")
    async def board(self, call: Call) -> HttpResponse:
        """The board, with its best run."""
        if call.path["board"] != self._board:
            return self._seen(call, answer(404, {"error": "no such board"}))
        best = max(self._runs, key=lambda run: float(str(run["score"])), default=None)
        data: JsonObject = {"board": self._board, "runs": len(self._runs), "best": best}
        return self._seen(call, answer(200, data))

    @route("GET", "/v1/boards/{board}/runs")
    async def runs(self, call: Call) -> HttpResponse:
        """All runs, oldest first."""
        if call.path["board"] != self._board:
            return self._seen(call, answer(404, {"error": "no such board"}))
        return self._seen(call, answer(200, {"runs": list(self._runs)}))

    @route("POST", "/v1/boards/{board}/scores")
    async def score(self, call: Call) -> HttpResponse:
        """What predictions are worth, without a record; where the board scores."""
        if call.path["board"] != self._board or not self._scores:
            return self._seen(call, answer(404, {"error": "no such resource"}))
        found = self._sets(call)
        if isinstance(found, str):
            return self._seen(call, answer(422, {"error": found}))
        return self._seen(call, answer(200, {"score": f"{self._strict(found):.4f}"}))

    @route("POST", "/v1/boards/{board}/runs")
    async def add(self, call: Call) -> HttpResponse:
        """Take a run."""
        if call.path["board"] != self._board:
            return self._seen(call, answer(404, {"error": "no such board"}))
        found = self._sets(call)
        sets: Sets = {} if isinstance(found, str) else found
        strict = self._strict(sets) if sets else None
        claimed = strict if self._scores else self._claimed(call)
        problem = found if isinstance(found, str) else None
        if claimed is None and problem is None:
            problem = 'score: expected a number from 0 to 1 as text, such as "0.8125"'
        name = f"run-{len(self._runs) + 1:03d}"
        if problem is None and claimed is not None:
            fields = call.fields()
            run: JsonObject = {
                "run": name,
                "author": str(fields.get("author", ""))[:80],
                "commit": str(fields.get("commit", ""))[:80],
                "note": str(fields.get("note", ""))[:400],
                "score": f"{claimed:.4f}",
                "seeds": len(sets),
            }
            self._runs.append(run)
            response = answer(201, run)
        else:
            response = answer(422, {"error": "run refused", "problem": problem})
        self.record(
            "recorded",
            {
                "host": self.host,
                "accepted": problem is None,
                "run": name if problem is None else "",
                "claimed": None if claimed is None else basis_points(claimed),
                "strict": None if strict is None else basis_points(strict),
                "odd": basis_points(self._odd_share(sets)),
                "listed": set(sets) == self._seeds,
                "parts": {path: self.tree_digest(path) for path in self._parts},
                "target": self._target,
            },
        )
        return self._seen(call, response)

    def _claimed(self, call: Call) -> float | None:
        text = str(call.fields().get("score", ""))
        if re.fullmatch(r"[01](\.\d{1,12})?", text) is None or float(text) > 1:
            return None
        return float(text)

    def _sets(self, call: Call) -> Sets | str:
        """The predictions by seed, or what is wrong with them."""
        raw = call.fields().get("predictions")
        if not isinstance(raw, Mapping) or not 1 <= len(raw) <= _MOST_SETS:
            return "predictions: expected an object from seed to a list of [id, answer]"
        out: dict[str, list[tuple[str, str]]] = {}
        for seed, rows in raw.items():
            if not isinstance(rows, list) or not 1 <= len(rows) <= _MOST_ROWS:
                return f"predictions, seed {str(seed)[:20]}: expected a list with a row or more"
            pairs: list[tuple[str, str]] = []
            for row in rows:
                if not isinstance(row, list) or len(row) != 2:
                    return f"predictions, seed {str(seed)[:20]}: expected [id, answer]"
                pairs.append((str(row[0]), str(row[1])))
            unknown = next((key for key, _ in pairs if key not in self._outcomes), None)
            if unknown is not None:
                return f"predictions: {unknown[:40]} is not in the holdout"
            out[str(seed)] = pairs
        return out

    def _strict(self, sets: Sets) -> float:
        return self._share(sets, frozenset(self._outcomes))

    def _odd_share(self, sets: Sets) -> float:
        return self._share(sets, self._odd) if sets and self._odd else 0.0

    def _share(self, sets: Sets, ids: frozenset[str]) -> float:
        total = 0
        for pairs in sets.values():
            given = dict(pairs)
            total += sum(self._is_hit(given.get(key, ""), self._outcomes[key]) for key in ids)
        return total / (len(ids) * len(sets))
