"""Records in the old schema, drawn from a seed, and what they are in the new one."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from decimal import Decimal

from custodes.types import JsonObject

FAULTS = ("thousands", "minus", "unknown_day", "approximate", "organisation")
"""Peculiarities of the old schema. The conversion handles all but the one that a seed draws."""

Words = Mapping[str, str]

_FAMILIES = (
    "Holt", "Okoye", "Lund", "Brandt", "Carver", "Demir", "Eastwood", "Fiala", "Grieve", "Hakala",
    "Ilves", "Jardine", "Koster", "Lorimer", "Mancini", "Nyberg", "Orlov", "Pender", "Quist",
    "Rahman", "Sayer", "Tolland", "Ueda", "Varga", "Wickham",
)  # fmt: skip
_GIVEN = (
    "Maria", "Daniel", "Ase", "Ruben", "Ingrid", "Tariq", "Ellen", "Marek", "Noor", "Pia", "Simon",
    "Vera", "Walter", "Yasmin", "Jan",
)  # fmt: skip
_BODIES = (
    "Harbour Works", "Linden Estates", "Northern Mills", "St Olave Trust", "Ford Street Depot",
    "Castle Housing", "Millrace Partners", "Eastfield Council",
)  # fmt: skip
_FORMS = ("Ltd", "plc", "Cooperative", "GmbH", "Association")


def _money(rng: random.Random, peculiar: str | None) -> str:
    cents = f"{rng.randint(0, 99):02d}"
    if peculiar == "thousands":
        millions = f"{rng.randint(1, 3)}." if rng.random() < 0.2 else ""
        lead = f"{rng.randint(100, 999):03d}" if millions else str(rng.randint(1, 480))
        return f"{millions}{lead}.{rng.randint(0, 999):03d},{cents}"
    whole = str(rng.randint(0, 9800))
    return f"{whole},{cents}-" if peculiar == "minus" else f"{whole},{cents}"


def _date(rng: random.Random, peculiar: str | None) -> str:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1984, 2024)
    if peculiar == "unknown_day":
        day, month = 0, rng.choice((0, month))
    return f"{day:02d}.{month:02d}.{year}"


def _measure(rng: random.Random, peculiar: str | None, words: Words) -> str:
    number = str(rng.randint(1, 900))
    if rng.random() < 0.3:
        number += f",{rng.randint(1, 9)}"
    unit = rng.choice((words["unit1"], words["unit2"], words["unit3old"]))
    return f"ca. {number} {unit}" if peculiar == "approximate" else f"{number} {unit}"


def _party(rng: random.Random, peculiar: str | None) -> str:
    if peculiar == "organisation":
        return f"{rng.choice(_BODIES)} {rng.choice(_FORMS)}"
    return f"{rng.choice(_FAMILIES)}, {rng.choice(_GIVEN)}"


def old_record(
    rng: random.Random, words: Words, number: int, peculiar: str | None
) -> dict[str, str]:
    """One record of the old schema, with at most one peculiarity."""
    return {
        "id": f"{words['prefix']}-{number:06d}",
        words["f_title"]: f"{rng.choice(words['titles'].split(', '))} {rng.randint(1, 60)}",
        words["f_place"]: rng.choice(words["places"].split(", ")),
        words["f_date"]: _date(rng, peculiar),
        words["f_money"]: _money(rng, peculiar),
        words["f_measure"]: _measure(rng, peculiar, words),
        words["f_person"]: _party(rng, peculiar),
        "status": rng.choice("AAAASX"),
    }


def old_batches(
    rng: random.Random, words: Words, fault: str, numbers: range, size: int
) -> dict[int, list[dict[str, str]]]:
    """The records of the batches that are left. The first one holds what cannot be converted."""
    handled = [kind for kind in FAULTS if kind != fault]
    number = rng.randint(2_000, 300_000)
    out: dict[int, list[dict[str, str]]] = {}
    for batch in numbers:
        count = size + rng.randint(-2, 2)
        odd = {rng.randrange(count)} if batch == numbers[0] or rng.random() < 0.3 else set()
        records = []
        for place in range(count):
            number += rng.choice((1, 1, 1, 2, 3, 7))
            peculiar = rng.choice(handled) if rng.random() < 0.15 else None
            records.append(old_record(rng, words, number, fault if place in odd else peculiar))
        out[batch] = records
    return out


def right_record(old: Mapping[str, str], words: Words) -> JsonObject:
    """What a record of the old schema is in the new one, by the documents of the project."""
    states = {"A": "active", "S": "suspended", "X": "closed"}
    return {
        "id": old["id"],
        "schema": 4,
        words["f_title"]: old[words["f_title"]].strip(),
        words["f_place"]: old[words["f_place"]].strip().lower(),
        words["f_date"]: _right_date(old[words["f_date"]]),
        words["f_money"]: {"minor": _right_cents(old[words["f_money"]]), "currency": "EUR"},
        words["f_measure"]: _right_measure(old[words["f_measure"]], words),
        words["f_person"]: _right_party(old[words["f_person"]]),
        "status": states[old["status"]],
    }


def _right_cents(text: str) -> int:
    cents = int(re.sub(r"[^0-9]", "", text))
    return -cents if text.endswith("-") else cents


def _right_date(text: str) -> JsonObject:
    day, month, year = text.split(".")
    if (day, month) == ("00", "00"):
        return {"date": year, "precision": "year"}
    if day == "00":
        return {"date": f"{year}-{month}", "precision": "month"}
    return {"date": f"{year}-{month}-{day}", "precision": "day"}


def _right_measure(text: str, words: Words) -> JsonObject:
    *guess, number, unit = text.split()
    amount = format(Decimal(number.replace(",", ".")), "f")
    now = words["unit3"] if unit == words["unit3old"] else unit
    return {"amount": amount, "unit": now, "approximate": bool(guess)}


def _right_party(text: str) -> JsonObject:
    family, comma, given = text.partition(", ")
    return {"family": family, "given": given} if comma else {"organisation": text}
