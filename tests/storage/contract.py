"""What every Storage must do. A subclass brings the fixture `storage`: an empty one, open."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from storage.base import (
    CallState,
    HistoryItem,
    Post,
    PostFile,
    PostKind,
    PostState,
    RunStatus,
    Scope,
    Storage,
    StorageError,
    Thread,
)
from tests.storage.records import ADA, BOB, CHANNEL, TEAM, call, file, post, reply, run, thread_key, ts, usage

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
            files=(file(1, name="ekte é 🧵 'navn'.pdf"), file(2, mode="snippet", transcript="hei")),
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

    async def test_a_file_name_that_is_no_unicode_is_stored_all_the_same(self, storage: Storage) -> None:
        assert await storage.add_post(post(files=(file(name="half \ud83d and \0.pdf"),)), opens_thread=True)
        (waiting,) = await storage.waiting_posts(thread_key())
        assert waiting.files == (file(name="half ? and �.pdf"),)

    async def test_an_edit_changes_the_files_only_where_it_names_them(self, storage: Storage) -> None:
        await storage.add_post(post(files=(file(1), file(2))), opens_thread=True)
        await storage.edit_post(TEAM, CHANNEL, ts(0), "better", ts(5))
        assert [each.files for each in await storage.waiting_posts(thread_key())] == [(file(1), file(2))]
        await storage.edit_post(TEAM, CHANNEL, ts(0), "better", ts(6), (file(2),))
        assert [each.files for each in await storage.waiting_posts(thread_key())] == [(file(2),)]
        await storage.edit_post(TEAM, CHANNEL, ts(0), "better", ts(7), ())
        assert [each.files for each in await storage.waiting_posts(thread_key())] == [()]

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

    async def test_a_twin_brings_the_files_that_the_first_lacked(self, storage: Storage) -> None:
        await storage.add_post(post(1), opens_thread=True)
        rows = PostFile("F1", "a.csv", "text/csv", 3, "https://files.slack.com/a")
        assert not await storage.add_post(replace(post(1), text="other", files=(rows,)), opens_thread=True)
        [kept] = await storage.waiting_posts(post(1).thread)
        assert kept.files == (rows,)
        assert kept.text == post(1).text

    async def test_files_that_a_run_posted_are_remembered(self, storage: Storage) -> None:
        await opened(storage)
        assert await storage.posted_files("run1") == frozenset()
        await storage.add_posted_files("run1", ["abc", "def"])
        await storage.add_posted_files("run1", ["abc"])
        assert await storage.posted_files("run1") == {"abc", "def"}

    async def test_a_reset_forgets_the_conversation_that_is_kept_here(self, storage: Storage) -> None:
        await storage.map_thread(thread_key(), "local", "local-1")
        await storage.add_items([HistoryItem("local-1", 0, "run", "{}"), HistoryItem("local-2", 0, "run", "{}")])
        await storage.reset_thread(thread_key(), ts(9))
        assert not await storage.items("local-1")
        assert await storage.items("local-2")

    async def test_a_thread_that_is_mapped_anew_forgets_what_was_kept_before(self, storage: Storage) -> None:
        """Nobody points at it any more, so no reset would ever forget it."""
        await storage.map_thread(thread_key(), "local", "local-1")
        await storage.add_items([HistoryItem("local-1", 0, "run", "{}")])
        await storage.map_thread(thread_key(), "local", "local-1")
        assert await storage.items("local-1")
        await storage.map_thread(thread_key(), "responses", "conv_1")
        assert not await storage.items("local-1")

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
        await storage.add_post(post(files=(file(),)), opens_thread=True)
        await opened(storage)
        await ended(storage, status)
        (answered,) = await storage.run_posts("run1")
        assert answered.state is PostState.DONE
        forgotten = ("", ()) if status is RunStatus.COMPLETED else ("hello", (file(),))
        assert (answered.text, answered.files) == forgotten

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


class CallsContract:
    async def test_a_call_comes_back_as_it_was_stored(self, storage: Storage) -> None:
        await opened(storage)
        wanted = call(server="docs", state=CallState.ASKED, output="nothing", asked_ts=ts(3), asked_at=1234.5)
        decided = call("call2", state=CallState.ANSWERED, failed=True, approved=False, decided_by=BOB, leg=2)
        assert await storage.run_calls("run1") == []
        await storage.add_calls([wanted, decided])
        assert await storage.run_calls("run1") == [wanted, decided]

    async def test_calls_are_in_order_of_leg_and_then_as_they_were_wanted(self, storage: Storage) -> None:
        await opened(storage)
        await opened(storage, "run2", 1)
        await storage.add_calls([call("z", leg=2), call("b", leg=2)])
        await storage.add_calls([call("y"), call("a")])
        await storage.add_calls([call("y", "run2")])
        await storage.add_calls([call("c", leg=2)])
        assert [each.id for each in await storage.run_calls("run1")] == ["y", "a", "z", "b", "c"]
        assert await storage.run_calls("run2") == [call("y", "run2")]

    async def test_a_known_call_stays_as_it_is(self, storage: Storage) -> None:
        await opened(storage)
        await storage.add_calls([call()])
        answered = call(state=CallState.ANSWERED, output="Rain.")
        await storage.update_call(answered)
        await storage.add_calls([call(), call("call2")])
        assert await storage.run_calls("run1") == [answered, call("call2")]

    async def test_calls_are_all_kept_or_none(self, storage: Storage) -> None:
        await opened(storage)
        with pytest.raises(StorageError):
            await storage.add_calls([call(), call("call2", "no such run")])
        assert await storage.run_calls("run1") == []

    async def test_a_call_keeps_what_comes_of_it(self, storage: Storage) -> None:
        await opened(storage)
        await storage.add_calls([call(), call("call2")])
        for known in (
            call(state=CallState.ASKED, asked_ts=ts(3), asked_at=1234.5),
            call(state=CallState.RUNNING, asked_ts=ts(3), asked_at=1234.5),
            call(state=CallState.ANSWERED, output="No such city.", failed=True, asked_ts=ts(3), asked_at=1234.5),
        ):
            await storage.update_call(known)
            assert await storage.run_calls("run1") == [known, call("call2")]

    async def test_an_answered_call_stays_so(self, storage: Storage) -> None:
        await opened(storage)
        answered = call(state=CallState.ANSWERED, output="Rain.")
        await storage.add_calls([answered])
        await storage.update_call(call(state=CallState.RUNNING))
        await storage.update_call(call(state=CallState.ANSWERED, output="Sun."))
        assert await storage.run_calls("run1") == [answered]

    @pytest.mark.parametrize("approved", [True, False])
    async def test_a_call_that_was_asked_for_is_decided_once(self, storage: Storage, approved: bool) -> None:
        await opened(storage)
        await storage.add_calls([call(state=CallState.ASKED), call("call2", state=CallState.ASKED)])
        assert await storage.decide_call("run1", "call1", approved, ADA)
        assert not await storage.decide_call("run1", "call1", not approved, BOB)
        state = CallState.APPROVED if approved else CallState.ASKED
        decided = call(state=state, approved=approved, decided_by=ADA)
        assert await storage.run_calls("run1") == [decided, call("call2", state=CallState.ASKED)]

    @pytest.mark.parametrize("state", [each for each in CallState if each is not CallState.ASKED])
    async def test_only_a_call_that_was_asked_for_is_decided(self, storage: Storage, state: CallState) -> None:
        await opened(storage)
        assert not await storage.decide_call("run1", "call1", True, ADA)
        await storage.add_calls([call(state=state)])
        assert not await storage.decide_call("run1", "call1", True, ADA)
        assert await storage.run_calls("run1") == [call(state=state)]

    @pytest.mark.parametrize("approved", [True, False])
    async def test_a_decision_outlives_an_update_that_knows_nothing_of_it(
        self, storage: Storage, approved: bool
    ) -> None:
        """The button can be pressed before the ts of its message is kept."""
        await opened(storage)
        await storage.add_calls([call(state=CallState.ASKED)])
        await storage.decide_call("run1", "call1", approved, ADA)
        await storage.update_call(call(state=CallState.ASKED, asked_ts=ts(3), asked_at=1234.5))
        state = CallState.APPROVED if approved else CallState.ASKED
        decided = call(state=state, asked_ts=ts(3), asked_at=1234.5, approved=approved, decided_by=ADA)
        assert await storage.run_calls("run1") == [decided]
        answered = replace(decided, state=CallState.ANSWERED, output="Rain.")
        await storage.update_call(answered)
        assert await storage.run_calls("run1") == [answered]

    async def test_a_decision_that_nobody_made_is_kept_too(self, storage: Storage) -> None:
        """As when the time to decide has run out."""
        await opened(storage)
        await storage.add_calls([call(state=CallState.ASKED)])
        refused = call(state=CallState.ANSWERED, output="Nobody decided.", approved=False)
        await storage.update_call(refused)
        assert await storage.run_calls("run1") == [refused]

    @pytest.mark.parametrize("status", _ENDS)
    async def test_calls_end_with_their_run(self, storage: Storage, status: RunStatus) -> None:
        await opened(storage)
        await opened(storage, "run2", 1)
        asked, answered = call(state=CallState.ASKED), call("call2", state=CallState.ANSWERED, output="Rain.")
        await storage.add_calls([asked, answered, call(run_id="run2")])
        await ended(storage, status)
        assert not await storage.decide_call("run1", "call1", True, ADA)
        await storage.update_call(call(state=CallState.ANSWERED, output="Too late."))
        forgotten = [replace(asked, arguments=""), replace(answered, arguments="", output="")]
        over = status in (RunStatus.COMPLETED, RunStatus.CANCELLED)
        assert await storage.run_calls("run1") == (forgotten if over else [asked, answered])
        assert await storage.run_calls("run2") == [call(run_id="run2")]

    async def test_what_was_done_for_a_failed_run_goes_with_its_retry_and_nothing_else_of_it(
        self, storage: Storage
    ) -> None:
        await opened(storage)
        made = call(state=CallState.ANSWERED, output="Rain.", approvers=(ADA, BOB))
        failed = call("call2", state=CallState.ANSWERED, output="No such city.", failed=True)
        hosted = call("call3", state=CallState.ANSWERED, output="Approved.", server="docs")
        await storage.add_calls([made, failed, hosted, call("call4", state=CallState.RUNNING)])
        await ended(storage, RunStatus.FAILED)
        assert await storage.reopen_run("run1", run("run2"))
        assert await storage.run_calls("run2") == [replace(made, run="run2", leg=made.leg - 1000)]
        left = await storage.run_calls("run1")
        assert [(each.id, each.arguments, each.output) for each in left] == [
            (name, "", "") for name in ("call2", "call3", "call4")
        ]

    async def test_of_many_decisions_one_is_kept(self, storage: Storage) -> None:
        await opened(storage)
        await storage.add_calls([call(state=CallState.ASKED)])
        decided = await asyncio.gather(
            *(storage.decide_call("run1", "call1", number % 2 == 0, f"U{number}") for number in range(20))
        )
        assert decided.count(True) == 1
        (kept,) = await storage.run_calls("run1")
        assert kept.decided_by == f"U{decided.index(True)}"


class UsageContract:
    async def test_usage_comes_back_oldest_first(self, storage: Storage) -> None:
        first, second, third = usage("c", 1.5), usage("a", 2.5, person=BOB), usage("b", 2.5, input_tokens=2**40)
        for each in (third, first, second):
            await storage.add_usage(each)
        assert await storage.usage(0.0) == [first, second, third]

    async def test_usage_is_since_a_moment(self, storage: Storage) -> None:
        for number in range(4):
            await storage.add_usage(usage(f"run{number}", float(number)))
        assert [each.run for each in await storage.usage(2.0)] == ["run2", "run3"]
        assert await storage.usage(3.5) == []

    async def test_a_second_time_adds_to_the_first(self, storage: Storage) -> None:
        counts: dict[str, Any] = {"input_tokens": 10, "cached_tokens": 4, "output_tokens": 3, "reasoning_tokens": 2}
        await storage.add_usage(usage(**counts))
        await storage.add_usage(usage("run2"))
        await storage.add_usage(usage(at=2000.0, **counts))
        doubled: dict[str, Any] = {name: 2 * count for name, count in counts.items()}
        assert await storage.usage(0.0) == [usage(**doubled), usage("run2")]

    async def test_two_models_of_one_run_are_counted_apart(self, storage: Storage) -> None:
        for model, tokens in (("one", 1), ("two", 2), ("one", 4)):
            await storage.add_usage(usage(model=model, input_tokens=tokens))
        kept = [(each.model, each.input_tokens) for each in await storage.usage(0.0)]
        assert kept == [("one", 5), ("two", 2)]

    async def test_no_usage_is_lost_among_many_at_once(self, storage: Storage) -> None:
        await asyncio.gather(*(storage.add_usage(usage(input_tokens=1)) for _ in range(50)))
        assert [each.input_tokens for each in await storage.usage(0.0)] == [50]


class HistoryContract:
    async def test_a_conversation_comes_back_in_order(self, storage: Storage) -> None:
        items = [HistoryItem("local_1", seq, f"run{seq // 2}", f'{{"text": "é 🧵 {seq}"}}') for seq in range(4)]
        other = HistoryItem("local_2", 0, "run9", "{}")
        await storage.add_items([items[2], items[0], other])
        await storage.add_items([items[3], items[1]])
        assert await storage.items("local_1") == items
        assert await storage.items("local_2") == [other]
        assert await storage.items("local_3") == []

    async def test_a_known_item_stays_as_it_is(self, storage: Storage) -> None:
        kept = HistoryItem("local_1", 0, "run1", '"first"')
        await storage.add_items([kept])
        added = HistoryItem("local_1", 1, "run2", '"second"')
        await storage.add_items([HistoryItem("local_1", 0, "run2", '"again"'), added])
        assert await storage.items("local_1") == [kept, added]


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


class StorageContract(
    PostsContract,
    ThreadsContract,
    RunsContract,
    CallsContract,
    UsageContract,
    HistoryContract,
    WorkContract,
    ConcurrencyContract,
):
    """All of it."""
