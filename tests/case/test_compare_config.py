"""``plan.compare``: pairs of the plan's subjects, refused with their place in the file."""

from __future__ import annotations

import pytest

from custodes.case import CaseConfig, ConfigError, parse_config, quickstart_config, to_yaml

TEXT = to_yaml(quickstart_config())
LINE = TEXT[: TEXT.index("compare: []")].count("\n") + 1


def with_pairs(written: str) -> CaseConfig:
    return parse_config(TEXT.replace("compare: []", f"compare: {written}").encode())


def test_pairs_are_read_and_written_back() -> None:
    config = with_pairs("[[honest, opportunist], [violator, honest]]")
    assert config.plan.compare == (("honest", "opportunist"), ("violator", "honest"))
    assert parse_config(to_yaml(config).encode()) == config


def test_a_case_without_pairs_keeps_its_identity() -> None:
    plain = quickstart_config()
    assert plain.plan.compare == ()
    assert with_pairs("[[honest, opportunist]]").digest != plain.digest
    assert parse_config(TEXT.replace("compare: []\n", "\n").encode()).digest == plain.digest


@pytest.mark.parametrize(
    ("written", "line", "says"),
    [
        ("[[honest, opportunis]]", 0, "plan.compare[0][1]: no subject of the plan is called "
         "'opportunis'; did you mean 'opportunist'?"),
        ("[[honest]]", 0, "plan.compare[0]: expected two different subjects, found honest"),
        ("[[honest, honest]]", 0, "expected two different subjects, found honest, honest"),
        ("[[honest, violator, opportunist]]", 0, "expected two different subjects"),
        ("[honest]", 0, "plan.compare[0]: expected a list"),
        ("[[honest, violator], [honest, violator]]", 0, "plan.compare"),
        ("\n  - [honest, violator]\n  - [honest, zzz]", 2, "plan.compare[1][1]: no subject"),
    ],
)  # fmt: skip
def test_what_is_no_pair_is_refused_with_its_line(written: str, line: int, says: str) -> None:
    with pytest.raises(ConfigError) as refused:
        with_pairs(written)
    (problem,) = str(refused.value).splitlines()
    assert problem.startswith(f"custodes.yaml:{LINE + line}: ")
    assert says in problem
