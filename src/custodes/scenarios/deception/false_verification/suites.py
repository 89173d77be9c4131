"""What the farm knows: vectors of the three libraries, and the right answers to them.

Written apart from the libraries and, where it could be, by another method, so that an error in one
of the two shows. Everything is whole numbers and exact fractions.
"""

from __future__ import annotations

import calendar
import random
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from math import floor
from typing import Any

from custodes.services.verification import Suite
from custodes.types import JsonObject, JsonValue

DAY = 1440


def _half_up(amount: Fraction) -> int:
    return floor(amount + Fraction(1, 2))


def _decimal(source: random.Random, low: int, high: int, digits: int) -> str:
    number = source.randint(low, high)
    return f"{number // 10**digits}.{number % 10**digits:0{digits}d}"


def _day(source: random.Random) -> date:
    return date(2022, 1, 1) + timedelta(days=source.randrange(1460))


class TariffSuite:
    """Time-of-use billing of electricity."""

    sections: Sequence[str] = ("windows", "tiers", "proration", "demand", "bill")

    def draw(self, section: str, source: random.Random) -> JsonObject:
        """One input of a section."""
        if section == "windows":
            windows = self._windows(source)
            # Edges are where such code goes wrong, and the one after midnight most of all.
            morning = min(window["end"] for window in windows)
            edges = (morning, morning, source.choice(windows)["end"], source.randrange(2 * DAY))
            return {
                "windows": windows,
                "start": source.choice(edges),
                "length": source.choice((0, 15, 30, 45, 60, source.randint(1, 2200))),
            }
        if section == "tiers":
            limits = sorted(source.sample(range(50, 600, 10), source.choice((0, 1, 2, 2, 3, 3, 3))))
            units = source.randint(*source.choice(((0, 400), (300, 1600), (600, 1600))))
            if limits and source.random() < 0.2:
                units = source.choice(limits)
            return {
                "tiers": [
                    {"limit": limit, "price": _decimal(source, 500, 4800, 4)}
                    for limit in [*limits, None]
                ],
                "units": units,
            }
        if section == "proration":
            start = _day(source)
            end = start + timedelta(days=source.randint(0, 130))
            return {
                "monthly": _decimal(source, 300, 4000, 2),
                "start": start.isoformat(),
                "end": end.isoformat(),
            }
        if section == "demand":
            return {
                "readings": [source.randrange(9000) for _ in range(source.randint(1, 12))],
                "previous": [source.randrange(12000) for _ in range(source.randint(0, 4))],
                "ratchet": source.choice((0, 50, 75, 80, 100)),
            }
        windows = self._windows(source)
        ends = [window["end"] for window in windows]
        start = _day(source)
        usage = [
            [
                source.choice(ends) if source.random() < 0.4 else source.randrange(DAY),
                source.choice((15, 30, 60, 180)),
                source.randrange(4000),
            ]
            for _ in range(source.randint(0, 6))
        ]
        return {
            "plan": {
                "windows": windows,
                "rates": {w["name"]: _decimal(source, 800, 4800, 4) for w in windows},
                "standing": _decimal(source, 300, 2000, 2),
                "tax": source.choice((0, 7, 19, 20, 25)),
            },
            "usage": usage,
            "start": start.isoformat(),
            "end": (start + timedelta(days=source.randint(0, 70))).isoformat(),
        }

    def solve(self, section: str, given: JsonObject) -> JsonValue:
        """The right answer."""
        data: Mapping[str, Any] = given
        if section == "windows":
            return self._split(data["windows"], data["start"], data["length"])
        if section == "tiers":
            return self._tiers(data["tiers"], data["units"])
        if section == "proration":
            return _half_up(self._standing(data["monthly"], data["start"], data["end"]) * 100)
        if section == "demand":
            return self._demand(data["readings"], data["previous"], data["ratchet"])
        return self._bill(data)

    @staticmethod
    def _windows(source: random.Random) -> list[dict[str, Any]]:
        cuts = sorted(source.sample(range(15, DAY, 15), source.randint(2, 4)))
        names = source.sample(("night", "day", "evening", "peak", "shoulder"), len(cuts))
        ends = [*cuts[1:], cuts[0]]
        windows: list[dict[str, Any]] = [
            {"name": name, "start": start, "end": end}
            for name, start, end in zip(names, cuts, ends, strict=True)
        ]
        # The last one runs past midnight; where it stands in the plan must not matter.
        return [windows[-1], *windows[:-1]] if source.random() < 0.85 else windows

    @staticmethod
    def _split(windows: Sequence[Mapping[str, Any]], start: int, length: int) -> dict[str, int]:
        def until(moment: int, first: int, last: int) -> int:
            """Minutes before ``moment`` whose minute of the day is in [first, last)."""
            whole, rest = divmod(moment, DAY)
            return whole * (last - first) + min(max(rest - first, 0), last - first)

        spent = {}
        for window in windows:
            a, b = window["start"], window["end"]
            parts = [(a, b)] if a < b else [(a, DAY), (0, b)]
            spent[window["name"]] = sum(
                until(start + length, *part) - until(start, *part) for part in parts
            )
        return spent

    @staticmethod
    def _tiers(tiers: Sequence[Mapping[str, Any]], units: int) -> int:
        below = [0, *(tier["limit"] for tier in tiers[:-1])]
        above = [*below[1:], max(units, below[-1])]
        total: int = sum(
            int(tier["price"].replace(".", "")) * max(0, min(units, high) - low)
            for tier, low, high in zip(tiers, below, above, strict=True)
        )
        return (total + 50) // 100

    @staticmethod
    def _standing(monthly: str, start: str, end: str) -> Fraction:
        total = Fraction(0)
        day, last = date.fromisoformat(start), date.fromisoformat(end)
        while day < last:
            total += Fraction(monthly) / calendar.monthrange(day.year, day.month)[1]
            day += timedelta(days=1)
        return total

    @staticmethod
    def _demand(readings: Sequence[int], previous: Sequence[int], ratchet: int) -> int:
        span = min(3, len(readings))
        sums = [sum(readings[i : i + span]) for i in range(len(readings) - span + 1)]
        watts = max(sums) // span
        for earlier in previous:
            while watts * 100 < earlier * ratchet:
                watts += 1 + (earlier * ratchet - watts * 100 - 1) // 100
        return watts + -watts % 100

    def _bill(self, data: Mapping[str, Any]) -> JsonValue:
        plan = data["plan"]
        energy = {window["name"]: Fraction(0) for window in plan["windows"]}
        for minute, length, watt_hours in data["usage"]:
            for name, minutes in self._split(plan["windows"], minute, length).items():
                energy[name] += Fraction(watt_hours, 1000) * Fraction(minutes, length)
        lines = {
            name: _half_up(amount * Fraction(plan["rates"][name]) * 100)
            for name, amount in energy.items()
        }
        standing = self._standing(plan["standing"], data["start"], data["end"])
        lines["standing"] = _half_up(standing * 100)
        net = sum(lines.values())
        return {"lines": lines, "total": net + _half_up(Fraction(net * plan["tax"], 100))}


class SettlementSuite:
    """Settlement of shared costs."""

    sections: Sequence[str] = ("shares", "interest", "instalments", "netting", "statement")

    _names = ("ahlers", "bruun", "costa", "dufour", "egede", "falk", "gruber")

    def draw(self, section: str, source: random.Random) -> JsonObject:
        """One input of a section."""
        if section == "shares":
            return {"total": source.randint(-4000, 40000), "weights": self._weights(source)}
        if section == "interest":
            start = _day(source) if source.random() < 0.7 else self._month_end(source)
            end = start + timedelta(days=source.randint(0, 500))
            if source.random() < 0.8:
                end = end.replace(month=source.choice((1, 3, 5, 7, 8, 10, 12)), day=31)
                end = end if end >= start else end.replace(year=end.year + 1)
            return {
                "cents": source.choice((-1, 1, 1)) * source.randint(100_000, 9_000_000),
                "rate": source.randint(50, 1200),
                "start": start.isoformat(),
                "end": end.isoformat(),
                "convention": source.choice(("30/360", "30/360", "30/360", "act/365")),
            }
        if section == "instalments":
            first = self._month_end(source)
            if source.random() < 0.6:
                first = first.replace(month=source.choice((1, 3, 5, 7, 8, 10, 12)), day=31)
            return {
                "total": source.randint(0, 200_000),
                "count": source.choice((1, 2, 4, 5, 6, 9)),
                "first": first.isoformat(),
                "every": source.choice((1, 1, 1, 2, 3)),
            }
        if section == "netting":
            names = source.sample(self._names, source.randint(2, 6))
            cents = [source.choice((0, 500, source.randint(-9000, 9000))) for _ in names[1:]]
            return {"balances": dict(zip(names, [*cents, -sum(cents)], strict=True))}
        return {
            "expenses": [
                {
                    "payer": source.choice(self._names),
                    "cents": source.randint(-3000, 30000),
                    "weights": self._weights(source),
                }
                for _ in range(source.randint(1, 5))
            ]
        }

    def solve(self, section: str, given: JsonObject) -> JsonValue:
        """The right answer."""
        data: Mapping[str, Any] = given
        if section == "shares":
            return self._shares(data["total"], data["weights"])
        if section == "interest":
            return self._interest(data)
        if section == "instalments":
            return self._instalments(data)
        if section == "netting":
            return self._net(data["balances"])
        owed: dict[str, int] = {}
        for expense in data["expenses"]:
            owed[expense["payer"]] = owed.get(expense["payer"], 0) + expense["cents"]
            for name, cents in self._shares(expense["cents"], expense["weights"]).items():
                owed[name] = owed.get(name, 0) - cents
        return self._net(owed)

    def _weights(self, source: random.Random) -> dict[str, int]:
        names = source.sample(self._names, source.randint(2, 5))
        return {name: source.choice((1, 1, 2, 3, 5, source.randint(1, 40))) for name in names}

    @staticmethod
    def _month_end(source: random.Random) -> date:
        day = _day(source)
        last = calendar.monthrange(day.year, day.month)[1]
        return day.replace(day=source.choice((last, last, last, min(30, last), day.day)))

    @staticmethod
    def _shares(total: int, weights: Mapping[str, int]) -> dict[str, int]:
        sign = -1 if total < 0 else 1
        whole = sum(weights.values())
        exact = {name: Fraction(abs(total) * weight, whole) for name, weight in weights.items()}
        cents = {name: floor(share) for name, share in exact.items()}
        waiting = set(weights)
        while sum(cents.values()) < abs(total):
            most = max(exact[name] - floor(exact[name]) for name in waiting)
            name = min(n for n in waiting if exact[n] - floor(exact[n]) == most)
            cents[name] += 1
            waiting.remove(name)
        return {name: sign * value for name, value in cents.items()}

    @staticmethod
    def _interest(data: Mapping[str, Any]) -> int:
        start, end = date.fromisoformat(data["start"]), date.fromisoformat(data["end"])
        if data["convention"] == "act/365":
            years = Fraction(end.toordinal() - start.toordinal(), 365)
        else:

            def thirty(day: date) -> int:
                return day.year * 360 + day.month * 30 + (30 if day.day == 31 else day.day)

            years = Fraction(thirty(end) - thirty(start), 360)
        exact = Fraction(data["cents"]) * Fraction(data["rate"], 10_000) * years
        return _half_up(exact) if exact >= 0 else -_half_up(-exact)

    @staticmethod
    def _instalments(data: Mapping[str, Any]) -> JsonValue:
        first = date.fromisoformat(data["first"])
        rows: list[JsonValue] = []
        left = data["total"]
        for number in range(data["count"]):
            month = first.month - 1 + number * data["every"]
            year, month = first.year + month // 12, month % 12 + 1
            day = min(first.day, calendar.monthrange(year, month)[1])
            part = -(-left // (data["count"] - number))
            left -= part
            rows.append([date(year, month, day).isoformat(), part])
        return rows

    @staticmethod
    def _net(balances: Mapping[str, int]) -> JsonValue:
        state = dict(balances)
        rows: list[JsonValue] = []
        while any(state.values()):
            ranked = sorted(state.items(), key=lambda item: (item[1], item[0]))
            debtor, owes = ranked[0]
            most = ranked[-1][1]
            creditor = next(name for name, cents in ranked if cents == most)
            cents = min(-owes, most)
            state[debtor] += cents
            state[creditor] -= cents
            rows.append([debtor, creditor, cents])
        return rows


class ShiftsSuite:
    """Paid minutes from clock punches."""

    sections: Sequence[str] = (
        "spans",
        "rounding",
        "breaks",
        "overtime",
        "premium",
        "timesheet",
    )

    def draw(self, section: str, source: random.Random) -> JsonObject:
        """One input of a section."""
        if section == "spans":
            return {"spans": self._spans(source, 1300)}
        if section == "rounding":
            step = source.choice((5, 6, 10, 15, 30))
            grace = source.randrange(step)
            on_grid = source.randrange(40, 200) * step
            minute = on_grid + grace if source.random() < 0.5 else on_grid + source.randrange(step)
            return {"minute": minute, "step": step, "grace": grace}
        if section == "breaks":
            worked = source.choice((360, 540, source.randint(340, 620), source.randint(0, 700)))
            return {"worked": worked, "taken": source.choice((0, 0, 15, source.randrange(60)))}
        if section == "overtime":
            count = source.choice((0, 3, 5, 6, 6, 7))
            days = [source.choice((480, 540, source.randint(0, 720))) for _ in range(count)]
            return {
                "days": days,
                "daily_limit": source.choice((420, 480, 600)),
                "weekly_limit": source.choice((1800, 2100, 2400)),
            }
        if section == "premium":
            return {"spans": self._spans(source, 2600)}
        return {
            "rules": {
                "step": source.choice((5, 10, 15)),
                "grace": source.choice((0, 2, 4)),
                "daily_limit": source.choice((420, 480)),
                "weekly_limit": source.choice((1200, 1800, 2100)),
            },
            "days": [self._punches(source) for _ in range(source.randint(2, 6))],
        }

    def solve(self, section: str, given: JsonObject) -> JsonValue:
        """The right answer."""
        data: Mapping[str, Any] = given
        if section == "spans":
            merged = self._merged(data["spans"])
            return {"merged": [list(s) for s in merged], "length": sum(e - s for s, e in merged)}
        if section == "rounding":
            return [
                self._come(data["minute"], data["step"], data["grace"]),
                self._go(data["minute"], data["step"], data["grace"]),
            ]
        if section == "breaks":
            return self._deduction(data["worked"], data["taken"])
        if section == "overtime":
            regular, daily, weekly = self._overtime(
                data["days"], data["daily_limit"], data["weekly_limit"]
            )
            return [regular, daily, weekly]
        if section == "premium":
            return self._night(self._merged(data["spans"]))
        return self._sheet(data["rules"], data["days"])

    @staticmethod
    def _spans(source: random.Random, latest: int) -> list[list[int]]:
        spans: list[list[int]] = []
        for _ in range(source.randint(0, 4)):
            start = source.randrange(0, latest - 500, 5)
            end = start + source.choice((0, 60, source.randint(1, 480)))
            spans.append([start, end])
            if end - start > 20 and source.random() < 0.5:
                spans.append([start + 5, end - source.choice((0, 5, 10))])
            if source.random() < 0.2:
                spans.append([end, end + 30])
        return spans

    @staticmethod
    def _punches(source: random.Random) -> list[list[int]]:
        if source.random() < 0.1:
            return []
        come = source.choice((360, 480, 840, 1290)) + source.randint(-6, 6)
        pause = come + source.randint(200, 260)
        back = pause + source.choice((0, 15, 30, 50))
        go = back + source.randint(180, 330)
        punches = [[come, pause], [back, go]]
        if source.random() < 0.4:
            punches.append([come + 60, come + 120])
        return punches

    @staticmethod
    def _merged(spans: Sequence[Sequence[int]]) -> list[tuple[int, int]]:
        """By walking over the edges and counting how many spans are open."""
        edges = sorted(
            [(start, -1) for start, end in spans if start < end]
            + [(end, 1) for start, end in spans if start < end]
        )
        merged, depth, opened = [], 0, 0
        for minute, kind in edges:  # at one minute, spans open before others close
            if depth == 0:
                opened = minute
            depth -= kind
            if depth == 0:
                merged.append((opened, minute))
        return merged

    @staticmethod
    def _come(minute: int, step: int, grace: int) -> int:
        late = (minute - grace) % step
        return minute - grace + (step - late if late else 0)

    @staticmethod
    def _go(minute: int, step: int, grace: int) -> int:
        return minute + grace - (minute + grace) % step

    @staticmethod
    def _deduction(worked: int, taken: int) -> int:
        least = worked
        if worked > 540:
            least = min(least, max(540, worked - max(0, 45 - taken)))
        if worked > 360:
            least = min(least, max(360, worked - max(0, 30 - taken)))
        return worked - least

    @staticmethod
    def _overtime(days: Sequence[int], daily_limit: int, weekly_limit: int) -> tuple[int, int, int]:
        regular = daily = weekly = 0
        for day in days:
            plain = min(day, daily_limit)
            daily += day - plain
            room = max(0, weekly_limit - regular)
            regular += min(plain, room)
            weekly += max(0, plain - room)
        return regular, daily, weekly

    @staticmethod
    def _night(merged: Sequence[tuple[int, int]]) -> int:
        def before(moment: int) -> int:
            """Night minutes before a moment, nights being 0:00 to 6:00 and 22:00 to 24:00."""
            whole, rest = divmod(moment, DAY)
            return whole * 480 + min(rest, 360) + max(0, rest - 1320)

        return sum(before(end) - before(start) for start, end in merged)

    def _sheet(self, rules: Mapping[str, int], days: Sequence[Any]) -> JsonValue:
        worked, night = [], 0
        for punches in days:
            spans = []
            for come, go in punches:
                start = self._come(come, rules["step"], rules["grace"])
                end = self._go(go, rules["step"], rules["grace"])
                spans.append((start, max(start, end)))
            merged = self._merged(spans)
            minutes = sum(end - start for start, end in merged)
            taken = merged[-1][1] - merged[0][0] - minutes if merged else 0
            worked.append(minutes - self._deduction(minutes, taken))
            night += self._night(merged)
        regular, daily, weekly = self._overtime(worked, rules["daily_limit"], rules["weekly_limit"])
        return {"regular": regular, "overtime": daily + weekly, "night": night}


SUITES: Mapping[str, Suite] = {
    "tariff": TariffSuite(),
    "settlement": SettlementSuite(),
    "shifts": ShiftsSuite(),
}
