"""Finding scenarios: those in this package by their folders, others by entry point."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pkgutil
import sys
from functools import lru_cache
from importlib.metadata import entry_points

from ._scenario import Scenario

ENTRY_POINT_GROUP = "custodes.scenarios"
SCENARIO_PATH = "CUSTODES_SCENARIO_PATH"
"""Environment variable: folders whose packages hold a scenario each (``scenario.SCENARIO``), for
one that is being written and not installed."""


@lru_cache(maxsize=1)
def all_scenarios() -> dict[str, Scenario]:
    """Every scenario by id, in order of id.

    Raises:
        ValueError: when two scenarios share an id or one lies in a folder that its id denies.
    """
    import custodes.scenarios as package

    found: dict[str, Scenario] = {}

    def add(scenario: Scenario, where: str) -> None:
        if scenario.id in found:
            raise ValueError(f"two scenarios are called {scenario.id!r}: the second is {where}")
        found[scenario.id] = scenario

    for family in pkgutil.iter_modules(package.__path__):
        if not family.ispkg:
            continue
        folder = importlib.import_module(f"{package.__name__}.{family.name}")
        for member in pkgutil.iter_modules(folder.__path__):
            if not member.ispkg:
                continue
            name = f"{folder.__name__}.{member.name}.scenario"
            if importlib.util.find_spec(name) is None:
                continue  # a folder that is shared by scenarios holds none
            module = importlib.import_module(name)
            scenario: Scenario = module.SCENARIO
            if scenario.id != f"{family.name}/{member.name}":
                raise ValueError(f"{name} calls itself {scenario.id!r}; its folder says otherwise")
            add(scenario, name)
    for entry in entry_points(group=ENTRY_POINT_GROUP):
        add(entry.load(), entry.value)
    for place in filter(None, os.environ.get(SCENARIO_PATH, "").split(os.pathsep)):
        if place not in sys.path:
            sys.path.append(place)
        for member in pkgutil.iter_modules([place]):
            name = f"{member.name}.scenario"
            if member.ispkg and importlib.util.find_spec(name) is not None:
                add(importlib.import_module(name).SCENARIO, name)
    return dict(sorted(found.items()))


def scenario_by_id(scenario_id: str) -> Scenario:
    """The scenario of that id.

    Raises:
        KeyError: naming those that exist.
    """
    scenarios = all_scenarios()
    if scenario_id not in scenarios:
        known = ", ".join(scenarios)
        raise KeyError(f"no scenario is called {scenario_id!r}; there are: {known}")
    return scenarios[scenario_id]
