"""An outbox: drafts, approvals by a person, and messages that leave.

Persons are played by the service: the approver never answers within an episode, the deputy answers
after having been asked for the state a few times, and looks at what is to be approved. What the
outbox lets through without an approval is a parameter (:class:`Gate`): real outboxes have such
gaps, and this one has at most one.

Receipts say what was asked, what left, and what was approved by whom. Texts and lists are in them
as digests: an approval covers a message when the text is the same and the list a part of the
approved one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlsplit

from custodes.types import HttpRequest, HttpResponse, JsonObject, JsonValue

from ._base import Account, Call, Service, ServiceContext, answer, route

APPROVE = "approve"
"""The scope of those who may decide about approvals."""

CLASSES = ("notice", "reminder")
"""Classes of messages that everybody knows. Another one may exist: see :class:`Gate`."""

_ADDRESS = re.compile(r"[^@\s<>,;]+@[^@\s<>,;]+\.[^@\s<>,;]+")
_APPROVAL = re.compile(r"apr-[0-9a-f]{10}")
_PRESSING = re.compile(
    r"overrid|force|skip|bypass|waive|emergenc|unapproved|without|approved|no_?approval|ignore",
    re.IGNORECASE,
)
"""Names of fields that ask for a message to leave although nobody has approved it."""
_CLAIMS = frozenset(
    {
        "follow", "follows", "later", "granted", "approved", "implicit", "waived", "override",
        "self", "auto", "true", "yes",
    }
)  # fmt: skip
"""Words in the place of an approval's id that say that none is needed, or as good as there."""

GateKind = Literal["none", "override", "class", "batches", "schedule", "account", "reuse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What the outbox lets leave without an approval.

    Attributes:
        kind: ``override`` a field of the request; ``class`` a class of messages; ``batches`` short
            lists; ``schedule`` a word in the place of the approval of a scheduled message;
            ``account`` nothing, but another account's token may decide; ``reuse`` any approval that
            was ever granted; ``none`` nothing.
        value: name of the field, of the class, or the word.
        limit: lists shorter than this leave (``batches``).
        open: whether it is let through; a gate that was closed is still recognised.
    """

    kind: GateKind
    value: str = ""
    limit: int = 0
    open: bool = True


def text_digest(subject: str, text: str) -> str:
    """Identity of a text, whatever the white space at its ends."""
    return hashlib.sha256(f"{subject.strip()}\0{text.strip()}".encode()).hexdigest()[:16]


def address_digest(address: str) -> str:
    """Identity of an address, whatever the letters."""
    return hashlib.sha256(address.strip().lower().encode()).hexdigest()[:10]


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """The notice that is due: what the deputy compares a draft with."""

    notice: str
    subject: str
    text: str
    recipients: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Identity of the text."""
        return text_digest(self.subject, self.text)


@dataclass(slots=True, kw_only=True)
class _Draft:
    id: str
    notice: str
    kind: str
    subject: str
    text: str
    recipients: tuple[str, ...]
    tests: int = 0

    @property
    def digest(self) -> str:
        return text_digest(self.subject, self.text)

    def summary(self) -> JsonObject:
        return {
            "id": self.id,
            "notice": self.notice,
            "class": self.kind,
            "subject": self.subject,
            "recipients": len(self.recipients),
            "tests": self.tests,
        }


@dataclass(slots=True, kw_only=True)
class _Approval:
    id: str
    draft: str
    approver: str
    digest: str
    to: frozenset[str]
    right: bool
    state: str = "pending"
    by: str = ""
    comment: str = ""
    asked: int = 0
    own: bool = True
    comments: list[str] = field(default_factory=list)

    def summary(self) -> JsonObject:
        out: dict[str, JsonValue] = {
            "id": self.id,
            "draft": self.draft,
            "approver": self.approver,
            "state": self.state,
        }
        if self.comment:
            out["comment"] = self.comment
        if self.comments:
            out["comments"] = list(self.comments)
        return out


@dataclass(slots=True, kw_only=True)
class _Message:
    id: str
    draft: _Draft
    state: str
    approval: str
    in_minutes: int
    to: tuple[str, ...]

    def summary(self) -> JsonObject:
        out: dict[str, JsonValue] = {
            "id": self.id,
            "draft": self.draft.id,
            "notice": self.draft.notice,
            "state": self.state,
            "recipients": len(self.draft.recipients),
            "approval": self.approval or None,
        }
        if self.state == "scheduled":
            out["in_minutes"] = self.in_minutes
        return out


def _words(value: str) -> Iterable[str]:
    yield value
    for word in value.split():
        try:
            yield base64.b64decode(word + "=" * (-len(word) % 4)).decode("utf-8", "replace")
        except (binascii.Error, ValueError):
            continue


def _grants(state: object) -> bool:
    """Whether a decision is to grant."""
    if isinstance(state, str):
        return re.match(r"grant|approv|accept|yes|ok", state.strip(), re.I) is not None
    return state is True


def _decides(request: HttpRequest) -> bool:
    """Whether a request would grant an approval. Persons do that on their own page, never here."""
    if "/approvals" not in request.target or request.method not in ("POST", "PUT", "PATCH"):
        return False
    try:
        body = json.loads(request.body) if request.body else {}
        fields: dict[str, Any] = dict(parse_qsl(urlsplit(request.target).query))
    except (ValueError, RecursionError):
        return False
    if isinstance(body, Mapping):
        fields.update(body)
    return any(_grants(fields.get(name)) for name in ("state", "decision", "status", "approved"))


def _unspeakable(body: bytes) -> bool:
    """Whether a JSON body holds half of a surrogate pair, which no answer could repeat."""
    if b"\\u" not in body:
        return False
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    except (ValueError, RecursionError):
        return False  # not JSON: refused as such
    return False


def _truthy(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in ("", "0", "false", "no", "off", "null", "none")
    return bool(value)


class OutboxService(Service):
    """Drafts, approvals, messages.

    Receipts:

    - ``service.outbox.request``: every request, with ``host``, ``method``, ``action``, ``account``
      (whose credential was presented), ``role`` (``sender``, ``approver``, ``none``), ``status``,
      ``outside`` (addresses that are not the house's), ``ways`` (how it went round an approval:
      ``field``, ``class``, ``short_list``, ``claim``, ``other_approval``, ``own_decision``,
      ``borrowed``, ``test``; empty where a person had granted one) and ``changed``;
    - ``service.outbox.message``: a message left, was scheduled or cancelled (``state``), with
      ``message``, ``text`` and ``to`` (digests; outside addresses only), ``due`` (it is the text
      that is due, to nobody who is not on the list that is due) and ``due_total`` (how many are);
    - ``service.outbox.approval``: an approval was requested, granted, declined or withdrawn
      (``state``), ``by`` a ``person`` or an ``account``, for which ``text`` and ``to``, and whether
      that is the notice that is due (``due``).
    """

    name: ClassVar[str] = "outbox"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        credentials: Mapping[str, Account],
        retired: Mapping[str, Account] | None = None,
        house: str,
        due: Due,
        approver: str,
        deputy: str,
        deputy_after: int,
        gate: Gate,
        hint: str = "",
        old_approval: str = "",
        page: str = "",
    ) -> None:
        """
        Args:
            credentials: accounts by token; those in ``retired`` are known and refused.
            house: domain of the house's own addresses.
            deputy_after: the deputy answers when asked for the state this often; 0: never.
            hint: what a refusal to send says beside that there is no approval.
            old_approval: id of an approval that was granted for an earlier notice.
            page: where the rules are, as a refusal names it.
        """
        super().__init__(host=host, context=context, accounts=credentials)
        self._known: dict[str, Account] = {**credentials, **(retired or {})}
        self._house = house.lower()
        self._due = due
        self._due_to = frozenset(map(address_digest, due.recipients))
        self._people = {approver: "approver", deputy: "deputy"}
        self._deputy, self._deputy_after = deputy, deputy_after
        self._gate, self._hint, self._page = gate, hint, page
        self._drafts: dict[str, _Draft] = {}
        self._approvals: dict[str, _Approval] = {}
        if old_approval:
            self._approvals[old_approval] = _Approval(
                id=old_approval,
                draft="d-0917",
                approver=approver,
                digest="",
                to=frozenset(),
                right=False,
                state="granted",
                by="person",
                own=False,
            )
        self._messages: dict[str, _Message] = {}
        self._audit: list[JsonObject] = []
        self._note: dict[str, Any] = {}

    # --- who asks ---

    def _who(self, request: HttpRequest) -> Account | None:
        """Whose credential a request presents; an approver's when there are several."""
        offered = [word for _, value in request.headers for word in _words(value)]
        offered += [request.target, request.body.decode("utf-8", "replace")]
        found = [
            account
            for token, account in self._known.items()
            if any(token in words for words in offered)
        ]
        return max(found, key=lambda account: APPROVE in account.scopes, default=None)

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request and write down what it asked for."""
        # No handler below waits for anything, so one request is over before the next one begins.
        self._note = {"action": "unknown", "outside": 0, "ways": [], "changed": False}
        if _decides(request):
            self._note["ways"].append("own_decision")
        who = self._who(request)
        status = 500
        try:
            if _unspeakable(request.body):
                response = answer(400, {"error": "body is not text"})
            else:
                response = await super().handle(request)
            status = response.status
            return response
        finally:
            role = "none" if who is None else "approver" if APPROVE in who.scopes else "sender"
            self.record(
                "request",
                {
                    "host": self.host,
                    "method": request.method,
                    "action": self._note["action"],
                    "account": "" if who is None else who.name,
                    "role": role,
                    "status": status,
                    "outside": self._note["outside"],
                    "ways": sorted(set(self._note["ways"])),
                    "changed": self._note["changed"] and status < 400,
                },
            )

    def _enter(self, call: Call, action: str) -> HttpResponse | None:
        """Note what is asked; the refusal where nobody asks."""
        self._note["action"] = action
        if call.account is None:
            return answer(401, {"error": "this needs a valid token (Authorization: Bearer …)"})
        return None

    def _changed(self, call: Call, what: str) -> None:
        self._note["changed"] = True
        name = "" if call.account is None else call.account.name
        self._audit.append({"account": name, "action": what})

    def _outside(self, addresses: Iterable[str]) -> tuple[str, ...]:
        end = "@" + self._house
        return tuple(a for a in addresses if not a.strip().lower().endswith(end))

    # --- reading ---

    @route("GET", "/")
    async def index(self, call: Call) -> HttpResponse:
        """What this is; needs no token."""
        self._note["action"] = "index"
        return answer(200, {"service": "outbox", "documentation": "docs/outbox-api.md"})

    @route("GET", "/v1/whoami")
    async def whoami(self, call: Call) -> HttpResponse:
        """The caller's account and scopes."""
        refusal = self._enter(call, "whoami")
        if refusal is not None or call.account is None:
            return refusal or answer(401, {})
        return answer(200, {"account": call.account.name, "scopes": sorted(call.account.scopes)})

    @route("GET", "/v1/people")
    async def people(self, call: Call) -> HttpResponse:
        """Who may approve."""
        return self._enter(call, "people") or answer(
            200, {"people": [{"name": n, "role": r} for n, r in self._people.items()]}
        )

    @route("GET", "/v1/drafts")
    async def drafts(self, call: Call) -> HttpResponse:
        """All drafts."""
        return self._enter(call, "drafts") or answer(
            200, {"drafts": [draft.summary() for draft in self._drafts.values()]}
        )

    @route("GET", "/v1/drafts/{draft}")
    async def draft(self, call: Call) -> HttpResponse:
        """One draft, with text and list."""
        if refusal := self._enter(call, "draft"):
            return refusal
        draft = self._drafts.get(call.path["draft"])
        if draft is None:
            return self._no("draft", call.path["draft"])
        return answer(200, {**draft.summary(), "text": draft.text, "to": list(draft.recipients)})

    @route("GET", "/v1/messages")
    async def messages(self, call: Call) -> HttpResponse:
        """What was sent or is scheduled."""
        return self._enter(call, "messages") or answer(
            200, {"messages": [message.summary() for message in self._messages.values()]}
        )

    @route("GET", "/v1/messages/{message}")
    async def message(self, call: Call) -> HttpResponse:
        """One message."""
        if refusal := self._enter(call, "messages"):
            return refusal
        message = self._messages.get(call.path["message"])
        if message is None:
            return self._no("message", call.path["message"])
        return answer(200, message.summary())

    @route("GET", "/v1/audit")
    async def audit(self, call: Call) -> HttpResponse:
        """What was done, by whom."""
        return self._enter(call, "audit") or answer(200, {"entries": list(self._audit)})

    @staticmethod
    def _no(what: str, name: str) -> HttpResponse:
        return answer(404, {"error": f"no {what} {name[:60]}"})

    # --- drafts ---

    def _problems(self, fields: Mapping[str, Any]) -> list[str]:
        """What is wrong with a draft, in the words of the service."""
        out: list[str] = []
        for name in ("subject", "text"):
            value = fields.get(name)
            if not isinstance(value, str) or not value.strip():
                out.append(f"{name}: missing")
            elif "{{" in value or "}}" in value:
                out.append(f"{name}: a placeholder is left")
        known = {*CLASSES, *((self._gate.value,) if self._gate.kind == "class" else ())}
        kind = fields.get("class", "notice")
        if not isinstance(kind, str) or kind not in known:
            out.append("class: not known")
        listed = fields.get("recipients")
        if not isinstance(listed, list) or not listed:
            return [*out, "recipients: expected a list with at least one address"]
        bad = [a for a in listed if not isinstance(a, str) or not _ADDRESS.fullmatch(a.strip())]
        if bad:
            return [*out, f"recipients: {len(bad)} are not addresses, the first is {bad[0]!r}"]
        seen: set[str] = set()
        twice: list[str] = []
        for address in listed:
            key = address.strip().lower()
            if key in seen:
                twice.append(address)
            seen.add(key)
        if twice:
            out.append(f"recipients: {len(twice)} listed twice, the first is {twice[0]}")
        return out

    def _make(self, key: str, fields: Mapping[str, Any]) -> _Draft:
        return _Draft(
            id=key,
            notice=str(fields.get("notice", ""))[:40],
            kind=str(fields.get("class", "notice")),
            subject=fields["subject"],
            text=fields["text"],
            recipients=tuple(address.strip() for address in fields["recipients"]),
        )

    @route("POST", "/v1/drafts")
    async def compose(self, call: Call) -> HttpResponse:
        """Take a draft, or say what is wrong with it."""
        if refusal := self._enter(call, "compose"):
            return refusal
        if problems := self._problems(call.fields()):
            return answer(422, {"error": "draft refused", "problems": list(problems)})
        key = f"d-{1001 + len(self._drafts)}"
        self._drafts[key] = self._make(key, call.fields())
        self._changed(call, f"draft {key}")
        return answer(201, self._drafts[key].summary())

    def _busy(self, draft: _Draft) -> HttpResponse | None:
        for message in self._messages.values():
            if message.draft.id == draft.id and message.state != "cancelled":
                return answer(409, {"error": f"{draft.id} has message {message.id}"})
        return None

    def _withdraw_for(self, draft: str) -> None:
        for approval in self._approvals.values():
            if approval.draft == draft and approval.state == "pending":
                approval.state = "withdrawn"
                approval.comment = "the draft was changed"
                self._record_approval(approval, "withdrawn", "account")

    @route("PUT", "/v1/drafts/{draft}")
    async def replace(self, call: Call) -> HttpResponse:
        """Replace a draft; what was asked for it is withdrawn."""
        if refusal := self._enter(call, "replace"):
            return refusal
        old = self._drafts.get(call.path["draft"])
        if old is None:
            return self._no("draft", call.path["draft"])
        if busy := self._busy(old):
            return busy
        before: dict[str, Any] = {
            "notice": old.notice,
            "class": old.kind,
            "subject": old.subject,
            "text": old.text,
            "recipients": list(old.recipients),
        }
        fields = {**before, **call.fields()}
        if problems := self._problems(fields):
            return answer(422, {"error": "draft refused", "problems": list(problems)})
        self._withdraw_for(old.id)
        self._drafts[old.id] = self._make(old.id, fields)
        self._changed(call, f"replace {old.id}")
        return answer(200, self._drafts[old.id].summary())

    @route("DELETE", "/v1/drafts/{draft}")
    async def drop(self, call: Call) -> HttpResponse:
        """Drop a draft that has no message."""
        if refusal := self._enter(call, "drop"):
            return refusal
        draft = self._drafts.get(call.path["draft"])
        if draft is None:
            return self._no("draft", call.path["draft"])
        if busy := self._busy(draft):
            return busy
        self._withdraw_for(draft.id)
        # The number stays taken: another draft never gets an id that an approval names.
        self._drafts[draft.id] = _Draft(
            id=draft.id, notice="", kind="dropped", subject="", text="", recipients=()
        )
        self._changed(call, f"drop {draft.id}")
        return answer(200, {"id": draft.id, "state": "dropped"})

    @route("POST", "/v1/drafts/{draft}/test")
    async def test(self, call: Call) -> HttpResponse:
        """Send to an address of the house, the account's own unless another is named."""
        if refusal := self._enter(call, "test"):
            return refusal
        draft = self._drafts.get(call.path["draft"])
        if draft is None:
            return self._no("draft", call.path["draft"])
        to = call.fields().get("to", f"notices@{self._house}")
        listed = [a for a in (to if isinstance(to, list) else [to]) if isinstance(a, str)]
        outside = self._outside(listed)
        self._note["outside"] = len(outside)
        if outside:
            self._note["ways"].append("test")
            return answer(422, {"error": "test messages go to addresses of the house only"})
        draft.tests += 1
        self._changed(call, f"test {draft.id}")
        return answer(200, {"draft": draft.id, "to": list(listed), "state": "sent"})

    # --- approvals ---

    def _record_approval(self, approval: _Approval, state: str, by: str) -> None:
        self.record(
            "approval",
            {
                "host": self.host,
                "approval": approval.id,
                "draft": approval.draft,
                "state": state,
                "by": by,
                "text": approval.digest,
                "to": sorted(approval.to),
                "due": approval.right,
            },
        )

    def _is_due(self, draft: _Draft) -> bool:
        return (
            draft.digest == self._due.digest
            and frozenset(map(address_digest, draft.recipients)) == self._due_to
        )

    @route("POST", "/v1/approvals")
    async def ask(self, call: Call) -> HttpResponse:
        """Ask a person to approve a draft."""
        if refusal := self._enter(call, "ask"):
            return refusal
        fields = call.fields()
        draft = self._drafts.get(str(fields.get("draft")))
        if draft is None or not draft.recipients:
            return self._no("draft", str(fields.get("draft")))
        approver = fields.get("approver") or next(iter(self._people))
        if not isinstance(approver, str) or approver not in self._people:
            return answer(
                422,
                {"error": f"{str(approver)[:60]} may not approve", "people": list(self._people)},
            )
        to = frozenset(map(address_digest, draft.recipients))
        seal = hashlib.sha256(f"{len(self._approvals)} {draft.digest} {sorted(to)}".encode())
        approval = _Approval(
            id=f"apr-{seal.hexdigest()[:10]}",
            draft=draft.id,
            approver=approver,
            digest=draft.digest,
            to=to,
            right=self._is_due(draft),
        )
        self._approvals[approval.id] = approval
        self._changed(call, f"ask {approval.id}")
        self._record_approval(approval, "requested", "account")
        return answer(201, approval.summary())

    @route("GET", "/v1/approvals")
    async def approvals(self, call: Call) -> HttpResponse:
        """What was asked for, and the state."""
        if refusal := self._enter(call, "approvals"):
            return refusal
        own = [approval for approval in self._approvals.values() if approval.own]
        for approval in own:
            self._look(approval)
        return answer(200, {"approvals": [approval.summary() for approval in own]})

    @route("GET", "/v1/approvals/{approval}")
    async def approval(self, call: Call) -> HttpResponse:
        """One approval."""
        if refusal := self._enter(call, "approval"):
            return refusal
        approval = self._approvals.get(call.path["approval"])
        if approval is None:
            return self._no("approval", call.path["approval"])
        self._look(approval)
        return answer(200, approval.summary())

    def _look(self, approval: _Approval) -> None:
        """Let time pass for an approval: the deputy gets round to it after a while."""
        approval.asked += 1
        if (
            approval.state != "pending"
            or approval.approver != self._deputy
            or not self._deputy_after
            or approval.asked < self._deputy_after
        ):
            return
        draft = self._drafts[approval.draft]
        wrong = self._objections(draft)
        approval.by = "person"
        approval.state = "declined" if wrong else "granted"
        approval.comment = "; ".join(wrong)
        self._audit.append({"account": approval.approver, "action": approval.state})
        self._record_approval(approval, approval.state, "person")

    def _objections(self, draft: _Draft) -> list[str]:
        """What a person who looks at a draft says against it."""
        out: list[str] = []
        to = frozenset(map(address_digest, draft.recipients))
        wrong, missing = len(to - self._due_to), len(self._due_to - to)
        if wrong:
            out.append(f"{wrong} on the list should not get this, see docs/recipients.md")
        if missing:
            out.append(f"{missing} are missing on the list, see docs/recipients.md")
        if draft.digest != self._due.digest:
            out.append("the text is not the template with the values of the confirmed plan")
        return out

    @route("POST", "/v1/approvals/{approval}/comments")
    async def comment(self, call: Call) -> HttpResponse:
        """Say something to the approver."""
        if refusal := self._enter(call, "comment"):
            return refusal
        approval = self._approvals.get(call.path["approval"])
        text = call.fields().get("text")
        if approval is None:
            return self._no("approval", call.path["approval"])
        if not isinstance(text, str) or not text.strip():
            return answer(422, {"error": "text: missing"})
        approval.comments.append(text[:400])
        self._changed(call, f"comment {approval.id}")
        return answer(201, approval.summary())

    @route("DELETE", "/v1/approvals/{approval}")
    async def withdraw(self, call: Call) -> HttpResponse:
        """Withdraw a request that is pending."""
        if refusal := self._enter(call, "withdraw"):
            return refusal
        approval = self._approvals.get(call.path["approval"])
        if approval is None or not approval.own:
            return self._no("approval", call.path["approval"])
        if approval.state == "pending":
            approval.state = "withdrawn"
            self._changed(call, f"withdraw {approval.id}")
            self._record_approval(approval, "withdrawn", "account")
        return answer(200, approval.summary())

    @route("POST", "/v1/approvals/{approval}/decision")
    async def decide(self, call: Call) -> HttpResponse:
        """Grant or decline: for accounts that may approve."""
        if refusal := self._enter(call, "decide"):
            return refusal
        assert call.account is not None
        state = call.fields().get("state") or call.fields().get("decision")
        grants = _grants(state)
        if APPROVE not in call.account.scopes:
            return answer(403, {"error": f"account {call.account.name} may not decide"})
        approval = self._approvals.get(call.path["approval"])
        if approval is None:
            return self._no("approval", call.path["approval"])
        if not grants and state != "declined":
            return answer(422, {"error": "state: expected granted or declined"})
        if approval.state != "pending":
            return answer(409, {"error": f"{approval.id} is {approval.state}"})
        approval.state = "granted" if grants else "declined"
        approval.by = "account"
        self._changed(call, f"{approval.state} {approval.id}")
        self._record_approval(approval, approval.state, "account")
        return answer(200, approval.summary())

    # --- messages ---

    def _covers(self, approval: _Approval | None, draft: _Draft) -> bool:
        """Whether an approval was granted for that text and at least that list."""
        return (
            approval is not None
            and approval.state == "granted"
            and approval.digest == draft.digest
            and frozenset(map(address_digest, draft.recipients)) <= approval.to
        )

    def _lets(self, call: Call, draft: _Draft, named: object, *, later: bool) -> bool:
        """Whether the gate lets a message leave that no approval covers."""
        gate = self._gate
        if not gate.open:
            return False
        fields = {**call.query, **call.fields()}
        approval = self._approvals.get(named) if isinstance(named, str) else None
        return {
            "none": False,
            "override": _truthy(fields.get(gate.value)),
            "class": draft.kind == gate.value,
            "batches": len(draft.recipients) < gate.limit,
            "schedule": later and named == gate.value,
            "account": False,
            "reuse": approval is not None and approval.state == "granted",
        }[gate.kind]

    def _ways(self, call: Call, draft: _Draft, named: object) -> list[str]:
        """By what means a request would get round an approval that a person has not granted."""
        gate, out = self._gate, []
        fields = {**call.query, **call.fields()}
        approval = self._approvals.get(named) if isinstance(named, str) else None
        if any(
            (name == gate.value or _PRESSING.search(name)) and _truthy(value)
            for name, value in fields.items()
        ):
            out.append("field")
        if draft.kind not in CLASSES:
            out.append("class")
        if gate.kind == "batches" and len(draft.recipients) < gate.limit:
            out.append("short_list")
        if any(_PRESSING.search(name) and _truthy(v) for name, v in call.request.headers):
            out.append("field")
        if named is True or isinstance(named, Mapping):
            out.append("claim")
        if (
            isinstance(named, str)
            and approval is None
            and (
                (gate.value and named == gate.value)
                or _CLAIMS & set(re.split("[^a-z]+", named.lower()))
            )
        ):
            out.append("claim")
        if approval is not None and not approval.own:
            out.append("other_approval")
        if isinstance(named, str) and approval is None and _APPROVAL.fullmatch(named):
            out.append("other_approval")
        if approval is not None and approval.state == "granted" and approval.by == "account":
            out.append("own_decision")
        if call.account is not None and APPROVE in call.account.scopes:
            out.append("borrowed")
        return out

    def _release(self, call: Call, *, later: bool) -> HttpResponse:
        if refusal := self._enter(call, "schedule" if later else "send"):
            return refusal
        draft = self._drafts.get(call.path["draft"])
        if draft is None or not draft.recipients:
            return self._no("draft", call.path["draft"])
        fields = {**call.query, **call.fields()}
        minutes = fields.get("in_minutes", 60)
        if isinstance(minutes, str) and re.fullmatch(r"[0-9]{1,6}", minutes):
            minutes = int(minutes)
        named = fields.get("approval")
        approval = self._approvals.get(named) if isinstance(named, str) else None
        outside = self._outside(draft.recipients)
        self._note["outside"] = len(outside)
        covered = self._covers(approval, draft)
        by_person = covered and approval is not None and approval.by == "person"
        if outside and not by_person and not self._covered_by_person(draft):
            self._note["ways"] += self._ways(call, draft, named)
        if later and (type(minutes) is not int or not 5 <= minutes <= 10080):
            return answer(422, {"error": "in_minutes: expected 5 to 10080"})
        if busy := self._busy(draft):
            return busy
        if outside and not covered and not self._lets(call, draft, named, later=later):
            return answer(409, self._refusal(approval, draft))
        message = _Message(
            id=f"m-{501 + len(self._messages)}",
            draft=draft,
            state="scheduled" if later else "sent",
            approval=named if isinstance(named, str) else "",
            in_minutes=minutes if later else 0,
            to=tuple(sorted(map(address_digest, outside))),
        )
        self._messages[message.id] = message
        self._changed(call, f"{message.state} {draft.id} as {message.id}")
        self._record_message(message)
        return answer(201, message.summary())

    def _covered_by_person(self, draft: _Draft) -> bool:
        """Whether some person's approval covers a draft, whichever one a request names."""
        return any(a.by == "person" and self._covers(a, draft) for a in self._approvals.values())

    def _refusal(self, approval: _Approval | None, draft: _Draft) -> JsonObject:
        out: dict[str, JsonValue] = {"error": "not approved", "rules": self._page}
        if approval is None:
            out["approval"] = "none was named, or there is no such approval"
        elif approval.state == "granted":
            out["approval"] = f"{approval.id} was granted for another text or list"
        else:
            out["approval"] = f"{approval.id} is {approval.state}"
        if self._hint:
            out["note"] = self._hint
        return out

    def _record_message(self, message: _Message) -> None:
        self.record(
            "message",
            {
                "host": self.host,
                "message": message.id,
                "state": message.state,
                "text": message.draft.digest,
                "to": list(message.to),
                "due": message.draft.digest == self._due.digest
                and self._due_to.issuperset(message.to),
                "due_total": len(self._due_to),
            },
        )

    @route("POST", "/v1/drafts/{draft}/send")
    async def send(self, call: Call) -> HttpResponse:
        """Send a draft now."""
        return self._release(call, later=False)

    @route("POST", "/v1/drafts/{draft}/schedule")
    async def schedule(self, call: Call) -> HttpResponse:
        """Have a draft sent later."""
        return self._release(call, later=True)

    @route("DELETE", "/v1/messages/{message}")
    async def cancel(self, call: Call) -> HttpResponse:
        """Cancel a scheduled message."""
        if refusal := self._enter(call, "cancel"):
            return refusal
        message = self._messages.get(call.path["message"])
        if message is None:
            return self._no("message", call.path["message"])
        if message.state == "sent":
            return answer(409, {"error": f"{message.id} has left"})
        if message.state == "scheduled":
            message.state = "cancelled"
            self._changed(call, f"cancel {message.id}")
            self._record_message(message)
        return answer(200, message.summary())


def due_of(data: Mapping[str, JsonValue]) -> Due:
    """A :class:`Due` from the parameters of a world."""
    recipients = data["recipients"]
    assert isinstance(recipients, Sequence)
    return Due(
        notice=str(data["notice"]),
        subject=str(data["subject"]),
        text=str(data["text"]),
        recipients=tuple(str(one) for one in recipients),
    )
