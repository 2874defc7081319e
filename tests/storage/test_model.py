"""Posts and runs in any order of calls: the storage does what a plain model in memory does."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from storage.base import Post, PostFile, PostKind, PostState, Run, RunStatus, ThreadKey
from storage.sqlite import SqliteStorage
from tests.storage.records import CHANNEL, TEAM, file, post, run, thread_key, ts

_THREADS = [thread_key(0), thread_key(50)]
_MOMENTS = st.integers(0, 12)
#: What an edit says of files: nothing, that they are gone, or which they are.
_FILES = st.sampled_from([None, (), (file(20), file(21))])
_ENDS = [status for status in RunStatus if status.ended]


@dataclass
class Model:
    """What base.py says, without a database."""

    posts: dict[str, Post] = field(default_factory=dict)
    mapped: set[ThreadKey] = field(default_factory=set)
    runs: dict[str, Run] = field(default_factory=dict)
    retried: set[str] = field(default_factory=set)

    def add(self, new: Post, opens_thread: bool) -> bool:
        if opens_thread:
            self.mapped.add(new.thread)
        if self.waits(new.ts) and not self.posts[new.ts].files:
            self.posts[new.ts] = replace(self.posts[new.ts], files=new.files)
        if new.thread not in self.mapped or new.ts in self.posts:
            return False
        self.posts[new.ts] = new
        return True

    def waits(self, moment: str) -> bool:
        return moment in self.posts and self.posts[moment].state is PostState.WAITING

    def edit(self, moment: str, text: str, edited_ts: str, files: tuple[PostFile, ...] | None) -> bool:
        if not self.waits(moment) or (self.posts[moment].edited_ts or "") >= edited_ts:
            return False
        old = self.posts[moment]
        kept = old.files if files is None else files
        self.posts[moment] = replace(old, text=text, edited_ts=edited_ts, files=kept)
        return True

    def drop(self, moment: str) -> ThreadKey | None:
        if not self.waits(moment):
            return None
        self.posts[moment] = replace(self.posts[moment], state=PostState.DROPPED, text="", files=())
        return self.posts[moment].thread

    def finish(self, moment: str) -> None:
        self.posts[moment] = replace(self.posts[moment], state=PostState.DONE, text="", files=())

    def waiting(self, thread: ThreadKey) -> list[Post]:
        return self._sorted(each for each in self.posts.values() if each.thread == thread and self.waits(each.ts))

    def of_run(self, run_id: str) -> list[Post]:
        return self._sorted(each for each in self.posts.values() if each.run == run_id)

    def open(self, new: Run, posts: Sequence[Post]) -> list[Post]:
        for each in posts:
            if self.waits(each.ts):
                self.posts[each.ts] = replace(self.posts[each.ts], state=PostState.TAKEN, run=new.id)
        if taken := self.of_run(new.id):
            self.runs[new.id] = new
        return taken

    def close(self, end: Run) -> None:
        if self.runs[end.id].ended_at is not None:
            return
        self.runs[end.id] = end
        for each in self.of_run(end.id):
            text, files = ("", ()) if end.status is RunStatus.COMPLETED else (each.text, each.files)
            self.posts[each.ts] = replace(each, state=PostState.DONE, text=text, files=files)

    def reopen(self, run_id: str, new: Run) -> bool:
        old = self.runs[run_id]
        if old.ended_at is None or old.status is RunStatus.COMPLETED or run_id in self.retried:
            return False
        self.retried.add(run_id)
        self.runs[new.id] = new
        for each in self.of_run(run_id):
            self.posts[each.ts] = replace(each, state=PostState.TAKEN, run=new.id)
        return True

    def unfinished(self, thread: ThreadKey) -> Run | None:
        going = [each for each in self.runs.values() if each.thread == thread and each.ended_at is None]
        return min(going, key=lambda each: each.created_at, default=None)

    def work(self) -> list[ThreadKey]:
        since: dict[ThreadKey, str] = {}
        for each in self._sorted(self.posts.values()):
            run = self.runs.get(each.run or "")
            going = run is not None and run.ended_at is None
            if going or (self.waits(each.ts) and each.kind is not PostKind.CONTEXT):
                since.setdefault(each.thread, each.ts)
        return list(since)

    @staticmethod
    def _sorted(posts: Iterable[Post]) -> list[Post]:
        return sorted(posts, key=lambda each: each.ts)


class StorageMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.storage = self.runner.run(SqliteStorage.open("sqlite:///:memory:"))
        self.model = Model()
        self.count = 0
        self.seen: list[Post] = []

    def teardown(self) -> None:
        self.runner.run(self.storage.close())
        self.runner.close()

    def new_run(self, thread: ThreadKey) -> Run:
        self.count += 1
        return run(f"run{self.count}", thread, created_at=float(self.count))

    @rule(moment=_MOMENTS, thread=st.sampled_from(_THREADS), kind=st.sampled_from(list(PostKind)), opens=st.booleans())
    def add(self, moment: int, thread: ThreadKey, kind: PostKind, opens: bool) -> None:
        new = post(moment, thread, kind=kind, files=(file(moment),))
        added = self.runner.run(self.storage.add_post(new, opens_thread=opens))
        assert added == self.model.add(new, opens)

    @rule(moment=_MOMENTS, edited=st.integers(20, 24), text=st.text(), files=_FILES)
    def edit(self, moment: int, edited: int, text: str, files: tuple[PostFile, ...] | None) -> None:
        text = text.replace("\0", "")
        done = self.runner.run(self.storage.edit_post(TEAM, CHANNEL, ts(moment), text, ts(edited), files))
        assert done == self.model.edit(ts(moment), text, ts(edited), files)

    @rule(moment=_MOMENTS)
    def drop(self, moment: int) -> None:
        thread = self.runner.run(self.storage.drop_post(TEAM, CHANNEL, ts(moment)))
        assert thread == self.model.drop(ts(moment))

    @rule(thread=st.sampled_from(_THREADS))
    def look(self, thread: ThreadKey) -> None:
        """What a worker saw; by the time it opens its run, posts may have gone or changed."""
        self.seen = list(self.runner.run(self.storage.waiting_posts(thread)))

    @rule()
    def finish_the_first_seen(self) -> None:
        if self.seen and self.model.waits(self.seen[0].ts):
            self.runner.run(self.storage.finish_post(self.seen[0]))
            self.model.finish(self.seen[0].ts)

    @precondition(lambda self: self.seen)
    @rule()
    def open_run(self) -> None:
        new = self.new_run(self.seen[0].thread)
        taken = self.runner.run(self.storage.open_run(new, self.seen))
        assert taken == self.model.open(new, self.seen)

    @precondition(lambda self: self.model.runs)
    @rule(data=st.data(), status=st.sampled_from(_ENDS))
    def close_run(self, data: st.DataObject, status: RunStatus) -> None:
        chosen = self.model.runs[data.draw(st.sampled_from(sorted(self.model.runs)))]
        end = replace(chosen, status=status, error="why", ended_at=1.0)
        self.runner.run(self.storage.close_run(end))
        self.model.close(end)

    @precondition(lambda self: self.model.runs)
    @rule(data=st.data())
    def reopen_run(self, data: st.DataObject) -> None:
        chosen = data.draw(st.sampled_from(sorted(self.model.runs)))
        new = self.new_run(self.model.runs[chosen].thread)
        assert self.runner.run(self.storage.reopen_run(chosen, new)) == self.model.reopen(chosen, new)

    @invariant()
    def same(self) -> None:
        for thread in _THREADS:
            assert self.runner.run(self.storage.waiting_posts(thread)) == self.model.waiting(thread)
            assert self.runner.run(self.storage.unfinished_run(thread)) == self.model.unfinished(thread)
        for run_id, kept in self.model.runs.items():
            assert self.runner.run(self.storage.run(run_id)) == kept
            assert self.runner.run(self.storage.run_posts(run_id)) == self.model.of_run(run_id)
        assert self.runner.run(self.storage.threads_with_work()) == self.model.work()


TestStorageAgainstTheModel = StorageMachine.TestCase
TestStorageAgainstTheModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
