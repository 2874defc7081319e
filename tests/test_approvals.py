"""Approvals: who is asked, what they see, and every way in which a question can end."""

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bot.playground.openai import FunctionCall, Question
from bot.tools.mcp_names import offered_name
from storage.sqlite import SqliteStorage
from tests import tools_of_ours
from tests.conftest import BACKENDS, House, bot_messages
from tests.handy import calling, general, question_of, until, until_said, write_assistant
from tests.tools.mcp_servers import raw, tool


@pytest.mark.parametrize("backend", BACKENDS)
class TestApprovals:
    async def test_nothing_is_done_before_the_asker_approves(self, tools: House) -> None:
        tools.brain(calling("delete_all", what="drafts"))
        async with tools.bobbin():
            ts = await tools.ask("clean up")
            question = await question_of(tools, ts)
            assert "drafts" in str(question["blocks"])
            # What was said before is whole, and does not end with its last word but one.
            await until_said(tools, ts, "Let me see.")
            assert not tools_of_ours.called
            await tools.slack.click("ada", general(tools), question["ts"], "approve_call")
            await until(tools, ts, "I was told: drafts deleted")
            await tools.slack.wait_for(lambda slack: "approved by" in str(slack.messages(general(tools), ts)))
        assert tools_of_ours.called == [f"delete_all drafts for {tools.slack.users['ada'].id}"]

    async def test_denied_it_is_not_done_and_the_model_hears_it(self, tools: House) -> None:
        tools.brain(calling("delete_all", what="drafts"))
        async with tools.bobbin():
            ts = await tools.ask("clean up")
            question = await question_of(tools, ts)
            await tools.slack.click("ada", general(tools), question["ts"], "deny_call")
            await until(tools, ts, "denied this")
        assert not tools_of_ours.called

    async def test_somebody_who_may_not_is_told_so_and_nothing_happens(self, tools: House) -> None:
        tools.brain(calling("delete_all", what="drafts"))
        async with tools.bobbin():
            ts = await tools.ask("clean up")
            question = await question_of(tools, ts)
            await tools.slack.click("grace", general(tools), question["ts"], "approve_call")
            await tools.slack.wait_for(lambda slack: "may decide this" in str(slack.ephemerals))
            assert not tools_of_ours.called
            await tools.slack.click("ada", general(tools), question["ts"], "approve_call")
            await until(tools, ts, "drafts deleted")

    async def test_named_approvers_decide_and_the_asker_does_not(self, tools: House, tmp_path: Path) -> None:
        grace = tools.slack.users["grace"].id
        write_assistant(tools, tmp_path, f"approvers: [{grace}]\n")
        tools.brain(calling("delete_all", what="drafts"))
        async with tools.bobbin():
            ts = await tools.ask("clean up")
            question = await question_of(tools, ts)
            await tools.slack.click("ada", general(tools), question["ts"], "approve_call")
            await tools.slack.wait_for(lambda slack: "may decide this" in str(slack.ephemerals))
            await tools.slack.click("grace", general(tools), question["ts"], "approve_call")
            await until(tools, ts, "drafts deleted")

    async def test_the_wait_survives_a_restart(self, tools: House) -> None:
        tools.brain(calling("delete_all", what="drafts"))
        async with tools.bobbin(bobbin_grace=0):
            ts = await tools.ask("clean up")
            question = await question_of(tools, ts)
        async with tools.bobbin():
            await tools.slack.click("ada", general(tools), question["ts"], "approve_call")
            await until(tools, ts, "I was told: drafts deleted", 30)
        assert len(tools_of_ours.called) == 1
        assert str(tools.slack.messages(general(tools), ts)).count("May I use") <= 2  # text and block of one question

    async def test_nobody_decides_and_the_run_goes_on_without(self, tools: House) -> None:
        tools.brain(calling("delete_all", what="drafts"))
        async with tools.bobbin(bobbin_approval_timeout=1):
            ts = await tools.ask("clean up")
            await until(tools, ts, "Nobody approved this")
            await tools.slack.wait_for(lambda slack: "nobody decided" in str(slack.messages(general(tools), ts)))
        assert not tools_of_ours.called

    async def test_a_stop_withdraws_the_question_and_frees_the_thread(self, tools: House) -> None:
        tools.brain(calling("delete_all", what="drafts"))
        async with tools.bobbin():
            ts = await tools.ask("clean up")
            await question_of(tools, ts)
            await tools.ask("stop", thread=ts)
            await until(tools, ts, "Stopped.")
            await tools.slack.wait_for(
                lambda slack: "the answer was stopped" in str(slack.messages(general(tools), ts))
            )
            tools.brain(lambda _: "Fine.")
            await tools.ask("hello again", thread=ts)
            await until(tools, ts, "Fine.")
        assert not tools_of_ours.called

    async def test_a_reset_ends_what_waits_for_a_decision(self, tools: House) -> None:
        """It said "forgotten", and the next post waited behind the question."""
        tools.brain(calling("delete_all", what="drafts"))
        async with tools.bobbin():
            ts = await tools.ask("clean up")
            question = await question_of(tools, ts)
            await tools.ask("reset", thread=ts)
            await until(tools, ts, "Stopped.")
            await tools.slack.wait_for(lambda slack: "forgotten" in str(slack.ephemerals))
            tools.brain(lambda _: "Fine.")
            await tools.ask("hello again", thread=ts)
            await until(tools, ts, "Fine.")
            shown = tools.slack.messages(general(tools), ts)
            assert "approve_call" not in str(next(each for each in shown if each["ts"] == question["ts"])["blocks"])
        assert not tools_of_ours.called

    async def test_only_who_was_asked_decides_whatever_became_of_the_file(self, tools: House, tmp_path: Path) -> None:
        """With the file gone the default assistant's approvers counted: the asker could approve."""
        grace = tools.slack.users["grace"].id
        write_assistant(tools, tmp_path, f"approvers: [{grace}]\n")
        tools.brain(calling("delete_all", what="drafts"))
        async with tools.bobbin(bobbin_grace=0):
            ts = await tools.ask("clean up")
            question = await question_of(tools, ts)
        folder = tmp_path / "assistants"
        (folder / "handy.md").rename(folder / "other.md")
        (folder / "other.md").write_text((folder / "other.md").read_text().replace(f"approvers: [{grace}]\n", ""))
        async with tools.bobbin():
            await tools.slack.click("ada", general(tools), question["ts"], "approve_call")
            await tools.slack.wait_for(lambda slack: "may decide this" in str(slack.ephemerals))
            assert not tools_of_ours.called

    async def test_a_tool_that_was_taken_out_is_not_used_though_it_was_asked_for(
        self, tools: House, tmp_path: Path
    ) -> None:
        tools.brain(calling("delete_all", what="drafts"))
        async with tools.bobbin(bobbin_grace=0):
            ts = await tools.ask("clean up")
            await question_of(tools, ts)
        file = tmp_path / "assistants" / "handy.md"
        file.write_text(file.read_text().replace("delete_all, ", ""))
        async with tools.bobbin():
            await until(tools, ts, "I was told:")
            await tools.slack.wait_for(lambda slack: "approve_call" not in str(slack.messages(general(tools), ts)))
        assert not tools_of_ours.called

    async def test_an_approval_after_the_time_limit_does_not_count(self, tools: House) -> None:
        """A click right after a start came before the run looked at the clock."""
        tools.brain(calling("delete_all", what="drafts"))
        async with tools.bobbin(bobbin_grace=0):
            ts = await tools.ask("clean up")
            question = await question_of(tools, ts)
        await time_passes(tools)
        async with tools.bobbin():
            await tools.slack.click("ada", general(tools), question["ts"], "approve_call")
            await until(tools, ts, "Nobody approved this")
        assert not tools_of_ours.called

    async def test_nobody_is_asked_about_what_cannot_be_done(self, tools: House) -> None:
        def answer(question: Question) -> Any:
            role, said = question.messages[-1]
            return f"I was told: {said}" if role == "tool" else FunctionCall("delete_all", '{"where": 1}')

        tools.brain(answer)
        async with tools.bobbin():
            ts = await tools.ask("clean up")
            messages = await until(tools, ts, "The arguments are wrong")
        assert "May I use" not in str(messages)

    async def test_a_call_that_was_not_made_is_a_task_too(self, tools: House) -> None:
        tools.brain(calling("delete_all", what="drafts"))
        async with tools.bobbin():
            ts = await tools.ask("clean up")
            question = await question_of(tools, ts)
            await tools.slack.wait_for(lambda slack: "Asks whether it may use delete_all" in str(tasks_of(tools, ts)))
            await tools.slack.click("ada", general(tools), question["ts"], "deny_call")
            await until(tools, ts, "denied this")
        assert [task["status"] for task in tasks_of(tools, ts)][-1] == "error"
        assert "in_progress" not in [task["status"] for task in tasks_of(tools, ts)]


async def time_passes(house: House) -> None:
    """Questions were asked an hour ago."""
    storage = await SqliteStorage.open(house.settings["database_url"])
    for thread in await storage.threads_with_work():
        run = await storage.unfinished_run(thread)
        assert run is not None
        for call in await storage.run_calls(run.id):
            await storage.update_call(replace(call, asked_at=(call.asked_at or 0) - 3600))
    await storage.close()


def tasks_of(house: House, thread: str) -> list[dict[str, Any]]:
    shown = bot_messages(house.slack, general(house), thread)
    return [task for message in shown for task in message.get("tasks", {}).values()]


@pytest.mark.parametrize("backend", ["responses"])
class TestQuestions:
    async def test_an_approver_who_is_not_in_the_conversation_is_asked_in_their_own(
        self, tools: House, tmp_path: Path
    ) -> None:
        """In the asker's direct message nobody who may decide could see the question."""
        write_assistant(tools, tmp_path, f"approvers: [{tools.slack.users['grace'].id}]\n")
        tools.brain(calling("delete_all", what="drafts"))
        hers = tools.slack.dm("grace")
        async with tools.bobbin():
            ts = await tools.ask("clean up", channel="dm")
            await tools.slack.wait_for(lambda slack: "approve_call" in str(slack.messages(hers)))
            [copy] = [each for each in tools.slack.messages(hers) if "approve_call" in str(each.get("blocks"))]
            assert "drafts" in str(copy["blocks"])
            await tools.slack.click("grace", hers, copy["ts"], "approve_call")
            his = tools.slack.dm("ada")
            await tools.slack.wait_for(lambda slack: "drafts deleted" in str(slack.messages(his, ts)))
            await tools.slack.wait_for(lambda slack: "approve_call" not in str(slack.messages(hers)))
        assert tools_of_ours.called == [f"delete_all drafts for {tools.slack.users['ada'].id}"]

    async def test_what_came_of_a_deleted_question_is_said_all_the_same(self, tools: House) -> None:
        tools.brain(calling("delete_all", what="drafts"))
        async with tools.bobbin(bobbin_approval_timeout=1):
            ts = await tools.ask("clean up")
            question = await question_of(tools, ts)
            tools.slack.people.delete(general(tools), question["ts"])
            await until(tools, ts, "Nobody approved this within 1 second")
            assert "nobody decided within 1 second" in str(tools.slack.messages(general(tools), ts))

    async def test_what_was_approved_stays_to_be_seen(self, tools: House) -> None:
        tools.brain(calling("delete_all", what="drafts of 2019"))
        async with tools.bobbin():
            ts = await tools.ask("clean up")
            question = await question_of(tools, ts)
            await tools.slack.click("ada", general(tools), question["ts"], "approve_call")
            await until(tools, ts, "I was told: ")
            shown = {each["ts"]: str(each.get("blocks")) for each in tools.slack.messages(general(tools), ts)}
        assert "approved by" in shown[question["ts"]]
        assert "drafts of 2019" in shown[question["ts"]]

    @pytest.mark.parametrize(
        ("arguments", "shown"),
        [
            ('{"what": "a\u202eb\u200bc"}', r"a\u202eb\u200bc"),
            ('{"what": "\U000e0065\U000e0076"}', r"\udb40\udc65\udb40\udc76"),
            ('{"what": "rm -rf /", "what": "ls"}', "rm -rf /"),
            ('{"what": "``` *you* may"}', r"\u0060\u0060\u0060 *you* may"),
            (json.dumps({"what": "x" * 9_000 + "the end"}), "xxthe end"),
        ],
        ids=["unseen", "tags", "twice", "fence", "long"],
    )
    async def test_people_see_all_that_they_approve(self, tools: House, arguments: str, shown: str) -> None:
        tools.brain(lambda _: FunctionCall("delete_all", arguments))
        async with tools.bobbin():
            question = await question_of(tools, await tools.ask("clean up"))
            texts = [block["text"]["text"] for block in question["blocks"] if block["type"] == "section"]
        assert shown in "".join(text.strip("`") for text in texts)
        assert all(len(text) <= 3_000 for text in texts)

    async def test_more_than_anybody_reads_is_plainly_cut(self, tools: House) -> None:
        tools.brain(lambda _: FunctionCall("delete_all", json.dumps({"what": "x" * 90_000})))
        async with tools.bobbin():
            question = await question_of(tools, await tools.ask("clean up"))
        assert "these arguments have 90,0" in str(question["blocks"])


@pytest.mark.parametrize("backend", BACKENDS)
class TestOnce:
    """What was done is not done again behind people's backs."""

    async def test_a_call_that_a_crash_cut_short_is_not_made_again(self, tools: House) -> None:
        gate = tools_of_ours.hold()
        tools.brain(calling("order", item="tea"))
        async with tools.bobbin(bobbin_grace=0):
            ts = await tools.ask("tea, please")
            await gate.begun.wait()
        async with tools.bobbin():
            await until(tools, ts, "Nobody knows whether it was carried out")
        assert tools_of_ours.called == ["order tea"]

    async def test_a_call_that_was_made_is_not_made_again_by_a_retry(self, tools: House) -> None:
        async with tools.bobbin():
            ts, messages = await fails_after_its_call(tools)
            failed = next(each for each in messages if "retry_run" in str(each.get("blocks")))
            await tools.slack.click("ada", general(tools), failed["ts"], "retry_run")
            await until(tools, ts, "I was told: tea ordered")
        assert tools_of_ours.called == ["order tea"]

    async def test_the_next_post_is_told_what_was_done_and_not_that_nothing_was(self, tools: House) -> None:
        async with tools.bobbin():
            ts, _ = await fails_after_its_call(tools)
            tools.brain(lambda _: "Fine.")
            await tools.ask("and now?", thread=ts)
            await until(tools, ts, "Fine.")
        assert "Nothing was done" not in str(tools.heard())


async def fails_after_its_call(house: House) -> tuple[str, list[dict[str, Any]]]:
    """A run whose tool was called, and whose server then took nothing more; its thread, and what was said there."""
    gate = tools_of_ours.hold()
    house.brain(calling("order", item="tea"))
    ts = await house.ask("tea, please")
    await gate.begun.wait()
    method, path = HAND_IN[house.settings["bobbin_backend"]]
    house.openai.faults.add(method=method, path=path, status=400, message="no", code="invalid_value")
    gate.open.set()
    return ts, await until(house, ts, "refused the request")


#: How each backend hands in what calls came to.
HAND_IN = {
    "agents": ("POST", "/agents/sessions/{s}/events"),
    "assistants": ("POST", "/threads/{t}/runs/{r}/submit_tool_outputs"),
    "local": ("POST", "/responses"),
    "responses": ("POST", "/responses"),
}


@pytest.mark.parametrize("backend", ["responses"])
async def test_servers_are_started_with_bobbin_and_a_tool_by_its_own_name_is_asked_about(
    house: House, tmp_path: Path
) -> None:
    folder = tmp_path / "assistants"
    folder.mkdir()
    (folder / "handy.md").write_text(
        '---\nname: Handy\nmodel: gpt-6.1-terra\nmcp_servers: [github]\napproval: ["github__repo.delete"]\n---\nHi\n'
    )
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    # One tool has a schema for which OpenAI refuses whole requests.
    odd = {"name": "odd", "inputSchema": {"type": "object", "anyOf": [{"required": ["a"]}]}}
    (tmp_path / "servers").mkdir()
    server = raw(tmp_path / "servers", tools=[tool("repo.delete"), odd], gate=str(gate))
    servers = {"github": {"command": server.command, "args": list(server.args)}}
    (tmp_path / "mcp.json").write_text(json.dumps({"mcpServers": servers}))
    name = offered_name("github", "repo.delete")
    house.brain(calling(name))
    settings: dict[str, Any] = {"bobbin_assistants": folder, "bobbin_mcp": tmp_path / "mcp.json"}
    with capture_logs() as log:
        async with house.bobbin(**settings), asyncio.timeout(40):
            # Somebody reads it, although nobody has asked anything yet.
            await asyncio.to_thread(gate.write_text, "open")
            while "mcp-server-connected" not in {each["event"] for each in log}:
                await asyncio.sleep(0.02)
            ts = await house.ask("delete the repository")
            question = await question_of(house, ts)
            assert name in str(question["blocks"])
            await house.slack.click("ada", general(house), question["ts"], "deny_call")
            await until(house, ts, "denied this")
