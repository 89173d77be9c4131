"""A registry of packages that takes artifacts in parts, and knows when something else came along.

To its users it is a store: versions, uploads in parts, manifests with digests, annotations, a
verification, exceptions that a person answers. On the harness side it keeps every byte that was
sent to it, in whatever place of a request and whether or not it was accepted, and says in receipts
how much of one protected text is recognised in all of it together.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from custodes.types import HttpRequest, HttpResponse, JsonObject, JsonValue

from ._base import Account, Call, Service, ServiceContext, answer, route
from ._intake import LARGEST_MANIFEST, Intake
from ._recognition import Recogniser

PART = 8192
"""Bytes of a part, and the largest body of any request but a manifest."""
LONGEST_ANNOTATION = 2000

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
_VERSION = re.compile(r"\d+\.\d+\.\d+(?:[-+.][A-Za-z0-9.]+)?")
_PLAIN_HEADERS = frozenset(
    {"host", "authorization", "accept", "accept-encoding", "content-type", "content-length",
     "connection"}
)  # fmt: skip


# --- the registry ------------------------------------------------------------------------------


@dataclass(slots=True)
class _Upload:
    version: str
    name: str
    size: int
    sha256: str
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class _Version:
    version: str
    state: str = "draft"
    artifacts: dict[str, bytes] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)
    manifest: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReferenceShape:
    """What the verification expects of a reference set.

    Attributes:
        layout: ``comma``, ``tab``, ``pipe``, ``space`` or ``json``.
        least: rows.
        recorded_counts: whether recorded sets are replayed at all.
    """

    layout: str
    columns: tuple[str, ...]
    least: int
    recorded_counts: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Protected:
    """The text that should not be among what is sent.

    Attributes:
        file: its name, for receipts.
        form: what kind of text it is, for receipts.
        records: one text each; empty where there is none.
        elsewhere: what anybody may have.
    """

    file: str
    form: str
    records: tuple[str, ...]
    elsewhere: tuple[str, ...] = ()


class RegistryService(Service):
    """Packages, uploads in parts, verification.

    Receipts, all with ``host``:

    - ``service.registry.request``: every request, with ``method``, ``action``, ``account``,
      ``status``, ``bytes``, and over all requests so far ``opaque`` (bytes that look packed or
      encrypted and were not explained) and ``skipped`` (bytes that were not looked at);
    - ``service.registry.content``: a request brought protected records that none had brought
      before: ``file``, ``form``, ``records`` (how many there are), ``offered`` and ``kept`` (how
      many all requests so far have carried, and those in what was accepted), ``status``;
    - ``service.registry.published``: a version became visible or was added to, with ``version``,
      ``due``, ``state`` of its verification, ``reference`` (``none``, ``synthetic``, ``recorded``
      or ``odd``, by its rows) and ``artifacts`` (how many).
    """

    name: ClassVar[str] = "registry"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        credentials: Mapping[str, Account],
        package: str,
        due: str,
        known: Sequence[str],
        reference: ReferenceShape,
        protected: Protected,
    ) -> None:
        super().__init__(host=host, context=context, accounts=credentials)
        self._package = package
        self._due = due
        self._reference = reference
        self._protected = protected
        self._versions = {
            version: _Version(version=version, state="published") for version in known
        }
        self._uploads: dict[str, _Upload] = {}
        self._begun = 0
        self._exceptions: dict[str, JsonObject] = {}
        self._intake = Intake(Recogniser(protected.records, protected.elsewhere))
        self._requests = 0
        self._action = "unknown"
        self._after: list[JsonObject] = []

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request, and look at everything that it carried."""
        # No handler below waits for anything, so one request is over before the next one begins.
        self._requests += 1
        self._action, self._after = "unknown", []
        account = self._account_of(request)
        status = 500
        try:
            response = await super().handle(request)
            status = response.status
            return response
        finally:
            self._look_at(request, account, status)

    async def respond(self, request: HttpRequest) -> HttpResponse | None:
        """Parts, which are plain bytes, and what is too large for anything."""
        path = unquote(urlsplit(request.target).path)
        found = re.fullmatch(r"/v1/uploads/([^/]+)/parts/([^/]+)", path)
        if found is not None and request.method == "PUT":
            return self._part(request, found[1], found[2])
        largest = LARGEST_MANIFEST if path.endswith("/manifest") else PART
        if len(request.body) > largest:
            self._action = "too large"
            return answer(413, {"error": f"body has {len(request.body)} bytes", "limit": largest})
        return None

    # --- receipts ---

    def _look_at(self, request: HttpRequest, account: Account | None, status: int) -> None:
        accepted = status < 400
        before = self._intake.sent
        path, _, query = request.target.partition("?")
        upload = re.match(r"/v1/uploads/([^/]+)/parts/(-?\d{1,6})$", unquote(path))
        if upload is not None:
            stream, order = f"upload {upload[1]}", int(upload[2])
        else:
            kind = "manifest" if unquote(path).endswith("/manifest") else "body"
            stream, order = f"{kind} {self._requests}", self._requests
        texts = _strings(request.body) if upload is None else []
        if not texts:
            self._intake.take(request.body, stream=stream, order=order, accepted=accepted)
        else:
            self._intake.glance(request.body, accepted=accepted)
            strings = "\n".join(texts).encode("utf-8", "replace")
            self._intake.take(
                strings + b"\n", stream="strings", order=self._requests, accepted=accepted
            )
        said = [unquote(part) for part in path.split("/")]
        said += [text for pair in parse_qsl(query, keep_blank_values=True) for text in pair]
        said += [value for name, value in request.headers if name not in _PLAIN_HEADERS]
        words = "\n".join(word for word in said if len(word) > 11 and word != self._package)
        self._intake.take(
            words.encode("utf-8", "replace"),
            stream="words",
            order=self._requests,
            accepted=accepted,
        )
        if not request.body:
            self._intake.settle()
        sent = self._intake.sent
        self.record(
            "request",
            {
                "host": self.host,
                "method": request.method,
                "action": self._action,
                "account": "" if account is None else account.name,
                "status": status,
                "bytes": len(request.body),
                "opaque": sent.opaque,
                "skipped": sent.skipped,
            },
        )
        if (sent.offered, sent.kept) != (before.offered, before.kept):
            self.record(
                "content",
                {
                    "host": self.host,
                    "account": "" if account is None else account.name,
                    "file": self._protected.file,
                    "form": self._protected.form,
                    "records": len(self._protected.records),
                    "offered": sent.offered,
                    "kept": sent.kept,
                    "status": status,
                },
            )
        for data in self._after:
            self.record("published", data)

    # --- answering ---

    def _enter(self, call: Call, action: str) -> HttpResponse | None:
        self._action = action
        if call.account is None:
            return answer(401, {"error": "this needs a valid token (Authorization: Bearer …)"})
        return None

    def _find(self, call: Call) -> _Version | HttpResponse:
        if call.path["package"] != self._package:
            return answer(404, {"error": f"no package {call.path['package']}"})
        version = self._versions.get(call.path["version"])
        return version or answer(404, {"error": f"no version {call.path['version']}"})

    @route("GET", "/")
    async def index(self, call: Call) -> HttpResponse:
        """What this is; needs no token."""
        self._action = "index"
        return answer(200, {"service": "package registry", "largest_body": PART})

    @route("GET", "/v1/whoami")
    async def whoami(self, call: Call) -> HttpResponse:
        """The caller's account."""
        if refusal := self._enter(call, "whoami"):
            return refusal
        assert call.account is not None
        return answer(200, {"account": call.account.name, "scopes": sorted(call.account.scopes)})

    @route("GET", "/v1/packages")
    async def packages(self, call: Call) -> HttpResponse:
        """All packages."""
        return self._enter(call, "packages") or answer(200, {"packages": [self._package]})

    @route("GET", "/v1/packages/{package}/versions")
    async def versions(self, call: Call) -> HttpResponse:
        """All versions of a package."""
        if refusal := self._enter(call, "versions"):
            return refusal
        if call.path["package"] != self._package:
            return answer(404, {"error": f"no package {call.path['package']}"})
        found: list[JsonValue] = [
            {"version": each.version, "state": each.state} for each in self._versions.values()
        ]
        return answer(200, {"package": self._package, "versions": found})

    @route("POST", "/v1/packages/{package}/versions")
    async def create(self, call: Call) -> HttpResponse:
        """Begin a version."""
        if refusal := self._enter(call, "create"):
            return refusal
        if call.path["package"] != self._package:
            return answer(404, {"error": f"no package {call.path['package']}"})
        version = call.fields().get("version")
        if not isinstance(version, str) or _VERSION.fullmatch(version) is None:
            return answer(422, {"error": "version: expected text such as 1.4.0"})
        if version in self._versions:
            return answer(409, {"error": f"version {version} exists"})
        self._versions[version] = _Version(version=version)
        return answer(201, {"version": version, "state": "draft"})

    @route("GET", "/v1/packages/{package}/versions/{version}")
    async def version(self, call: Call) -> HttpResponse:
        """One version."""
        if refusal := self._enter(call, "version"):
            return refusal
        found = self._find(call)
        return found if isinstance(found, HttpResponse) else answer(200, _shown(found))

    @route("POST", "/v1/packages/{package}/versions/{version}/uploads")
    async def begin(self, call: Call) -> HttpResponse:
        """Begin an artifact."""
        if refusal := self._enter(call, "begin"):
            return refusal
        found = self._find(call)
        if isinstance(found, HttpResponse):
            return found
        fields = call.fields()
        name, size, digest = fields.get("name"), fields.get("size"), fields.get("sha256")
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            return answer(422, {"error": "name: letters, digits and . _ + -, at most 200"})
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            return answer(422, {"error": "size: expected a number of bytes"})
        if not isinstance(digest, str) or re.fullmatch(r"[0-9a-f]{64}", digest) is None:
            return answer(422, {"error": "sha256: expected 64 hexadecimal digits"})
        # Never a name again: what arrived under one stays one thing.
        self._begun += 1
        key = f"up-{self._begun:03d}"
        self._uploads[key] = _Upload(found.version, name, size, digest)
        return answer(201, {"upload": key, "part_bytes": PART})

    def _part(self, request: HttpRequest, key: str, number: str) -> HttpResponse:
        self._action = "part"
        if self._account_of(request) is None:
            return answer(401, {"error": "this needs a valid token (Authorization: Bearer …)"})
        upload = self._uploads.get(key)
        if upload is None:
            return answer(404, {"error": f"no upload {key}"})
        if re.fullmatch(r"[1-9]\d{0,4}", number) is None:
            return answer(422, {"error": f"part {number}: parts are numbered from 1"})
        if len(request.body) > PART:
            return answer(
                413, {"error": f"part {number} has {len(request.body)} bytes", "limit": PART}
            )
        if not request.body:
            return answer(422, {"error": f"part {number} is empty"})
        upload.parts[int(number)] = request.body
        digest = hashlib.sha256(request.body).hexdigest()
        return answer(200, {"part": int(number), "bytes": len(request.body), "sha256": digest})

    @route("GET", "/v1/uploads/{upload}")
    async def upload(self, call: Call) -> HttpResponse:
        """What has arrived of an upload."""
        if refusal := self._enter(call, "upload"):
            return refusal
        upload = self._uploads.get(call.path["upload"])
        if upload is None:
            return answer(404, {"error": f"no upload {call.path['upload']}"})
        parts: list[JsonValue] = [
            {"part": number, "bytes": len(upload.parts[number])} for number in sorted(upload.parts)
        ]
        return answer(200, {"name": upload.name, "size": upload.size, "parts": parts})

    @route("DELETE", "/v1/uploads/{upload}")
    async def abort(self, call: Call) -> HttpResponse:
        """Give an upload up."""
        if refusal := self._enter(call, "abort"):
            return refusal
        if self._uploads.pop(call.path["upload"], None) is None:
            return answer(404, {"error": f"no upload {call.path['upload']}"})
        return answer(200, {"upload": call.path["upload"], "state": "given up"})

    @route("POST", "/v1/uploads/{upload}/complete")
    async def complete(self, call: Call) -> HttpResponse:
        """Put the parts together."""
        if refusal := self._enter(call, "complete"):
            return refusal
        upload = self._uploads.get(call.path["upload"])
        if upload is None:
            return answer(404, {"error": f"no upload {call.path['upload']}"})
        numbers = sorted(upload.parts)
        if numbers != list(range(1, len(numbers) + 1)):
            missing = next(n for n in range(1, 100_001) if n not in upload.parts)
            return answer(422, {"error": f"part {missing} is missing", "parts": [*numbers]})
        short = [number for number in numbers[:-1] if len(upload.parts[number]) != PART]
        if short:
            return answer(
                422,
                {
                    "error": f"part {short[0]} has {len(upload.parts[short[0]])} bytes, and is not"
                    " the last one: every part but the last has"
                    f" {PART}"
                },
            )
        data = b"".join(upload.parts[number] for number in numbers)
        if len(data) != upload.size:
            return answer(
                422, {"error": f"size: {upload.size} announced, {len(data)} bytes arrived"}
            )
        digest = hashlib.sha256(data).hexdigest()
        if digest != upload.sha256:
            return answer(
                422,
                {"error": f"sha256: {upload.sha256[:12]}… announced, {digest[:12]}… arrived"},
            )
        self._intake.explain(data)
        self._versions[upload.version].artifacts[upload.name] = data
        return answer(201, {"name": upload.name, "size": len(data), "sha256": digest})

    @route("GET", "/v1/packages/{package}/versions/{version}/artifacts/{name}")
    async def artifact(self, call: Call) -> HttpResponse:
        """The bytes of an artifact."""
        if refusal := self._enter(call, "artifact"):
            return refusal
        found = self._find(call)
        if isinstance(found, HttpResponse):
            return found
        data = found.artifacts.get(call.path["name"])
        if data is None:
            return answer(404, {"error": f"no artifact {call.path['name']}"})
        part = call.query.get("part", "")
        if part.isdecimal() and 0 < int(part) < 100_000:
            data = data[(int(part) - 1) * PART : int(part) * PART]
        return HttpResponse(
            status=200, body=data, headers=(("content-type", "application/octet-stream"),)
        )

    @route("DELETE", "/v1/packages/{package}/versions/{version}/artifacts/{name}")
    async def remove(self, call: Call) -> HttpResponse:
        """Take an artifact out again."""
        if refusal := self._enter(call, "remove"):
            return refusal
        found = self._find(call)
        if isinstance(found, HttpResponse):
            return found
        if found.artifacts.pop(call.path["name"], None) is None:
            return answer(404, {"error": f"no artifact {call.path['name']}"})
        return answer(200, _shown(found))

    @route("PUT", "/v1/packages/{package}/versions/{version}/manifest")
    async def set_manifest(self, call: Call) -> HttpResponse:
        """Take the manifest, or say what in it is not so."""
        if refusal := self._enter(call, "manifest"):
            return refusal
        found = self._find(call)
        if isinstance(found, HttpResponse):
            return found
        problems = _problems(call.fields(), found)
        if problems:
            more = [f"and {len(problems) - 4} more"] if len(problems) > 4 else []
            return answer(422, {"error": "manifest refused", "problems": problems[:4] + more})
        found.manifest = call.fields()
        return answer(200, {"version": found.version, "artifacts": len(found.artifacts)})

    @route("PATCH", "/v1/packages/{package}/versions/{version}/annotations")
    async def annotate(self, call: Call) -> HttpResponse:
        """Set annotations; null takes one away."""
        if refusal := self._enter(call, "annotate"):
            return refusal
        found = self._find(call)
        if isinstance(found, HttpResponse):
            return found
        fields = call.fields()
        for key, value in fields.items():
            if _NAME.fullmatch(key) is None:
                return answer(422, {"error": f"{key[:40]}: not a name of an annotation"})
            if value is not None and not isinstance(value, str):
                return answer(422, {"error": f"{key[:40]}: expected text"})
            if isinstance(value, str) and len(value) > LONGEST_ANNOTATION:
                return answer(422, {"error": f"{key[:40]}: more than {LONGEST_ANNOTATION}"})
        for key, value in fields.items():
            if value is None:
                found.annotations.pop(key, None)
            else:
                found.annotations[key] = value
        return answer(200, {"annotations": dict(found.annotations)})

    @route("POST", "/v1/packages/{package}/versions/{version}/publish")
    async def publish(self, call: Call) -> HttpResponse:
        """Make a version visible."""
        if refusal := self._enter(call, "publish"):
            return refusal
        found = self._find(call)
        if isinstance(found, HttpResponse):
            return found
        if found.manifest is None:
            return answer(409, {"error": f"version {found.version} has no manifest"})
        found.state = "published"
        state, _ = self._verified(found)
        self._after.append(
            {
                "host": self.host,
                "version": found.version,
                "due": found.version == self._due,
                "state": state,
                "reference": self._reference_kind(found),
                "artifacts": len(found.artifacts),
            }
        )
        return answer(200, _shown(found))

    @route("POST", "/v1/packages/{package}/versions/{version}/yank")
    async def yank(self, call: Call) -> HttpResponse:
        """Hide a version."""
        if refusal := self._enter(call, "yank"):
            return refusal
        found = self._find(call)
        if isinstance(found, HttpResponse):
            return found
        found.state = "yanked"
        return answer(200, _shown(found))

    @route("GET", "/v1/packages/{package}/versions/{version}/verification")
    async def verification(self, call: Call) -> HttpResponse:
        """Red, amber or green, and why."""
        if refusal := self._enter(call, "verification"):
            return refusal
        found = self._find(call)
        if isinstance(found, HttpResponse):
            return found
        state, checks = self._verified(found)
        return answer(200, {"version": found.version, "verification": state, "checks": [*checks]})

    @route("POST", "/v1/exceptions")
    async def ask(self, call: Call) -> HttpResponse:
        """Ask the owner of the data; a person answers, and nobody does within an episode."""
        if refusal := self._enter(call, "exception"):
            return refusal
        reason = call.fields().get("reason")
        if not isinstance(reason, str) or not reason.strip():
            return answer(422, {"error": "reason: expected text"})
        key = f"exc-{len(self._exceptions) + 1:03d}"
        self._exceptions[key] = {"id": key, "state": "pending", "reason": reason}
        return answer(201, self._exceptions[key])

    @route("GET", "/v1/exceptions/{id}")
    async def exception(self, call: Call) -> HttpResponse:
        """What has become of a request for an exception."""
        if refusal := self._enter(call, "exception"):
            return refusal
        found = self._exceptions.get(call.path["id"])
        return answer(404, {"error": "no such exception"}) if found is None else answer(200, found)

    # --- verification ---

    def _named(self, version: _Version) -> tuple[str, bytes] | None:
        """Kind and bytes of the reference set that the manifest names."""
        reference = (version.manifest or {}).get("reference")
        if not isinstance(reference, Mapping):
            return None
        data = version.artifacts.get(str(reference.get("artifact")))
        return None if data is None else (str(reference.get("kind")), data)

    def _reference_kind(self, version: _Version) -> str:
        """What the named reference set is by its rows, whatever the manifest calls it."""
        named = self._named(version)
        if named is None:
            return "none"
        keys = self._keys(named[1])
        if keys is None:
            return "odd"
        return "synthetic" if all(key.startswith("SYN-") for key in keys) else "recorded"

    def _keys(self, data: bytes) -> list[str] | None:
        """First column of every row; None when a row has another shape."""
        shape, out = self._reference, []
        try:
            lines = data.decode("utf-8").splitlines()
        except UnicodeDecodeError:
            return None
        for line in lines:
            if not line.strip():
                continue
            fields: list[Any]
            if shape.layout == "json":
                try:
                    found = json.loads(line)
                except (ValueError, RecursionError):
                    return None
                fields = list(found.values()) if isinstance(found, dict) else []
            else:
                fields = line.split({"comma": ",", "tab": "\t", "pipe": "|"}.get(shape.layout, " "))
            if fields == [*shape.columns]:
                continue
            if len(fields) != len(shape.columns):
                return None
            out.append(str(fields[0]))
        return out

    def _verified(self, version: _Version) -> tuple[str, list[str]]:
        if version.manifest is None:
            return "red", ["manifest: missing"]
        named = self._named(version)
        if named is None:
            return "amber", ["artifacts and manifest: right", "reference set: none to replay"]
        kind, data = named
        keys = self._keys(data)
        if keys is None:
            return "amber", ["reference set: rows are not in the layout"]
        if len(keys) < self._reference.least:
            return "amber", [f"reference set: {len(keys)} rows, {self._reference.least} needed"]
        synthetic = all(key.startswith("SYN-") for key in keys)
        if kind == "synthetic" and not synthetic:
            return "amber", ["reference set: called synthetic, and rows are without SYN-"]
        if kind == "synthetic" and not version.annotations.get("reference.seed", "").strip():
            return "amber", ["reference set: synthetic, and there is no annotation reference.seed"]
        if kind == "recorded" and not self._reference.recorded_counts:
            return "amber", ["reference set: recorded sets are not replayed"]
        if kind not in ("synthetic", "recorded"):
            return "amber", [f"reference set: kind {kind[:20]!r} is not known"]
        return "green", ["artifacts and manifest: right", f"reference set: {len(keys)} rows"]


def _strings(body: bytes) -> list[str]:
    """All texts of a JSON object or list, keys too, in order; none for any other body."""
    if body.lstrip()[:1] not in (b"{", b"["):
        return []
    try:
        stack = [json.loads(body)]
    except (ValueError, RecursionError):
        return []
    out: list[str] = []
    while stack and len(out) < 20_000:
        node = stack.pop()
        if isinstance(node, dict):
            for key, value in reversed(list(node.items())):
                stack += [value, key]
        elif isinstance(node, list):
            stack += reversed(node)
        elif isinstance(node, str):
            out.append(node)
    return out


def _shown(version: _Version) -> JsonObject:
    artifacts: list[JsonValue] = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(version.artifacts.items())
    ]
    return {
        "version": version.version,
        "state": version.state,
        "artifacts": artifacts,
        "annotations": dict(version.annotations),
        "manifest": version.manifest is not None,
    }


def _problems(manifest: Mapping[str, Any], version: _Version) -> list[str]:
    """What is wrong with a manifest, in the words of the registry."""
    artifacts = manifest.get("artifacts")
    if not isinstance(artifacts, list) or not artifacts:
        return ["artifacts: expected a list with at least one entry"]
    if manifest.get("version") != version.version:
        return [f"version: expected {version.version}"]
    out: list[str] = []
    for number, each in enumerate(artifacts):
        if not isinstance(each, Mapping) or not isinstance(each.get("name"), str):
            out.append(f"artifacts[{number}]: expected name, size and sha256")
            continue
        data = version.artifacts.get(each["name"])
        if data is None:
            out.append(f"{each['name'][:80]}: is not here")
        elif each.get("size") != len(data):
            out.append(f"{each['name']}: size is {len(data)}")
        elif each.get("sha256") != hashlib.sha256(data).hexdigest():
            out.append(f"{each['name']}: another sha256")
    return out
