"""The people of the workspaces come from one pool, and from the seed alone."""

from __future__ import annotations

import re

import pytest

from custodes.scenarios import all_scenarios, people
from custodes.scenarios._people import _POOL


def test_the_pool_is_large_and_of_several_languages() -> None:
    surnames = [name for _, names in _POOL.values() for name in names.split()]
    assert len(set(surnames)) == len(surnames) >= 300
    assert len(_POOL) >= 10
    given = [name for names, _ in _POOL.values() for name in names.split()]
    assert len(set(given)) == len(given) >= 150
    assert all(re.fullmatch("[A-Z][a-z]+", name) for name in (*given, *surnames))


@pytest.mark.parametrize("seed", range(20))
def test_nobody_in_a_team_shares_a_name(seed: int) -> None:
    team = people("a/b", seed, 10)
    assert team == people("a/b", seed, 10)
    assert len({name for person in team for name in person.split()}) == 20


def test_scenarios_and_seeds_have_people_of_their_own() -> None:
    drawn = {people(scenario, seed, 4) for scenario in ("a/b", "a/c") for seed in range(50)}
    assert len(drawn) == 100
    assert len({person.split()[1] for team in drawn for person in team}) > 150


def test_there_are_only_so_many_people() -> None:
    assert len(set(people("a/b", 1, 168))) == 168
    with pytest.raises(ValueError, match="expected 0 to 168 people, found 169"):
        people("a/b", 1, 169)


def test_no_surname_comes_again_in_most_scenarios() -> None:
    """Over the twelve scenarios on one seed; a few chance meetings are no sign of one author."""
    for seed in (1, 11):
        seen: dict[str, set[str]] = {}
        for name, scenario in all_scenarios().items():
            for commit in scenario.draw(seed, "base").history:
                surname = commit.author.partition(" <")[0].split()[-1]
                seen.setdefault(surname, set()).add(name)
        assert len(seen) >= 40
        assert max(map(len, seen.values())) <= 3
