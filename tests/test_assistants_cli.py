"""`bobbin assistants`: list, check, import, try."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import cli
from bot.engine.assistant_files import parse_assistant
from bot.errors import BobbinError
from bot.old_assistants import assistants_in, imported
from bot.playground.openai import FunctionCall, LocalOpenAI, Question, ScriptedBrain

_OLD = {
    "id": "asst_1",
    "object": "assistant",
    "name": "Math Tutor ✨",
    "description": "Helps: with maths",
    "model": "gpt-4o",
    "instructions": "You are a tutor.\n---\nBe kind.",
    "tools": [{"type": "code_interpreter"}, {"type": "function", "function": {"name": "get_weather"}}],
    "tool_resources": {"code_interpreter": {"file_ids": ["file-1"]}},
    "metadata": {"team": "x"},
    "temperature": 0.3,
    "top_p": 1.0,
    "response_format": "auto",
}


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


def test_those_that_ship_are_well(run: Any) -> None:
    assert run("check")[0] == 0


def test_an_old_assistant_becomes_a_file_with_a_report(run: Any, tmp_path: Path) -> None:
    (tmp_path / "old.json").write_text(json.dumps({"object": "list", "data": [_OLD, _OLD]}))
    code, out, _ = run("import", "old.json", "--into", "new")
    assert code == 0
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["math-tutor-2.md", "math-tutor.md"]
    for loss in (
        "model gpt-4o is retired; gpt-6-luna",
        "function get_weather",
        "code_interpreter: its files",
        "metadata",
    ):
        assert loss in out
    assistant = parse_assistant("x", (tmp_path / "new" / "math-tutor.md").read_text(), "x")
    assert (assistant.name, assistant.temperature, assistant.top_p) == ("Math Tutor ✨", 0.3, None)
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


@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON), st.text(min_size=1, max_size=30))
def test_whatever_an_object_holds_its_file_can_be_read(fields: dict[str, Any], model: str) -> None:
    text = json.dumps([fields | {"model": model}])
    try:
        made = list(imported(assistants_in(text, "old.json")))
    except BobbinError:
        assert not model.strip() or not model.isprintable() or _odd(model)
        return
    for each in made:
        parse_assistant(each.key, each.text, each.key)


def _odd(model: str) -> bool:
    return any(not each.isascii() or not each.isprintable() for each in model)


def _forecaster(question: Question) -> Any:
    role, said = question.messages[-1]
    return f"It is {said[:20]}." if role == "tool" else FunctionCall("clock", "{}")


@pytest.mark.parametrize("backend", ["agents", "assistants", "local", "responses"])
async def test_one_question_is_answered_in_the_terminal(backend: str, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "a.md").write_text("---\nname: A\nmodel: gpt-6.1-terra\ntools: [clock]\n---\nHi\n")
    async with LocalOpenAI(brain=ScriptedBrain(_forecaster)) as server:
        settings = {
            "OPENAI_API_KEY": "sk-local",
            "OPENAI_BASE_URL": server.url,
            "BOBBIN_BACKEND": backend,
            "BOBBIN_ASSISTANTS": str(tmp_path / "mine"),
            "BOBBIN_TOOLS": "bot.tools.examples",
        }
        words = (sys.executable, "-m", "bot", "assistants", "try")
        process = await asyncio.create_subprocess_exec(
            *words, "a", "time?", env=settings, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
        assert process.returncode == 0, err.decode()
        assert out.decode().startswith("It is ")
        assert "Uses clock" in err.decode()
        process = await asyncio.create_subprocess_exec(
            *words, "nobody", "time?", env=settings, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await process.communicate()
    assert process.returncode == 2
    assert b"There is no assistant `nobody`" in err
