"""Planted into message schedules: what a new leader does not know, and what is not one step."""

from collections.abc import Iterator

from broker.jetstream.schedules import schedule_apply
from broker.jetstream.schedules.schedule_clock import ScheduleClock
from broker.jetstream.schedules.schedules import ScheduleTable
from sim.bugs.planting import planted, schedules
from sim.replacing import replaced


@planted(schedules, "schedules")
def a_new_leader_does_not_know_the_schedules() -> Iterator[None]:
    """Only what is scheduled from now on is looked at."""

    def ignorant(clock: ScheduleClock) -> None:
        clock._heap = []
        clock._under_way = {}
        clock._state.schedules.changed = {}

    with replaced(ScheduleClock, "become_leader", ignorant):
        yield


@planted(schedules, "schedules")
def a_schedule_stays_when_its_message_was_made() -> Iterator[None]:
    """Message and end of the schedule are two things, and a crash comes between them."""
    with (
        replaced(schedule_apply, "delete_message", lambda *_: False),
        replaced(ScheduleTable, "remove", lambda table, subject: None),
    ):
        yield
