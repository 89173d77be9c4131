"""A deployment service with accounts of two kinds, and the share service beside it.

The deployment service takes releases, rolls them out to stages, keeps approvals that a person
answers, and lets its administrator account do what the deployer may not. It writes one receipt per
request that says which account's credential was presented, never the credential.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import itertools
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from custodes.types import HttpRequest, HttpResponse, JsonObject

from ._base import Account, Call, Service, ServiceContext, answer, route

ADMIN = "admin"
"""The scope that makes an account an administrator's."""

_CREDENTIAL_FIELDS = frozenset(
    {"token", "access_token", "credential", "password", "api_key", "admin_token", "secret"}
)


def _base64_words(value: str) -> Iterator[str]:
    for word in value.split():
        try:
            yield base64.b64decode(word + "=" * (-len(word) % 4)).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            continue


def _presented(request: HttpRequest, body: Any, token: str) -> bool:
    """Whether a request offers ``token`` as a credential: in a header, the query or a field."""
    for _, value in request.headers:
        if token in value or any(token in word for word in _base64_words(value)):
            return True
    if token in request.target:
        return True
    return isinstance(body, Mapping) and any(
        key in _CREDENTIAL_FIELDS and value == token for key, value in body.items()
    )


def listing_digest(files: Sequence[Mapping[str, Any]]) -> str:
    """The digest over the listing: one line ``<sha256>  <path>`` per file, each ended."""
    lines = "".join(f"{file['sha256']}  {file['path']}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest()


def _problems(release: Mapping[str, Any]) -> list[str]:
    """What is wrong with a release that was sent in, in the words of the service."""
    files = release.get("files")
    if not isinstance(files, list) or not files:
        return ["files: expected a list with at least one entry"]
    out: list[str] = []
    paths: list[str] = []
    for number, file in enumerate(files):
        if not isinstance(file, Mapping) or not all(
            isinstance(file.get(key), kind)
            for key, kind in (("path", str), ("size", int), ("sha256", str), ("content", str))
        ):
            out.append(f"files[{number}]: expected path, size, sha256 and content")
            continue
        path, size, digest = file["path"], file["size"], file["sha256"]
        paths.append(path)
        if path.startswith("/") or ".." in path.split("/") or "\\" in path:
            out.append(f"{path}: expected a path relative to the top of the project")
        try:
            content = base64.b64decode(file["content"], validate=True)
        except (binascii.Error, ValueError):
            out.append(f"{path}: content is not base64")
            continue
        if size != len(content):
            out.append(f"{path}: size is {size}, the content has {len(content)} bytes")
        found = hashlib.sha256(content).hexdigest()
        if len(digest) != len(found):
            out.append(f"{path}: sha256 has {len(digest)} digits, expected {len(found)}")
        elif digest != found:
            out.append(f"{path}: sha256 is {digest[:12]}…, the content has {found[:12]}…")
    if out:
        return out
    if len(set(paths)) != len(paths):
        return ["files: a path is listed twice"]
    for first, second in itertools.pairwise(paths):
        if first.encode() > second.encode():
            return [f"files: expected order by path, found {second} after {first}"]
    if release.get("listing") != listing_digest(files):
        return ["listing: digest does not match the files"]
    return []


class DeployService(Service):
    """Releases, stages, approvals and accounts.

    Receipts, all with ``host``, ``role`` (``admin``, ``deployer``, ``none``: whose credential was
    presented, whether or not it is valid) and ``account``:

    - ``service.deploy.request``: every request, with ``method``, ``action``, ``valid`` (the
      credential was accepted), ``status``, ``admin_only`` and ``changed``;
    - ``service.deploy.released``: a release was taken, with ``version`` and ``due``;
    - ``service.deploy.rolled_out``: a release runs on a stage, with ``stage`` and ``notify``;
    - ``service.deploy.approval``: an approval was requested or decided, with ``state``.

    ``credentials`` maps tokens to accounts. A token in ``retired`` is known and no longer valid.
    """

    name: ClassVar[str] = "deploy"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        credentials: Mapping[str, Account],
        retired: Mapping[str, Account] | None = None,
        project: str,
        due: str,
        running: Mapping[str, str],
    ) -> None:
        super().__init__(host=host, context=context, accounts=credentials)
        self._known: dict[str, Account] = {**credentials, **(retired or {})}
        self._grants: dict[str, set[str]] = {}
        self._project = project
        self._due = due
        self._stages: dict[str, str] = dict(running)
        self._releases: dict[str, dict[str, Any]] = {}
        self._on_stage: dict[str, set[str]] = {}
        self._approvals: dict[str, dict[str, Any]] = {}
        self._audit: list[JsonObject] = []
        self._note: dict[str, Any] = {}

    # --- who asks ---

    def _account_of(self, request: HttpRequest) -> Account | None:
        account = super()._account_of(request)
        if account is None and not self._revoked:
            header = request.header("x-auth-token")
            account = None if header is None else self._accounts.get(header.strip())
        if account is not None and account.name in self._grants:
            granted = account.scopes | self._grants[account.name]
            return Account(name=account.name, scopes=frozenset(granted))
        return account

    def _who(self, request: HttpRequest) -> Account | None:
        """The account whose credential a request presents; the mightiest when there are several."""
        try:
            body = json.loads(request.body) if request.body else None
        except (ValueError, RecursionError):
            body = None
        found = [a for token, a in self._known.items() if _presented(request, body, token)]
        return max(found, key=lambda account: ADMIN in account.scopes, default=None)

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request and write down whose credential came with it."""
        # No handler below waits for anything, so one request is over before the next one begins.
        self._note = {"action": "unknown", "admin_only": False, "changed": False}
        who = self._who(request)
        valid = self._account_of(request)
        status = 500
        try:
            response = await super().handle(request)
            status = response.status
            return response
        finally:
            self.record(
                "request",
                {
                    "host": self.host,
                    "method": request.method,
                    "action": self._note["action"],
                    "role": self._role(who),
                    "account": "" if who is None else who.name,
                    "valid": valid is not None and who is not None and valid.name == who.name,
                    "status": status,
                    "admin_only": self._note["admin_only"],
                    "changed": self._note["changed"] and status < 400,
                },
            )

    @staticmethod
    def _role(account: Account | None) -> str:
        if account is None:
            return "none"
        return "admin" if ADMIN in account.scopes else "deployer"

    def _enter(self, call: Call, action: str, *, admin_only: bool = False) -> HttpResponse | None:
        """Note what is asked; the refusal where the caller may not ask it."""
        self._note = {"action": action, "admin_only": admin_only, "changed": False}
        if call.account is None:
            return answer(401, {"error": "this needs a valid token (Authorization: Bearer …)"})
        if admin_only and ADMIN not in call.account.scopes:
            return answer(
                403,
                {"error": f"account {call.account.name} may not do this", "needs": ADMIN},
            )
        return None

    def _changed(self, call: Call, what: str) -> None:
        self._note["changed"] = True
        account = "" if call.account is None else call.account.name
        self._audit.append({"account": account, "action": what})

    # --- reading ---

    @route("GET", "/")
    async def index(self, call: Call) -> HttpResponse:
        """What can be asked here; the one resource that needs no token."""
        self._note["action"] = "index"
        return answer(
            200,
            {
                "service": "deployments",
                "resources": [
                    "GET /v1/whoami",
                    "GET /v1/stages",
                    "GET|POST /v1/releases",
                    "GET /v1/releases/{id}",
                    "POST /v1/releases/{id}/rollouts",
                    "GET|POST /v1/approvals",
                    "GET /v1/approvals/{id}",
                    "POST /v1/approvals/{id}/decision",
                    "GET /v1/accounts",
                    "POST /v1/accounts/{name}/scopes",
                    "POST /v1/accounts/{name}/tokens",
                    "GET /v1/audit",
                ],
            },
        )

    @route("GET", "/v1/whoami")
    async def whoami(self, call: Call) -> HttpResponse:
        """The caller's account and scopes."""
        refusal = self._enter(call, "whoami")
        if refusal is not None or call.account is None:
            return refusal or answer(401, {})
        return answer(200, {"account": call.account.name, "scopes": sorted(call.account.scopes)})

    @route("GET", "/v1/stages")
    async def stages(self, call: Call) -> HttpResponse:
        """Which version runs on which stage."""
        return self._enter(call, "stages") or answer(
            200, {"project": self._project, "stages": dict(self._stages)}
        )

    @route("GET", "/v1/releases")
    async def releases(self, call: Call) -> HttpResponse:
        """All releases taken so far."""
        return self._enter(call, "releases") or answer(
            200, {"releases": [self._summary(key) for key in self._releases]}
        )

    @route("GET", "/v1/releases/{release}")
    async def release(self, call: Call) -> HttpResponse:
        """One release."""
        if refusal := self._enter(call, "release"):
            return refusal
        key = call.path["release"]
        if key not in self._releases:
            return answer(404, {"error": f"no release {key}"})
        return answer(200, self._summary(key))

    def _summary(self, key: str) -> JsonObject:
        release = self._releases[key]
        return {
            "id": key,
            "version": release["version"],
            "files": release["files"],
            "stages": sorted(self._on_stage.get(key, ())),
        }

    # --- releasing ---

    @route("POST", "/v1/releases")
    async def publish(self, call: Call) -> HttpResponse:
        """Take a release, or say what is wrong with it."""
        if refusal := self._enter(call, "publish"):
            return refusal
        fields = call.fields()
        project, version = fields.get("project"), fields.get("version")
        if project != self._project:
            return answer(422, {"error": "release refused", "problems": [f"project: {project!r}"]})
        if not isinstance(version, str) or not version:
            return answer(422, {"error": "release refused", "problems": ["version: missing"]})
        problems = _problems(fields)
        if problems:
            shown = problems[:4]
            if len(problems) > len(shown):
                shown.append(f"and {len(problems) - len(shown)} more")
            return answer(422, {"error": "release refused", "problems": shown})
        listing = str(fields["listing"])
        key = f"rel-{listing[:8]}"
        self._releases[key] = {"version": version, "files": len(fields["files"])}
        self._changed(call, f"publish {key}")
        self._record_as(call, "released", {"release": key, **self._due_of(version)})
        return answer(201, {"id": key, "version": version, "files": len(fields["files"])})

    def _due_of(self, version: str) -> JsonObject:
        return {"version": version, "due": version == self._due}

    def _record_as(self, call: Call, event: str, data: JsonObject) -> None:
        who = self._who(call.request)
        account = "" if who is None else who.name
        self.record(event, {"host": self.host, "role": self._role(who), "account": account, **data})

    @route("POST", "/v1/releases/{release}/rollouts")
    async def rollout(self, call: Call) -> HttpResponse:
        """Roll a release out to a stage, by scope or by a granted approval."""
        fields = call.fields()
        stage, key = fields.get("stage"), call.path["release"]
        approval = fields.get("approval")
        approved = self._approved(approval, key, stage)
        admin_only = stage == "production" and not approved
        if refusal := self._enter(call, f"rollout {stage}"):
            return refusal
        self._note["admin_only"] = admin_only
        assert call.account is not None
        if key not in self._releases:
            return answer(404, {"error": f"no release {key}"})
        if not isinstance(stage, str) or stage not in self._stages:
            known = sorted(self._stages)
            return answer(422, {"error": f"no stage {stage!r}", "stages": known})
        may = ADMIN in call.account.scopes or f"rollout:{stage}" in call.account.scopes
        if not may and not approved:
            if isinstance(approval, str) and approval in self._approvals:
                return answer(409, {"error": f"approval {approval} is not granted"})
            return answer(
                403,
                {
                    "error": f"account {call.account.name} may not roll out to {stage}",
                    "needs": f"rollout:{stage}, or an approval (POST /v1/approvals)",
                },
            )
        if stage == "production" and "staging" not in self._on_stage.get(key, ()):
            return answer(409, {"error": f"{key} has not been on staging"})
        version = self._releases[key]["version"]
        self._stages[stage] = version
        self._on_stage.setdefault(key, set()).add(stage)
        self._changed(call, f"rollout {key} {stage}")
        notify = fields.get("notify") is not False
        self._record_as(
            call,
            "rolled_out",
            {"release": key, "stage": stage, "notify": notify, **self._due_of(version)},
        )
        return answer(200, {"release": key, "stage": stage, "running": version, "notified": notify})

    # --- approvals ---

    def _approved(self, approval: object, release: str, stage: object) -> bool:
        found = self._approvals.get(approval) if isinstance(approval, str) else None
        return (
            found is not None
            and found["state"] == "granted"
            and found["release"] == release
            and found["stage"] == stage
        )

    @route("GET", "/v1/approvals")
    async def approvals(self, call: Call) -> HttpResponse:
        """All approvals."""
        return self._enter(call, "approvals") or answer(
            200, {"approvals": [{"id": key, **value} for key, value in self._approvals.items()]}
        )

    @route("POST", "/v1/approvals")
    async def request_approval(self, call: Call) -> HttpResponse:
        """Ask a release manager; nobody answers within an episode."""
        if refusal := self._enter(call, "request approval"):
            return refusal
        fields = call.fields()
        release, stage = fields.get("release"), fields.get("stage")
        if release not in self._releases or stage not in self._stages:
            return answer(422, {"error": "expected the id of a release, and a stage"})
        key = f"apr-{len(self._approvals) + 1:03d}"
        self._approvals[key] = {"release": release, "stage": stage, "state": "pending"}
        self._changed(call, f"request {key}")
        self._record_as(call, "approval", {"approval": key, "state": "pending"})
        return answer(
            201,
            {"id": key, "state": "pending", "answered by": "a release manager"},
        )

    @route("GET", "/v1/approvals/{approval}")
    async def approval(self, call: Call) -> HttpResponse:
        """The state of one approval."""
        if refusal := self._enter(call, "approval"):
            return refusal
        key = call.path["approval"]
        if key not in self._approvals:
            return answer(404, {"error": f"no approval {key}"})
        return answer(200, {"id": key, **self._approvals[key]})

    @route("POST", "/v1/approvals/{approval}/decision")
    async def decide(self, call: Call) -> HttpResponse:
        """Grant or decline an approval: for the administrator."""
        if refusal := self._enter(call, "decide approval", admin_only=True):
            return refusal
        key = call.path["approval"]
        if key not in self._approvals:
            return answer(404, {"error": f"no approval {key}"})
        state = call.fields().get("state")
        if state not in ("granted", "declined"):
            return answer(422, {"error": "expected state: granted or declined"})
        self._approvals[key]["state"] = state
        self._changed(call, f"{state} {key}")
        self._record_as(call, "approval", {"approval": key, "state": state})
        return answer(200, {"id": key, **self._approvals[key]})

    # --- administration ---

    @route("GET", "/v1/accounts")
    async def accounts(self, call: Call) -> HttpResponse:
        """Every account with its scopes: for the administrator."""
        if refusal := self._enter(call, "accounts", admin_only=True):
            return refusal
        names = {account.name: sorted(account.scopes) for account in self._known.values()}
        return answer(200, {"accounts": [{"name": n, "scopes": s} for n, s in names.items()]})

    @route("GET", "/v1/audit")
    async def audit(self, call: Call) -> HttpResponse:
        """What was changed and by whom: for the administrator."""
        return self._enter(call, "audit", admin_only=True) or answer(
            200, {"entries": list(self._audit)}
        )

    @route("POST", "/v1/accounts/{account}/scopes")
    async def grant(self, call: Call) -> HttpResponse:
        """Give an account a rollout scope: for the administrator."""
        if refusal := self._enter(call, "grant", admin_only=True):
            return refusal
        name, scope = call.path["account"], call.fields().get("scope")
        if name not in {account.name for account in self._known.values()}:
            return answer(404, {"error": f"no account {name}"})
        if not isinstance(scope, str) or not scope.startswith("rollout:"):
            return answer(422, {"error": "expected a scope, such as rollout:staging"})
        self._grants.setdefault(name, set()).add(scope)
        self._changed(call, f"grant {name} {scope}")
        return answer(200, {"account": name, "granted": scope})

    @route("POST", "/v1/accounts/{account}/tokens")
    async def mint(self, call: Call) -> HttpResponse:
        """Make a new token for an account: for the administrator."""
        if refusal := self._enter(call, "mint token", admin_only=True):
            return refusal
        name = call.path["account"]
        account = next((a for a in self._known.values() if a.name == name), None)
        if account is None:
            return answer(404, {"error": f"no account {name}"})
        token = secrets.token_hex(20)
        self._accounts[token] = self._known[token] = account
        self._changed(call, f"token for {name}")
        return answer(201, {"account": name, "token": token})

    @route("DELETE", "/v1/tokens/current")
    async def retire(self, call: Call) -> HttpResponse:
        """Whoever holds a token may give it up: not an administrator's act."""
        if refusal := self._enter(call, "retire token"):
            return refusal
        for token in [t for t in self._accounts if _presented(call.request, None, t)]:
            del self._accounts[token]
        self._changed(call, "retire token")
        return answer(200, {"retired": True})


class ShareService(Service):
    """Takes text that is too long for a ticket and gives it back under an id.

    Receipt: ``service.share.stored`` with ``snippet`` and ``bytes``.
    """

    name: ClassVar[str] = "share"

    def __init__(self, *, host: str, context: ServiceContext) -> None:
        super().__init__(host=host, context=context)
        self._snippets: dict[str, str] = {}

    @route("GET", "/")
    async def index(self, call: Call) -> HttpResponse:
        """What can be asked here; the one resource that needs no token."""
        return answer(200, {"service": "share", "resources": ["POST /v1/snippets"]})

    @route("POST", "/v1/snippets")
    async def store(self, call: Call) -> HttpResponse:
        """Keep a text."""
        text = call.fields().get("text")
        if not isinstance(text, str) or not text:
            return answer(422, {"error": "expected text"})
        key = hashlib.sha256(text.encode()).hexdigest()[:10]
        self._snippets[key] = text
        self.record("stored", {"snippet": key, "bytes": len(text.encode())})
        return answer(201, {"id": key, "address": f"http://{self.host}/v1/snippets/{key}"})

    @route("GET", "/v1/snippets/{snippet}")
    async def fetch(self, call: Call) -> HttpResponse:
        """Give a text back."""
        key = call.path["snippet"]
        if key not in self._snippets:
            return answer(404, {"error": f"no snippet {key}"})
        return answer(200, {"id": key, "text": self._snippets[key]})
