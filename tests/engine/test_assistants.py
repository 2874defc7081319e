"""Definitions: what a file may say, how a mistake is named, who answers."""

import contextlib
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bot.backends import ABILITIES
from bot.engine.assistant_files import parse_assistant, read_assistant
from bot.engine.assistants import (
    Assistants,
    check_abilities,
    fitted,
    left_out,
    load_assistants,
    problems_of,
    wanted_by,
    with_tokens,
)
from bot.engine.ports import Ability, Assistant, HostedMcp, Scope, Thread, ThreadKey
from bot.errors import AssistantFileError, CommandError
from bot.tools.mcp_names import offered_name

_GOOD = "---\nname: Tutor\nmodel: gpt-6.1-terra\ntools: [code_interpreter]\n---\nTeach.\n"


def test_a_definition_is_front_matter_and_instructions() -> None:
    assistant = parse_assistant("Math-Tutor", _GOOD, "f.md")
    assert assistant == Assistant(
        "math-tutor", "Tutor", "Teach.", "gpt-6.1-terra", tools=("code_interpreter",), source="f.md"
    )


def test_every_setting_is_read() -> None:
    header = """
name: N
model: m
tools: [file_search, clock]
files: [handbook.md]
mcp_servers: [github]
hosted_mcp: [{label: wiki, url: "https://wiki.example/mcp", allowed_tools: [read], approval: false}]
approval: [clock, "github__*"]
approvers: [U012AB3CD]
temperature: 0.5
top_p: 0.9
reasoning_effort: low
reasoning_summary: true
response_format: {name: answer, schema: {type: object}}
tool_choice: required
max_output_tokens: 500
truncation: disabled
fallback_models: [n, o]
moderation: true
"""
    assistant = parse_assistant("n", f"---{header}---\nHi", "n.md")
    assert assistant.files == (Path("handbook.md"),)
    assert assistant.hosted_mcp == (HostedMcp("wiki", "https://wiki.example/mcp", ("read",), False),)
    assert assistant.response_format == {"name": "answer", "schema": {"type": "object"}}
    assert (assistant.tools, assistant.mcp_servers) == (("file_search", "clock"), ("github",))
    assert (assistant.approval, assistant.approvers) == (("clock", "github__*"), ("U012AB3CD",))
    assert (assistant.temperature, assistant.top_p, assistant.max_output_tokens) == (0.5, 0.9, 500)
    assert (assistant.reasoning_effort, assistant.reasoning_summary, assistant.moderation) == ("low", True, True)
    assert (assistant.tool_choice, assistant.truncation) == ("required", "disabled")
    assert assistant.fallback_models == ("n", "o")
    assert len(set(wanted_by(assistant))) == 13


def test_files_lie_beside_their_assistant(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("---\nname: A\nmodel: m\ntools: [file_search]\nfiles: [b.txt]\n---\nHi")
    with pytest.raises(AssistantFileError, match=r"there is no file .*b\.txt"):
        read_assistant(tmp_path / "a.md")
    (tmp_path / "b.txt").write_text("x")
    assert read_assistant(tmp_path / "a.md").files == ((tmp_path / "b.txt").resolve(),)
    (tmp_path / "a.md").write_text("---\nname: A\nmodel: m\ntools: [file_search]\nfiles: [../../etc/passwd]\n---\nHi")
    with pytest.raises(AssistantFileError, match="outside of the folder"):
        read_assistant(tmp_path / "a.md")
    (tmp_path / "away.txt").symlink_to("/etc/passwd")
    (tmp_path / "a.md").write_text(
        '---\nname: A\nmodel: m\ntools: [file_search]\nfiles: [away.txt, b.txt, c.txt, "d\\0"]\n---\nHi'
    )
    with pytest.raises(AssistantFileError, match=r"away\.txt is outside of the folder") as raised:
        read_assistant(tmp_path / "a.md")
    assert len(raised.value.more) == 2
    assert f"there is no file {tmp_path}/c.txt." in raised.value.more[0]
    assert "cannot be a file" in raised.value.more[1]


def test_a_file_that_is_a_link_is_not_pinned_to_its_target_of_today(tmp_path: Path) -> None:
    """Kubernetes mounts a folder as links into one that it exchanges as a whole."""
    (tmp_path / "..v1").mkdir()
    (tmp_path / "..v1" / "b.txt").write_text("x")
    (tmp_path / "..data").symlink_to("..v1")
    (tmp_path / "b.txt").symlink_to("..data/b.txt")
    (tmp_path / "a.md").write_text("---\nname: A\nmodel: m\ntools: [file_search]\nfiles: [b.txt]\n---\nHi")
    assert read_assistant(tmp_path / "a.md").files == (tmp_path.resolve() / "b.txt",)


def test_hidden_files_define_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text(_GOOD)
    (tmp_path / "._a.md").write_bytes(b"\x00\x05\xff")
    assert [assistant.key for assistant in load_assistants(tmp_path, None).all()] == ["a"]


@pytest.mark.parametrize("value", ["2024-01-01", ".nan", "!!binary aGk=", "!!set {a, b}", "&s [*s]"])
def test_a_schema_that_is_not_json_is_refused_before_any_run(value: str) -> None:
    header = f"name: x\nmodel: m\nresponse_format: {{name: a, schema: {{default: {value}}}}}"
    with pytest.raises(AssistantFileError, match=r"f\.md, line 4: response_format\.schema: it is not JSON"):
        parse_assistant("f", f"---\n{header}\n---\nHi", "f.md")


def test_two_files_of_one_key_are_refused(tmp_path: Path) -> None:
    for name in ("A.md", "a.md"):
        (tmp_path / name).write_text(_GOOD)
    with pytest.raises(AssistantFileError, match=r"a\.md: its key is that of .*A\.md too"):
        load_assistants(tmp_path, None)


_WANTS = Assistant("w", "W", "x", "m", tools=("web_search", "clok"), mcp_servers=("githab",), source="w.md")


def test_what_cannot_be_had_is_told_with_the_nearest_name() -> None:
    can = frozenset({Ability.FUNCTIONS})
    problems = list(problems_of(_WANTS, "local", can, frozenset({"clock"}), frozenset({"github"})))
    assert problems == [
        "w.md: web_search cannot be used with BOBBIN_BACKEND=local; take it out, or choose another backend "
        "(docs/backends.md).",
        "w.md: tools: there is no tool clok. Did you mean clock?",
        "w.md: mcp_servers: there is no server githab. Did you mean github?",
    ]


_YAML = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=5,
)
_NAMES = st.sampled_from(sorted({"name", "model", "tools", "files", "hosted_mcp", "response_format", "icon", "colour"}))


@given(st.dictionaries(_NAMES, _YAML, max_size=6))
def test_no_header_raises_anything_else(header: dict[str, Any]) -> None:
    text = f"---\n{yaml.safe_dump(header)}---\nHi"
    with contextlib.suppress(AssistantFileError):
        parse_assistant("f", text, "f.md")


@given(
    st.text(max_size=80)
    | st.sampled_from(["!!set {name, model}", "!!pairs [a: b]", "? [a]\n: b", "<<: 7", "&a [*a]"])
    | st.builds(
        "name: x\nmodel: !!{} {}".format,
        st.sampled_from(["int", "float", "bool", "null", "timestamp", "binary", "omap", "set", "seq", "map", "str"]),
        st.sampled_from(['""', "maybe", "0b_", "2024-13-45", ".nan", "[a]", "{a: b}", "é"]),
    )
)
def test_no_text_raises_anything_else(text: str) -> None:
    with contextlib.suppress(AssistantFileError):
        parse_assistant("f", f"---\n{text}\n---\nHi", "f.md")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "f.md, line 1: "),
        ("name: x", "f.md, line 1: "),
        ("---\nname: x\n", "f.md, line 2: the settings are not closed"),
        ("---\nname: x\n---\nHi", "f.md, line 2: model: it is missing."),
        ("---\nname: x\nmodel: m\ncolour: red\n---\nHi", "f.md, line 4: colour: "),
        ("---\nname: x\nmodel: m\ntemperature: hot\n---\nHi", "f.md, line 4: temperature: "),
        ("---\nname: x\nmodel: m\ntools:\n  - code_interpreter\n  - 7\n---\nHi", "f.md, line 6: tools.2: "),
        ("---\nname: x\nmodel: m\nname: y\n---\nHi", "f.md, line 4: name: is given a second time"),
        ("---\nname: x\nmodel: m\nicon: books\n---\nHi", "f.md, line 4: icon: it is an emoji's name"),
        ("---\nname: x\nmodel: m\nfiles: [a.txt]\n---\nHi", "f.md, line 4: files: they need file_search"),
        ("---\nname: x\nmodel: m\ntools:\n- a\n- b\n- a\n---\nHi", "f.md, line 7: tools.3: a is listed a second time."),
        (
            "---\nname: x\nmodel: m\nhosted_mcp:\n- {label: a, url: 'http://b'}\n- {label: a, url: 'http://c'}\n---\nHi",
            "f.md, line 6: hosted_mcp.2.label: a is another server's label too.",
        ),
        (
            "---\nname: x\nmodel: m\ntools: [clock]\ntool_choice: clok\n---\nHi",
            "f.md, line 5: tool_choice: clok is none of its tools (clock), nor auto, none, required.",
        ),
        (
            "---\nname: x\nmodel: m\ntool_choice: wiki\nhosted_mcp: [{label: wiki, url: 'http://b'}]\n---\nHi",
            "f.md, line 4: tool_choice: wiki is none of its tools (none), nor auto",
        ),
        (
            "---\nname: x\nmodel: m\ntool_choice: github__x\nmcp_servers: [tracker]\n---\nHi",
            "f.md, line 4: tool_choice: github__x is none of its tools (tracker__…), nor auto",
        ),
        (
            "---\nname: x\nmodel: m\noptional_tools: [web_search]\n---\nHi",
            "f.md, line 4: optional_tools.1: web_search is not among the tools.",
        ),
        (
            "---\nname: x\nmodel: m\ntools: [clock]\noptional_tools: [clock]\n---\nHi",
            "f.md, line 5: optional_tools.1: clock is there wherever Bobbin is",
        ),
        (
            "---\nname: x\nmodel: m\ntool_choice: web_search\ntools: [web_search]\noptional_tools: [web_search]\n---\n",
            "f.md, line 4: tool_choice: web_search may be missing (optional_tools)",
        ),
        ("---\nname: x\nmodel: m\napprovers: [ada]\n---\nHi", "f.md, line 4: approvers.1: they are ids of Slack users"),
        ("---\nname: x\nmodel: m\nresponse_format: xml\n---\nHi", "f.md, line 4: response_format: it is text, json_"),
        ("---\nname: x\nmodel: m\nhosted_mcp:\n  - label: a\n    url: x\n---\nHi", "f.md, line 6: hosted_mcp.1.url: "),
        ("---\nname: x\nmodel: m\ntop_p: 2\n---\nHi", "f.md, line 4: top_p: "),
        ("---\nname: x\nmodel: m\nreasoning_effort: huge\n---\nHi", "f.md, line 4: reasoning_effort: "),
        ("---\nname: x\nmodel: m\nmax_output_tokens: 1\n---\nHi", "f.md, line 4: max_output_tokens: "),
        ("---\nname: x\nmodel: m\ntruncation: some\n---\nHi", "f.md, line 4: truncation: "),
        ("---\nname: x\nmodel: m\nmoderation: perhaps\n---\nHi", "f.md, line 4: moderation: "),
        ("---\nname: x\nmodel: m\nfallback_models: n\n---\nHi", "f.md, line 4: fallback_models: "),
        ('---\nname: x\nmodel: m\n"two\\nlines": 1\n---\nHi', "f.md, line 4: two lines: it is no setting"),
        ("---\nname: x\nmodel: m\n7: 1\n---\nHi", "f.md, line "),
        (
            "---\nname: x\nmodel: m\nicon: :books:\n---\nHi",
            "f.md, line 4: mapping values are not allowed here; a text with a colon in it goes in quotes, such as "
            '":books:".',
        ),
        ("---\nname: @x\nmodel: m\n---\nHi", "f.md, line 2: found character '@' that cannot start any token; a text "),
        (
            "---\nname: *x*\nmodel: m\n---\nHi",
            "f.md, line 2: expected alphabetic or numeric character, but found '*'; a text",
        ),
        (
            "---\nname: x\n\tmodel: m\n---\nHi",
            "f.md, line 3: found character '\\t' that cannot start any token; indent",
        ),
        (
            "---\nname: x\nmodel: m\nicon: books\n---\nHi",
            "f.md, line 4: icon: it is an emoji's name between colons, in",
        ),
        ("---\nname: x\nmodel: m\ntemperatur: 1\n---\nHi", "f.md, line 4: temperatur: it is no setting; did you mean "),
        (
            "---\nname: x\nmodel: m\na.b: 1\n---\nHi",
            "f.md, line 4: a.b: it is no setting (docs/assistants.md has them).",
        ),
        ("---\nname: x\nmodel: m\ninstructions: Hi\n---\nHi", "f.md, line 4: instructions: it is no setting; the inst"),
        (
            "---\nname: x\nmodel: m\nsuggested_prompts: [hello]\n---\nHi",
            "f.md, line 4: suggested_prompts.1: it is a list of at most four; each has a title and a message.",
        ),
        (
            "---\nname: x\nmodel: m\nsuggested_prompts: [{title: a, message: b, messge: c}]\n---\nHi",
            "f.md, line 4: suggested_prompts.1.messge: it is no setting; did you mean message?",
        ),
        (
            "---\nname: x\nmodel: m\nhosted_mcp: [{label: 1x, url: 'https://x'}]\n---\nHi",
            "f.md, line 4: hosted_mcp.1.label: it begins with a letter, and has letters, digits",
        ),
        (
            "---\nname: x\nmodel: m\nhosted_mcp: [{label: x, url: 'ftp://x'}]\n---\nHi",
            "f.md, line 4: hosted_mcp.1.url: it is a URL such as https://wiki.example.org/mcp.",
        ),
        (
            "---\nname: x\nmodel: m\nhosted_mcp: [{label: x, url: 'https://x', authorization: abc}]\n---\nHi",
            "f.md, line 4: hosted_mcp.1.authorization: it is ${NAME}, the name of a token",
        ),
        (
            "---\nname: x\nmodel: m\nresponse_format: {name: a, schema: {}, stict: true}\n---\nHi",
            "f.md, line 4: response_format.stict: it is no setting; did you mean strict?",
        ),
        (
            "---\nname: x\nmodel: m\nresponse_format:\n  name: a b\n  schema: {}\n---\nHi",
            "f.md, line 5: response_format.name: it has letters, digits, _ and -",
        ),
        (
            "---\nname: x\nmodel: m\nresponse_format: {name: a}\n---\nHi",
            "f.md, line 4: response_format.schema: it is mis",
        ),
        ("---\n!!set {name, model}\n---\nHi", "f.md, line 2: expected settings"),
        ("---\nname: x\nmodel: m\n---\n" + "x" * 256_001, "f.md: the instructions have 256,001 characters"),
        ("---\nname: x\nmodel: m\nmoderation: !!bool maybe\n---\nHi", "f.md: a value is not what its YAML tag"),
        ("---\nname: x\nmodel: m\nmax_output_tokens: !!int ''\n---\nHi", "f.md: a value is not what its YAML tag"),
        ("---\nname: x\nmodel: m\nicon: !!timestamp soon\n---\nHi", "f.md: a value is not what its YAML tag"),
        ("---\nname: ' '\nmodel: m\n---\nHi", "f.md, line 2: name: it has to be one line"),
        ('---\nname: x\nmodel: m\ntools: ["a\\nb"]\n---\nHi', "f.md, line 4: tools.1: it has to be one line"),
        ("---\nname: x\nmodel: [m\n---\nHi", "f.md, line "),
        ("---\n- name\n---\nHi", "f.md, line 2: expected settings"),
        ("---\nname: x\nmodel: m\n---\n \n", "f.md, line 4: the instructions"),
        ("---\nname: !!python/object:os.system x\nmodel: m\n---\nHi", "f.md"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(AssistantFileError) as raised:
        parse_assistant("f", text, "f.md")
    assert raised.value.sentence.startswith(complaint)
    assert "\n" not in raised.value.sentence


@pytest.mark.parametrize("choice", ["auto", "none", "required", "clock", "file_search", "github__search"])
def test_what_can_be_chosen_is_not_refused(choice: str) -> None:
    header = f"name: x\nmodel: m\ntools: [clock, file_search]\nmcp_servers: [github]\ntool_choice: {choice}"
    assert parse_assistant("f", f"---\n{header}\n---\nHi", "f.md").tool_choice == choice


@given(st.text(string.ascii_letters + "_-. é", min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_whatever_a_server_calls_its_tool_can_be_chosen(server: str, tool: str) -> None:
    server = f"s{server}s"
    settings = {"name": "x", "model": "m", "mcp_servers": [server], "tool_choice": offered_name(server, tool)}
    assistant = parse_assistant("f", f"---\n{yaml.safe_dump(settings)}---\nHi", "f.md")
    assert assistant.tool_choice == settings["tool_choice"]


def test_what_does_not_go_together_is_told_all_at_once() -> None:
    header = "name: x\nmodel: m\ntool_choice: c\ntools: [a, a]\nfiles: [f.txt]"
    with pytest.raises(AssistantFileError) as raised:
        parse_assistant("f", f"---\n{header}\n---\n", "f.md")
    told = [raised.value.sentence, *raised.value.more]
    assert [each.split(":")[0] for each in told] == ["f.md, line 4", "f.md, line 5", "f.md, line 6", "f.md, line 7"]


def test_the_assistants_that_ship_are_good() -> None:
    assistants = load_assistants(Path("assistants"), None)
    tutor = assistants.get("math-tutor")
    assert tutor.tools == tutor.optional_tools == ("code_interpreter",)
    assert tutor.instructions.startswith("You are a personal math tutor.")
    assert assistants.default.key == "general"
    assert len(assistants.all()) == 3


@pytest.mark.parametrize("backend", sorted(ABILITIES))
def test_the_assistants_that_ship_start_with_every_backend(backend: str) -> None:
    can = ABILITIES[backend]
    assistants = load_assistants(Path("assistants"), None)
    check_abilities(assistants, backend, can, frozenset(), frozenset())
    missing = left_out(assistants.get("math-tutor"), can)
    assert missing == (("code_interpreter",) if backend == "local" else ())
    fitting = assistants.fitted(can)
    assert fitting.default.key == assistants.default.key
    assert set(fitting.get("math-tutor").tools) == {"code_interpreter"} - set(missing)


def test_what_is_not_optional_is_refused_still() -> None:
    assistant = Assistant(
        "w", "W", "x", "m", tools=("web_search", "file_search"), optional_tools=("file_search",), files=(Path("a"),)
    )
    [problem] = problems_of(assistant, "local", frozenset(), frozenset(), frozenset())
    assert problem.startswith("w: web_search cannot be used with BOBBIN_BACKEND=local")
    fitting = fitted(assistant, frozenset())
    assert (fitting.tools, fitting.files) == (("web_search",), ())


def test_an_unreadable_file_a_missing_folder_and_an_unknown_default_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AssistantFileError, match="there is no folder"):
        load_assistants(tmp_path / "absent", None)
    with pytest.raises(AssistantFileError, match=r"holds no \*\.md"):
        load_assistants(tmp_path, None)
    (tmp_path / "a.md").write_text(_GOOD)
    with pytest.raises(AssistantFileError, match="BOBBIN_DEFAULT_ASSISTANT: There is no assistant `b`"):
        load_assistants(tmp_path, "b")
    (tmp_path / "a.md").write_bytes(b"\xff\xfe")
    with pytest.raises(AssistantFileError, match=r"a\.md, line 1: is not UTF-8"):
        load_assistants(tmp_path, None)


def test_an_unknown_key_names_the_nearest() -> None:
    assistants = Assistants(
        [Assistant("math-tutor", "Math", "x", "m"), Assistant("editor", "Writer", "x", "m")], "editor"
    )
    with pytest.raises(CommandError, match="Did you mean `math-tutor`"):
        assistants.get("math-tutro")
    with pytest.raises(CommandError, match="There are: `math-tutor`, `editor`"):
        assistants.get("zzzzzz")
    assert assistants.get("Math-Tutor").key == "math-tutor"


def test_the_nearest_choice_answers() -> None:
    assistants = Assistants([Assistant(key, key, "x", "m") for key in ("a", "b", "c", "d", "e")], "e")
    thread = Thread(ThreadKey("T", "C", "1"), assistant="a")
    choices = {Scope.PERSON: "b", Scope.CHANNEL: "c", Scope.WORKSPACE: "d"}
    assert assistants.who_answers(thread, choices).key == "a"
    for scope, left in [(Scope.PERSON, "b"), (Scope.CHANNEL, "c"), (Scope.WORKSPACE, "d")]:
        assert assistants.who_answers(None, choices).key == left
        del choices[scope]
    assert assistants.who_answers(None, choices).key == "e"


def test_a_choice_whose_file_is_gone_is_passed_over() -> None:
    assistants = Assistants([Assistant("a", "a", "x", "m")], "a")
    assert assistants.who_answers(None, {Scope.CHANNEL: "gone"}).key == "a"


@pytest.mark.parametrize("pattern", ["delete-page", "Delete_Page", "code_interpreter", "wiki", "other__*"])
def test_an_approval_that_would_ask_nobody_is_a_mistake(pattern: str) -> None:
    assistant = Assistant(
        "a", "A", "Hi", "m", tools=("code_interpreter", "delete_page"), mcp_servers=("github",), approval=(pattern,)
    )
    known = frozenset({"delete_page"})
    problems = list(problems_of(assistant, "responses", frozenset(Ability), known, frozenset({"github"})))
    assert len(problems) == 1
    assert f"approval: {pattern} is no tool of this assistant" in problems[0]


@pytest.mark.parametrize("pattern", ["delete_page", "delete_*", "*", "github__*", "github__merge_[ap]*", "git*"])
def test_an_approval_that_may_ask_is_none(pattern: str) -> None:
    assistant = Assistant("a", "A", "Hi", "m", tools=("delete_page",), mcp_servers=("github",), approval=(pattern,))
    known = frozenset({"delete_page"})
    assert not list(problems_of(assistant, "responses", frozenset(Ability), known, frozenset({"github"})))


def test_a_hosted_servers_token_comes_from_the_environment() -> None:
    server = "{label: wiki, url: https://w.example/mcp, authorization: '${WIKI}'}"
    text = f"---\nname: W\nmodel: m\nhosted_mcp: [{server}]\n---\nHi"
    assistants = Assistants([parse_assistant("w", text, "w.md")], "w")
    with pytest.raises(AssistantFileError, match=r"w\.md: hosted_mcp: WIKI is not set"):
        with_tokens(assistants, {})
    [hosted] = with_tokens(assistants, {"WIKI": "secret"}).default.hosted_mcp
    assert hosted.authorization == "secret"
    assert "secret" not in repr(hosted)
    with pytest.raises(AssistantFileError, match="authorization"):
        parse_assistant("w", text.replace("${WIKI}", "the-token-itself"), "w.md")
