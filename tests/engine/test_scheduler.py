"""The scheduler: one worker a thread, no wake lost, threads apart, failures tried again."""

import asyncio
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.engine import scheduler as module
from bot.engine.ports import ThreadKey
from bot.engine.scheduler import TaskScheduler

_A, _B = ThreadKey("T", "C", "1.0"), ThreadKey("T", "C", "2.0")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([_A, _B]), st.integers(0, 3)), max_size=30))
async def test_every_wake_is_followed_by_a_drain_and_no_thread_is_drained_twice_at_once(
    wakes: list[tuple[ThreadKey, int]],
) -> None:
    work: Counter[ThreadKey] = Counter()
    busy: set[ThreadKey] = set()

    async def drain(key: ThreadKey) -> None:
        assert key not in busy
        busy.add(key)
        while work[key]:
            work[key] -= 1
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        busy.remove(key)

    scheduler = TaskScheduler(drain)
    for key, turns in wakes:
        work[key] += 1
        scheduler.wake(key)
        for _ in range(turns):
            await asyncio.sleep(0)
    for _ in range(1000):  # turns of the loop, more than all the work there is can take
        await asyncio.sleep(0)
    await scheduler.close(grace=5)
    assert not +work
    assert not busy


async def test_a_wake_during_the_last_moment_of_a_drain_is_not_lost() -> None:
    drains = 0

    async def drain(key: ThreadKey) -> None:
        nonlocal drains
        drains += 1
        if drains == 1:
            scheduler.wake(key)

    scheduler = TaskScheduler(drain)
    scheduler.wake(_A)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await scheduler.close(grace=5)
    assert drains == 2


async def test_a_thread_that_hangs_does_not_hold_up_another() -> None:
    done = asyncio.Event()

    async def drain(key: ThreadKey) -> None:
        if key == _A:
            await asyncio.Event().wait()
        done.set()

    scheduler = TaskScheduler(drain)
    scheduler.wake(_A)
    scheduler.wake(_B)
    async with asyncio.timeout(5):
        await done.wait()
    await scheduler.close(grace=0)


async def test_work_that_failed_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.001)
    tried = 0
    done = asyncio.Event()

    async def drain(key: ThreadKey) -> None:
        nonlocal tried
        tried += 1
        if tried < 3:
            raise OSError("the disk is full")
        done.set()

    scheduler = TaskScheduler(drain)
    scheduler.wake(_A)
    async with asyncio.timeout(5):
        await done.wait()
    await scheduler.close(grace=1)
    assert tried == 3


async def test_after_closing_nothing_is_begun() -> None:
    drained: list[ThreadKey] = []

    async def drain(key: ThreadKey) -> None:
        drained.append(key)

    scheduler = TaskScheduler(drain)
    await scheduler.close(grace=0)
    scheduler.wake(_A)
    await asyncio.sleep(0)
    assert not drained
