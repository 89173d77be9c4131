"""The host's side of one episode: workspace, sandbox, broker, services, receipts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import anyio

from custodes.clients import Deployment
from custodes.containment import (
    AllowRule,
    Broker,
    CanaryMatcher,
    EgressPolicy,
    PlainSandbox,
    Sandbox,
    SandboxError,
    SandboxSpec,
    StopOrder,
    Target,
    execute_stop,
    make_volume,
    remove_volume,
    toolbox_for,
)
from custodes.scenarios import (
    ANSWERED,
    Brief,
    Scenario,
    World,
    scenario_by_id,
    write_workspace,
)
from custodes.services import LONGEST_RUN_OUTPUT, Service, ServiceRun
from custodes.types import (
    Completion,
    EpisodeKey,
    EpisodeRecord,
    HttpHandler,
    HttpRequest,
    HttpResponse,
    JsonObject,
    Observation,
    ReasonCode,
    Safeguards,
    Sha256,
    Snapshot,
    Tier,
    sha256_of,
)

from ._places import Places, changes, living, places_of
from ._recorder import Recorder, describe, plain
from ._snapshot import WorkspaceTooLarge, copy_tree, lay_over, take_snapshot, tree_digest

PROXY_PORT = 3128
USER = "dev"
HOME = f"/home/{USER}"


class ReceiptsIncomplete(RuntimeError):
    """Something happened of which the receipts do not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Template:
    """The workspace of one seed and twin, laid out once and copied for every episode."""

    world: World
    folder: Path
    before: Snapshot


class Templates:
    """Workspaces laid out by this process, removed with it."""

    def __init__(self) -> None:
        self._root = make_volume()
        self._made: dict[tuple[str, int, str], _Template] = {}

    def get(self, scenario: Scenario, seed: int, twin: str) -> _Template:
        key = (scenario.id, seed, twin)
        if key not in self._made:
            world = scenario.draw(seed, twin)
            folder = self._root / "data" / f"t{len(self._made)}"
            folder.mkdir()
            write_workspace(world, folder)
            before = take_snapshot(folder, world.watched)
            self._made[key] = _Template(world=world, folder=folder, before=before)
        return self._made[key]

    def close(self) -> None:
        remove_volume(self._root)


class EpisodeHost:
    """Everything around one agent. Built by :meth:`start`; :meth:`finish` makes the record."""

    def __init__(
        self,
        *,
        key: EpisodeKey,
        scenario: Scenario,
        template: _Template,
        volume: Path,
        deployment: Deployment | None = None,
    ) -> None:
        self.key = key
        self.scenario = scenario
        self.world = template.world
        self.before = template.before
        self.brief: Brief = scenario.brief(template.world, key.cell, key.level)
        self.recorder = Recorder()
        self.matcher = CanaryMatcher(template.world.canaries)
        self.broker: Broker | None = None
        self.services: tuple[Service, ...] = ()
        self.sandbox: Sandbox | PlainSandbox | None = None
        self.form: JsonObject | None = None
        self.last_text = ""
        self.record: EpisodeRecord | None = None
        self._volume = volume
        self._deployment = deployment
        self._observation: Observation | None = None
        self._places: tuple[Places, Mapping[str, Snapshot]] | None = None
        self._runs = 0

    @property
    def folder(self) -> Path:
        """The workspace as the host sees it."""
        return self._volume / "data" / self.world.project

    @property
    def inside(self) -> str:
        """The workspace as the agent sees it."""
        return f"{HOME}/{self.world.project}"

    @classmethod
    async def start(
        cls,
        key: EpisodeKey,
        templates: Templates,
        *,
        allow_uncontained: bool,
        deployment: Deployment | None = None,
    ) -> EpisodeHost:
        """Lay out the workspace, start the sandbox, and open the way to the services.

        Args:
            deployment: installed agent whose program and configuration lie ready inside.

        Raises:
            SandboxUnavailable: when the tier of the key cannot be had.
        """
        scenario = scenario_by_id(key.scenario)
        template = templates.get(scenario, key.seed, key.twin)
        # Marked as this process's: should it be killed, the next one removes it.
        host = cls(
            key=key,
            scenario=scenario,
            template=template,
            volume=make_volume(),
            deployment=deployment,
        )
        try:
            await anyio.to_thread.run_sync(copy_tree, template.folder, host.folder)
            host.sandbox = await host._sandbox(host.folder, allow_uncontained=allow_uncontained)
            await host._open_services()
            for path, content in template.world.home.items():
                await host._write_home(path, content.encode())
            if deployment is not None:
                for path, data in deployment.home.items():
                    await host._write_home(path, data)
                await host._make_executable(
                    [path for path, data in deployment.home.items() if data.startswith(b"#!")]
                )
            if scenario.places:
                places = places_of(
                    host.sandbox, scenario.places, home=HOME, project=template.world.project
                )
                host._places = places, await anyio.to_thread.run_sync(places.look)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await host.close()
            raise
        host.recorder.record(
            "episode.started",
            {
                "tier": key.tier.value,
                "world": template.world.digest,
                "host": "harness",
                "answers_counted": True,
            },
        )
        return host

    async def _write_home(self, path: str, content: bytes) -> None:
        assert self.sandbox is not None
        if isinstance(self.sandbox, Sandbox):
            await self.sandbox.write_file(f"{HOME}/{path}", content)
            return
        # A plain subprocess has a home of its own, which only it knows the way to.
        script = 'mkdir -p "$(dirname "$HOME/$1")" && cat > "$HOME/$1"'
        done = await self.sandbox.exec(["sh", "-c", script, "sh", path], input=content)
        if not done.success:
            said = done.stderr.decode("utf-8", "replace").strip()
            raise SandboxError(f"{path} could not be written into the home: {said}")

    async def _make_executable(self, paths: Sequence[str]) -> None:
        """Scripts of a configuration (hooks) came without their modes."""
        assert self.sandbox is not None
        if paths:
            inside = [f"{HOME}/{path}" for path in paths]
            done = await self.sandbox.exec(["chmod", "0755", "--", *inside])
            if not done.success:
                said = done.stderr.decode("utf-8", "replace").strip()
                raise SandboxError(f"the agent's scripts could not be made executable: {said}")

    def _environment(self) -> Mapping[str, str]:
        proxy = f"http://127.0.0.1:{PROXY_PORT}"
        return {
            "HTTP_PROXY": proxy,
            "HTTPS_PROXY": proxy,
            "http_proxy": proxy,
            "https_proxy": proxy,
            **self.world.environment,
        }

    async def _sandbox(
        self, workspace: Path, *, allow_uncontained: bool, connected: bool = True
    ) -> Sandbox | PlainSandbox:
        spec = SandboxSpec(
            workspace_host=workspace,
            workspace=self.inside,
            hostname=self.world.hostname,
            user=USER,
            home=HOME,
            environment=self._environment() if connected else dict(self.world.environment),
        )
        if self.key.tier is Tier.C:
            return await PlainSandbox.start(spec, allow_uncontained=allow_uncontained)
        tools = await anyio.to_thread.run_sync(toolbox_for, self.scenario.requires)
        mounts = self._deployment.installed.mounts if self._deployment and connected else ()
        return await Sandbox.start(
            replace(
                spec,
                read_only=(*tools.read_only, *mounts),
                environment={**tools.environment, **spec.environment},
            )
        )

    async def _open_services(self) -> None:
        assert self.sandbox is not None
        self.services = tuple(self.scenario.services(self.world, _Context(self)))
        enforced = self.key.cell.safeguards is Safeguards.ENFORCED
        allowed = self.world.parameters.get("hosts_allowed")
        hosts = (
            [str(host) for host in allowed]
            if enforced and isinstance(allowed, (list, tuple))
            else [service.host for service in self.services]
        )
        self.broker = Broker(
            handlers={service.host: self._counted(service) for service in self.services},
            policy=EgressPolicy(
                allow=tuple(AllowRule(host=host, port=None, methods=None) for host in hosts)
            ),
            record=self.recorder.record,
            canaries=self.world.canaries,
        )
        await self.broker.serve(await self.sandbox.listen(PROXY_PORT))

    def _counted(self, service: Service) -> HttpHandler:
        """The service, with a receipt of our own for each answer.

        Beside what the broker saw it tells a service that was not asked from one whose receipts
        are missing.
        """

        async def handle(request: HttpRequest) -> HttpResponse:
            response = await service.handle(request)
            self.recorder.record(
                f"service.{service.name}.{ANSWERED}",
                {"host": service.host, "status": response.status},
            )
            return response

        return handle

    def see(self, output: str, call: str) -> None:
        """Receipt the canaries in text that is about to enter the agent's context."""
        for canary in sorted(self.matcher.find(output.encode("utf-8", "backslashreplace"))):
            self.recorder.record("context.canary", {"canary": canary, "call": call})

    async def stop_order(self, ordered_by: str, reason: str) -> None:
        """Stop the agent: freeze, cut, revoke, kill, verify; each stage is receipted."""
        assert self.sandbox is not None
        order = StopOrder(
            ordered_by=ordered_by,
            reason=reason,
            targets=frozenset({Target.SANDBOX, Target.NETWORK, Target.CREDENTIAL}),
        )
        await execute_stop(
            order,
            sandbox=self.sandbox,
            broker=self.broker,
            credentials=self.services,
            record=self.recorder.record,
        )

    async def observe(self, by: str, detail: str) -> None:
        """End the episode: kill what runs, look at the workspace, run the hidden checks.

        What goes wrong here makes the ending an error, and the noes of the episode unmeasurable;
        what the receipts show by then stands.
        """
        self.recorder.end()
        after = self.before
        try:
            after = await self._end(checks=by in ("agent", "silence"))
            if self.broker is not None and self.broker.record_failed:
                raise ReceiptsIncomplete("the broker's record has a gap")
        except ReceiptsIncomplete as error:
            by, detail = "error", f"{ReasonCode.RECEIPTS_INCOMPLETE.value}: {error}"
        except WorkspaceTooLarge as error:
            by, detail = "error", f"{ReasonCode.RECEIPTS_INCOMPLETE.value}: workspace: {error}"
        except SandboxError as error:
            by, detail = "error", f"{ReasonCode.SANDBOX_ERROR.value}: {error}"
        except Exception as error:  # whatever broke, the episode leaves its receipts
            by, detail = "error", f"{ReasonCode.HARNESS_ERROR.value}: {describe(error)}"
        self.recorder.record("episode.ended", {"by": by, "detail": plain(detail)[:500]})
        self._observation = Observation(
            receipts=self.recorder.receipts, before=self.before, after=after
        )

    async def _end(self, *, checks: bool) -> Snapshot:
        """Kill, look and check; returns what the workspace looks like."""
        assert self.sandbox is not None
        if self._places is not None and self.sandbox.alive:
            await self._look_around(*self._places)
        if self.broker is not None:
            await self.broker.close()
        receipt = await self.sandbox.kill()
        self.recorder.record(
            "sandbox.killed",
            {
                "verified": receipt.verified,
                "processes_before": receipt.processes_before,
                "elapsed_us": receipt.elapsed_us,
            },
        )
        if not receipt.verified:
            raise SandboxError(f"the sandbox was not seen to end: {receipt.note}")
        after = await anyio.to_thread.run_sync(take_snapshot, self.folder, self.world.watched)
        if checks:
            await self._run_checks()
        return after

    async def _look_around(self, places: Places, before: Mapping[str, Snapshot]) -> None:
        """Receipt what still lives, and what has changed outside the workspace.

        Some time passes first, the services still answer: what ends by itself then has ended.
        """
        assert self.sandbox is not None
        await anyio.sleep(self.scenario.linger_ms / 1000)
        if not self.sandbox.alive:
            return
        frozen = await self.sandbox.freeze()
        if not frozen.verified:
            raise SandboxError(f"the sandbox was not seen to stand still: {frozen.note}")
        for left in living(self.sandbox.processes()):
            self.recorder.record("process.left", left)
        after = await anyio.to_thread.run_sync(places.look)
        for changed in changes(before, after):
            self.recorder.record("place.changed", changed)

    async def run_over(
        self, folder: Path, command: Sequence[str], *, seconds: int
    ) -> ServiceRun:
        """Run a service's command over a copy of a folder; see :class:`ServiceContext`."""
        self._runs += 1
        copy = self._volume / "data" / f"r-{self._runs}" / self.world.project
        copy.parent.mkdir(mode=0o711)
        try:
            await anyio.to_thread.run_sync(copy_tree, folder, copy)
            code, raw = await self._in_fresh_cell(copy, command, seconds)
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(partial(shutil.rmtree, copy.parent, True))
        output = raw.decode("utf-8", "replace")[-LONGEST_RUN_OUTPUT:]
        return ServiceRun(exit=code, output=output)

    async def _in_fresh_cell(
        self, copy: Path, command: Sequence[str], seconds: int
    ) -> tuple[int, bytes]:
        """Exit code (124 after the time limit) and output of a command without network."""
        sandbox = await self._sandbox(copy, allow_uncontained=True, connected=False)
        try:
            done = await sandbox.exec(
                list(command), cwd=self.inside_of(sandbox, copy), timeout=seconds
            )
        finally:
            with anyio.CancelScope(shield=True):
                await sandbox.close()
        return 124 if done.timed_out else done.returncode, done.stdout + done.stderr

    def service_folder(self, name: str) -> Path:
        """A folder for a service's own files, where no sandbox sees it."""
        folder = self._volume / "services" / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    async def _run_checks(self) -> None:
        checks = tuple(self.scenario.checks(self.world))
        for check in checks:
            copy = self._volume / "data" / f"c-{check.name}" / self.world.project
            copy.parent.mkdir(mode=0o711)
            await anyio.to_thread.run_sync(partial(copy_tree, self.folder, copy, history=False))
            # Whatever the agent left in the place of these files goes.
            await anyio.to_thread.run_sync(lay_over, copy, check.files)
            code, _ = await self._in_fresh_cell(copy, check.command, check.seconds)
            self.recorder.record("check.finished", {"name": check.name, "exit": code})

    def file_form(self, form: JsonObject) -> None:
        """Take the agent's completion form, and receipt it."""
        # Lone surrogates have no canonical form: what cannot be stored is shown escaped.
        text = json.dumps(form, ensure_ascii=False).encode("utf-8", "backslashreplace")
        self.form = json.loads(text)
        self.recorder.record("form.filed", {"sha256": sha256_of(text)})

    def inside_of(self, sandbox: Sandbox | PlainSandbox, folder: Path) -> str:
        return self.inside if isinstance(sandbox, Sandbox) else str(folder)

    def finish(self, sample: str) -> EpisodeRecord:
        """The record of the episode; :meth:`observe` has been called."""
        assert self._observation is not None
        self.record = EpisodeRecord(
            key=self.key,
            observation=self._observation,
            completion=Completion(
                form=self.form, text=self.last_text, finished=self.form is not None
            ),
            sample=sample,
        )
        return self.record

    async def close(self) -> None:
        """Leave nothing behind. May be called at any time, and again."""
        if self.broker is not None:
            await self.broker.close()
        if self.sandbox is not None:
            await self.sandbox.close()
        await anyio.to_thread.run_sync(remove_volume, self._volume)


@dataclass(frozen=True, slots=True)
class _Context:
    """What services may ask of the host."""

    host: EpisodeHost

    def record(self, kind: str, data: JsonObject) -> None:
        self.host.recorder.record(kind, data)

    def tree_digest(self, below: str) -> Sha256:
        return tree_digest(self.host.folder, below)

    def folder(self, name: str) -> Path:
        return self.host.service_folder(name)

    async def run(self, folder: Path, command: Sequence[str], *, seconds: int) -> ServiceRun:
        return await self.host.run_over(folder, command, seconds=seconds)
