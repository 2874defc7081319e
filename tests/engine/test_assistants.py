"""Definitions: what a file may say, how a mistake is named, who answers."""

from pathlib import Path

import pytest

from bot.engine.assistant_files import parse_assistant
from bot.engine.assistants import Assistants, load_assistants
from bot.engine.ports import Assistant, Scope, Thread, ThreadKey
from bot.errors import AssistantFileError, CommandError

_GOOD = "---\nname: Tutor\nmodel: gpt-6.1-terra\ntools: [code_interpreter]\n---\nTeach.\n"


def test_a_definition_is_front_matter_and_instructions() -> None:
    assistant = parse_assistant("Math-Tutor", _GOOD, "f.md")
    assert assistant == Assistant("math-tutor", "Tutor", "Teach.", "gpt-6.1-terra", tools=("code_interpreter",))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "f.md, line 1: "),
        ("name: x", "f.md, line 1: "),
        ("---\nname: x\n", "f.md, line 2: the settings are not closed"),
        ("---\nname: x\n---\nHi", "f.md, line 2: model: field required"),
        ("---\nname: x\nmodel: m\ncolour: red\n---\nHi", "f.md, line 4: colour: "),
        ("---\nname: x\nmodel: m\ntemperature: hot\n---\nHi", "f.md, line 4: temperature: "),
        ("---\nname: x\nmodel: m\ntools:\n  - code_interpreter\n  - magic\n---\nHi", "f.md, line 6: tools.1: "),
        ("---\nname: x\nmodel: [m\n---\nHi", "f.md, line "),
        ("---\n- name\n---\nHi", "f.md, line 2: expected settings"),
        ("---\nname: x\nmodel: m\n---\n \n", "f.md: the instructions"),
        ("---\nname: !!python/object:os.system x\nmodel: m\n---\nHi", "f.md"),
    ],
)
def test_a_mistake_is_named_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(AssistantFileError) as raised:
        parse_assistant("f", text, "f.md")
    assert raised.value.sentence.startswith(complaint)
    assert "\n" not in raised.value.sentence


def test_the_assistants_that_ship_are_good() -> None:
    assistants = load_assistants(Path("assistants"), None)
    tutor = assistants.get("math-tutor")
    assert tutor.tools == ("code_interpreter",)
    assert tutor.instructions.startswith("You are a personal math tutor.")
    assert assistants.default.key == "general"
    assert len(assistants.all()) == 3


def test_an_unreadable_file_a_missing_folder_and_an_unknown_default_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AssistantFileError, match="there is no folder"):
        load_assistants(tmp_path / "absent", None)
    with pytest.raises(AssistantFileError, match=r"holds no \*\.md"):
        load_assistants(tmp_path, None)
    (tmp_path / "a.md").write_text(_GOOD)
    with pytest.raises(AssistantFileError, match="BOBBIN_DEFAULT_ASSISTANT: There is no assistant `b`"):
        load_assistants(tmp_path, "b")
    (tmp_path / "a.md").write_bytes(b"\xff\xfe")
    with pytest.raises(AssistantFileError, match=r"a\.md: cannot be read"):
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
