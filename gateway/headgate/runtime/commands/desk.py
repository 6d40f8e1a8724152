"""The desk: judges what came in by the door, reserves, accepts, and hands on what may be done.

What needs a device waits in that device's lane. Steps 9 to 14 of `docs/reference/commands.md`, section 4.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Final

import msgspec

from headgate.env import Env
from headgate.envelope.command import Content, Operation, Step
from headgate.errors import HeadgateError, SpoolError
from headgate.runtime.commands.allowed import Allowed, Refusal
from headgate.runtime.commands.door import Door
from headgate.runtime.commands.flood import Bucket
from headgate.runtime.commands.hands import Hands, Job, over, refused
from headgate.runtime.commands.interlock import Place
from headgate.runtime.commands.journal import Changes, Journal, Kept
from headgate.runtime.commands.lanes import Lane
from headgate.runtime.commands.leases import Leases
from headgate.runtime.commands.plant import Plant
from headgate.runtime.commands.proving import Heard, Proof
from headgate.runtime.commands.selections import TOKEN_SIZE, Selection, Selections
from headgate.runtime.commands.telling import Teller

log = logging.getLogger(__name__)

replace = msgspec.structs.replace

#: Messages that wait to be proved.
MOST_INBOX: Final = 32
#: What is in hand when the gateway stops gets this long.
STOP_S: Final = 5.0
SWEEP_S: Final = 1.0
#: Refused messages that go upstream as items, on and on; 20 may come at once.
ECHOES_PER_SECOND: Final = 1 / 30


class InForce(msgspec.Struct, frozen=True):
    """The controls as they are now. `reason` says why they do not count; empty while they do."""

    controls: Mapping[Place, Allowed] = {}
    reason: str = ""


class Desk:
    """Commands of one gateway.

    Args:
        trusted_us: wall time in unix microseconds where the clock is trusted, else None.
        number: a device's number for items; 0 for a name that is none.
    """

    def __init__(
        self,
        env: Env,
        gateway: str,
        journal: Journal,
        plant: Plant,
        teller: Teller,
        proof: Proof,
        trusted_us: Callable[[], int | None],
        number: Callable[[str], int],
        token_us: int = 10_000_000,
    ) -> None:
        self._env = env
        self._now_us = env.clock.boottime_us
        self._gateway = gateway
        self._plant = plant
        self._proof = proof
        self._trusted_us = trusted_us
        self._number = number
        self.journal = journal
        self.teller = teller
        self.in_force = InForce()
        self.selections = Selections(token_us)
        self.hands = Hands(env, journal, plant, teller, self._still)
        self.leases = Leases(
            env, gateway, journal, plant, teller, self.lane, lambda: self.in_force.controls, number
        )
        self._echoes = Bucket(self._now_us(), ECHOES_PER_SECOND)
        self._lanes: dict[str, Lane] = {}
        self.door = Door(
            env, gateway, journal, teller, proof, self.selections, self, trusted_us, number
        )  # fmt: skip
        self._tasks: set[asyncio.Task[None]] = set()
        #: When somebody at the box took a point into his hands last.
        self._by_hand_us: dict[Place, int] = {}

    # ------------------------------------------------------------ life

    async def start(self) -> None:
        """Say what became of the last run's commands, and begin."""
        if self.journal.damaged:
            self.leases.lost(self.in_force.controls.values())
        for kept in self.journal.commands():
            if kept.state in ("received", "selected", "accepted"):
                done = over(kept, "expired", "HG-6531")
                self._spawn(partial(self._conclude, done), "command of before")
            elif kept.state == "executing":
                self._spawn(partial(self._recover, kept), "command of before")
        self._spawn(self.door.serve, "commands")
        self._spawn(self.door.doubt, "commands that prove nobody")
        self._spawn(self._sweep, "selections")
        self._spawn(self.leases.run, "leases")

    async def _recover(self, kept: Kept) -> None:
        allowed = self.in_force.controls.get((kept.content.device, kept.content.point))
        async with self.lane(kept.content.device).lock:
            await self.hands.recover(kept, allowed)

    async def stop(self) -> None:
        """Let what is in hand end, and leave."""
        await asyncio.gather(*(lane.stop(STOP_S) for lane in self._lanes.values()))
        await self.leases.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Callable[[], Awaitable[None]], name: str) -> None:
        task = asyncio.get_running_loop().create_task(self._guard(work), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except Exception:
            log.exception("a command met a bug")

    def lane(self, device: str) -> Lane:
        """The lane of a device."""
        if device not in self._lanes:
            self._lanes[device] = Lane(device, self._do)
        return self._lanes[device]

    # ------------------------------------------------------------ steps

    def queued(self, heard: Heard) -> bool:
        """Whether this is about a command that waits in a queue, by its own token."""
        lane = self._lanes.get(heard.content.device)
        return lane is not None and any(self._is(job, heard) for job in lane.waiting)

    @staticmethod
    def _is(job: Job, heard: Heard) -> bool:
        return (
            job.kept.content == heard.content and job.kept.issuer == heard.key
            and job.token is not None and job.token == heard.command.token
        )  # fmt: skip

    async def step(self, heard: Heard, kept: Kept) -> None:
        """Do what a fresh message wants."""
        job = Job(kept, heard.request, heard.command.token)
        step = heard.command.step
        if step is Step.CANCEL:
            await self._cancel(heard, job)
            return
        try:
            allowed = self._judge(heard)
            lane = self.lane(heard.content.device)
            held = self.selections.holder(heard.content.device, self._now_us())
            if step is Step.SELECT and held is not None and held.issuer != heard.key:
                raise Refusal("selected by another", code="HG-6523", who=held.who)
            if lane.full:
                raise Refusal("queue full", code="HG-6524")
        except Refusal as error:
            await self._refuse(job, error)
            return
        if step is Step.SELECT:
            await self._select(heard, job, allowed)
        else:
            await self._accept(job, lane)

    def _judge(self, heard: Heard) -> Allowed:
        """The control of what is wanted. Raises Refusal: steps 10 to 12 of the specification."""
        content = heard.content
        allowed = self.control(content)
        allowed.operator(str(heard.issuer.subject_cn))
        if heard.command.step is not Step.SELECT:
            self._proof.people(heard, allowed)
        allowed.operation(content)
        if content.value is not None:
            allowed.raw(content.value)
        return allowed

    def control(self, content: Content) -> Allowed:
        """The control in force for a remote command. Raises Refusal: HG-6522, HG-6535, HG-6509."""
        lock = self.journal.lock
        if lock is not None:
            raise Refusal("locked out", code="HG-6522", who=lock.who, reason=lock.reason)
        return self.controlled((content.device, content.point))

    def controlled(self, place: Place) -> Allowed:
        """The control of a point. Raises Refusal: HG-6535, HG-6509."""
        if self.in_force.reason:
            raise Refusal("not in force", code="HG-6535", reason=self.in_force.reason)
        allowed = self.in_force.controls.get(place)
        if allowed is None:
            device, point = place
            raise Refusal("no control", code="HG-6509", device=device, point=point)
        return allowed

    def _still(self, job: Job) -> Allowed:
        """What a job may be carried out by now. Raises Refusal."""
        content = job.kept.content
        if not job.kept.issuer:  # at the box: no lock, no dates, no names
            allowed = self.controlled((content.device, content.point))
            if content.operation is Operation.RELEASE:
                return allowed  # to let go needs no permission
        else:
            allowed = self.control(content)
            if self._by_hand_us.get(allowed.name, -1) >= job.kept.at_us:
                raise Refusal("by hand meanwhile", code="HG-6526")
            try:
                self.door.dates(content)
            except Refusal:
                raise Refusal("expired while it waited", code="HG-6525") from None
            allowed.operator(job.kept.who.removeprefix("operator:"))
        allowed.operation(content)
        return allowed

    async def _select(self, heard: Heard, job: Job, allowed: Allowed) -> None:
        """Reserve the device and send a token, once a fresh reading says that it could be done."""
        device = heard.content.device
        before = self.selections.drop(device)
        if before is not None and before.content.command != heard.content.command:
            await self._supersede(before)
        # Reserved from here on, so that nobody comes between; nobody has the token yet.
        selection = Selection(
            self._env.random.token(TOKEN_SIZE), heard.content, heard.key, heard.who, heard.uplink,
            heard.request, self._now_us(), job.kept.number, pending=True,
        )  # fmt: skip
        self.selections.put(selection)
        self._spawn(partial(self._look_and_select, job, allowed, selection), f"select {device}")

    async def _look_and_select(self, job: Job, allowed: Allowed, selection: Selection) -> None:
        device = selection.content.device
        try:
            if selection.content.value is not None:
                seen = await self.hands.look(allowed)
                self.hands.judge(allowed, selection.content.value, seen)
            selected = replace(job.kept, state="selected")
            await self.teller.note(selected)
            known = self.journal.command(selection.content.command)
            if known is None or not known.spent:
                await self.journal.write(Changes(commands=[selected]))
        except (HeadgateError, TimeoutError) as error:
            if self._holds(selection):
                self.selections.drop(device)
            await self._refuse(job, error)
            return
        if not self._holds(selection):
            await self.hands.finish(job, over(job.kept, "superseded", "HG-6526"))
            return
        # The time that the look took is not the operator's.
        fresh = replace(selection, born_us=self._now_us(), pending=False)
        self.selections.put(fresh)
        await self.teller.report(selected)
        left_ms = self.selections.left_ms(fresh, self._now_us())
        self.teller.answer(selected, job.request, fresh.token, left_ms)

    def _holds(self, selection: Selection) -> bool:
        return any(held.token == selection.token for held in self.selections.all())

    async def _accept(self, job: Job, lane: Lane) -> None:
        """On disk and in the audit log; then in the device's lane."""
        accepted = replace(job.kept, state="accepted", spent=True)
        job.kept = accepted
        try:
            await self.teller.note(accepted)
            await self.journal.write(Changes(commands=[accepted]))
        except SpoolError as error:
            await self._refuse(job, error)
            return
        await self.teller.report(accepted)
        self.teller.answer(accepted, job.request)
        lane.put(job)

    async def _cancel(self, heard: Heard, job: Job) -> None:
        """Give back a selection (its token is used up by now), or take a command out of the queue."""
        lane = self._lanes.get(heard.content.device)
        found = lane.withdraw(lambda waiting: self._is(waiting, heard)) if lane else ()
        for queued in found:
            withdrawn = replace(queued.kept, step=Step.CANCEL.value, uplink=heard.uplink)
            job = Job(withdrawn, heard.request)
        await self.hands.finish(job, over(job.kept, "cancelled", "HG-6527"))

    async def _do(self, job: Job) -> None:
        """In the lane: what was accepted."""
        try:
            if job.kept.step == Step.RENEW.value:
                done = await self.hands.renew(job)
            elif job.kept.content.value is None:
                done = await self.release(job)
            else:
                done = await self.hands.set(job)
        except Exception as error:
            # A bug must not leave a command without an end; whether anything moved, nobody can tell then.
            log.exception("a command met a bug")
            moved = job.kept.state == "executing"
            state, code = ("unknown", "HG-6541") if moved else ("refused", "HG-6529")
            done = over(job.kept, state, code, None, {"reason": repr(error)})
            await self.hands.finish(job, done)
        if done.state == "refused":
            self.door.refusals[done.code] += 1

    async def release(self, job: Job) -> Kept:
        """End a lease now. The device's lane is held."""
        content = job.kept.content
        try:
            allowed = self._still(job)
            lease = self.journal.leases.get(allowed.name)
            if lease is None:
                raise Refusal(
                    "no lease", code="HG-6536", device=content.device, point=content.point
                )  # fmt: skip
            executing = replace(job.kept, state="executing")
            await self.teller.note(executing)
            ending = replace(lease, ending="released")
            await self.journal.write(Changes(commands=[executing], leases={lease.name: ending}))
        except (HeadgateError, TimeoutError) as error:
            return await self.hands.finish(job, refused(job.kept, error))
        try:
            await self.leases.write(ending)
        except (HeadgateError, TimeoutError) as error:
            # Tried on and on, as at the end of any lease.
            reason = {"device": content.device, "point": content.point, "reason": str(error)}
            return await self.hands.finish(job, over(executing, "failed", "HG-6538", None, reason))
        await self.leases.over(ending, self.leases.kept(ending, job.kept.who), "released")
        return await self.hands.finish(job, over(executing, "confirmed"))

    # ------------------------------------------------------------ refusals and ends

    async def refuse(self, kept: Kept, error: Exception, *, keep: bool) -> None:
        """Tell a refusal; `keep` whether it is the command that is refused, not only the message."""
        await self._refuse(Job(kept, kept.request), error, keep=keep)

    async def _refuse(self, job: Job, error: Exception, *, keep: bool = True) -> None:
        """Tell a refusal: in the audit log, upstream, and to the issuer."""
        done = refused(job.kept, error)
        self.door.refusals[done.code] += 1
        known = self.journal.command(done.content.command)
        if not keep or (known is not None and known.spent and known.state != "accepted"):
            # The message is refused; the command, of which it may be a copy, is not. Whoever repeats
            # what he has heard is answered, and cannot fill the disk.
            await self.teller.try_note(done)
            if self._echoes.take(self._now_us()):
                await self.teller.report(done)
            self.teller.answer(done, job.request)
            return
        await self.hands.finish(job, done)

    async def _conclude(self, done: Kept) -> None:
        await self.hands.finish(Job(done, done.request), done)

    async def _supersede(self, selection: Selection) -> None:
        kept = self.journal.command(selection.content.command)
        if kept is not None and kept.state == "selected":
            await self._conclude(over(kept, "superseded", "HG-6526"))

    async def _sweep(self) -> None:
        """Selections that nobody operated are told, within a second of their end."""
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                for selection in self.selections.over(self._now_us()):
                    kept = self.journal.command(selection.content.command)
                    if kept is not None and kept.state == "selected":
                        await self._conclude(over(kept, "expired", "HG-6539"))
            except Exception:
                log.exception("selections were not looked at")

    # ------------------------------------------------------------ whoever stands at the box

    async def clear(self, device: str, point: str | None, state: str, code: str) -> None:
        """Take back what others have selected or queued: for a point, or a whole device."""
        if point is not None:
            # Also what is accepted at this moment, and in no queue yet.
            self._by_hand_us[device, point] = self._now_us()
        held = self.selections.drop(device)
        if held is not None:
            kept = self.journal.command(held.content.command)
            if kept is not None and kept.state == "selected":
                await self._conclude(over(kept, state, code))
        for job in self.lane(device).withdraw(
            lambda job: point is None or job.kept.content.point == point
        ):
            await self.hands.finish(job, over(job.kept, state, code))

    async def quiet(self) -> None:
        """Return when nothing is being done to any device."""
        for lane in list(self._lanes.values()):
            async with lane.lock:
                pass

    @property
    def devices(self) -> frozenset[str]:
        """Devices that anything was ever asked of."""
        return frozenset(self._lanes) | {s.content.device for s in self.selections.all()}
