"""JetStream on this node: the store, the groups, the assignments, and everything that leads here.

Joins the parts of this package; decides nothing that a part decides. The node (`broker.node`) feeds it frames from
peers (`frames`), ticks and finished jobs, and takes frames, jobs and events from it.

Read next: `peer_frames` (what peers send), `engine` (turns), `assignments` (streams come and go), `dispatch` (API
requests), `forward`.
"""

import random
from typing import Final

import cbor2

from broker.cluster.dispatch import Dispatch
from broker.cluster.groups.boot_mark import BootMark
from broker.cluster.groups.checkpoint import CheckpointJob, Checkpoints
from broker.cluster.groups.departures import BuryGroupJob
from broker.cluster.groups.engine import Engine
from broker.cluster.groups.group_store import FoundGroupsJob, GroupSnapshot, RemoveGroupJob
from broker.cluster.groups.groups import GroupFactory, founding_meta
from broker.cluster.groups.jobs import Job, WalJob
from broker.cluster.groups.log_batches import FULL_RETRY_NS
from broker.cluster.groups.store_opening import open_store
from broker.cluster.hand_over import HandOver
from broker.cluster.links.answers import Answers
from broker.cluster.links.forward import Forwarder
from broker.cluster.links.frames import FRAME_VIEW
from broker.cluster.links.peer_frames import PeerFrames
from broker.cluster.links.peer_news import peer_back, peer_forgot, peer_lost, peer_silent
from broker.cluster.links.transport import LinkTable
from broker.cluster.meta.api_meta import stream_deleted
from broker.cluster.meta.assignments import Assignments
from broker.cluster.meta.bootstrap import Bootstrap
from broker.cluster.meta.identity import META_GROUP
from broker.cluster.meta.readmission import Readmission
from broker.cluster.repair.catch_up import CatchUps, InstallJob
from broker.cluster.repair.repair import DiscardJob, Repairs
from broker.cluster.repair.verify import Scrub, VerifyJob
from broker.cluster.room import Room
from broker.cluster.streams.audits import Audits
from broker.cluster.streams.dead_letters import DeadLetters
from broker.cluster.turn_clock import TurnClock
from broker.config import Options
from broker.core.router import Router
from storage.disk import Disk
from storage.errors import DiskFull, StorageError

CAMPAIGN_SPREAD_TICKS: Final = 4


class JetStreamService:
    """One node's share of JetStream."""

    def __init__(
        self,
        options: Options,
        disk: Disk,
        links: LinkTable,
        router: Router,
        clock: TurnClock,
        rng: random.Random,
        boot: str,
    ) -> None:
        """`boot`: the id of the kernel's boot, "" when nobody knows. Does IO. Raises storage errors."""
        self.options: Final = options
        self.peer: Final = links.peer
        self.links: Final = links
        self.clock: Final = clock
        self.clustered: Final = options.cluster.configured()
        self.events: list[tuple[str, str, dict[str, object]]] = []
        self.jobs: list[Job] = []
        self._disk: Final = disk
        self._rng: Final = rng
        store = open_store(disk, links, options.jetstream.log_file_bytes, self.clustered)
        if store.error:
            self.events.append(("error", "log_damaged", {"error": store.error}))
        self.engine: Final = Engine(store.wal, links, options.jetstream.sync_interval_ns)
        self.answers: Final = Answers(router, links, options.jetstream.domain)
        dead_letters = DeadLetters(clock)
        allowed = options.ternmq.dead_letter
        factory = GroupFactory(
            disk, self.engine, self.peer, self.answers, router, clock, rng, dead_letters, allowed
        )
        self.assignments: Final = Assignments(
            self.engine, factory, dead_letters, disk, router, self.peer, self.jobs
        )
        self.dispatch: Final = Dispatch(options, self.assignments, self.engine, self.answers, links, clock)
        self.forwarder: Final = Forwarder(self.peer, links, self.answers, clock, self.dispatch)
        self.assignments.forwarder = self.forwarder
        self.dispatch.forwarder = self.forwarder
        self.dispatch.audits = Audits(router, self.answers, links, clock, rng)
        self.checkpoints: Final = Checkpoints(disk, self.engine)
        self.hand_over: Final = HandOver(self.engine, links)
        self.catch_ups: Final = CatchUps(disk, self.jobs)
        self._bootstrap: Final = Bootstrap(links, options.ternmq.bootstrap_expect)
        self._readmission: Final = Readmission(self.assignments, self.engine, links)
        self._repairs: Final = Repairs(self.assignments, self.engine, links, self.catch_ups, disk, self.jobs, rng)
        self._room: Final = Room(self.engine, links)
        self._scrub: Final = Scrub(self.engine, disk)
        self.frames: Final = PeerFrames(
            links, self.engine, self.answers, self.forwarder, self.catch_ups, self._bootstrap, self._repairs,
            self._readmission.removals, self._room, self.dispatch.meta_api.lists.usage, clock,
        )  # fmt: skip
        self._boot_mark: Final = BootMark(disk, boot, options.jetstream.sync_interval_ns > 0, self.jobs)
        self._founding: bool = False
        self._on_full_disk: list[Job] = []  # groups that could not begin yet
        self._full_told: bool = False
        self._retry_at_ns: int = 0
        self._stopping: bool = False
        self._open(store.groups, store.damaged)

    def _open(self, stored: list[GroupSnapshot], damaged: dict[int, str]) -> None:
        """Start every group that the store holds; a lone server founds its meta group at once."""
        if not stored and not self.clustered:
            job = FoundGroupsJob(self._disk, founding_meta({self.peer: self.links.name}))
            job.run()
            stored = job.snapshots
        self.assignments.open(stored, damaged)
        self._boot_mark.open(self.assignments.groups)
        self.links.has_doubts = bool(self._boot_mark.doubted)
        self._note_meta()

    def _note_meta(self) -> None:
        """What peers are told: whether this node has been taken into a meta group (and is not merely out of it while
        its replica is repaired)."""
        meta = self.assignments.meta
        known = meta is not None and (meta.raft.voice_index > 0 or not meta.membership().is_empty())
        self.links.has_meta = known or META_GROUP in self.assignments.damaged

    # Peers.

    def peers_changed(self) -> None:
        """Links came, went or say nothing: `links.arrived`, `links.lost`, `links.silent`."""
        for peer in self.links.lost:
            self._bootstrap.peer_lost(peer)
            if peer not in self.links.links:
                self._room.lost(peer)
                jitter = [self._rng.randrange(CAMPAIGN_SPREAD_TICKS) for _ in range(16)]
                peer_lost(self.engine, peer, jitter)
                self.forwarder.link_lost(peer)
        self.links.lost = []
        if self.links.arrived:
            self._bootstrap.peer_arrived()
            for peer in self.links.arrived:
                self._room.arrived(peer)
                self.dispatch.meta_api.healing.arrived(peer)
                peer_back(self.engine, peer)
                if self.links.hellos[peer].has_doubts:
                    peer_forgot(self.engine, peer)
            self.links.arrived = []
        for peer in self.links.silent:
            peer_silent(self.engine, peer)
        self.links.silent = []

    # Time and turns.

    def tick(self) -> None:
        """50 ms passed."""
        self.engine.tick(self.clock.now_ns)
        self._room.tick(self.clock.now_ns)
        self.forwarder.tick()
        self.assignments.dead_letters.tick()
        self.assignments.departures.tick()
        self._boot_mark.tick(self.assignments.groups)
        self.links.has_doubts = bool(self._boot_mark.doubted)
        self.catch_ups.tick(self.clock.now_ns, self.links.links)
        self._repairs.tick(self.clock.now_ns)
        self.dispatch.tick()
        if self.clustered:
            if not self.links.has_meta:
                self._note_meta()
            if not self.links.has_meta:
                self._try_to_found()
            self._readmission.tick(self.clock.now_ns)
        if self._on_full_disk and self.clock.now_ns >= self._retry_at_ns:
            self._retry_at_ns = self.clock.now_ns + FULL_RETRY_NS
            self.jobs.extend(self._on_full_disk)
            self._on_full_disk = []
        if not self._stopping:
            self.jobs.extend(self.checkpoints.due(False))
            block = self._scrub.due(self.clock.now_ns)
            if block is not None:
                self.jobs.append(block)

    def _try_to_found(self) -> None:
        if self._founding:
            return
        view = self._bootstrap.view_to_send(self.clock.now_ns)
        if view is not None:
            content = bytes(cbor2.dumps(view))
            for link in self.links.links.values():
                link.write_frame(FRAME_VIEW, [content])
                link.dirty = True
        names = self._bootstrap.founders()
        if names:
            self.assignments.forget_stranger()
            self._founding = True
            self.jobs.append(FoundGroupsJob(self._disk, founding_meta(names)))
            return
        if self.assignments.meta is None and self._bootstrap.existing():
            self.assignments.open_as_stranger()
        waiting = self._bootstrap.waiting_event(self.clock.now_ns)
        if waiting is not None:
            self.events.append(("info", "cluster_waiting", waiting))

    def turn(self) -> None:
        """Everything that input of this turn made possible."""
        now_ns = self.clock.now_ns
        self.dispatch.sourcing.pump()
        self.engine.process(now_ns)
        self._begin_catch_ups()
        changes = self.engine.leader_changes
        while changes:
            changed = changes[:]
            changes.clear()
            for group in changed:
                self._date(group)
                self._follow_sources(group)
                self._settle(group)
                self.forwarder.leader_changed(group)
            self.engine.process(now_ns)
        if self.assignments.deleted:
            for assignment in self.assignments.deleted:
                origin = assignment.origin_for(self.peer)
                self.answers.say(origin, assignment.reply, stream_deleted())
            self.assignments.deleted.clear()
        updated = self.assignments.take_updated()
        if updated:
            for group in updated:
                self._settle(group)
            self.engine.process(now_ns)
        job = self.engine.batches.take_job(now_ns)
        if job is not None:
            self.jobs.append(job)
        if self._stopping and self.engine.batches.all_synced():
            self._boot_mark.close()

    def _date(self, group_id: int) -> None:
        """Since when who leads, as far as this node knows."""
        group = self.engine.groups.get(group_id)
        if group is not None and group.dated_leader != group.known_leader:
            group.dated_leader = group.known_leader
            group.leader_since_ns = self.clock.wall_ns

    def _settle(self, group_id: int) -> None:
        """A stream that leads here may owe an answer, or not have its latest configuration yet."""
        group = self.assignments.groups.get(group_id)
        if group is not None:
            self.dispatch.stream_api.elections.look_at(group)
        if group is not None and group.is_leader:
            self._boot_mark.led(group)
            self.dispatch.stream_api.settle(group)
            group.touch()
            if group.beside is not None:
                self.dispatch.stream_api.settle(group.beside)
                self.forwarder.leader_changed(group.beside.id)
            self.assignments.dead_letters.led(group)

    def _follow_sources(self, group_id: int) -> None:
        group = self.assignments.groups.get(group_id)
        if group is not None and group.is_leader:
            self.dispatch.sourcing.follow(group)

    def _begin_catch_ups(self) -> None:
        """Snapshots that must be fetched and durable before Raft sees them."""
        engine = self.engine
        held = engine.held
        if held:
            engine.held = []
            for group, message in held:
                if engine.groups.get(group.id) is not group or group.failed or not group.replaces(message):
                    continue
                if group.checkpoint_running:
                    engine.held.append((group, message))  # its job uses the store; the leader would not soon ask again
                else:
                    self.catch_ups.begin(group, message, self.links.links.get(message.sender), self.clock.now_ns)

    def take_jobs(self) -> list[Job]:
        """Jobs to start, in order."""
        if not self.jobs:
            return []
        jobs = self.jobs[:]
        self.jobs.clear()
        return jobs

    def job_done(self, job: Job, error: Exception | None) -> None:
        """A job came back."""
        if isinstance(job, WalJob):
            self.engine.batches.job_done(job, error)
        elif isinstance(job, CheckpointJob):
            self.checkpoints.done(job, error)
            if not self._stopping:
                self.jobs.extend(self.checkpoints.more())
        elif isinstance(job, InstallJob):
            self._installed(job, error)
        elif isinstance(job, VerifyJob):
            self.catch_ups.verified(job.group.id)
            if isinstance(error, StorageError) and self.engine.groups.get(job.group.id) is job.group:
                self.engine.fail_group(job.group, error)
        elif isinstance(job, DiscardJob):
            self._repairs.discarded(job, error)
            self._note_meta()
        elif isinstance(error, DiskFull):
            if not self._full_told:
                self._full_told = True
                self.events.append(("error", "disk_full", {}))
            self._on_full_disk.append(job)
        elif isinstance(job, BuryGroupJob | RemoveGroupJob):
            self.assignments.files_gone(job, error)
        elif error is not None:
            self.engine.fail(str(error))
        elif isinstance(job, FoundGroupsJob):
            self._full_told = False
            for snapshot in job.snapshots:
                self.assignments.founded(snapshot)
            self._note_meta()

    def _installed(self, job: InstallJob, error: Exception | None) -> None:
        try:
            message = self.catch_ups.installed(job, error, self.clock.now_ns)
        except StorageError as failure:
            self.engine.fail_group(job.group, failure)
            return
        if message is not None:
            job.group.installed_message = message
            self.engine.step(message)
            self.engine.process(self.clock.now_ns)  # nobody sees the new messages with the old consumers

    def take_events(self, events: list[tuple[str, str, dict[str, object]]]) -> None:
        """What a person should know, moved into `events`."""
        for part in (
            self.events,
            self.frames.events,
            self.dispatch.events,
            self.engine.events,
            self.assignments.events,
            self.catch_ups.events,
            self._readmission.events,
            self._repairs.events,
            self._boot_mark.events,
        ):
            if part:
                events.extend(part)
                part.clear()

    def disk_stalled(self, stalled_ns: int) -> None:
        """The log's disk hangs: peers should lead until it is back."""
        self.events.append(("warning", "disk_stalled", {"stalled_ms": stalled_ns // 1_000_000}))
        if self.clustered:
            for group in self.engine.groups.values():
                if len(group.membership().voters) > 1:
                    group.raft.resign()
                    group.touch()

    def shutdown(self) -> None:
        """A clean stop: leave checkpoints behind."""
        self._stopping = True
        self.engine.batches.sync_all = True
        self.jobs.extend(self.checkpoints.due(True))

    def next_deadline_ns(self) -> int:
        """Monotonic time of the next thing to do without input; 0 for none."""
        engine_ns = self.engine.next_deadline_ns()
        sourcing_ns = self.dispatch.sourcing.next_deadline_ns()
        return min(engine_ns, sourcing_ns) if engine_ns and sourcing_ns else engine_ns or sourcing_ns
