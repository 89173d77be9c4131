r"""Secrets in logs: shown as a type and a keyed hash, wherever text leaves a scan.

Masking prefers too much to too little: a masked file name costs a look at the locator, a secret in
a report costs a rotation. What is recognised: tokens of known issuers by their form, private keys,
values beside telling names (assignments, headers, fields, options, user information in URLs),
values that were met beside such a name anywhere in the run, and words that look random. Each is
looked for as written, with quotes and line continuations removed as a shell would, with escapes
(percent, ``\x``, ``\u``) decoded, and inside base64 and hexadecimal.

What is not recognised: a secret that has no issuer's form, stands beside no telling name, and
reads like an ordinary word; and one that was encrypted, compressed, or split over several values.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple
from urllib.parse import unquote

OPEN, CLOSE = "⟦", "⟧"
SHORTEST = 6
"""Characters of a value beside a telling name that is worth hiding elsewhere too."""
_FEW = 48
"""Learnt values up to which each is searched by itself; more are looked up by their beginning."""
_LONG = 256
"""Characters of a value within which no further names are looked for."""
_DEEPEST = 24
"""Levels of fields that are walked for telling names."""

# A dash that does not begin the closing line belongs to a header such as `Proc-Type`.
_PEM_BODY = r"(?:[A-Za-z0-9+/=\s\\:,.()\"'_]|-(?!----)){0,20000}+"
_ISSUED: tuple[tuple[str, str, str], ...] = (
    ("private-key", "-----BEGIN ", r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----" + _PEM_BODY +
     r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"),
    ("private-key", "PuTTY-User-Key-File-", r"[\s\S]{0,8000}?Private-MAC: [0-9a-f]{8,128}"),
    ("age-key", "AGE-SECRET-KEY-1", r"[0-9A-Z]{20,80}"),
    *(("aws-access-key", prefix, r"[A-Z0-9]{12,124}(?![a-z])")
      for prefix in ("AKIA", "ASIA", "ABIA", "ACCA", "AROA", "AIDA")),
    *(("github-token", prefix, r"[A-Za-z0-9_]{16,255}")
      for prefix in ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_")),
    *(("gitlab-token", prefix, r"[A-Za-z0-9_.-]{16,255}")
      for prefix in ("glpat-", "gldt-", "glrt-", "glptt-", "glft-", "gloas-", "glcbt-", "glsoat-",
                     "glagent-", "glimt-", "glffct-")),
    ("slack-token", "xox", r"[a-z](?:\.[a-z]{3})?-[A-Za-z0-9-]{10,255}"),
    ("slack-token", "xapp-", r"[A-Za-z0-9-]{10,255}"),
    ("slack-webhook", "hooks.slack.com/",
     r"(?:services|workflows|triggers)/[A-Za-z0-9/_-]{10,255}"),
    ("discord-webhook", "/api/webhooks/", r"\d{10,30}/[A-Za-z0-9_-]{20,255}"),
    *(("stripe-key", prefix, r"(?:live_|test_)?[A-Za-z0-9]{16,255}")
      for prefix in ("sk_", "rk_", "pk_", "whsec_")),
    ("anthropic-key", "sk-ant-", r"[A-Za-z0-9_-]{8,255}"),
    ("openai-key", "sk-", r"(?:proj-|svcacct-|admin-|or-v1-)?"
     r"(?=[A-Za-z_-]{0,255}[0-9])[A-Za-z0-9_-]{16,255}"),
    ("google-api-key", "AIza", r"[A-Za-z0-9_-]{30,60}"),
    ("google-oauth", "ya29.", r"[A-Za-z0-9_.-]{16,1024}"),
    ("google-oauth", "GOCSPX-", r"[A-Za-z0-9_-]{16,64}"),
    ("google-oauth", "1//0", r"[A-Za-z0-9_-]{20,255}"),
    ("huggingface-token", "hf_", r"[A-Za-z0-9]{16,255}"),
    ("huggingface-token", "api_org_", r"[A-Za-z0-9]{16,255}"),
    ("npm-token", "npm_", r"[A-Za-z0-9]{16,255}"),
    ("pypi-token", "pypi-", r"(?=[A-Za-z_-]{0,64}[0-9])[A-Za-z0-9_-]{32,512}"),
    ("docker-token", "dckr_", r"(?:pat|oat)_[A-Za-z0-9_-]{16,255}"),
    *(("digitalocean-token", prefix, r"[a-f0-9]{32,128}")
      for prefix in ("dop_v1_", "doo_v1_", "dor_v1_")),
    *(("vault-token", prefix, r"[A-Za-z0-9_-]{16,512}") for prefix in ("hvs.", "hvb.", "hvr.")),
    ("sendgrid-key", "SG.", r"[A-Za-z0-9_-]{10,64}\.[A-Za-z0-9_-]{10,128}"),
    ("telegram-token", ":AA", r"[A-Za-z0-9_-]{30,40}"),
    ("twilio-key", "SK", r"[a-f0-9]{32}(?![a-f0-9])"),
    ("databricks-token", "dapi", r"[a-f0-9]{32}(?:-\d)?"),
    *(("shopify-token", prefix, r"[A-Fa-f0-9]{24,64}")
      for prefix in ("shpat_", "shpca_", "shppa_", "shpss_")),
    *(("api-key", prefix, r"(?=[A-Za-z_-]{0,255}[0-9])[A-Za-z0-9_-]{20,255}")
      for prefix in ("lin_api_", "lin_oauth_", "secret_", "ntn_", "xai-", "gsk_", "pplx-", "r8_",
                     "tvly-", "nvapi-", "lsv2_pt_", "fw_")),
    *(("grafana-token", prefix, r"[A-Za-z0-9+/=_]{20,512}") for prefix in ("glc_", "glsa_")),
    ("atlassian-token", "ATATT3", r"[A-Za-z0-9_=-]{20,512}"),
    ("azure-key", "8Q~", r"[A-Za-z0-9_~.-]{30,40}"),
    ("azure-sas", "sig=", r"[A-Za-z0-9%+/=]{16,255}"),
    ("jwt", "eyJ", r"[A-Za-z0-9_-]{6,4096}+\.[A-Za-z0-9_-]{0,4096}+"
     r"(?:\.[A-Za-z0-9_-]{0,4096}+){0,3}"),
    *(("password-hash", prefix, r"[A-Za-z0-9./=,$+-]{16,255}")
      for prefix in ("$2a$", "$2b$", "$2y$", "$1$", "$5$", "$6$", "$y$", "$argon2")),
)  # fmt: skip
"""Type, how it begins, and an expression for the rest."""
_REST = tuple((kind, prefix, re.compile(rest)) for kind, prefix, rest in _ISSUED)
_IN_WORDS = frozenset({"telegram-token", "azure-key"})
"""Types whose beginning stands inside a longer word."""
_BEGINS = re.compile(r"(?:\\[nrtbfv0]|\\x1b|\\u001b|\[[0-9;]{0,8}[mK])\Z")
"""Letters that end an escape or a colour, after which a word begins."""
_PEM_END = re.compile(r"[A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----")
_PEM_GAP = re.compile(r"(?:\\[rn]|[\s\"',\\])+")
_PEM_PIECE = re.compile(r"[A-Za-z0-9+/=]+\Z")
_RUN = re.compile(r"[A-Za-z0-9_-]*")

# Names. Each is searched as plain text, which costs a thousandth of what an expression does; the
# whole identifier around a hit is then split into words and judged.
_SEEDS = (
    "pass", "pwd", "secret", "token", "cred", "key", "auth", "bearer", "sess", "sid", "sig",
    "connectionstring", "connection_string", "connection-string", "conn_str", "connstr",
    "webhook", "dsn", "otp", "pin_code", "pincode", "salt", "jwt", "pat=", "pat:", "pat\"", "psk",
)  # fmt: skip
_STRONG = frozenset({
    "password", "passwd", "passphrase", "passcode", "pass", "pwd", "psk", "secret", "token",
    "apikey", "accesskey", "secretkey", "privatekey", "accountkey", "encryptionkey", "signingkey",
    "masterkey", "licensekey", "authkey", "sharedkey", "storagekey", "subscriptionkey", "apitoken",
    "connectionstring", "connstr", "jwt", "pincode", "pat", "secretkeybase", "sharedaccesskey",
    "dbpass", "userpass", "rootpass", "adminpass", "smtppass", "mailpass", "ftppass", "sshpass",
})  # fmt: skip
_ENDINGS = ("password", "passwd", "passphrase", "secret", "token", "apikey", "accesskey",
            "secretkey", "privatekey", "accountkey")  # fmt: skip
_MEDIUM = frozenset({
    "auth", "authorization", "authentication", "credential", "credentials", "creds", "otp", "dsn",
    "webhook", "salt", "bearer", "passwords", "secrets", "tokens",
})  # fmt: skip
_WEAK = frozenset({"key", "keys", "session", "sessionid", "sessid", "phpsessid", "jsessionid",
                   "sid", "sig", "signature"})  # fmt: skip
_DESCRIBES = frozenset({
    "count", "counts", "file", "files", "path", "paths", "name", "names", "type", "types", "url",
    "uri", "length", "len", "limit", "limits", "usage", "max", "min", "expiry", "expires", "ttl",
    "at", "policy", "field", "prompt", "var", "dir", "folder", "manager", "provider", "service",
    "store", "size", "budget", "endpoint", "scope", "scopes", "status", "error", "required", "rate",
    "kind", "format", "index", "method", "mode", "in", "out", "per", "used", "total", "cost",
    "header", "strength", "min_length", "helper", "socket", "sock", "host", "user", "username",
    "by", "stdin", "exists", "enabled", "valid", "version", "class", "module", "test", "tests",
    "ids",
})  # fmt: skip
"""Words that, at the end of a name, say that the value describes a secret and is none."""
_NAME_LEFT = re.compile(r"[A-Za-z0-9_.-]{0,48}\Z")
_NAME_RIGHT = re.compile(r"[A-Za-z0-9_-]{0,32}")
_SPLIT = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

_QUOTED = r"(?:[\\]{0,7}\"(?P<double>[^\"\n]{1,4096})|[\\]{0,7}'(?P<single>[^'\n]{1,4096})|"
# The value ends where its quotes end, or at white space or a separator when it has none.
_VALUE = _QUOTED + r"(?P<bare>[^\s\"'`,;&|<>(){}\[\]]{1,4096}))"
_GAP = r"(?:[ \t]{0,8}|\s{0,16}(?=[\\\"'])|[ \t]{0,4}[|>][+-]?\s{1,16})"
_SCHEME = r"(?:[\\]{0,3}[\"']?(?:bearer|basic|token|digest|apikey|bot|negotiate)[ \t]{1,4})?"
_AFTER_NAME = re.compile(
    r"(?i)(?:[\\]{0,7}[\"'\])]{0,2}[ \t]{0,8}(?::=|=>|===?|!==?|=|:)" + _GAP
    # `{"name": "TOKEN", "value": "…"}`, `key="Password" value="…"`, `<password>…`
    + r"|[\\]{0,7}[\"'][ \t,]{1,8}[\\]{0,7}[\"']?value[\\]{0,7}[\"']?[ \t]{0,4}[:=][ \t]{0,4}"
    r"|>[ \t]{0,4})"
    + _SCHEME + _VALUE
)  # fmt: skip
_LISTED = re.compile(r"[\\]{0,7}[\"'\])]{0,2}[ \t]{0,8}[:=]\s{0,8}\[\s{0,16}" + _VALUE)
_NEXT = re.compile(r"[\\]{0,7}[\"']?\s{0,8},\s{0,16}" + _VALUE)
_AFTER_SPACE = re.compile(r"[ \t]{1,4}" + _VALUE)
_AFTER_TYPE = re.compile(r"[ \t]{0,2}:[ \t]{0,2}[A-Za-z_.\[\]| ]{1,32}=[ \t]{0,4}" + _VALUE)
_AFTER_PROSE = re.compile(
    r"(?i)[ \t]{1,2}(?:is|was)[ \t]{1,2}:?(?=[^\s]{0,64}[0-9\"'!@#$%^&*])" + _VALUE
)
_SETTER = re.compile(
    r"(?i)(?:\bsetx?|\bsetenv|\bconfig|\bconfigure)[ \t]+(?:[\w./:-]{1,64}[ \t]+)?\Z"
)
_NETRC = re.compile(r"(?i)\blogin\s{1,4}\S{1,128}\s{1,8}\Z")
_AFTER_SCHEME = re.compile(r"[ \t]{1,4}(?P<bare>[A-Za-z0-9._~+/=-]{8,4096})")
_USER = re.compile(
    r"(?i)(?<![\w-])(?:-u|--user|--proxy-user)[\s=]{0,4}[\"']?[^\s:\"'/]{1,128}:(?P<bare>[^\s\"'@]{1,512})"
)
_COOKIE = re.compile(
    r"(?i)(?:cookie2?[\\]{0,3}[\"']?[ \t]{0,2}[:=]|(?<![\w-])(?:-b|--cookie)[ =])"
    r"[ \t]{0,4}(?P<jar>[^\n]{1,4096})"
)
_CRUMB = re.compile(r"[\w.-]{1,64}=(?P<bare>[^;,\s\"'\\]{6,4096})")
_CRUMBLESS = frozenset({"path", "domain", "expires", "max-age", "samesite", "version", "priority"})
_PROGRAMS = (
    "mysql", "mariadb", "sshpass", "ldapsearch", "redis-cli", "mongo", "docker login", "smbclient",
    "7z ", "zip ", "sqlcmd",
)  # fmt: skip
_PASSWORD_OPTION = re.compile(
    r"[ \t]-(?:p|a|w|P)[ \t]{0,2}[\"']?(?P<bare>[^\s\"'-][^\s\"']{3,255})"
    r"|[ \t]-U[ \t]{0,2}[\"']?[^\s%\"']{1,64}%(?P<user>[^\s\"']{1,255})"
)
_IDENTIFIED = re.compile(
    r"(?i)\b(?:identified[ \t]{1,4}by|password)[ \t]{1,4}'(?P<bare>[^'\n]{1,512})'"
)
_PIPED = re.compile(
    r"\becho[ \t]{1,4}(?:-n[ \t]{1,4})?[\"']?(?:[\w-]{1,32}:)?(?P<bare>[^\s\"'|]{4,255})"
    r"[\"']?[ \t]{0,4}\|[ \t]{0,4}(?:sudo[ \t]{1,4}(?:-S\b|chpasswd)|chpasswd|"
    r"[^\n|]{1,200}(?:--password-stdin|--with-token))"
)
_URL_USER = re.compile(r"[^\s/:@\"'<>]{0,255}:(?!\d{1,5}/)(?P<bare>[^\s\"'<>]{1,512}(?=@))")
_URL_TOKEN = re.compile(r"(?P<bare>[^\s/:@\"'<>]{12,512}(?=@))")
_WORD = re.compile(r"[A-Za-z0-9+/_=.~-]{20,}")
_PART = re.compile(r"[A-Za-z0-9+_=~-]{20,}")
_BLOCK = re.compile(
    r"[A-Za-z0-9+/]{40,}(?:(?:\\r|\\n|[\r\n \t]){1,8}[A-Za-z0-9+/]{40,})*"
    r"(?:\\r|\\n|[\r\n \t]){1,8}[A-Za-z0-9+/]{1,}={0,2}"
)
_HEX = re.compile(r"(?i)(?:0x)?[0-9a-f]{32,}\Z")
_SEPARATED = re.compile(r"[-_.=~+]")
_UUID = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DIGEST_BEFORE = re.compile(
    r"(?i)(?:commit|tree|parent|blob|object|index|merge|sha(?:1|256|384|512)?(?:sum)?|md5|digest|"
    r"checksum|integrity|revision|rev|ref|HEAD|checkout|show|revert|reset|cherry-pick|diff|"
    r"\.\.|--hard|--soft|etag|fingerprint|layer|image|blobs/sha256|git[a-z_-]{0,12})"
    r"[\s:=@/'\"-]{0,4}\Z"
)
_SUM_LINE = re.compile(r"(?i)[ ][ *][\w./~-]{1,}")
# What stands where a value would and is none.
_HARMLESS = re.compile(
    r"(?i)(?:true|false|none|null|nil|undefined|yes|no|on|off|string|str|int|bool|object|optional|"
    r"required|redacted|masked|hidden|changeme|example|placeholder|todo|bytes|any|number|unknown|"
    r"default|empty|x{3,}|\*{3,}|\.{3,}|<[^>]*>?|\[[a-z _-]{1,32}\]|\$|\.{1,3}|\\|"
    r"(?:bearer|basic|token)\s+[{$].*|\$\{?\w+\}?|\$\(.*|\$env:\w+|%\w+%|\{\{.*|process\.env.*|"
    r"os\.environ.*|os\.getenv.*|getenv.*|secrets\.\w+|self\.\w+|this\.\w+|args\.\w+|config\.\w+|"
    r"[^\w\s]{1,3}|opts\.\w+|\d{1,4})\Z"
)
_PLACE = re.compile(
    r"(?:~|\.{1,2})?/(?:home|etc|usr|var|tmp|run|opt|root|Users|dev|proc|mnt|srv|work|w|app|path|"
    r"[\w.-]+/[\w.-]+\.\w{1,5})(?:/|\Z)|~/|\./|[A-Za-z]:\\\\?\w|https?://[^@\s]*\Z"
)
_PLAIN = re.compile(r"[a-z]{1,9}\Z|[A-Z][a-z]{1,8}\Z|\d{1,7}\Z")
_MASKED = re.compile(rf"{OPEN}[a-z0-9-]{{1,32}} [0-9a-f]{{8}}{CLOSE}")
_REST_OF_WORD = re.compile(r"[^\s\"'`,;]{0,4096}")
_IDENTIFIER = re.compile(r"[A-Za-z_][\w.]*\Z")
_QUOTING = "'\"\\`"
# What joins two pieces of one value: quotes with or without an operator between them, a continued
# line, characters that draw nothing.
_JOINED = re.compile(
    r"[\\]{0,3}[\"'][ \t]{0,4}[+.]?\s{0,8}[\\]{0,3}[\"']|\\\r?\n|"
    "[\u00ad\u200b-\u200f\u2060\ufeff'\"\\\\`]"
)
_ESCAPE = re.compile(
    r"%(?:25)?([0-9A-Fa-f]{2})|\\{1,2}u00([0-9A-Fa-f]{2})|\\{1,2}x([0-9A-Fa-f]{2})|"
    r"&#x([0-9A-Fa-f]{2});"
)


class _Span(NamedTuple):
    """A secret in a text.

    Attributes:
        start, end: characters, the end exclusive.
        rank: how sure its kind is; the lowest names a span that was merged out of several.
        kind: type of secret.
        secret: what is hashed: the value as it would be used.
    """

    start: int
    end: int
    rank: int
    kind: str
    secret: str


class Masker:
    """Masks the secrets of one run.

    Args:
        key: of the hashes; the same secret has the same hash under one key, and nobody without
            the key can try out values.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._learned: set[str] = set()
        # By the first characters, then the lengths that occur: many values cost no more than few.
        self._by_start: dict[str, list[int]] = {}

    def learn(self, text: str) -> None:
        """Remember the values beside telling names, to mask them where they stand alone."""
        for span in (*_beside(text), *_issued(text)):
            self._remember(span.secret, span.kind)
        if "\\" in text or "%" in text:
            decoded, _, _ = _replaced(text, _ESCAPE, _unescaped)
            if decoded != text:
                for span in _beside(decoded):
                    self._remember(span.secret, span.kind)

    def learn_fields(self, fields: Mapping[str, object]) -> None:
        """Remember the values of fields with telling names, at any depth."""
        self._walk(fields, 0)

    def _walk(self, value: object, depth: int) -> None:
        if depth > _DEEPEST:
            return
        if isinstance(value, Mapping):
            for name, inner in value.items():
                if isinstance(inner, str) and len(inner) <= 4096:
                    strength = _strength(str(name))
                    if strength and _is_secret(inner, strength, str(name)):
                        self._remember(inner, "secret")
                else:
                    self._walk(inner, depth + 1)
        elif isinstance(value, (list, tuple)):
            for inner in value:
                self._walk(inner, depth + 1)

    def _remember(self, value: str, kind: str) -> None:
        bare = value.strip("'\"\\,;")
        forms = [bare, bare.rstrip("="), unquote(bare)]
        if kind == "credential":
            # `Basic dXNlcjpwYXNz` holds a password that may stand alone elsewhere.
            forms += [decoded.partition(":")[2] for decoded in _decodings(bare)]
        for form in forms:
            if len(form) < SHORTEST or form in self._learned or _PLAIN.match(form):
                continue
            if not form.strip() or _HARMLESS.match(form):
                continue
            self._learned.add(form)
            lengths = self._by_start.setdefault(form[:SHORTEST], [])
            if len(form) not in lengths:
                lengths.append(len(form))

    def mask(self, text: str, *, names: bool = False) -> str:
        """The text with every secret replaced by ``⟦type hash⟧``.

        Args:
            names: the text is the name of a file or run: only tokens of known issuers and learnt
                values are masked, as sessions are named after random identities and digests.
        """
        spans = sorted(self._certain(text) if names else self._spans(text))
        if not spans:
            return text
        out: list[str] = []
        at = 0
        for span in _merged(spans):
            out.append(text[at : span.start])
            out.append(f"{OPEN}{span.kind} {self._hash(span.secret)}{CLOSE}")
            at = span.end
        out.append(text[at:])
        return "".join(out)

    def places(self, text: str) -> tuple[tuple[int, int, str], ...]:
        """Where secrets stand in a text: first character, the one after the last, type."""
        spans = sorted(self._spans(text))
        return tuple((s.start, s.end, s.kind) for s in _merged(spans)) if spans else ()

    def _hash(self, secret: str) -> str:
        bare = secret.translate(_NO_QUOTING).strip(",;")
        return hmac.digest(self._key, bare.encode("utf-8", "surrogatepass"), "sha256").hex()[:8]

    def _certain(self, text: str) -> Iterator[_Span]:
        yield from _issued(text)
        yield from self._known(text)

    def _known(self, text: str) -> Iterator[_Span]:
        """Learnt values, wherever they stand."""
        if len(self._learned) <= _FEW:
            for value in self._learned:
                for at in _hits(text, value):
                    if _stands_alone(text, at, value):
                        yield _Span(at, at + len(value), 1, "secret", value)
            return
        for at in range(len(text) - SHORTEST + 1):
            lengths = self._by_start.get(text[at : at + SHORTEST])
            if lengths is None:
                continue
            for length in lengths:
                value = text[at : at + length]
                if value in self._learned and _stands_alone(text, at, value):
                    yield _Span(at, at + length, 1, "secret", value)

    def _spans(self, text: str) -> Iterator[_Span]:
        yield from self._plain_spans(text)
        yield from _beside(text)
        if any(char in text for char in "'\"\\`\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"):
            # `gh""p_…` and `gh\p_…` are what the shell joins: look again without the quotes.
            yield from _seen_as(self._plain_spans, *_replaced(text, _JOINED, lambda match: ""))
        if "%" in text or "\\" in text or "&#" in text:
            decoded, new_at, old_at = _replaced(text, _ESCAPE, _unescaped)
            if decoded != text:
                yield from _seen_as(self._plain_spans, decoded, new_at, old_at)
                yield from _seen_as(_beside, decoded, new_at, old_at)

    def _plain_spans(self, text: str) -> Iterator[_Span]:
        yield from self._certain(text)
        for match in _WORD.finditer(text):
            yield from self._word_spans(text, match)
        if "\n" in text or "\\n" in text:
            for match in _BLOCK.finditer(text):
                joined = re.sub(r"\\r|\\n|\s", "", match.group())
                if hidden := self._hidden(joined):
                    yield _Span(match.start(), match.end(), 2, "encoded-secret", hidden)

    def _word_spans(self, text: str, match: re.Match[str]) -> Iterator[_Span]:
        word, first = match.group(), match.start()
        if hidden := self._hidden(word):
            yield _Span(first, match.end(), 2, "encoded-secret", hidden)
            return
        if len(word) >= 40 and _dense(word) and not _UUID.search(word):
            yield _Span(first, match.end(), 3, "random", word)
            return
        for part in _PART.finditer(word):
            start, end = first + part.start(), first + part.end()
            found = part.group()
            if _UUID.fullmatch(found):
                continue
            if looks_random(_UUID.sub("", found)) and not _is_digest(text, start, end):
                yield _Span(start, end, 3, "random", found)

    def _hidden(self, word: str) -> str | None:
        """The secret that a word is the encoding of."""
        for decoded in _decodings(word):
            for span in self._certain(decoded):
                return span.secret
            for span in _beside(decoded):
                return span.secret
        return None


def looks_random(word: str) -> bool:
    """Whether a word without separators looks like a key and not like a name."""
    if _HEX.match(word):
        return True
    digits = sum(char.isdigit() for char in word)
    upper = any(char.isupper() for char in word)
    lower = any(char.islower() for char in word)
    if len(word) < 20 or digits < 2 or not (lower or upper):
        return False
    turns = sum(a.isdigit() != b.isdigit() for a, b in pairwise(word))
    if max(map(len, _SEPARATED.split(word))) < 9:
        return False  # dates, versions and test ids are many short parts
    if upper and lower:
        changes = sum(_class(a) != _class(b) for a, b in pairwise(word))
        return changes * 5 >= len(word) * 2 and turns >= 3
    return digits >= 4 and turns >= 6 and not any(char in "_-=." for char in word)


def _dense(word: str) -> bool:
    """Whether a word with slashes is text in base64, and no path."""
    if not any(c.isdigit() for c in word) or not any(c.isupper() for c in word):
        return False
    if word.count("/") * 8 > len(word) or word.count(".") > 2:
        return False
    changes = sum(_class(a) != _class(b) for a, b in pairwise(word))
    return changes * 9 >= len(word) * 4


def _class(char: str) -> int:
    return 0 if char.islower() else 1 if char.isupper() else 2 if char.isdigit() else 3


def _is_digest(text: str, start: int, end: int) -> bool:
    """Whether the words around say that a number is the name of a content."""
    if not _HEX.match(text[start:end]):
        return False
    if _DIGEST_BEFORE.search(text[max(0, start - 24) : start]):
        return True
    return _SUM_LINE.match(text, end) is not None


def _hits(text: str, word: str) -> Iterator[int]:
    at = text.find(word)
    while at >= 0:
        yield at
        at = text.find(word, at + len(word))


def _stands_alone(text: str, at: int, value: str) -> bool:
    """A short learnt value in the middle of a longer word is chance."""
    if len(value) > 8:
        return True
    end = at + len(value)
    inside = (at > 0 and text[at - 1].isalnum() and value[0].isalnum()) or (
        end < len(text) and text[end].isalnum() and value[-1].isalnum()
    )
    return not inside


_NO_QUOTING = str.maketrans("", "", _QUOTING)


def _unescaped(match: re.Match[str]) -> str:
    return chr(int(next(group for group in match.groups() if group), 16))


def _replaced(
    text: str, expression: re.Pattern[str], replace: Callable[[re.Match[str]], str]
) -> tuple[str, list[int], list[int]]:
    """The text with matches replaced, and where each kept piece begins in it and in the old."""
    out: list[str] = []
    new_at, old_at = [0], [0]
    length = at = 0
    for match in expression.finditer(text):
        piece = text[at : match.start()]
        put = replace(match)
        out += (piece, put)
        length += len(piece)
        if put:
            new_at.append(length)
            old_at.append(match.start())
        length += len(put)
        at = match.end()
        new_at.append(length)
        old_at.append(at)
    out.append(text[at:])
    return "".join(out), new_at, old_at


def _seen_as(
    finder: Callable[[str], Iterator[_Span]], changed: str, new_at: list[int], old_at: list[int]
) -> Iterator[_Span]:
    """What is found in a changed text, at its place in the text that it was made of."""

    def back(at: int) -> int:
        piece = bisect_right(new_at, at) - 1
        return old_at[piece] + at - new_at[piece]

    for span in finder(changed):
        yield span._replace(start=back(span.start), end=back(span.end - 1) + 1)


_SHORT = 400
_PREFIXES = re.compile("|".join(re.escape(prefix) for _, prefix, _ in _REST) + "|-----END ")


def _issued(text: str) -> Iterator[_Span]:
    """Tokens of known issuers."""
    if len(text) < _SHORT and _PREFIXES.search(text) is None:
        return  # one look at a name is cheaper than one for each issuer
    for kind, prefix, rest in _REST:
        after = 0
        for at in _hits(text, prefix):
            # In the middle of a long word it is chance, and every position would be tried.
            if at < after:
                continue
            inside = at > 0 and prefix[0].isalnum() and text[at - 1].isalnum()
            if inside and kind not in _IN_WORDS and not _BEGINS.search(text, max(0, at - 12), at):
                continue
            if match := rest.match(text, at + len(prefix)):
                after = match.end()
                yield _Span(at, after, 0, kind, text[at:after])
            elif kind == "jwt" and (run := _RUN.match(text, at)):
                # What fails for want of a point fails from every later beginning in the run.
                after = run.end()
    last = 0
    for at in _hits(text, "-----END "):
        closing = _PEM_END.match(text, at + 9)
        if closing is not None:
            start = _pem_tail(text, last, at)
            yield _Span(start, closing.end(), 0, "private-key", text[start : closing.end()])
            last = closing.end()


def _pem_tail(text: str, first: int, end: int) -> int:
    """Where the lines of a key begin whose opening line was cut off."""
    start = end
    pieces = _PEM_GAP.finditer(text, max(first, end - 16384), end)
    gaps = [(gap.start(), gap.end()) for gap in pieces]
    stop = end
    for at, after in reversed(gaps):
        if stop > after:
            piece = text[after:stop]
            if not _PEM_PIECE.match(piece) or (start < end and len(piece) < 16):
                return start
            start = after
        stop = at
    return start


def _strength(name: str) -> int:
    """How much a name says that its value is a secret: 3 surely, 2 often, 1 sometimes, 0 not."""
    words = [word.lower() for word in _SPLIT.findall(name) if not word.isdigit()]
    if not words or words[-1] in _DESCRIBES:
        return 0
    joined = words + [a + b for a, b in pairwise(words)]
    joined += ["".join(words[at : at + 3]) for at in range(len(words) - 2)]
    if any(word in _STRONG or word.endswith(_ENDINGS) for word in joined):
        return 3
    if any(word in _MEDIUM for word in joined):
        return 2
    return int(any(word in _WEAK for word in joined[: len(words)]))


def _is_secret(value: str, strength: int, name: str) -> bool:
    """Whether what stands beside a name is a secret, and not a word or place about one."""
    if _HARMLESS.match(value) or _PLACE.match(value):
        return False
    if value.lower() == name.lower():
        return False
    if strength == 3:
        # Counts of tokens are everywhere in logs of agents.
        return not (value.replace(".", "").isdigit() and "token" in name.lower())
    if _PLAIN.match(value) or _UUID.fullmatch(value):
        return False
    if strength == 1:
        value = _UUID.sub("", value)  # sessions are named after them
    digits = sum(char.isdigit() for char in value)
    letters = any(char.isalpha() for char in value)
    if strength == 2:
        return len(value) >= SHORTEST and letters and (digits > 0 or len(value) >= 20)
    turns = sum(a.isdigit() != b.isdigit() for a, b in pairwise(value))
    return len(value) >= 12 and letters and digits >= 2 and turns >= 4


def _beside(text: str) -> Iterator[_Span]:
    """Values beside telling names."""
    # Lower case without a change of length, which `lower` alone does not promise.
    lower = text.lower() if text.isascii() else _CAPITALS.sub(lambda m: m[0].lower(), text)
    seen: set[int] = set()
    for seed in _SEEDS:
        covered = 0
        for at in _hits(lower, seed):
            if at < covered:
                continue
            left = _NAME_LEFT.search(text, max(0, at - 48), at)
            right = _NAME_RIGHT.match(text, at)
            start = at if left is None else left.start()
            end = at if right is None else right.end()
            if end not in seen:
                seen.add(end)
                for span in _beside_name(text, start, end):
                    if len(span.secret) > _LONG:
                        # Whatever is named in a value as long as this goes with it.
                        covered = span.end
                    yield span
    yield from _schemes(text, lower)
    yield from _commands(text, lower)
    for at in _hits(text, "://"):
        yield from _value(_URL_USER.match(text, at + 3), "password")
        yield from _value(_URL_TOKEN.match(text, at + 3), "credential")


_CAPITALS = re.compile("[A-Z]+")


def _beside_name(text: str, start: int, end: int) -> Iterator[_Span]:
    name = text[start:end]
    strength = _strength(name)
    if not strength:
        return
    in_tag = text[start - 1 : start] in ("<", ":")
    matches = [None if text.startswith(">", end) and not in_tag else _AFTER_NAME.match(text, end)]
    matches.append(_AFTER_TYPE.match(text, end))
    listed = _LISTED.match(text, end)
    while listed is not None and len(matches) < 64:
        matches.append(listed)
        listed = _NEXT.match(text, listed.end())
    if strength == 3:
        matches.append(_AFTER_PROSE.match(text, end))
        before = text[max(0, start - 120) : start]
        if name.startswith("-") or _SETTER.search(before) or _NETRC.search(before):
            matches.append(_AFTER_SPACE.match(text, end))
    for match in matches:
        for span in _value(match, "secret"):
            if _is_secret(span.secret, strength, name) and not _is_prose(text, span):
                yield span


def _is_prose(text: str, span: _Span) -> bool:
    after = text[span.end : span.end + 2]
    if after[:1] in ("(", "["):
        return _IDENTIFIER.match(span.secret) is not None
    plain = _PLAIN.match(span.secret) is not None and not span.secret.isdigit()
    return plain and text[span.start - 1 : span.start] == " " and after[:1] == " "


def _schemes(text: str, lower: str) -> Iterator[_Span]:
    for scheme in ("bearer", "basic"):
        for at in _hits(lower, scheme):
            for span in _value(_AFTER_SCHEME.match(text, at + len(scheme)), "credential"):
                word = span.secret
                telling = any(char.isdigit() for char in word) or len(word) >= 24
                if telling or (scheme == "basic" and any(":" in d for d in _decodings(word))):
                    yield span
    if "cookie" in lower or "curl" in lower:
        for match in _COOKIE.finditer(text):
            for crumb in _CRUMB.finditer(match["jar"]):
                name = crumb.group().partition("=")[0].lower()
                if name not in _CRUMBLESS and not _PLAIN.match(crumb["bare"]):
                    first = match.start("jar")
                    start, end = first + crumb.start("bare"), first + crumb.end("bare")
                    yield _Span(start, end, 2, "cookie", crumb["bare"])


def _commands(text: str, lower: str) -> Iterator[_Span]:
    if " -u" in lower or "-user" in lower:
        for match in _USER.finditer(text):
            yield from _value(match, "password")
    if "identified" in lower or "password" in lower:
        for match in _IDENTIFIED.finditer(text):
            yield from _value(match, "password")
    for match in _PIPED.finditer(text) if "|" in text else ():
        yield from _value(match, "password")
    for program in _PROGRAMS:
        after = 0
        for at in _hits(lower, program):
            if at < after:
                continue
            after = min(at + 300, len(text))
            line = text.find("\n", at, after)
            after = after if line < 0 else line
            for match in _PASSWORD_OPTION.finditer(text, at, after):
                yield from _value(match, "password")


def _value(match: re.Match[str] | None, kind: str) -> Iterator[_Span]:
    if match is None:
        return
    for group, value in match.groupdict().items():
        if not value or _HARMLESS.match(value):
            continue
        start, end = match.span(group)
        if masked := _MASKED.match(match.string, start):
            rest = _REST_OF_WORD.match(match.string, masked.end())
            end = max(end, masked.end() if rest is None else rest.end())
            if not any(char.isalnum() for char in match.string[masked.end() : end]):
                continue  # masked before
            value = match.string[start:end]
        yield _Span(start, end, 2, kind, value)


def _decodings(word: str) -> Iterator[str]:
    candidates = {word, word.partition("=")[2], max(word.split("/"), key=len)}
    for candidate in sorted(candidates):
        padded = candidate.rstrip("=")
        if len(padded) < 12:
            continue
        try:
            if len(padded) % 2 == 0 and _HEXED.match(padded):
                yield from _readable(binascii.unhexlify(padded))
            standard = padded.translate(_URL_SAFE)
            whole = standard[: len(standard) - (len(standard) % 4 == 1)]
            yield from _readable(base64.b64decode(whole + "=" * (-len(whole) % 4)))
        except (ValueError, binascii.Error):
            continue


_URL_SAFE = str.maketrans("-_", "+/")
_HEXED = re.compile(r"(?i)[0-9a-f]+\Z")
_CONTROLS = bytes({*range(9), 11, 12, *range(14, 32), *range(127, 256)})


def _readable(data: bytes) -> Iterator[str]:
    # Text that was encoded is text again; what a random word decodes to is not.
    if len(data) - len(data.translate(None, _CONTROLS)) <= len(data) // 16:
        yield data.decode("latin-1")


def _merged(spans: list[_Span]) -> Iterator[_Span]:
    """Spans that overlap as one, named after the surest."""
    whole, best = spans[0], spans[0]
    for span in spans[1:]:
        if span.start < whole.end:
            whole = whole._replace(end=max(whole.end, span.end))
            best = min(best, span, key=lambda s: (s.rank, -len(s.secret)))
        else:
            yield whole._replace(kind=best.kind, secret=best.secret)
            whole, best = span, span
    yield whole._replace(kind=best.kind, secret=best.secret)
