"""Finding secrets in configuration and putting placeholders of their shape in their place.

Configuration has more secrets and fewer words than a log, so this is stricter than the masking of
a scan, which it uses: what stands beside a telling name is a secret whatever it looks like, and
so is anything in value position that looks chosen by chance.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, TypeAlias
from urllib.parse import quote, quote_plus

from custodes.scan import Masker

Span: TypeAlias = tuple[int, int, str]

PUT: Final = "placeholder"
_DEEPEST: Final = 60
_LONGEST_LINE: Final = 6000
"""Characters of a line. What has longer ones is no configuration that people wrote, and the
expressions that look for secrets would take very long over it."""


class TooLong(ValueError):
    """A text has a line that is too long to be looked through."""

# --- names ---------------------------------------------------------------------------------------

_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_TELLING: Final = re.compile(
    r"pass(?:w|phrase|code|wd)|(?:^|_)pass$|pwd|secret|token|credential|creds(?:_|$)|api_?key"
    r"|(?:access|private|signing|master|encryption|account|shared|storage|license|subscription"
    r"|session|service|admin|auth|client)_?key|(?:^|_)key$|(?:^|_)auth(?:$|_)|authorization"
    r"|authentication|bearer|cookie|session_?id|webhook|dsn$|conn(?:ection)?_?str|(?:^|_)pat$"
    r"|(?:^|_)otp|(?:^|_)salt$|signature|(?:^|_)jwt|(?:^|_)psk$|(?:^|_)pin(?:_?code)?$|(?:^|_)cert"
)
_DESCRIBES: Final = re.compile(
    r"(?:^|_)(?:file|path|dir|folder|helper|helper_ttl_ms|type|method|mode|count|limits?|expiry"
    r"|expires|ttl|enabled|required|policy|scopes?|store|storage|provider|name|var|vars|budget"
    r"|endpoint|uri|command|refresh|selected_type|enforced_type|ms|size|login|visibility)$"
    r"|^max_|(?:^|_)max_"
)
_PROGRAMS: Final = re.compile(r"(?:^|_)(?:helper|command|refresh|export)$")
_VARIABLE_NAME: Final = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)*")
_NAMES_VARIABLE: Final = re.compile(r"^env_|_env$|_env_(?:var|key)$|_var$|_vars$")
_COUNTED: Final = re.compile(r"tokens|(?:^|_)token_(?:limit|count|budget)|max_")
_KEYBOARD: Final = re.compile(
    r"(?:(?:ctrl|alt|shift|meta|cmd|super)[+-])+\S{1,9}|\S|f\d{1,2}", re.I
)


_HEADER: Final = re.compile(r"(?i)(?:proxy-)?authorization:?|cookie:?|x-[\w-]*(?:key|token):?")


def telling(name: str) -> bool:
    """Whether the value of that name is a secret, by the name."""
    words = re.sub(r"[-. ]", "_", _HUMP.sub("_", name.strip("-"))).lower()
    return bool(_TELLING.search(words)) and not _DESCRIBES.search(words)


def _names_a_variable(name: str, value: str) -> bool:
    words = re.sub(r"[-. ]", "_", _HUMP.sub("_", name)).lower()
    return bool(_NAMES_VARIABLE.search(words) and _VARIABLE_NAME.fullmatch(value))


# --- values --------------------------------------------------------------------------------------

_REFERENCE: Final = re.compile(
    r"\$\{?\w+(?::-)?\}?|\$\{(?:env|input):\w+\}|\{(?:env|file):[^}]{1,200}\}|%\w+%"
    r"|(?:bearer|basic|token)\s+(?:\$\{?\w+\}?|\{env:\w+\})|<[^<>]{0,80}>",
    re.IGNORECASE,
)
_HARMLESS: Final = re.compile(
    r"|true|false|none|null|yes|no|on|off|auto|required|optional|default|disabled|enabled|\d{1,5}"
    r"|example|placeholder|changeme|file|keyring|oauth|api-?key|browser|local|ephemeral|plugin",
    re.IGNORECASE,
)
_EVIDENT: Final = re.compile(
    r"[A-Za-z]{1,12}|[a-z]{1,12}(?:[-_][a-z]{1,12}){1,3}|\d+(?:\.\d+){0,3}"
    r"|(?:~|\.{1,2}|\$\w+|\$\{\w+\})?(?:/[\w.@ -]{1,64}){1,16}/?|/"
    r"|https?://[\w.-]+(?::\d{1,5})?(?:/[\w.-]{0,40}){0,6}|[\w-]+(?:\.[\w-]+)+(?::\d{1,5})?"
    r"|[a-z]{2}_[A-Z]{2}(?:\.UTF-8)?|(?:claude|gpt|gemini|o\d)[\w.:@-]{1,40}"
)
_MEANT: Final = re.compile(
    r"(?i)content-type|accept|accept-language|user-agent|anthropic-version|anthropic-beta"
    r"|openai-beta|x-[\w-]*version|cache-control|.*_MODEL|LANG|LC_\w+|TZ|PATH|HOME|NODE_ENV"
    r"|NODE_OPTIONS|PYTHON(?:PATH|UNBUFFERED|DONTWRITEBYTECODE)|SHELL|TERM|LOG_LEVEL"
)
_STRICT: Final = ("env", "environment", "headers", "http_headers", "extra_headers", "query_params")
_WORD: Final = re.compile(r"[A-Za-z0-9+/_=.~:@-]{10,}")
_UUID: Final = re.compile(r"(?i)[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_HEX: Final = re.compile(r"(?i)(?<![0-9A-Za-z])[0-9a-f]{24,}(?![0-9A-Za-z])")
_NUMBERED: Final = re.compile(r"(?:[A-Za-z]+\d{1,4}|\d{1,4}[A-Za-z]{1,3}|v?\d{1,8})*")
_QUERY: Final = re.compile(r"(?<=[?&])[\w.~%-]+=(?P<value>[^&#\s\"'`<>]{4,})")
_USERINFO: Final = re.compile(r"://(?P<user>[^\s/@\"'<>]{1,500})@")
_ASSIGNED: Final = re.compile(
    r"(?m)(?<![\w$.-])(?P<name>-{0,2}[A-Za-z_][\w.-]{1,60})[\"']?[ \t]*(?:=(?!=)|:(?!//)|=>)[ \t]*"
    r"(?:(?:bearer|basic|token)[ \t]+)?(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s\"';|&<>()]+)",
    re.IGNORECASE,
)
_OPTION: Final = re.compile(
    r"(?<![\w-])(?P<name>--?[A-Za-z][\w-]{1,60})[ \t]+"
    r"(?P<value>\"[^\"\n]*\"|'[^'\n]*'|[^\s\"'-]\S*)"
)
_ECHOED: Final = re.compile(
    r"(?:echo|printf|<<<)[ \t]+(?:-\w+[ \t]+)*[\"']?(?P<value>[A-Za-z0-9+/=]{8,})[\"']?"
    r"[ \t]*(?:\||\n?[^\n]{0,40}base64)"
)
_MIXED: Final = re.compile(
    r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)(?=.*[!@#$%^&*?+=])[^\s/(){}<>*\"']{8,64}"
)


def random_word(word: str) -> bool:
    """Whether a word looks chosen by chance, and neither like a name nor like a version."""
    if _UUID.search(word) or _HEX.search(word):
        return True
    for part in re.split(r"[-_.~/+=:@]", word):
        if len(part) < 10:
            continue
        turns = sum(a.isdigit() != b.isdigit() for a, b in pairwise(part))
        if turns >= 3 and any(c.isalpha() for c in part) and not _NUMBERED.fullmatch(part[:10]):
            return True
        humps = sum(a.islower() and b.isupper() for a, b in pairwise(part))
        digits = sum(c.isdigit() for c in part)
        if len(part) >= 14 and (humps + digits // 2) * 4 > len(part) and humps:
            return True
        if re.search(r"(?i)[bcdfghjklmnpqrstvwxz]{7,}", part):
            return True
    return False


_PREFIX: Final = re.compile(
    r"(?i)(?:sk-ant-(?:api\d\d-)?|sk-proj-|sk-or-v1-|sk[-_](?:live_|test_)?|gh[pousr]_|github_pat_"
    r"|gl[a-z]{2,5}-|xox[a-z]-|xapp-|AKIA|ASIA|AIza|hf_|npm_|pypi-|hvs\.|SG\.|xai-|gsk_|whsec_)"
)


def placeholder(value: str) -> str:
    """Something of the same shape that tells nothing of the value but its issuer."""
    if "-----BEGIN " in value:
        kind = re.search(r"-----BEGIN ([A-Z ]{1,40})-----", value)
        name = kind[1] if kind else "PRIVATE KEY"
        return f"-----BEGIN {name}-----\n{PUT}\n-----END {name}-----"
    scheme = re.match(r"(?i)(bearer|basic|token|bot|digest|apikey)\s+(?=\S)", value)
    if scheme:
        return scheme[0] + placeholder(value[scheme.end() :])
    if value.startswith("eyJ") and value.count(".") >= 1:
        return f"eyJhbGciOiJub25lIn0.e30.{PUT}"
    if _UUID.fullmatch(value):
        return "00000000-0000-4000-8000-000000000000"
    if re.fullmatch(r"\d+", value):
        return "0" * (8 if len(value) <= 8 else 16)
    if re.fullmatch(r"(?i)[0-9a-f]{24,}", value):
        return "0" * min((32, 40, 64, 128), key=lambda n: abs(n - len(value)))
    prefix = _PREFIX.match(value)
    if prefix:
        # As long as such keys are: clients look at the length too. The true one is not told.
        return prefix[0] + (PUT * 4)[:36]
    return PUT


_PEM_EDGE: Final = re.compile(r"-----|(?:[A-Z]+ )*KEY-----")
_SHAPES: Final = (
    "sk-ant-api03- sk-proj- sk-or-v1- sk_live_ sk_test_ github_pat_ bearer basic authorization: "
    "Bearer Basic Authorization: eyJhbGciOiJub25lIn0.e30. 00000000-0000-4000-8000-000000000000 "
    + "0"
    * 128
)
"""What placeholders are made of, which no secret is looked for in."""


class Redactor:
    """Replaces the secrets of one copy, and remembers them so that no file keeps one elsewhere."""

    def __init__(self) -> None:
        # Nothing hashed by it is ever kept.
        self._masker = Masker(b"places only")
        self._known: dict[str, None] = {}
        self._places: list[tuple[str, str, str]] = []
        self._pattern: re.Pattern[str] | None = None

    @property
    def replaced(self) -> tuple[str, ...]:
        """File, place and kind of every replacement since :meth:`start`."""
        return tuple(f"{file}: {place}: {kind}" for file, place, kind in self._places)

    def start(self) -> None:
        """Forget the places and keep the secrets: what is found now is found knowing all."""
        self._places = []
        words = sorted(self._known, key=lambda word: (-len(word), word))
        self._pattern = re.compile("|".join(map(re.escape, words))) if words else None

    def forms(self) -> Iterator[bytes]:
        """Every secret as it could still stand in a file: plain, encoded, reversed."""
        for word in self._known:
            yield from forms_of(word)

    def _remember(self, value: str) -> None:
        bare = value.strip().strip("'\"")
        for part in (bare, *re.split(r"\s+", bare), bare.rpartition(":")[2]):
            # A sentence's words are not secrets for themselves.
            shortest = 8 if part.isalpha() and part == bare else 10**6 if part.isalpha() else 6
            if len(part) < shortest or PUT in part or part in _SHAPES:
                continue
            if _HARMLESS.fullmatch(part) or _REFERENCE.fullmatch(part) or _PEM_EDGE.match(part):
                continue
            self._known[part] = None

    def _put(self, value: str, file: str, place: str, kind: str) -> str:
        self._remember(value)
        self._places.append((file, place, kind))
        return placeholder(value)

    # --- text

    def hidden(self, text: str) -> str:
        """A name or a place for a report: nothing in it is a secret."""
        if len(text) > 1000:
            return "[hidden]"
        out = text
        for start, end, _ in reversed(list(_merged(self._spans(text)))):
            out = f"{out[:start]}[hidden]{out[end:]}"
        return out

    def text(self, text: str, file: str, place: str = "") -> str:
        """A text with its secrets replaced; without ``place``, lines are named."""
        out: list[str] = []
        at = 0
        for start, end, kind in _merged(self._spans(text)):
            line = place or f"line {text.count(chr(10), 0, start) + 1}"
            out += (text[at:start], self._put(text[start:end], file, line, kind))
            at = end
        return "".join((*out, text[at:]))

    def _spans(self, text: str) -> list[Span]:
        if len(text) > _LONGEST_LINE and max(map(len, text.splitlines())) > _LONGEST_LINE:
            raise TooLong(f"a line of more than {_LONGEST_LINE:,} characters")
        spans = list(self._masker.places(text))
        for expression, kind in ((_ASSIGNED, "telling name"), (_OPTION, "telling option")):
            for match in expression.finditer(text):
                start, end = match.span("value")
                value = match["value"]
                if value[0] in "\"'":
                    start, end, value = start + 1, end - 1, value[1:-1]
                if telling(match["name"]) and not _free(match["name"], value):
                    spans.append((start, end, kind))
        for match in _QUERY.finditer(text):
            if telling(match.group().partition("=")[0]) or random_word(match["value"]):
                spans.append((*match.span("value"), "URL parameter"))
        for match in _USERINFO.finditer(text):
            if not _REFERENCE.fullmatch(match["user"]) and match["user"] != "git":
                start, end = match.span("user")
                spans.append((start + match["user"].find(":") + 1, end, "URL user"))
        for match in _ECHOED.finditer(text):
            spans.append((*match.span("value"), "encoded"))
        for match in _WORD.finditer(text):
            spans += _random_parts(match)
        if self._pattern is not None:
            spans += [(*match.span(), "known") for match in self._pattern.finditer(text)]
        return spans

    # --- trees

    def tree(self, value: Any, file: str, place: str = "", name: str = "", strict: bool = False,
             depth: int = 0) -> Any:  # fmt: skip
        """A tree of configuration with its secrets replaced, also those that are keys.

        Args:
            name: key that the value stands under. strict: within variables or headers.
        """
        if depth > _DEEPEST:
            return None
        if isinstance(value, Mapping):
            return self._mapping(value, file, place, name, strict, depth)
        if isinstance(value, list):
            return self._sequence(value, file, place, name, strict, depth)
        if isinstance(value, str):
            return self._string(value, file, place, name, strict)
        if isinstance(value, int) and not isinstance(value, bool) and telling(name):
            counted = _COUNTED.search(_HUMP.sub("_", name).lower())
            if not counted and len(str(abs(value))) >= 4:
                self._put(str(value), file, place, "telling name")
                return 0
        return value

    def _mapping(
        self, value: Mapping[Any, Any], file: str, place: str, name: str, strict: bool, depth: int
    ) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        # `{"name": "TOKEN", "value": "…"}`: the name is a value.
        label = next((str(value[k]) for k in ("name", "key", "header") if k in value), "")
        for number, (key, inner) in enumerate(value.items()):
            shown = self.hidden(str(key))
            if len(shown) > 60 or not shown.isprintable():
                shown = f"[{number}]"
            here = f"{place}.{shown}" if place else shown
            said = str(key)
            if said == "value" and label:
                said = label
            elif telling(name) and not isinstance(inner, Mapping | list):
                # `{"auth": {"user": …, "value": …}}`: everything in it belongs to the secret.
                said = said if telling(said) or len(value) > 8 else f"{name}_{said}"
            new_key = (
                self.text(key, file, f"{place or 'top'}, a key") if isinstance(key, str) else key
            )
            while new_key in out:
                new_key = f"{new_key}-{number}"
            in_strict = strict or str(key).lower().replace("-", "_") in _STRICT
            out[new_key] = self.tree(inner, file, here, said, in_strict, depth + 1)
        return out

    def _sequence(
        self, values: list[Any], file: str, place: str, name: str, strict: bool, depth: int
    ) -> list[Any]:
        marked = self._across([v if isinstance(v, str) else "" for v in values])
        out = []
        for number, value in enumerate(values):
            here = f"{place}[{number}]"
            if number in marked and isinstance(value, str):
                out.append(self._put(value, file, here, marked[number]))
            else:
                out.append(self.tree(value, file, here, name, strict, depth + 1))
        return out

    def _across(self, words: Sequence[str]) -> dict[int, str]:
        """Items of a list that are secret by what stands before them or only together."""
        marked: dict[int, str] = {}
        after: str | None = None
        for number, word in enumerate(words):
            if re.match(r"--?[A-Za-z]", word):
                after = None if "=" in word else word
                continue
            if after is not None and telling(after) and not _free(after, word):
                marked[number] = "telling option"
            after = "--authorization" if _HEADER.fullmatch(word) else None
            if after is None and number > 0 and re.fullmatch("(?i)bearer|basic|token", word):
                after = "--authorization"
        for glue in ("", " "):
            ends: list[int] = []
            at = 0
            for word in words:
                at += len(word)
                ends.append(at)
                at += len(glue)
            whole = glue.join(words)
            if len(whole) > _LONGEST_LINE:
                break
            for start, end, _ in self._masker.places(whole):
                touched = [
                    n for n, stop in enumerate(ends)
                    if stop > start and stop - len(words[n]) < end and words[n]
                ]  # fmt: skip
                if len(touched) > 1:
                    for number in touched:
                        if not words[number].startswith("-") and len(words[number]) > 2:
                            marked.setdefault(number, "split over several items")
        return marked

    def _string(self, value: str, file: str, place: str, name: str, strict: bool) -> str:
        bare = value.strip()
        if not bare or _REFERENCE.fullmatch(bare):
            return value
        if telling(name) and not _free(name, bare):
            return self._put(value, file, place, "telling name")
        if strict and not (_MEANT.fullmatch(name) or _names_a_variable(name, bare)):
            evident = _HARMLESS.fullmatch(bare) or _EVIDENT.fullmatch(bare)
            if (not evident or random_word(bare)) and "://" not in bare:
                return self._put(value, file, place, "variable or header")
        if _MIXED.fullmatch(bare) and "://" not in bare:
            return self._put(value, file, place, "random")
        return self.text(value, file, place)


def _free(name: str, value: str) -> bool:
    """Whether a value beside a telling name is evidently no secret."""
    if _HARMLESS.fullmatch(value) or _REFERENCE.fullmatch(value) or _names_a_variable(name, value):
        return True
    words = _HUMP.sub("_", name).lower()
    if re.fullmatch(r"-*keys?", words) and _KEYBOARD.fullmatch(value):
        return True
    if value.startswith(("$(", "`", "$", "{", "[")) and len(value) < 200:
        return not random_word(value)
    return bool(_COUNTED.search(words) and re.fullmatch(r"[\d_]{1,9}", value))


def _random_parts(match: re.Match[str]) -> Iterable[Span]:
    word, first = match.group(), match.start()
    if not random_word(word):
        return
    for part in re.finditer(r"[A-Za-z0-9_+~-]+={0,2}", word):
        if len(part.group()) >= 10 and random_word(part.group()):
            yield first + part.start(), first + part.end(), "random"
    for part in re.finditer(r"[A-Za-z0-9+/_-]{24,}={0,2}", word):
        if random_word(part.group()) and part.group().count("/") * 6 < len(part.group()):
            yield first + part.start(), first + part.end(), "random"


def _merged(spans: list[Span]) -> Iterator[Span]:
    whole: Span | None = None
    for span in sorted(spans):
        if span[0] >= span[1]:
            continue
        if whole is not None and span[0] < whole[1]:
            whole = (whole[0], max(whole[1], span[1]), whole[2])
            continue
        if whole is not None:
            yield whole
        whole = span
    if whole is not None:
        yield whole


def forms_of(word: str) -> Iterator[bytes]:
    """A secret in the forms in which it is looked for: plain, escaped, encoded, reversed."""
    raw = word.encode("utf-8", "surrogatepass")
    yield raw
    yield raw[::-1]
    yield raw.hex().encode()
    yield raw.hex().upper().encode()
    for quoted in (quote(word, safe="", errors="replace"), quote_plus(word, errors="replace")):
        yield quoted.encode()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            # Within a longer text, only the middle of the encoding is the secret's own.
            encoded = encode(b"\0" * shift + raw)
            core = encoded[(0, 2, 3)[shift] : len(encoded) - (4 if encoded.endswith(b"=") else 0)]
            if len(core) >= 8:
                yield core
    yield raw.decode("utf-8", "surrogatepass").encode("utf-16-le", "surrogatepass")
