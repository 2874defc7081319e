"""`bobbin assistants`: list, check, import. (`try` is in test_trial.py.)"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.shared import chat_model

from bot import cli
from bot.engine.assistant_files import parse_assistant
from bot.old_assistants import Import, imported
from bot.old_objects import assistants_in
from bot.retired_models import retirement

_OLD = {
    "id": "asst_1",
    "object": "assistant",
    "name": "Math Tutor ✨",
    "description": "Helps: with maths",
    "model": "gpt-4",
    "instructions": "You are a tutor.\n---\nBe kind.",
    "tools": [{"type": "code_interpreter"}, {"type": "function", "function": {"name": "get_weather"}}],
    "tool_resources": {"code_interpreter": {"file_ids": ["file-1"]}},
    "metadata": {"team": "x"},
    "temperature": 0.3,
    "top_p": 1.0,
    "response_format": "auto",
}


#: When some of the old models have ended, and some have not.
_TODAY = date(2026, 11, 30)


def import_of(objects: Sequence[Mapping[str, Any]]) -> Import:
    return imported(objects, _TODAY)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """Run `bobbin …` in an empty folder; gives its exit code and what it printed."""
    assistants = Path("assistants").absolute()
    monkeypatch.chdir(tmp_path)

    def run(*words: str, **settings: str) -> tuple[int, str, str]:
        for name, value in {"BOBBIN_ASSISTANTS": str(assistants), **settings}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "argv", ["bobbin", "assistants", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_all_are_listed_with_a_star_at_the_default(run: Any) -> None:
    code, out, _ = run("list")
    assert code == 0
    assert "*  general" in out
    assert "code_interpreter" in next(line for line in out.splitlines() if "math-tutor" in line)


def test_where_there_is_no_folder_those_that_ship_are_used_and_never_written_to(run: Any, tmp_path: Path) -> None:
    unset = {"BOBBIN_ASSISTANTS": ""}
    code, out, _ = run("list", **unset)
    assert (code, "*  general" in out) == (0, True)
    (tmp_path / "old.json").write_text(json.dumps(_OLD))
    assert run("import", "old.json", **unset)[1].startswith("assistants/math-tutor.md\n")
    assert [path.name for path in (tmp_path / "assistants").iterdir()] == ["math-tutor.md"]
    code, out, _ = run("list", **unset)
    assert (code, "general" in out) == (0, False)


def test_every_mistake_of_every_file_is_told(run: Any, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "a.md").write_text("---\nname: A\nmodel: m\n---\nHi\n")
    (folder / "b.md").write_text("---\nname: B\nmodel: m\ncolour: red\n---\nHi\n")
    (folder / "c.md").write_text("---\nname: C\nmodel: m\ntools: [web_search, clok]\n---\nHi\n")
    code, out, _ = run("check", "mine", BOBBIN_BACKEND="assistants", BOBBIN_TOOLS="bot.tools.examples")
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == "ok      mine/a.md"
    assert "mine/b.md, line 4: colour" in lines[1]
    assert "web_search cannot be used with BOBBIN_BACKEND=assistants" in out
    assert "there is no tool clok. Did you mean clock?" in out


def test_all_mistakes_of_one_file_are_told_in_its_order(run: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.md").write_text("---\nname: A\ntemperature: 9\nicon: books\nresponse_format: xml\n---\n")
    code, out, err = run("check", "mine")
    assert (code, err) == (1, "")
    assert [line.split(": ")[0:2] for line in out.splitlines()] == [
        ["not ok  mine/a.md, line 2", "model"],
        ["not ok  mine/a.md, line 3", "temperature"],
        ["not ok  mine/a.md, line 4", "icon"],
        ["not ok  mine/a.md, line 5", "response_format"],
        ["not ok  mine/a.md, line 6", "the instructions below the second --- are empty."],
    ]


def test_a_key_twice_and_a_default_that_is_not_there_are_told(run: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("A.md", "a.md"):
        (tmp_path / "mine" / name).write_text("---\nname: A\nmodel: m\n---\nHi\n")
    settings = {"BOBBIN_ASSISTANTS": "mine", "BOBBIN_DEFAULT_ASSISTANT": "b"}
    code, out, _ = run("check", **settings)
    assert (code, out.splitlines()) == (
        1,
        [
            "ok      mine/A.md",
            "not ok  mine/a.md: its key is that of mine/A.md too; rename one of them.",
            "not ok  BOBBIN_DEFAULT_ASSISTANT: there is no file b.md in mine.",
        ],
    )
    code, _, err = run("list", **settings)
    assert (code, err) == (2, "bobbin: mine/a.md: its key is that of mine/A.md too; rename one of them.\n")


def test_servers_are_known_without_a_connection(run: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.md").write_text("---\nname: A\nmodel: m\nmcp_servers: [trakcer]\n---\nHi\n")
    (tmp_path / "mcp.json").write_text('{"mcpServers": {"tracker": {"url": "http://127.0.0.1:9/mcp"}}}')
    code, out, _ = run("check", "mine", BOBBIN_MCP="mcp.json")
    assert (code, out) == (
        1,
        "not ok  mine/a.md: mcp_servers: there is no server trakcer. Did you mean tracker?\n",
    )


def test_a_token_that_is_not_set_is_told_and_no_mistake(run: Any, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    servers = "".join(
        f"  - {{label: {label}, url: https://wiki.example/mcp, authorization: '${{{name}}}'}}\n"
        for label, name in (("a", "NOPE_TOKEN"), ("b", "NOPE_TOKEN"), ("c", "THERE"))
    )
    (tmp_path / "mine" / "a.md").write_text(f"---\nname: A\nmodel: m\nhosted_mcp:\n{servers}---\nHi\n")
    assert run("check", "mine", THERE="x") == (0, "ok      mine/a.md (NOPE_TOKEN is not set here)\n", "")


def test_a_folder_without_files_is_one_line(run: Any) -> None:
    code, out, err = run("check", "nowhere")
    assert (code, out, err) == (2, "", "bobbin: nowhere holds no *.md definition.\n")


@pytest.mark.parametrize("backend", ["agents", "assistants", "local", "responses"])
def test_those_that_ship_are_well_with_every_backend(run: Any, backend: str) -> None:
    code, out, _ = run("check", BOBBIN_BACKEND=backend)
    assert code == 0
    [tutor] = [line for line in out.splitlines() if "math-tutor" in line]
    told = "(without code_interpreter, which BOBBIN_BACKEND=local cannot carry)"
    assert tutor.endswith(told if backend == "local" else "math-tutor.md")


def test_an_old_assistant_becomes_a_file_with_a_report(run: Any, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps({"object": "list", "data": [_OLD, _OLD | {"id": "asst_2"}]}))
    code, out, _ = run("import", "old.json", "--into", "new")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["math-tutor-2.md", "math-tutor.md"]
    for loss in (
        "model gpt-4 (at OpenAI until 2026-10-23): gpt-6.1-terra",
        "function get_weather",
        "code_interpreter: its files",
        "metadata",
        "temperature 0.3 is left out, because gpt-6.1-terra may refuse it",
    ):
        assert loss in out
    assistant = parse_assistant("x", (tmp_path / "new" / "math-tutor.md").read_text(), "x")
    assert (assistant.name, assistant.temperature, assistant.top_p) == ("Math Tutor ✨", None, None)
    assert assistant.instructions == "You are a tutor.\n---\nBe kind."
    assert run("check", "new")[0] == 0
    code, _, err = run("import", "old.json", "--into", "new")
    assert code == 2
    assert "is there already" in err
    assert run("import", "old.json", "--into", "new", "--force")[0] == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "holds no assistant"),
        ('[{"x": 1}]', "entry 1 is no assistant"),
        ("7", "no assistant"),
        ('{"model": "m", "object": "thread"}', "entry 1 is no assistant; its `object` is something else"),
        ('[{"model": " "}]', "entry 1 is no assistant; an assistant has a model"),
        (
            '{"error": {"message": "Gone\\nfor good."}}',
            "entry 1 is no assistant, but what a server answered in its place: Gone",
        ),
        ('{"error": "Not found"}', "what a server answered in its place: Not found."),
        ("", "holds no assistant"),
        ('{"model": "m"}, {"model": "m"}', "is not JSON"),
    ],
)
def test_what_is_no_assistant_is_one_line(run: Any, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "old.json").write_text(content)
    code, out, err = run("import", "old.json")
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = ("name", "description", "instructions", "tools", "tool_resources", "metadata", "temperature", "top_p",
           "response_format", "reasoning_effort")  # fmt: skip


_OBJECTS = st.dictionaries(st.sampled_from(_FIELDS), _JSON)


@given(_OBJECTS, st.text(min_size=1, max_size=30))
def test_whatever_an_object_holds_its_file_can_be_read(fields: dict[str, Any], more: str) -> None:
    text = json.dumps([fields | {"model": f"m{more}", "instructions": fields.get("instructions")}])
    (made,) = import_of(assistants_in(text, "old.json").objects).made
    assert re.fullmatch(r"[a-z0-9-]{1,60}", made.key)
    assert not any("\n" in loss for loss in made.losses)
    assistant = parse_assistant(made.key, made.text, made.key)
    # What is not in the file is in the report.
    for name in ("temperature", "top_p", "reasoning_effort"):
        lost = any(loss.startswith(name) for loss in made.losses)
        value = fields.get(name)
        usual = name != "reasoning_effort" and type(value) is float and value == 1
        kept = getattr(assistant, name) is not None or value is None or usual
        assert lost is not kept


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from("\n\t"), min_size=1))
def test_instructions_come_over_to_the_letter(instructions: str) -> None:
    (made,) = import_of([{"model": "m", "instructions": f"Say: {instructions}."}]).made
    assert parse_assistant("x", made.text, "x").instructions == f"Say: {instructions}."
    assert not made.losses


_SCHEMA: dict[str, Any] = {
    "type": "json_schema",
    "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": True},
}


@pytest.mark.parametrize(
    ("fields", "report"),
    [
        ({"response_format": {"type": "text"}, "tool_resources": {"code_interpreter": {"file_ids": []}}}, []),
        ({"response_format": "auto", "metadata": {}, "tools": [], "temperature": 1.0, "top_p": 1}, []),
        ({"response_format": {"type": "json_object"}}, []),
        ({"response_format": _SCHEMA}, []),
        (
            {"response_format": _SCHEMA | {"json_schema": {**_SCHEMA["json_schema"], "strict": "yes", "x": 1}}},
            ["response_format: strict, x of its schema is not kept"],
        ),
        ({"response_format": {"type": "grammar"}}, ["response_format cannot be written here"]),
        ({"temperature": 7}, ["temperature is nothing that can be used"]),
        ({"reasoning_effort": "huge"}, ["reasoning_effort is nothing that can be used"]),
        ({"voice": "alto"}, ["voice is not known here"]),
        ({"tools": [{"type": "browser"}]}, ["tool browser is not known here"]),
        ({"tools": [{"type": "function"}]}, ["function without a name: write it in Python"]),
        (
            {"tools": [{"type": "file_search", "file_search": {"max_num_results": 3}}]},
            ["file_search: its options (max_num_results) are not kept"],
        ),
        ({"tools": [{"type": "retrieval"}], "file_ids": ["file-1"]}, ["files (file-1) stayed at OpenAI"]),
        (
            {"tool_resources": {"file_search": {"vector_store_ids": ["vs_1"]}, "code_interpreter": {"file_ids": [7]}}},
            ["code_interpreter: its files (?) stayed", "file_search: its vector stores (vs_1) stayed"],
        ),
        ({"instructions": " "}, ["it had no instructions"]),
        ({"name": "n" * 256, "description": "d" * 512}, []),
        (
            {"name": "n" * 257, "description": "d" * 600},
            ["name: only its first 256 characters are kept, of 257", "description: only its first 512 characters"],
        ),
        ({"name": 7, "description": []}, ["name is nothing that can be used", "description is nothing that can"]),
        (
            {"tools": ["code_interpreter", {"type": "code_interpreter"}, None]},
            ["tools: entry 1 is no tool", "tools: entry 3 is no tool"],
        ),
        ({"tools": {"type": "code_interpreter"}}, ["tools is nothing that can be used"]),
        ({"tool_resources": "file-1"}, ["tool_resources is nothing that can be used"]),
    ],
)
def test_the_report_has_all_that_is_lost_and_nothing_else(fields: dict[str, Any], report: list[str]) -> None:
    (made,) = import_of([{"model": "m", "instructions": "x", **fields}]).made
    assert len(made.losses) == len(report), made.losses
    for loss, beginning in zip(made.losses, report, strict=True):
        assert loss.startswith(beginning)


@pytest.mark.parametrize(
    ("model", "successor"),
    [
        ("gpt-4o-2024-05-13", "gpt-6-luna"),
        ("gpt-4.1-nano", "gpt-6-luna"),
        ("gpt-4-0613", "gpt-6.1-terra"),
        ("o3-mini", "gpt-6.1-terra"),
        ("o1", "gpt-6.2-sol"),
        ("gpt-5.4", "gpt-5.4"),
        ("gpt-5.2", "gpt-5.2"),
        ("gpt-6-luna", "gpt-6-luna"),
        ("o1-pro-2025-06-10", "gpt-6.2-sol"),
        ("ft:gpt-4o-mini-2024-07-18:acme::1", "ft:gpt-4o-mini-2024-07-18:acme::1"),
        ("my-own", "my-own"),
    ],
)
def test_models_that_have_ended_are_replaced_and_others_kept(model: str, successor: str) -> None:
    (made,) = import_of([{"model": model, "instructions": "x"}]).made
    assert parse_assistant("x", made.text, "x").model == successor
    assert bool(made.losses) == (model != successor)
    assert not made.notes


@pytest.mark.parametrize(
    ("model", "until", "successor"),
    [
        ("gpt-4o", "2027-01-14", "gpt-6-luna"),
        ("gpt-4.1-mini-2025-04-14", "2027-01-14", "gpt-6-luna"),
        ("o3", "2026-12-11", "gpt-6.2-sol"),
        ("gpt-5-codex", "2026-12-11 at the latest", "gpt-6.1-terra"),
        ("gpt-4o-2025-01-01", "2027-01-14 at the latest", "gpt-6-luna"),
    ],
)
def test_a_model_that_still_answers_is_kept_and_its_end_told(model: str, until: str, successor: str) -> None:
    (made,) = import_of([{"model": model, "instructions": "x"}]).made
    assert (parse_assistant("x", made.text, "x").model, made.losses) == (model, ())
    assert made.notes == (
        f"model {model} is at OpenAI until {until}; with fallback_models: [{successor}] that one answers from then on",
    )


def test_a_model_ends_on_its_day() -> None:
    old = [{"model": "gpt-4o", "instructions": "x", "temperature": 0.2}]
    for today, model, temperature in ((date(2027, 1, 13), "gpt-4o", 0.2), (date(2027, 1, 14), "gpt-6-luna", None)):
        (made,) = imported(old, today).made
        assistant = parse_assistant("x", made.text, "x")
        assert (assistant.model, assistant.temperature) == (model, temperature)


def test_what_only_its_model_lost_says_until_when() -> None:
    (made,) = import_of([{"model": "gpt-4.1-nano", "instructions": "x"}]).made
    assert made.losses == ("model gpt-4.1-nano (at OpenAI until 2026-10-23): gpt-6-luna stands in its place",)


@pytest.mark.parametrize(
    ("model", "kept"),
    [("my-own", True), ("gpt-oss:20b", True), ("o200k", True), ("gpt-4o-team", True), ("gpt-4o", True),
     ("gpt-4", False), ("gpt-5.4", False), ("gpt-6-luna", False), ("gpt-6", False), ("o3-pro", False), ("o9", False)],
)  # fmt: skip
def test_a_number_that_a_reasoning_model_may_refuse_is_left_out_and_told(model: str, kept: bool) -> None:
    (made,) = import_of([{"model": model, "instructions": "x", "temperature": 0.2, "top_p": 0.9}]).made
    assistant = parse_assistant("x", made.text, "x")
    assert (assistant.temperature, assistant.top_p) == ((0.2, 0.9) if kept else (None, None))
    told = [loss.split(" is left out")[0] for loss in made.losses if "is left out" in loss]
    assert told == ([] if kept else ["temperature 0.2", "top_p 0.9"])
    (made,) = import_of([{"model": model, "instructions": "x", "temperature": 1, "top_p": 1.0}]).made
    assert not any("is left out" in loss for loss in made.losses)


@pytest.mark.parametrize("model", ["gpt-4-prod-deployment", "gpt-4-my-finetune", "o3-team", "gpt-4o-1", "gpt-5-ours"])
def test_a_model_of_ones_own_that_begins_like_a_retired_one_is_kept(model: str) -> None:
    (made,) = import_of([{"model": model, "instructions": "x"}]).made
    assert (parse_assistant("x", made.text, "x").model, made.losses) == (model, ())


@pytest.mark.parametrize(
    ("model", "until"),
    [
        ("gpt-5.2-chat-latest", "2026-08-10"),
        ("gpt-5.3-chat-latest", "2026-08-10"),
        ("codex-mini-latest", "2026-02-12"),
        ("gpt-5-chat-latest", "2026-07-23"),
        ("gpt-5.1-chat-latest", "2026-07-23"),
        ("gpt-5.1-codex", "2026-07-23"),
        ("o1-mini", "2025-10-27"),
        ("o1-preview-2024-09-12", "2025-07-28"),
        ("gpt-4-32k", "2025-06-06"),
        ("gpt-4-1106-vision-preview", "2026-10-23 at the latest"),
    ],
)
def test_a_model_ends_on_its_own_day_and_not_on_its_familys(model: str, until: str) -> None:
    (made,) = import_of([{"model": model, "instructions": "x"}]).made
    assert len(made.losses) == 1
    assert made.losses[0].startswith(f"model {model} (at OpenAI until {until}): ")


def test_every_day_that_the_sdk_knows_is_known() -> None:
    """Its types say until when each model is there, in a text below them."""
    described = Path(chat_model.__file__).read_text(encoding="utf-8").partition("Deprecated values:")[2]
    days = 0
    for entry in described.split("\n- "):
        day = re.search(r"shutdown\s+date:\s+(\d{4}-\d{2}-\d{2})", entry)
        for model in re.findall(r'"([^"]+)"', entry) if day else ():
            days += 1
            known = retirement(model)
            assert known is not None, model
            assert (known.ends, known.of_family) == (day and day[1], False), model
    assert days > 50


def test_a_tool_under_two_names_is_written_once() -> None:
    (made,) = import_of(
        [{"model": "m", "instructions": "x", "tools": [{"type": "retrieval"}, {"type": "file_search"}]}]
    ).made
    assert parse_assistant("x", made.text, "x").tools == ("file_search",)


def test_a_schema_nested_beyond_all_bounds_is_reported() -> None:
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"items": deep}
    answer = {"type": "json_schema", "json_schema": {"name": "n", "schema": deep}}
    (made,) = import_of([{"model": "m", "instructions": "x", "response_format": answer}]).made
    parse_assistant("x", made.text, "x")
    assert made.losses == ("response_format cannot be written here",)


def test_a_strict_schema_comes_over_whole() -> None:
    schema = {"name": "n", "description": "d", "schema": {"type": "object"}, "strict": True}
    old = {"model": "m", "instructions": "x", "response_format": {"type": "json_schema", "json_schema": schema}}
    (made,) = import_of([old]).made
    assert (parse_assistant("x", made.text, "x").response_format, made.losses) == (schema, ())


_LIST = {"object": "list", "first_id": "asst_1", "last_id": "asst_1", "has_more": False}


@pytest.mark.parametrize(
    "form",
    [
        lambda a, b: f"{json.dumps(a)}\n{json.dumps(b)}\n",
        lambda a, b: f"{json.dumps(a, indent=2)}\r\n\r\n{json.dumps(b, indent=2)}",
        lambda a, b: json.dumps([_LIST | {"data": [a], "has_more": True}, _LIST | {"data": [b]}]),
        lambda a, b: json.dumps([[a], [a, b]]),
        lambda a, b: json.dumps(_LIST | {"data": [a]}) + json.dumps(_LIST | {"data": [b]}),
    ],
    ids=["one a line", "one after the other", "pages in an array", "arrays that overlap", "pages"],
)
def test_all_forms_in_which_people_save_are_read(run: Any, tmp_path: Path, form: Any) -> None:
    (tmp_path / "old.json").write_text(form(_OLD, _OLD | {"id": "asst_2", "name": "Other"}))
    code, out, err = run("import", "old.json", "--into", "new")
    assert (code, err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["math-tutor.md", "other.md"]
    assert "not whole" not in out


def test_an_entry_that_is_no_assistant_is_not_in_the_way_of_others(run: Any, tmp_path: Path) -> None:
    entries = [{"id": "thread_1", "object": "thread"}, _OLD, {"error": {"message": "Too many."}}, _OLD | {"name": "B"}]
    (tmp_path / "old.json").write_text(json.dumps(entries))
    code, out, err = run("import", "old.json", "--into", "new")
    assert (code, err) == (1, "")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["math-tutor.md"]
    assert [line for line in out.splitlines() if line.startswith("not imported")] == [
        "not imported: old.json: entry 1 is no assistant; its `object` is something else.",
        "not imported: old.json: entry 3 is no assistant, but what a server answered in its place: Too many.",
        "not imported: old.json: entry 4 has the id of an earlier one (asst_1), and is not the same.",
    ]


def test_page_two_does_not_clash_with_page_one(run: Any, tmp_path: Path) -> None:
    """Names need not be unique in the API, nor be there at all."""
    for page in (1, 2, 3):
        named = {"id": f"asst_{page}", "name": None, "instructions": f"Page {page}."}
        (tmp_path / f"page{page}.json").write_text(json.dumps(_LIST | {"data": [_OLD | named]}))
        code, _, err = run("import", f"page{page}.json", "--into", "new")
        assert (code, err) == (0, "")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "assistant-2.md", "assistant-3.md", "assistant.md",
    ]  # fmt: skip
    assert run("check", "new")[0] == 0
    # The same one again is known by its id, whatever its file is called by now.
    (tmp_path / "new" / "assistant-2.md").rename(tmp_path / "new" / "triage.md")
    code, _, err = run("import", "page2.json", "--into", "new")
    assert (code, err) == (
        2,
        "bobbin: new/triage.md is there already; --force overwrites, --into names another folder.\n",
    )
    code, out, _ = run("import", "page2.json", "--into", "new", "--force")
    assert (code, out.splitlines()[0]) == (0, "new/triage.md")
    assert len(list((tmp_path / "new").iterdir())) == 3


def test_without_ids_a_name_that_is_taken_is_not_overwritten(run: Any, tmp_path: Path) -> None:
    old = {name: value for name, value in _OLD.items() if name != "id"}
    (tmp_path / "old.json").write_text(json.dumps([old, old]))
    assert run("import", "old.json", "--into", "new")[0] == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["math-tutor-2.md", "math-tutor.md"]
    code, _, err = run("import", "old.json", "--into", "new")
    assert (code, "math-tutor.md is there already" in err) == (2, True)
    assert run("import", "old.json", "--into", "new", "--force")[0] == 0


def test_a_page_of_a_list_is_not_taken_for_all_of_it(run: Any, tmp_path: Path) -> None:
    page = {"object": "list", "data": [_OLD, _OLD | {"id": "asst_2"}], "first_id": "asst_1", "has_more": True}
    for last in ({"last_id": "asst_2"}, {}):
        (tmp_path / "old.json").write_text(json.dumps(page | last))
        code, out, _ = run("import", "old.json", "--into", "new", "--force")
        assert (code, len(list((tmp_path / "new").iterdir()))) == (0, 2)
        told = [line for line in out.splitlines() if line.startswith("not whole: old.json is one page")]
        assert len(told) == 1
        assert "GET /v1/assistants?limit=100&after=asst_2 and import that file too" in told[0]
    (tmp_path / "old.json").write_text(json.dumps(page | {"has_more": False}))
    assert "not whole" not in run("import", "old.json", "--into", "new", "--force")[1]


def test_an_assistant_that_no_file_can_hold_is_not_in_the_way_of_others(run: Any, tmp_path: Path) -> None:
    long = _OLD | {"name": "Long", "id": "asst_2", "instructions": "x" * 256_001}
    (tmp_path / "old.json").write_text(json.dumps([long, _OLD, long | {"id": "asst_3"}]))
    code, out, err = run("import", "old.json", "--into", "new")
    assert (code, err) == (1, "")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["math-tutor.md"]
    assert [line for line in out.splitlines() if line.startswith("not imported")] == [
        f"not imported: Long ({number}): the instructions have 256,001 characters; 256,000 are allowed."
        for number in ("asst_2", "asst_3")
    ]


def test_one_object_with_a_byte_order_mark_is_read(run: Any, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps(_OLD), encoding="utf-8-sig")
    code, out, _ = run("import", "old.json", "--into", "new")
    assert (code, out.splitlines()[0]) == (0, "new/math-tutor.md")


def test_a_file_whose_name_differs_only_in_case_is_not_silenced(run: Any, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    mine = tmp_path / "new" / "Math-Tutor.md"
    mine.write_text("mine")
    (tmp_path / "old.json").write_text(json.dumps([_OLD, _OLD | {"id": "asst_2", "name": "Other"}]))
    for _ in range(2):
        assert run("import", "old.json", "--into", "new", "--force")[0] == 0
        names = sorted(path.name for path in (tmp_path / "new").iterdir())
        assert (names, mine.read_text()) == (["Math-Tutor.md", "math-tutor-2.md", "other.md"], "mine")


def test_a_file_that_is_none_and_a_folder_that_is_none_are_one_line(run: Any, tmp_path: Path) -> None:
    code, _, err = run("import", "absent.json")
    assert (code, err) == (2, "bobbin: absent.json cannot be read (no such file or directory).\n")
    (tmp_path / "old.json").write_bytes(b"\xff")
    code, _, err = run("import", "old.json")
    assert (code, err) == (2, "bobbin: old.json is not UTF-8.\n")
    (tmp_path / "old.json").write_text(json.dumps(_OLD))
    code, _, err = run("import", "old.json", "--into", "old.json")
    assert (code, err) == (2, "bobbin: old.json cannot be written to (file exists).\n")
