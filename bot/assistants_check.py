"""`bobbin assistants check`: what is wrong with the files of a folder, as far as that can be seen from here."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.backends import ABILITIES
from bot.engine.assistant_files import definitions, read_assistant
from bot.engine.assistants import missing_tokens, problems_of, same_keys, told_left_out
from bot.engine.ports import Assistant
from bot.errors import AssistantFileError
from bot.settings import Settings, environment
from bot.tools.toolbox import CombinedToolbox, open_toolbox


@dataclass(frozen=True, slots=True)
class Looked:
    """A file that was looked at (or a setting), and each of its mistakes, a line each; `notes` say what is no mistake
    of the file's: optional tools that the backend cannot carry, tokens that are not set here."""

    at: str
    mistakes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def look(settings: Settings, folder: Path | None) -> Iterator[Looked]:
    """Every file of a folder, without asking any server. Raises AssistantFileError where there is none, SettingsError
    where the tools cannot be read."""
    chosen = folder or settings.bobbin_assistants
    files = definitions(chosen)
    if not files:
        raise AssistantFileError(f"{chosen} holds no *.md definition.")
    toolbox = open_toolbox(settings.bobbin_tools, settings.bobbin_mcp, environment(), None)
    known: dict[str, Assistant] = {}
    for path in files:
        yield _looked(path, settings, toolbox, known)
    default = settings.bobbin_default_assistant
    if folder is None and default and default.lower() not in {path.stem.lower() for path in files}:
        mistake = f"BOBBIN_DEFAULT_ASSISTANT: there is no file {default}.md in {chosen}."
        yield Looked("BOBBIN_DEFAULT_ASSISTANT", (mistake,))


def _looked(path: Path, settings: Settings, toolbox: CombinedToolbox, known: dict[str, Assistant]) -> Looked:
    """One file. `known` has the first assistant of each key; this one is added."""
    try:
        assistant = read_assistant(path)
    except AssistantFileError as error:
        return Looked(str(path), (error.sentence, *error.more))
    backend = settings.bobbin_backend
    abilities = ABILITIES[backend]
    mistakes = (
        *same_keys((known.setdefault(assistant.key, assistant), assistant)),
        *problems_of(assistant, backend, abilities, toolbox.known(), toolbox.servers()),
    )
    notes = [f"{name} is not set here" for name in missing_tokens(assistant, environment())]
    if without := told_left_out(assistant, backend, abilities):
        notes.insert(0, without)
    return Looked(str(path), mistakes, tuple(notes))
