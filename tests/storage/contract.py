"""What every Storage must do. A subclass brings the fixture `storage`: an empty one, open."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from storage.base import Post, PostKind, PostState, RunStatus, Scope, Storage, StorageError, Thread
from tests.storage.records import ADA, BOB, CHANNEL, TEAM, post, reply, run, thread_key, ts

_ENDS = [status for status in RunStatus if status.ended]


async def opened(storage: Storage, run_id: str = "run1", *moments: int) -> list[Post]:
    """A run over posts of these moments."""
    for moment in moments or (0,):
        await storage.add_post(post(moment), opens_thread=True)
    return list(await storage.open_run(run(run_id), await storage.waiting_posts(thread_key())))


async def ended(storage: Storage, status: RunStatus, run_id: str = "run1") -> None:
    await storage.close_run(run(run_id, status=status, error="why", ended_at=2000.0))


class PostsContract:
    async def test_a_post_comes_back_as_it_was_stored(self, storage: Storage) -> None:
        stored = post(
            text="x = 1 é 🧵 'quoted'",
            kind=PostKind.CONTEXT,
            surface="mpim",
            author_team="T9",
            event_id="Ev1",
            edited_ts=ts(3),
        )
        assert await storage.add_post(stored, opens_thread=True)
        assert await storage.waiting_posts(thread_key()) == [stored]

    async def test_a_post_is_stored_once(self, storage: Storage) -> None:
        assert await storage.add_post(post(text="first", event_id="Ev1"), opens_thread=True)
        assert not await storage.add_post(post(text="twin", event_id="Ev2"), opens_thread=True)
        assert [each.text for each in await storage.waiting_posts(thread_key())] == ["first"]

    async def test_channels_and_teams_do_not_share_timestamps(self, storage: Storage) -> None:
        here, there = thread_key(), thread_key(channel="C2")
        elsewhere = replace(here, team="T2")
        for thread in (here, there, elsewhere):
            assert await storage.add_post(post(thread=thread), opens_thread=True)
            assert await storage.waiting_posts(thread) == [post(thread=thread)]

    @pytest.mark.parametrize("how", ["dropped", "finished", "answered"])
    async def test_a_post_that_is_over_is_not_stored_again(self, storage: Storage, how: str) -> None:
        await storage.add_post(post(), opens_thread=True)
        match how:
            case "dropped":
                await storage.drop_post(TEAM, CHANNEL, ts(0))
            case "finished":
                await storage.finish_post(post())
            case _:
                await storage.open_run(run(), [post()])
                await ended(storage, RunStatus.COMPLETED)
        assert not await storage.add_post(post(), opens_thread=True)
        assert await storage.waiting_posts(thread_key()) == []
        assert await storage.threads_with_work() == []

    async def test_a_post_to_an_unmapped_thread_is_not_kept(self, storage: Storage) -> None:
        assert not await storage.add_post(post(1), opens_thread=False)
        assert await storage.thread(thread_key()) is None
        # It was not kept, so it is new when it comes again to a thread that was mapped meanwhile.
        await storage.add_post(post(0), opens_thread=True)
        assert await storage.add_post(post(1), opens_thread=False)

    async def test_posts_wait_in_the_order_of_their_timestamps(self, storage: Storage) -> None:
        for moment in (5, 0, 9, 3):
            await storage.add_post(post(moment), opens_thread=True)
        assert [each.ts for each in await storage.waiting_posts(thread_key())] == [ts(0), ts(3), ts(5), ts(9)]

    async def test_text_that_is_no_unicode_is_stored_all_the_same(self, storage: Storage) -> None:
        assert await storage.add_post(post(text="half \ud83d and \0 nothing"), opens_thread=True)
        (waiting,) = await storage.waiting_posts(thread_key())
        assert waiting.text == "half ? and � nothing"

    async def test_an_edit_changes_a_waiting_post(self, storage: Storage) -> None:
        await storage.add_post(post(), opens_thread=True)
        assert await storage.edit_post(TEAM, CHANNEL, ts(0), "better", ts(5))
        assert await storage.waiting_posts(thread_key()) == [post(text="better", edited_ts=ts(5))]

    async def test_an_older_edit_that_arrives_later_does_not_win(self, storage: Storage) -> None:
        await storage.add_post(post(), opens_thread=True)
        assert await storage.edit_post(TEAM, CHANNEL, ts(0), "newer", ts(9))
        assert not await storage.edit_post(TEAM, CHANNEL, ts(0), "older", ts(5))
        assert not await storage.edit_post(TEAM, CHANNEL, ts(0), "the same edit again", ts(9))
        assert [each.text for each in await storage.waiting_posts(thread_key())] == ["newer"]

    async def test_only_a_waiting_post_is_edited_or_dropped(self, storage: Storage) -> None:
        assert not await storage.edit_post(TEAM, CHANNEL, ts(0), "unknown", ts(5))
        assert await storage.drop_post(TEAM, CHANNEL, ts(0)) is None
        (taken,) = await opened(storage)
        assert not await storage.edit_post(TEAM, CHANNEL, ts(0), "too late", ts(5))
        assert await storage.drop_post(TEAM, CHANNEL, ts(0)) is None
        assert await storage.run_posts("run1") == [taken]

    async def test_a_dropped_post_waits_no_more(self, storage: Storage) -> None:
        await storage.add_post(post(), opens_thread=True)
        await storage.add_post(post(4), opens_thread=False)
        assert await storage.drop_post(TEAM, CHANNEL, ts(4)) == thread_key()
        assert await storage.drop_post(TEAM, CHANNEL, ts(4)) is None
        assert await storage.waiting_posts(thread_key()) == [post()]

    async def test_a_finished_command_is_no_work(self, storage: Storage) -> None:
        command = post(kind=PostKind.COMMAND, text="reset")
        await storage.add_post(command, opens_thread=True)
        assert await storage.threads_with_work() == [thread_key()]
        await storage.finish_post(command)
        assert await storage.threads_with_work() == []
        assert await storage.waiting_posts(thread_key()) == []


class ThreadsContract:
    async def test_an_unknown_thread_is_none(self, storage: Storage) -> None:
        assert await storage.thread(thread_key()) is None

    async def test_a_post_opens_its_thread(self, storage: Storage) -> None:
        await storage.add_post(post(), opens_thread=True)
        assert await storage.thread(thread_key()) == Thread(thread_key())

    async def test_a_thread_is_mapped_and_mapped_anew(self, storage: Storage) -> None:
        await storage.map_thread(thread_key(), "assistants", "thread_1")
        await storage.choose_for_thread(thread_key(), "math-tutor")
        await storage.map_thread(thread_key(), "responses", "conv_1")
        assert await storage.thread(thread_key()) == Thread(thread_key(), "responses", "conv_1", "math-tutor")

    async def test_another_post_leaves_the_mapping_alone(self, storage: Storage) -> None:
        await storage.map_thread(thread_key(), "responses", "conv_1")
        await storage.add_post(post(2), opens_thread=True)
        assert await storage.thread(thread_key()) == Thread(thread_key(), "responses", "conv_1")

    async def test_a_reset_unmaps_and_tells_what_was(self, storage: Storage) -> None:
        assert await storage.reset_thread(thread_key(), ts(7)) is None
        assert await storage.thread(thread_key()) is None
        await storage.map_thread(thread_key(), "responses", "conv_1")
        await storage.choose_for_thread(thread_key(), "math-tutor")
        before = await storage.reset_thread(thread_key(), ts(8))
        assert before == Thread(thread_key(), "responses", "conv_1", "math-tutor")
        after = Thread(thread_key(), assistant="math-tutor", forgotten_before=ts(8))
        assert await storage.thread(thread_key()) == after
        assert await storage.reset_thread(thread_key(), ts(9)) == after

    async def test_a_mapping_after_a_reset_remembers_what_was_forgotten(self, storage: Storage) -> None:
        await storage.map_thread(thread_key(), "responses", "conv_1")
        await storage.reset_thread(thread_key(), ts(8))
        await storage.map_thread(thread_key(), "responses", "conv_2")
        assert await storage.thread(thread_key()) == Thread(thread_key(), "responses", "conv_2", forgotten_before=ts(8))

    async def test_a_thread_has_an_assistant_of_its_own(self, storage: Storage) -> None:
        await storage.choose_for_thread(thread_key(), "math-tutor")
        await storage.choose_for_thread(thread_key(), "general")
        assert await storage.thread(thread_key()) == Thread(thread_key(), assistant="general")
        await storage.choose_for_thread(thread_key(), None)
        assert await storage.thread(thread_key()) == Thread(thread_key())

    async def test_choices_are_of_the_person_the_channel_and_the_workspace(self, storage: Storage) -> None:
        await storage.choose(TEAM, Scope.PERSON, ADA, "general")
        await storage.choose(TEAM, Scope.PERSON, BOB, "other person")
        await storage.choose(TEAM, Scope.CHANNEL, CHANNEL, "math-tutor")
        await storage.choose(TEAM, Scope.CHANNEL, ADA, "a channel with a person's id")
        await storage.choose(TEAM, Scope.WORKSPACE, TEAM, "writer")
        await storage.choose("T2", Scope.PERSON, ADA, "other workspace")
        expected = {Scope.PERSON: "general", Scope.CHANNEL: "math-tutor", Scope.WORKSPACE: "writer"}
        assert await storage.choices(TEAM, CHANNEL, ADA) == expected

    async def test_a_choice_is_changed_and_taken_back(self, storage: Storage) -> None:
        await storage.choose(TEAM, Scope.CHANNEL, CHANNEL, "general")
        await storage.choose(TEAM, Scope.CHANNEL, CHANNEL, "math-tutor")
        assert await storage.choices(TEAM, CHANNEL, ADA) == {Scope.CHANNEL: "math-tutor"}
        await storage.choose(TEAM, Scope.CHANNEL, CHANNEL, None)
        await storage.choose(TEAM, Scope.CHANNEL, CHANNEL, None)
        assert await storage.choices(TEAM, CHANNEL, ADA) == {}

    async def test_latest_threads_are_the_authors_mapped_ones_by_latest_post(self, storage: Storage) -> None:
        first, second, unmapped, foreign = (thread_key(moment) for moment in (0, 10, 20, 30))
        elsewhere = thread_key(40, channel="C2")
        for thread in (first, second, foreign, elsewhere):
            await storage.map_thread(thread, "responses", f"conv of {thread.ts}")
        for moment, thread in ((0, first), (10, second), (20, unmapped), (40, elsewhere), (50, first), (60, second)):
            await storage.add_post(post(moment, thread), opens_thread=True)
        await storage.add_post(post(30, foreign, author=BOB), opens_thread=True)
        assert await storage.latest_threads(TEAM, CHANNEL, ADA, 10) == [second, first]
        assert await storage.latest_threads(TEAM, CHANNEL, ADA, 1) == [second]


class RunsContract:
    async def test_a_run_takes_the_posts_that_wait(self, storage: Storage) -> None:
        for moment in (3, 0, 6):
            await storage.add_post(post(moment), opens_thread=True)
        seen = await storage.waiting_posts(thread_key())
        await storage.drop_post(TEAM, CHANNEL, ts(3))
        await storage.edit_post(TEAM, CHANNEL, ts(6), "edited meanwhile", ts(8))
        await storage.add_post(post(9), opens_thread=True)

        taken = await storage.open_run(run(), list(reversed(seen)))

        as_taken: dict[str, Any] = {"state": PostState.TAKEN, "run": "run1"}
        assert taken == [post(0, **as_taken), post(6, text="edited meanwhile", edited_ts=ts(8), **as_taken)]
        assert await storage.run_posts("run1") == taken
        assert await storage.waiting_posts(thread_key()) == [post(9)]
        assert await storage.run("run1") == run()

    async def test_no_run_is_kept_where_nothing_waits(self, storage: Storage) -> None:
        await opened(storage)
        assert await storage.open_run(run("run2"), [post()]) == []
        assert await storage.open_run(run("run3"), []) == []
        assert await storage.run("run2") is None
        assert await storage.run("run3") is None

    async def test_an_unknown_run_is_none(self, storage: Storage) -> None:
        assert await storage.run("run1") is None
        assert await storage.run_posts("run1") == []
        assert await storage.unfinished_run(thread_key()) is None

    async def test_a_run_keeps_what_is_learned_on_the_way(self, storage: Storage) -> None:
        await opened(storage)
        known = run(
            status=RunStatus.IN_PROGRESS, backend_thread="conv_1", backend_run="resp_1", cursor=2**40, attempt=2
        )
        await storage.update_run(known)
        assert await storage.run("run1") == known
        assert await storage.unfinished_run(thread_key()) == known

    @pytest.mark.parametrize("status", _ENDS)
    async def test_a_closed_run_is_over(self, storage: Storage, status: RunStatus) -> None:
        await opened(storage)
        await storage.update_run(run(backend_run="resp_1"))
        await ended(storage, status)
        assert await storage.run("run1") == run(status=status, backend_run="resp_1", error="why", ended_at=2000.0)
        assert await storage.unfinished_run(thread_key()) is None
        assert await storage.threads_with_work() == []

    @pytest.mark.parametrize("status", _ENDS)
    async def test_text_is_forgotten_only_where_its_run_completed(self, storage: Storage, status: RunStatus) -> None:
        await opened(storage)
        await ended(storage, status)
        (answered,) = await storage.run_posts("run1")
        assert answered.state is PostState.DONE
        assert answered.text == ("" if status is RunStatus.COMPLETED else "hello")

    async def test_a_run_ends_once(self, storage: Storage) -> None:
        await opened(storage)
        await ended(storage, RunStatus.FAILED)
        await storage.update_run(run(status=RunStatus.IN_PROGRESS))
        await ended(storage, RunStatus.COMPLETED)
        kept = await storage.run("run1")
        assert kept
        assert kept.status is RunStatus.FAILED
        assert [each.text for each in await storage.run_posts("run1")] == ["hello"]

    async def test_the_oldest_unfinished_run_is_first(self, storage: Storage) -> None:
        for number, created_at in ((1, 300.0), (2, 100.0), (3, 200.0)):
            await storage.add_post(post(number), opens_thread=True)
            await storage.open_run(run(f"run{number}", created_at=created_at), [post(number)])
        first = await storage.unfinished_run(thread_key())
        assert first
        assert first.id == "run2"

    @pytest.mark.parametrize("status", [each for each in _ENDS if each is not RunStatus.COMPLETED])
    async def test_a_retry_takes_the_posts_over(self, storage: Storage, status: RunStatus) -> None:
        taken = await opened(storage, "run1", 0, 1)
        await ended(storage, status)
        assert await storage.reopen_run("run1", run("run2", attempt=2))
        assert await storage.run_posts("run1") == []
        assert await storage.run_posts("run2") == [replace(each, run="run2") for each in taken]
        assert await storage.unfinished_run(thread_key()) == run("run2", attempt=2)
        assert await storage.threads_with_work() == [thread_key()]

    async def test_a_run_is_retried_once_and_so_is_its_successor(self, storage: Storage) -> None:
        await opened(storage)
        await ended(storage, RunStatus.FAILED)
        assert await storage.reopen_run("run1", run("run2"))
        assert not await storage.reopen_run("run1", run("run3"))
        assert await storage.run("run3") is None
        await ended(storage, RunStatus.FAILED, "run2")
        assert await storage.reopen_run("run2", run("run4"))
        assert len(await storage.run_posts("run4")) == 1

    async def test_only_a_run_that_broke_is_retried(self, storage: Storage) -> None:
        assert not await storage.reopen_run("run1", run("run2"))
        await opened(storage)
        assert not await storage.reopen_run("run1", run("run2"))
        await ended(storage, RunStatus.COMPLETED)
        assert not await storage.reopen_run("run1", run("run2"))
        assert await storage.run("run2") is None

    async def test_reply_messages_come_back_in_order(self, storage: Storage) -> None:
        await opened(storage)
        await opened(storage, "run2", 1)
        messages = [reply(seq=seq, stream=seq < 2) for seq in range(3)]
        for message in (messages[2], messages[0], reply("run2"), messages[1]):
            await storage.add_reply_message(message)
        assert await storage.reply_messages("run1") == messages
        assert [message.stream for message in await storage.reply_messages("run1")] == [True, True, False]

    async def test_what_cannot_be_done_changes_nothing(self, storage: Storage) -> None:
        await opened(storage)
        await storage.add_reply_message(reply())
        with pytest.raises(StorageError):
            await storage.add_reply_message(reply())
        await storage.add_post(post(5), opens_thread=True)
        with pytest.raises(StorageError):
            await storage.open_run(run("run1"), [post(5)])
        assert await storage.waiting_posts(thread_key()) == [post(5)]
        assert await storage.reply_messages("run1") == [reply()]


class WorkContract:
    async def test_context_alone_is_no_work(self, storage: Storage) -> None:
        await storage.add_post(post(kind=PostKind.CONTEXT), opens_thread=True)
        assert await storage.threads_with_work() == []
        await storage.add_post(post(1), opens_thread=True)
        assert await storage.threads_with_work() == [thread_key()]

    async def test_oldest_work_is_first(self, storage: Storage) -> None:
        answering, asking, commanding = (thread_key(moment) for moment in (0, 1, 2))
        # The oldest thread has the newest work.
        for moment, thread, kind in (
            (9, answering, PostKind.ASK),
            (5, asking, PostKind.ASK),
            (6, asking, PostKind.ASK),
            (3, commanding, PostKind.COMMAND),
        ):
            await storage.add_post(post(moment, thread, kind=kind), opens_thread=True)
        await storage.open_run(run(thread=answering), [post(9, answering)])
        assert await storage.threads_with_work() == [commanding, asking, answering]


class ConcurrencyContract:
    async def test_a_hundred_posts_at_once_are_all_kept_in_order(self, storage: Storage) -> None:
        added = await asyncio.gather(*(storage.add_post(post(each), opens_thread=True) for each in range(100)))
        assert all(added)
        assert [each.ts for each in await storage.waiting_posts(thread_key())] == [ts(each) for each in range(100)]

    async def test_of_a_hundred_deliveries_one_is_new(self, storage: Storage) -> None:
        added = await asyncio.gather(*(storage.add_post(post(), opens_thread=True) for _ in range(100)))
        assert added.count(True) == 1

    async def test_no_post_is_taken_twice(self, storage: Storage) -> None:
        async def take(number: int) -> list[Post]:
            seen = await storage.waiting_posts(thread_key())
            return list(await storage.open_run(run(f"run{number}"), seen))

        async def add(moment: int) -> list[Post]:
            await storage.add_post(post(moment), opens_thread=True)
            return await take(moment)

        runs = await asyncio.gather(*(add(moment) for moment in range(100)))
        taken = [each.ts for posts in runs for each in posts]
        assert sorted(taken) == [ts(moment) for moment in range(100)]
        assert await storage.waiting_posts(thread_key()) == []

    async def test_nobody_sees_what_is_rolled_back(self, storage: Storage) -> None:
        await opened(storage)
        await storage.add_post(post(5), opens_thread=True)
        taking = asyncio.create_task(storage.open_run(run("run1"), [post(5)]))  # its id is taken: it will fail
        while not taking.done():
            assert await storage.waiting_posts(thread_key()) == [post(5)]
        with pytest.raises(StorageError):
            await taking

    async def test_of_many_retries_one_wins(self, storage: Storage) -> None:
        await opened(storage)
        await ended(storage, RunStatus.FAILED)
        won = await asyncio.gather(*(storage.reopen_run("run1", run(f"retry{each}")) for each in range(20)))
        assert won.count(True) == 1

    async def test_a_cancelled_transaction_leaves_nothing_half_done(self, storage: Storage) -> None:
        """A cancelled BEGIN once stayed open and broke every later transaction."""
        for moment in range(60):
            task = asyncio.create_task(storage.add_post(post(moment, thread_key(moment)), opens_thread=True))
            # Each time a little later: before BEGIN, in every statement, in COMMIT, after it.
            await asyncio.sleep(moment * 20e-6)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            kept = len(await storage.waiting_posts(thread_key(moment)))
            assert (await storage.thread(thread_key(moment)) is not None) == bool(kept)
        assert await storage.add_post(post(999), opens_thread=True)


class StorageContract(PostsContract, ThreadsContract, RunsContract, WorkContract, ConcurrencyContract):
    """All of it."""
