"""A pattern under `approval` that looks right asks people, by whichever of a tool's names it was written."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from bot.engine.assistants import problems_of
from bot.engine.ports import Ability, Assistant, ToolCall
from bot.tools.toolbox import CombinedToolbox
from tests.tools.mcp_servers import helper, opened, raw, tool

_LONG = "acme-production-knowledge-base-and-tickets-eu"


async def asked(toolbox: CombinedToolbox, assistant: Assistant) -> list[bool]:
    """Of each of its tools, whether people are asked."""
    return [
        toolbox.needs_approval(assistant, ToolCall("1", spec.name, "{}")) for spec in await toolbox.functions(assistant)
    ]


def mistakes(assistant: Assistant) -> list[str]:
    servers = frozenset(assistant.mcp_servers)
    return list(problems_of(assistant, "responses", frozenset(Ability), frozenset(), servers))


@pytest.mark.parametrize(
    ("server", "pattern", "asks"),
    [
        (_LONG, f"{_LONG}__*", [True, True]),
        (_LONG, f"{_LONG}__repo.delete", [True, False]),
        ("github", "github__repo.delete", [True, False]),
        ("github", "github__repo_delete", [True, False]),
        ("github", "GitHub__Repo.*", [True, False]),
        ("my server", "my server__read", [False, True]),
        ("my server", "my_server__r??d", [False, True]),
        ("github", "*delete*", [True, False]),
    ],
)
async def test_names_that_do_not_fit_a_model_are_asked_about_too(
    tmp_path: Path, server: str, pattern: str, asks: list[bool]
) -> None:
    assistant = helper(server, approval=(pattern,))
    assert mistakes(assistant) == []
    async with opened(raw(tmp_path, server, tools=[tool("repo.delete"), tool("read")])) as toolbox:
        assert await asked(toolbox, assistant) == asks
        assert list(toolbox.astray(assistant)) == []


async def test_a_misspelt_name_asks_about_every_tool_of_its_server_and_is_told(tmp_path: Path) -> None:
    assistant = helper("s", "other", approval=("s__delte",))
    assert mistakes(assistant) == []
    other = raw(tmp_path, "other", tools=[tool("read")])
    async with opened(raw(tmp_path, tools=[tool("delete"), tool("read")]), other) as toolbox:
        with capture_logs() as log:
            assert await asked(toolbox, assistant) == [True, True, False]
            assert await asked(toolbox, assistant) == [True, True, False]
        [line] = toolbox.astray(assistant)
    assert line.startswith(
        "helper.md: approval: the MCP server s has no tool s__delte, so people are asked about every"
    )
    [warning] = [each for each in log if each["event"] == "approval-means-no-tool"]
    assert (warning["file"], warning["pattern"]) == ("helper.md", "s__delte")


async def test_what_a_server_has_not_told_yet_is_asked_about(tmp_path: Path) -> None:
    async with opened(raw(tmp_path, tools=[tool("delete")])) as toolbox:
        kept = ToolCall("1", "s__delete", "{}")
        assert toolbox.needs_approval(helper(approval=("s__Delete",)), kept)
        assert not toolbox.needs_approval(helper(), kept)


@pytest.mark.parametrize("pattern", ["github.delete", "github", "github_delete", "mcp__github__delete", "git__*"])
def test_a_pattern_that_can_mean_no_tool_of_a_server_is_a_mistake_at_the_start(pattern: str) -> None:
    [mistake] = mistakes(helper("github", approval=(pattern,)))
    assert f"approval: {pattern} is no tool of this assistant" in mistake
