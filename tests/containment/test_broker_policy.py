"""Names, paths and rules: pure, and judged on one form only."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custodes.containment._broker_policy import (
    AllowRule,
    EgressPolicy,
    Refusal,
    is_public_address,
    normalise_path,
    parse_authority,
    parse_host,
)
from custodes.types import canonical_json

PATH_PIECES = st.lists(
    st.sampled_from(
        [
            "/",
            "..",
            ".",
            "a",
            "%2e",
            "%2E%2e",
            "%41",
            "%2f",
            "%5c",
            "%25",
            ";",
            "A",
            "~",
            "%7e",
            "//",
        ]
    ),
    max_size=14,
).map(lambda pieces: "/" + "".join(pieces))


@given(path=PATH_PIECES)
def test_a_normal_path_stays_as_it_is_and_never_climbs(path: str) -> None:
    try:
        normal = normalise_path(path)
    except Refusal:
        return
    assert normalise_path(normal) == normal
    assert normal.startswith("/")
    assert "//" not in normal
    assert not {".", ".."} & set(normal.split("/"))
    assert "%2E" not in normal.upper()


@given(path=PATH_PIECES)
def test_what_a_prefix_covers_lies_below_it_for_a_server_that_decodes_again(path: str) -> None:
    rule = AllowRule(host="h", path_prefix="/a")
    try:
        normal = normalise_path(path)
    except Refusal:
        return
    if rule.reaches(normal):
        again = normal
        for _ in range(3):
            for escape, char in (("%25", "%"), ("%2F", "/"), ("%5C", "/"), ("%2E", ".")):
                again = again.replace(escape, char)
            again = normalise_path(again)
        assert again == "/a" or again.startswith("/a/")


@given(text=st.text(max_size=40))
def test_no_text_breaks_the_host_parser_and_its_form_is_stable(text: str) -> None:
    try:
        host = parse_host(text)
    except Refusal:
        return
    assert host == host.lower()
    assert host.isascii()
    assert parse_host(f"[{host}]" if ":" in host else host) == host
    assert not set(host) & set("/@%?#\\ \r\n")


@given(address=st.ip_addresses(v=4))
def test_an_ipv4_address_has_one_accepted_spelling(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    octets = str(address).split(".")
    assert parse_host(str(address)) == str(address)
    for other in (
        str(number),
        hex(number),
        f"0{number:o}",
        ".".join(hex(int(octet)) for octet in octets),
        ".".join(f"0{int(octet):o}" for octet in octets),
        f"{octets[0]}.{number & 0xFFFFFF}",
        f"[::ffff:{address}]",
        f"{address}.",
    ):
        if parse_or_none(other) not in {None, str(address)}:
            raise AssertionError(f"{other} was taken for {parse_or_none(other)}")
    assert parse_or_none(hex(number)) is None
    assert parse_or_none(f"[::ffff:{address}]") is None


def parse_or_none(text: str) -> str | None:
    try:
        return parse_host(text)
    except Refusal:
        return None


@given(port=st.integers(-10, 70000))
def test_ports(port: int) -> None:
    if 1 <= port <= 65535:
        assert parse_authority(f"h:{port}", None) == ("h", port)
        assert parse_authority(f"[::1]:{port}", None) == ("::1", port)
    else:
        with pytest.raises(Refusal):
            parse_authority(f"h:{port}", 80)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:8.8.8.8",
        "::ffff:127.0.0.1",
        "::ffff:0:127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "3fff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "4000::1",
    ],
)
def test_addresses_that_are_not_the_public_internet(address: str) -> None:
    assert not is_public_address(ipaddress.ip_address(address))
    assert not EgressPolicy().permits_address(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1", "2a00:1450::1"]
)
def test_public_addresses(address: str) -> None:
    assert is_public_address(ipaddress.ip_address(address))


@given(address=st.ip_addresses())
def test_what_python_calls_not_global_is_never_public(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    if not address.is_global or address.is_multicast:
        assert not is_public_address(address)


def test_a_listed_network_opens_itself_only() -> None:
    policy = EgressPolicy(networks=("10.7.0.0/16", "fd00::/64"))
    assert policy.permits_address(ipaddress.ip_address("10.7.1.1"))
    assert policy.permits_address(ipaddress.ip_address("fd00::5"))
    assert not policy.permits_address(ipaddress.ip_address("10.8.1.1"))
    assert not policy.permits_address(ipaddress.ip_address("::ffff:10.7.1.1"))


def test_a_wildcard_covers_names_below_and_nothing_beside() -> None:
    rule = AllowRule(host="*.example.org")
    assert rule.names("a.example.org")
    assert rule.names("a.b.example.org")
    for other in ("example.org", "badexample.org", "example.org.evil", "a.example.orgx"):
        assert not rule.names(other)


def test_the_denial_names_the_nearest_miss() -> None:
    policy = EgressPolicy(
        allow=(
            AllowRule(host="h", port=80, methods=frozenset({"GET"}), path_prefix="/v1"),
            AllowRule(host="t", port=443),
        ),
        connect_allowed=True,
    )

    def why(host: str, port: int, method: str, path: str | None) -> str | None:
        return policy.why_denied(host=host, port=port, method=method, path=path)

    assert why("h", 80, "GET", "/v1/x") is None
    assert why("x", 80, "GET", "/v1/x") == "host_not_listed"
    assert why("9.9.9.9", 80, "GET", "/v1/x") == "ip_literal"
    assert why("h", 81, "GET", "/v1/x") == "port_not_listed"
    assert why("h", 80, "POST", "/v1/x") == "method_not_listed"
    assert why("h", 80, "GET", "/v2") == "path_not_listed"
    assert why("t", 443, "CONNECT", None) is None
    assert why("t", 22, "CONNECT", None) == "port_not_listed"
    assert why("h", 80, "CONNECT", None) == "method_not_listed"


def test_a_rule_for_a_path_never_covers_a_tunnel() -> None:
    policy = EgressPolicy(allow=(AllowRule(host="h", path_prefix="/v1"),), connect_allowed=True)
    assert policy.why_denied(host="h", port=443, method="CONNECT", path=None) == "path_not_listed"


@pytest.mark.parametrize(
    "wrong",
    [
        {"host": "*"},
        {"host": ""},
        {"host": "Example.org"},
        {"host": "example.org."},
        {"host": "http://example.org"},
        {"host": "example.org:80"},
        {"host": "*.*.org"},
        {"host": "a.*.org"},
        {"host": "*.0.0.1"},
        {"host": "*.10.0.0.1"},
        {"host": "127.1"},
        {"host": "::FFFF:1"},
        {"host": "h", "port": 0},
        {"host": "h", "port": 65536},
        {"host": "h", "methods": frozenset({"get"})},
        {"host": "h", "path_prefix": "v1"},
        {"host": "h", "path_prefix": "/v1/../v2"},
        {"host": "h", "path_prefix": "/%76"},
        {"host": "h", "path_prefix": ""},
    ],
)
def test_a_rule_that_is_not_in_normal_form_is_refused_when_built(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="rule"):
        AllowRule(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"networks": ("10.0.0.1/8",)},
        {"networks": ("everywhere",)},
        {"max_request_bytes": 0},
        {"requests_per_episode": -1},
        {"head_timeout_ms": 1.5},
        {"max_connections": True},
        {"requests_per_second": 0},
        {"requests_per_second": 0.5},
    ],
)
def test_a_policy_that_means_nothing_is_refused_when_built(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="policy"):
        EgressPolicy(**wrong)  # type: ignore[arg-type]


def test_a_policy_has_a_canonical_form() -> None:
    one = EgressPolicy(allow=(AllowRule(host="h", methods=frozenset({"GET", "PUT"})),))
    two = EgressPolicy(allow=(AllowRule(host="h", methods=frozenset({"PUT", "GET"})),))
    three = EgressPolicy(allow=(AllowRule(host="h", methods=frozenset({"PUT"})),))
    assert canonical_json(one.as_json()) == canonical_json(two.as_json())
    assert canonical_json(one.as_json()) != canonical_json(three.as_json())
