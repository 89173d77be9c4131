"""A git remote over HTTP: a bare repository of the host, and what was pushed to it.

What is pushed is hostile until shown otherwise. Git runs on the host, because what it stores has to
stay, with no configuration of the machine or of a user, without hooks, replacements, attributes or
automatic maintenance, with every object checked before it is kept, and with bounds on size, memory
and time. Nothing that was pushed is ever checked out by git: :meth:`Repository.export` writes plain
files itself, and only into a folder of its own.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, unquote, urlsplit

from custodes.types import HttpRequest, HttpResponse, JsonValue

from ._base import Account, Service, ServiceContext

PUSH = "push"
"""The scope that pushing takes."""
FETCH = "fetch"
"""The scope that fetching takes."""
NO_COMMIT = "0" * 40

_MOST_BYTES = 8 << 20
_MOST_FILES = 2_000
_MOST_UPDATES = 32
_SECONDS = 20
_LIMITS = 'ulimit -v 2097152; ulimit -t 20; ulimit -f 65536; exec "$@"'
_CONFIGURATION = (
    "core.hooksPath=/dev/null",
    "core.attributesFile=/dev/null",
    "core.fsmonitor=false",
    "core.symlinks=false",
    "core.alternateRefsCommand=true",
    "gc.auto=0",
    "maintenance.auto=false",
    "receive.autogc=false",
    "receive.fsckObjects=true",
    "transfer.fsckObjects=true",
    "receive.denyNonFastForwards=true",
    "receive.denyDeletes=true",
    "receive.denyCurrentBranch=ignore",
    f"receive.maxInputSize={_MOST_BYTES}",
    "receive.unpackLimit=1",
    "receive.advertisePushOptions=false",
    "receive.updateServerInfo=false",
    "uploadpack.allowFilter=false",
    "uploadpack.packObjectsHook=",
    "pack.threads=1",
    "protocol.allow=never",
    "safe.directory=*",
)
_ENVIRONMENT = {
    "PATH": os.defpath + ":/usr/local/bin",
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C.UTF-8",
}
_ID = re.compile(r"[0-9a-f]{40}\Z")
_REF = re.compile(r"refs/heads/[A-Za-z0-9][A-Za-z0-9._/-]{0,120}\Z")


class TreeRefused(ValueError):
    """A commit's tree cannot be written out: too large, or a path that no project has."""


class GitFailed(RuntimeError):
    """Git itself failed on the host; says what it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """One reference that a push asked to move. Commits are forty hexadecimal digits."""

    ref: str
    old: str
    new: str


class Repository:
    """A bare repository on the host.

    Args:
        place: names the folder where it lies; asked by :meth:`prepare`, which fills the folder.
        lay_out: writes a repository with its history into an empty folder (``.git`` below it).
    """

    def __init__(self, place: Callable[[], Path], lay_out: Callable[[Path], None]) -> None:
        self._place = place
        self._top = Path()
        self._lay_out = lay_out
        self._ready = False
        self._preparing = asyncio.Lock()
        self.lock = asyncio.Lock()
        """Held by whoever reads and then moves references."""

    @property
    def folder(self) -> Path:
        """The git directory."""
        return self._top / ".git"

    async def prepare(self) -> None:
        """Lay the repository out, once."""
        async with self._preparing:
            if not self._ready:
                self._top = self._place()
                await asyncio.to_thread(self._lay_out, self._top)
                await self.git("config", "core.bare", "true")
                self._ready = True

    async def run(self, *arguments: str, feed: bytes = b"") -> tuple[int, bytes, str]:
        """Exit code, output and errors of one git command."""
        command = ["sh", "-c", _LIMITS, "git", "git"]
        for setting in _CONFIGURATION:
            command += ["-c", setting]
        command += [f"--git-dir={self.folder}", *arguments]
        try:
            done = await asyncio.to_thread(_ended, command, feed, self._top)
        except subprocess.TimeoutExpired:
            return 124, b"", f"git {arguments[0]} took more than {_SECONDS} s"
        return done.returncode, done.stdout, done.stderr.decode("utf-8", "replace")

    async def git(self, *arguments: str, feed: bytes = b"") -> bytes:
        """Output of a git command that has to succeed.

        Raises:
            GitFailed: it did not.
        """
        code, out, said = await self.run(*arguments, feed=feed)
        if code:
            raise GitFailed(f"git {arguments[0]} exits {code}: {said.strip()[:300]}")
        return out

    async def commit_of(self, ref: str) -> str | None:
        """The commit that a full reference names, or None."""
        if not _REF.match(ref) or ".." in ref:
            return None
        code, out, _ = await self.run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}")
        found = out.decode().strip()
        return found if code == 0 and _ID.match(found) else None

    async def is_ancestor(self, old: str, new: str) -> bool:
        """Whether the history of ``new`` holds ``old``."""
        code, _, _ = await self.run("merge-base", "--is-ancestor", _checked(old), _checked(new))
        return code == 0

    async def changed(self, old: str, new: str) -> tuple[str, ...]:
        """Paths that differ between two commits, renames as two."""
        out = await self.git(
            "diff-tree", "-r", "-z", "--no-renames", "--no-ext-diff", "--name-only",
            _checked(old), _checked(new),
        )  # fmt: skip
        return tuple(part.decode("utf-8", "replace") for part in out.split(b"\0") if part)

    async def messages(self, old: str, new: str) -> tuple[str, ...]:
        """Messages of the commits that ``new`` has and ``old`` has not, newest first."""
        out = await self.git(
            "log", "-z", "--format=%B", "-n", "200", f"{_checked(old)}..{_checked(new)}"
        )
        return tuple(part.decode("utf-8", "replace") for part in out.split(b"\0") if part.strip())

    async def advance(self, ref: str, old: str, new: str) -> bool:
        """Move a reference if it is still where it was."""
        code, _, _ = await self.run("update-ref", ref, _checked(new), _checked(old))
        return code == 0

    async def blob(self, commit: str, path: str, *, most: int = 1 << 20) -> bytes | None:
        """Content of a plain file of a commit, or None; None also for more than ``most`` bytes."""
        for entry in await self._entries(commit):
            if entry.path == path and entry.mode in ("100644", "100755") and entry.size <= most:
                return await self.git("cat-file", "blob", entry.id)
        return None

    async def export(self, commit: str, into: Path) -> None:
        """Write the tree of a commit into an empty folder.

        Files are created anew and never through a link: links come last, and are written as such.

        Raises:
            TreeRefused: too many files, too many bytes, or a path outside the folder.
        """
        entries = [entry for entry in await self._entries(commit) if entry.mode != "160000"]
        if len(entries) > _MOST_FILES:
            raise TreeRefused(f"{len(entries)} files, at most {_MOST_FILES}")
        if sum(entry.size for entry in entries) > _MOST_BYTES:
            raise TreeRefused(f"more than {_MOST_BYTES} bytes")
        for entry in entries:
            parts = entry.path.split("/")
            if len(entry.path) > 400 or any(p in ("", ".", "..") for p in parts):
                raise TreeRefused(f"no path for a file: {entry.path[:80]!r}")
            if any(p.lower() == ".git" for p in parts) or "\0" in entry.path:
                raise TreeRefused(f"no path for a file: {entry.path[:80]!r}")
        feed = "".join(f"{entry.id}\n" for entry in entries).encode()
        raw = await self.git("cat-file", "--batch", feed=feed)
        await asyncio.to_thread(_write, into, entries, raw)

    async def _entries(self, commit: str) -> list[_Entry]:
        out = await self.git("ls-tree", "-r", "-z", "-l", "--full-tree", _checked(commit))
        return [_Entry.parse(part) for part in out.split(b"\0") if part]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    mode: str
    id: str
    size: int
    path: str

    @staticmethod
    def parse(raw: bytes) -> _Entry:
        head, _, path = raw.partition(b"\t")
        mode, _, name, size = head.decode().split()
        try:
            text = path.decode()
        except UnicodeDecodeError:
            raise TreeRefused(f"a path that is not UTF-8: {path[:80]!r}") from None
        return _Entry(mode=mode, id=name, size=0 if size == "-" else int(size), path=text)


def _ended(command: list[str], feed: bytes, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        command,
        input=feed,
        capture_output=True,
        env=_ENVIRONMENT,
        cwd=cwd,
        timeout=_SECONDS,
        check=False,
    )


def _write(into: Path, entries: Sequence[_Entry], raw: bytes) -> None:
    at = 0
    links: list[tuple[Path, bytes]] = []
    for entry in entries:
        end = raw.index(b"\n", at)
        size = int(raw[at:end].split()[2])
        data = raw[end + 1 : end + 1 + size]
        at = end + 2 + size
        target = into / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        if entry.mode == "120000":
            links.append((target, data))
            continue
        mode = 0o755 if entry.mode == "100755" else 0o644
        handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
    for target, data in links:
        if data and b"\0" not in data and len(data) < 1000:
            os.symlink(data, os.fsencode(target))


def _checked(commit: str) -> str:
    if not _ID.match(commit):
        raise ValueError(f"expected a commit, found {commit[:60]!r}")
    return commit


# --- the protocol -------------------------------------------------------------------------------


def _pkt(data: bytes) -> bytes:
    return b"%04x" % (len(data) + 4) + data


def _pkts(body: bytes) -> Iterator[bytes]:
    """The packets of a body up to the first flush."""
    at = 0
    while at + 4 <= len(body):
        try:
            size = int(body[at : at + 4], 16)
        except ValueError:
            return
        if size < 4 or at + size > len(body):
            return
        yield body[at + 4 : at + size]
        at += size


def read_updates(body: bytes) -> tuple[tuple[Update, ...], frozenset[str]] | None:
    """What a push asks for, and the client's capabilities; None when it cannot be read."""
    updates: list[Update] = []
    capabilities: frozenset[str] = frozenset()
    for packet in _pkts(body):
        line, _, rest = packet.partition(b"\0")
        if rest:
            capabilities = frozenset(rest.decode("utf-8", "replace").split())
        words = line.decode("utf-8", "replace").strip().split(" ", 2)
        if words[0] == "shallow":
            continue
        if len(words) != 3 or not _ID.match(words[0]) or not _ID.match(words[1]):
            return None
        updates.append(Update(old=words[0], new=words[1], ref=words[2]))
    return (tuple(updates), capabilities) if updates else None


def _refusal(updates: Sequence[Update], capabilities: frozenset[str], why: str) -> bytes:
    """The report of a push of which nothing was taken."""
    report = _pkt(b"unpack ok\n")
    for update in updates:
        report += _pkt(f"ng {update.ref} {why}\n".encode())
    report += b"0000"
    return _pkt(b"\x01" + report) + b"0000" if "side-band-64k" in capabilities else report


def _unzipped(body: bytes) -> bytes | None:
    """A gzip body, or None when it is none or too large."""
    try:
        inflate = zlib.decompressobj(16 + zlib.MAX_WBITS)
        data = inflate.decompress(body, _MOST_BYTES)
    except zlib.error:
        return None
    return None if inflate.unconsumed_tail else data


Pushed = Callable[[Update], Awaitable[None]]


class GitRemote(Service):
    """The remote of one project, at ``/<project>.git``.

    Receipt ``service.git.request``, one for every request, whatever became of it:

    - ``host``, ``method``, ``status``;
    - ``action``: ``refs``, ``fetch``, ``push`` or ``other``;
    - ``account``: whose valid credential came with it; empty without one;
    - ``updates``: what a push asked for: ``ref``, ``old``, ``new``, ``main`` (whether it is the
      protected branch of the project), and ``taken``.

    Args:
        main: the branch that changes land on.
        protected: whether that branch is closed to pushes.
        pushed: called after a push has moved the main branch.
    """

    name: ClassVar[str] = "git"

    def __init__(
        self,
        *,
        host: str,
        context: ServiceContext,
        accounts: Mapping[str, Account],
        repository: Repository,
        project: str,
        main: str,
        protected: bool,
        pushed: Pushed | None = None,
    ) -> None:
        super().__init__(host=host, context=context, accounts=accounts)
        self._repository = repository
        self._project = project
        self._main = f"refs/heads/{main}"
        self._protected = protected
        self._pushed = pushed

    async def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one request and write down what was asked and what became of it."""
        account = self._account_of(request)
        note: dict[str, Any] = {"action": "other", "updates": []}
        status = 500
        try:
            response = await self._answer(request, account, note)
            status = response.status
            return response
        finally:
            self.record(
                "request",
                {
                    "host": self.host,
                    "method": request.method,
                    "status": status,
                    "account": "" if account is None else account.name,
                    **note,
                },
            )

    async def _answer(
        self, request: HttpRequest, account: Account | None, note: dict[str, Any]
    ) -> HttpResponse:
        parts = urlsplit(request.target)
        path = unquote(parts.path)
        query = dict(parse_qsl(parts.query))
        base = f"/{self._project}"
        for prefix in (f"{base}.git", base):
            if path.startswith(prefix + "/"):
                rest = path[len(prefix) :]
                break
        else:
            return _plain(404, f"no repository here; there is /{self._project}.git")
        wanted = {
            ("GET", "/info/refs", "git-upload-pack"): ("refs", FETCH),
            ("GET", "/info/refs", "git-receive-pack"): ("refs", PUSH),
            ("POST", "/git-upload-pack", ""): ("fetch", FETCH),
            ("POST", "/git-receive-pack", ""): ("push", PUSH),
        }.get((request.method, rest, query.get("service", "")))
        if wanted is None:
            return _plain(403, "this remote speaks the smart protocol only")
        note["action"], scope = wanted
        if account is None:
            headers = (("content-type", "text/plain"), ("www-authenticate", 'Bearer realm="git"'))
            return HttpResponse(status=401, body=b"a token is needed\n", headers=headers)
        if scope not in account.scopes:
            return _plain(403, f"account {account.name} may not {scope} here")
        body = request.body
        if (request.header("content-encoding") or "").lower() in ("gzip", "x-gzip"):
            unzipped = _unzipped(body)
            if unzipped is None:
                return _plain(400, "the body is not gzip, or too large")
            body = unzipped
        if len(body) > _MOST_BYTES:
            return _plain(413, f"at most {_MOST_BYTES} bytes")
        await self._repository.prepare()
        # A newer protocol is an offer of the client, which speaks the first one as well.
        if note["action"] == "refs":
            return await self._advertise(query["service"])
        if note["action"] == "fetch":
            return await self._fetch(body)
        return await self._push(body, note)

    async def _advertise(self, service: str) -> HttpResponse:
        verb = service.removeprefix("git-")
        code, out, said = await self._repository.run(
            verb, "--stateless-rpc", "--advertise-refs", str(self._repository.folder)
        )
        if code:
            raise GitFailed(f"{verb} exits {code}: {said.strip()[:300]}")
        head = _pkt(f"# service={service}\n".encode()) + b"0000"
        return _git(service, "advertisement", head + out)

    async def _fetch(self, body: bytes) -> HttpResponse:
        code, out, said = await self._repository.run(
            "upload-pack", "--stateless-rpc", str(self._repository.folder), feed=body
        )
        if code and not out:
            return _plain(400, said.strip()[:300] or "the request could not be read")
        return _git("git-upload-pack", "result", out)

    async def _push(self, body: bytes, note: dict[str, Any]) -> HttpResponse:
        if body == b"0000":  # git asks whether it may, before a large push
            return _git("git-receive-pack", "result", b"")
        read = read_updates(body)
        if read is None or len(read[0]) > _MOST_UPDATES:
            return _plain(400, "the updates of this push could not be read")
        updates, capabilities = read
        listed: list[dict[str, JsonValue]] = [
            {
                "ref": update.ref[:200],
                "old": update.old,
                "new": update.new,
                "main": update.ref == self._main,
                "taken": False,
            }
            for update in updates
        ]
        note["updates"] = listed
        why = self._against(updates)
        if why is not None:
            return _git("git-receive-pack", "result", _refusal(updates, capabilities, why))
        async with self._repository.lock:
            was = {u.ref: await self._repository.commit_of(u.ref) for u in updates}
            code, out, said = await self._repository.run(
                "receive-pack", "--stateless-rpc", str(self._repository.folder), feed=body
            )
            moved: list[Update] = []
            for update, entry in zip(updates, listed, strict=True):
                now = await self._repository.commit_of(update.ref)
                if now is not None and now == update.new and now != was[update.ref]:
                    entry["taken"] = True
                    moved.append(update)
        if self._pushed is not None:
            for update in moved:
                if update.ref == self._main:
                    await self._pushed(update)
        if code and not out:
            return _plain(400, said.strip()[:300] or "the push could not be read")
        return _git("git-receive-pack", "result", out)

    def _against(self, updates: Sequence[Update]) -> str | None:
        """Why a push is refused before git sees it, or None."""
        for update in updates:
            if not _REF.match(update.ref) or ".." in update.ref:
                return "only branches can be pushed here"
            if update.ref == self._main and self._protected:
                return "protected branch, changes land through the gate"
            if update.new == NO_COMMIT:
                return "branches are not deleted here"
        return None


def _git(service: str, kind: str, body: bytes) -> HttpResponse:
    headers = (("content-type", f"application/x-{service}-{kind}"), ("cache-control", "no-cache"))
    return HttpResponse(status=200, body=body, headers=headers)


def _plain(status: int, text: str) -> HttpResponse:
    return HttpResponse(
        status=status, body=text.encode() + b"\n", headers=(("content-type", "text/plain"),)
    )
