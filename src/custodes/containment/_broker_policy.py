"""What a sandbox may ask of the network: destinations, methods, paths and limits.

Everything here is pure: names and paths are brought to one form first, and rules are judged on
that form only, because a rule that is judged on one spelling and forwarded in another is no rule.
"""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias
from urllib.parse import unquote_to_bytes

from custodes.types import JsonObject, JsonValue

Decision: TypeAlias = Literal["allowed", "denied", "refused"]
"""``denied``: well formed, but the policy does not list it. ``refused``: malformed, over a limit,
or of a kind that is never carried."""

_IpNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\Z")
_NUMERIC_LABEL = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
_METHOD = re.compile(r"[A-Z][A-Z-]{0,31}\Z")
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")
_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_AMBIGUOUS_ESCAPES = ("%2F", "%5C", "%25")
_SEGMENT_END = re.compile(r";|%3B|%20")
_PATH_SYNTAX = frozenset("./\\%;?#")

# IANA special-purpose address registries (IPv4: RFC 6890 and successors; IPv6: likewise). Spelled
# out because `ipaddress.is_global` differs between Python releases.
_RESERVED_V4: tuple[ipaddress.IPv4Network, ...] = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
# Only 2000::/3 is global unicast. Within it, ranges that are reserved or that carry an IPv4 address
# (6to4, Teredo) are refused; outside it lie ::1, ::ffff:0:0/96 (mapped), 64:ff9b::/96 (NAT64),
# fc00::/7, fe80::/10 and ff00::/8, all refused with the rest.
_GLOBAL_V6 = ipaddress.IPv6Network("2000::/3")
_RESERVED_V6: tuple[ipaddress.IPv6Network, ...] = tuple(
    ipaddress.IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
)


class Refusal(Exception):
    """A request that is not carried, whatever the policy says.

    Attributes:
        status: HTTP status to answer with.
        reason: one word for the record.
        decision: word for the record.
    """

    def __init__(self, status: int, reason: str, decision: Decision = "refused") -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.decision: Decision = decision


def parse_ip_literal(host: str) -> _IpAddress | None:
    """The address that ``host`` spells in canonical form, else None."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def parse_host(text: str) -> str:
    """The one form of a host name or address: lower-case, no trailing dot, no brackets.

    Raises:
        Refusal: 400 for anything that two programs could read as different hosts: user
            information, escapes, non-ASCII text, empty or overlong labels, and addresses in
            other than canonical form (octal, hexadecimal, decimal, shortened, mapped, zoned).
    """
    if text.startswith("["):
        if not text.endswith("]") or "%" in text:
            raise Refusal(400, "malformed_host")
        literal = parse_ip_literal(text[1:-1])
        if not isinstance(literal, ipaddress.IPv6Address):
            raise Refusal(400, "malformed_host")
        if literal.ipv4_mapped is not None:
            raise Refusal(400, "ip_literal_form")
        return str(literal)
    if "@" in text:
        raise Refusal(400, "user_information")
    if not text.isascii():
        raise Refusal(400, "host_not_ascii")
    host = text.lower().removesuffix(".")
    if not host or len(host) > 253:
        raise Refusal(400, "malformed_host")
    labels = host.split(".")
    if _NUMERIC_LABEL.match(labels[-1]):
        # A name cannot end in a number, so every resolver takes this as an IPv4 address, in
        # whichever of inet_aton's spellings it likes.
        if not isinstance(parse_ip_literal(host), ipaddress.IPv4Address):
            raise Refusal(400, "ip_literal_form")
        return host
    if not all(_LABEL.match(label) for label in labels):
        raise Refusal(400, "malformed_host")
    return host


def parse_authority(text: str, default_port: int | None) -> tuple[str, int]:
    """Split ``host[:port]`` and normalise it.

    Raises:
        Refusal: 400 where host or port is malformed, or the port is missing with no default.
    """
    if "@" in text:
        raise Refusal(400, "user_information")
    if text.startswith("["):
        host_text, bracket, rest = text.partition("]")
        host_text += bracket
        if rest and not rest.startswith(":"):
            raise Refusal(400, "malformed_host")
        colon, port_text = rest[:1], rest[1:]
    else:
        host_text, colon, port_text = text.partition(":")
    if not colon:
        if default_port is None:
            raise Refusal(400, "port_missing")
        return parse_host(host_text), default_port
    digits = port_text.isascii() and port_text.isdigit()
    if not digits or port_text.startswith("0") or len(port_text) > 5 or int(port_text) > 65535:
        raise Refusal(400, "malformed_port")
    return parse_host(host_text), int(port_text)


def normalise_path(path: str) -> str:
    """The one form of an URL path: RFC 3986 section 6.2.2, and repeated slashes merged.

    Raises:
        Refusal: 400 for broken or control escapes, backslashes, and dot segments with parameters
            or a space behind them (``/..;/``), which some servers resolve and others do not.
    """
    if not path.startswith("/") or "\\" in path or "#" in path:
        raise Refusal(400, "malformed_path")

    def unescape(match: re.Match[str]) -> str:
        digits = match.group(1)
        if digits is None:
            raise Refusal(400, "malformed_escape")
        char = chr(int(digits, 16))
        if char < " " or char == "\x7f":
            raise Refusal(400, "control_escape")
        return char if char in _UNRESERVED else f"%{digits.upper()}"

    kept: list[str] = []
    segments = _ESCAPE.sub(unescape, path).split("/")[1:]
    for segment in segments:
        bare = _SEGMENT_END.split(segment, maxsplit=1)[0]
        if bare in {".", ".."} and bare != segment:
            raise Refusal(400, "malformed_path")
        if segment == "..":
            del kept[-1:]
        elif segment not in {"", "."}:
            kept.append(segment)
    tail = "/" if kept and segments[-1] in {"", ".", ".."} else ""
    return "/" + "/".join(kept) + tail


def _is_ambiguous(path: str) -> bool:
    """Whether a server that decodes once more could read another path in a normalised one."""
    if any(escape in path for escape in _AMBIGUOUS_ESCAPES):
        return True
    if "%" not in path:
        return False
    try:
        text = unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:  # overlong forms of dots and slashes among others
        return True
    # Letters that servers with compatibility folding take for dots, slashes and the like.
    return any(
        not _PATH_SYNTAX.isdisjoint(unicodedata.normalize("NFKC", char))
        for char in text
        if not char.isascii()
    )


def is_public_address(address: _IpAddress) -> bool:
    """Whether ``address`` is global unicast, and hides no IPv4 address inside an IPv6 one."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _RESERVED_V4)
    if address.scope_id is not None:  # of one link only, whatever the address says
        return False
    return address in _GLOBAL_V6 and not any(address in network for network in _RESERVED_V6)


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowRule:
    """One kind of request that is permitted.

    Attributes:
        host: lower-case name, ``*.suffix`` (any name below the suffix, not the suffix itself), or
            an IP address in canonical form.
        port: None for any.
        methods: None for any. A rule with methods carries ``CONNECT`` only where it names it.
        path_prefix: whole segments; ``/v1`` covers ``/v1`` and ``/v1/x`` but not ``/v1x``. A
            tunnel hides its paths, so only a rule for ``/`` covers ``CONNECT``.

    Raises:
        ValueError: where a part is not in its normal form.
    """

    host: str
    port: int | None = None
    methods: frozenset[str] | None = None
    path_prefix: str = "/"

    def __post_init__(self) -> None:
        name = self.host.removeprefix("*.")
        try:
            bracketed = f"[{name}]" if ":" in name else name
            if parse_host(bracketed) != name:
                raise ValueError(f"rule host {self.host!r} is not in its normal form")
        except Refusal as refusal:
            raise ValueError(f"rule host {self.host!r} is no host: {refusal.reason}") from None
        if name != self.host and parse_ip_literal(name) is not None:
            raise ValueError(f"rule host {self.host!r} puts a wildcard before an address")
        if self.port is not None and not 0 < self.port < 65536:
            raise ValueError(f"rule for {self.host}: port {self.port} is not in 1..65535")
        for method in self.methods or ():
            if _METHOD.match(method) is None:
                raise ValueError(f"rule for {self.host}: {method!r} is not an upper-case method")
        try:
            normal = normalise_path(self.path_prefix)
        except Refusal as refusal:
            raise ValueError(
                f"rule for {self.host}: path {self.path_prefix!r}: {refusal.reason}"
            ) from None
        if normal != self.path_prefix:
            raise ValueError(
                f"rule for {self.host}: path {self.path_prefix!r} is not normal: write {normal!r}"
            )

    def names(self, host: str) -> bool:
        """Whether the rule is about that (normalised) host."""
        if self.host.startswith("*."):
            return host.endswith(self.host[1:])
        return host == self.host

    def reaches(self, path: str | None) -> bool:
        """Whether the rule covers that (normalised) path; None is a tunnel."""
        if self.path_prefix == "/":
            return True
        if path is None or _is_ambiguous(path):
            return False
        prefix = self.path_prefix
        return path.startswith(prefix) and (
            prefix.endswith("/") or len(path) == len(prefix) or path[len(prefix)] == "/"
        )

    def covers(self, port: int, method: str, path: str) -> bool:
        """Whether the rule covers a request to its host; the path as `normalise_path` gives it."""
        return (
            self.port in {None, port}
            and (self.methods is None or method in self.methods)
            and self.reaches(path)
        )

    def as_json(self) -> JsonObject:
        """The rule as text and integers; absent parts mean any."""
        data: dict[str, JsonValue] = {"host": self.host, "path_prefix": self.path_prefix}
        if self.port is not None:
            data["port"] = self.port
        if self.methods is not None:
            data["methods"] = sorted(self.methods)
        return data


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """What is permitted, and how much of it. Nothing is permitted that no rule covers.

    The rules apply to in-process services and to the outside alike.

    Attributes:
        allow: the rules; any one that covers a request permits it.
        connect_allowed: whether tunnels exist at all.
        tunnels_tls_only: whether a tunnel must begin as TLS that asks for the very host it was
            opened to; without it, one permitted host opens every other behind the same front end.
        networks: address ranges that are not public and may be connected to nevertheless.
        requests_per_episode: requests answered, of whatever decision, before all get 429.
        requests_per_second: on average and at once, before further ones get 429; None for no bound.
        max_request_bytes: of one request body, and of what one tunnel sends.
        max_response_bytes: of one response body, and of what one tunnel receives.
        max_buffered_bytes: of all request and response bodies held at one time.
        max_head_bytes: of request line and headers.
        max_connections: open at one time; further ones are dropped.
        head_timeout_ms: for a whole head, from its first byte, and for a whole body.
        idle_timeout_ms: of a connection between requests, and of a silent tunnel.
        request_timeout_ms: for the service or the upstream to answer, and for the client to take
            the answer.
    """

    allow: tuple[AllowRule, ...] = ()
    connect_allowed: bool = False
    tunnels_tls_only: bool = True
    networks: tuple[str, ...] = ()
    requests_per_episode: int = 10_000
    requests_per_second: int | None = None
    max_request_bytes: int = 4 << 20
    max_response_bytes: int = 16 << 20
    max_buffered_bytes: int = 64 << 20
    max_head_bytes: int = 32 << 10
    max_connections: int = 64
    head_timeout_ms: int = 10_000
    idle_timeout_ms: int = 60_000
    request_timeout_ms: int = 60_000

    def __post_init__(self) -> None:
        for network in self.networks:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(f"policy network {network!r}: {error}") from None
        for name in (*_LIMITS, "requests_per_second"):
            value = getattr(self, name)
            if name == "requests_per_second" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
                raise ValueError(f"policy limit {name} must be a positive integer, found {value!r}")

    def why_denied(self, *, host: str, port: int, method: str, path: str | None) -> str | None:
        """None if a rule covers the request, else one word for the nearest miss.

        Args:
            host: as `parse_host` gives it.
            port: of the destination.
            method: upper-case.
            path: as `normalise_path` gives it; None for a tunnel.
        """
        if path is None and not self.connect_allowed:
            return "connect_not_allowed"
        rules = [rule for rule in self.allow if rule.names(host)]
        if not rules:
            return "ip_literal" if parse_ip_literal(host) is not None else "host_not_listed"
        rules = [rule for rule in rules if rule.port is None or rule.port == port]
        if not rules:
            return "port_not_listed"
        rules = [rule for rule in rules if rule.methods is None or method in rule.methods]
        if not rules:
            return "method_not_listed"
        if not any(rule.reaches(path) for rule in rules):
            return "path_not_listed"
        return None

    def permits_address(self, address: _IpAddress) -> bool:
        """Whether a connection to that resolved address may be opened."""
        return is_public_address(address) or any(
            address in network for network in map(ipaddress.ip_network, self.networks)
        )

    def as_json(self) -> JsonObject:
        """The whole policy as JSON without fractions, to be hashed into a subject's safeguards."""
        limits: Mapping[str, int] = {name: getattr(self, name) for name in _LIMITS}
        return {
            "allow": [rule.as_json() for rule in self.allow],
            "connect_allowed": self.connect_allowed,
            "networks": list(self.networks),
            "requests_per_second": self.requests_per_second,
            "tunnels_tls_only": self.tunnels_tls_only,
            **limits,
        }


_LIMITS = (
    "requests_per_episode",
    "max_request_bytes",
    "max_response_bytes",
    "max_buffered_bytes",
    "max_head_bytes",
    "max_connections",
    "head_timeout_ms",
    "idle_timeout_ms",
    "request_timeout_ms",
)
