"""The assistants, and which of them answers where."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from bot.engine.assistant_files import HOSTED_TOOLS, definitions, read_assistant
from bot.engine.ports import Ability, Assistant, HostedMcp, Scope, Thread
from bot.errors import AssistantFileError, CommandError

#: What to do about an ability that an assistant has by default.
_INSTEAD = {
    Ability.HOSTED_MCP_APPROVAL: "write `approval: false` if nobody needs to be asked",
    Ability.JSON_OBJECT: "write a `name` and a JSON `schema` instead",
}


class Assistants:
    """The definitions at hand, and the rule for who answers."""

    def __init__(self, assistants: Iterable[Assistant], default: str) -> None:
        self._by_key = {assistant.key: assistant for assistant in assistants}
        self.default = self.get(default)

    def all(self) -> tuple[Assistant, ...]:
        return tuple(self._by_key.values())

    def fitted(self, abilities: frozenset[Ability]) -> "Assistants":
        """The same, each without the optional tools that a backend cannot carry."""
        return Assistants((fitted(assistant, abilities) for assistant in self.all()), self.default.key)

    def get(self, key: str) -> Assistant:
        """The assistant with this key. Raises CommandError that names the nearest one."""
        found = self._by_key.get(key.lower())
        if found is None:
            raise CommandError(f"There is no assistant `{key}`. {self._nearest(key)}")
        return found

    def knows(self, key: str) -> bool:
        return key.lower() in self._by_key

    def who_answers(self, thread: Thread | None, choices: Mapping[Scope, str]) -> Assistant:
        """The thread's own choice, else the person's, the channel's, the workspace's, else the default.

        A choice whose file is gone is passed over: an assistant that was deleted must not silence a thread.
        """
        own = thread.assistant if thread else None
        for key in (own, *(choices.get(scope) for scope in (Scope.PERSON, Scope.CHANNEL, Scope.WORKSPACE))):
            if key and self.knows(key):
                return self.get(key)
        return self.default

    def _nearest(self, key: str) -> str:
        names = {assistant.name.lower(): assistant.key for assistant in self._by_key.values()}
        close = difflib.get_close_matches(key.lower(), [*self._by_key, *names], n=1, cutoff=0.4)
        if close:
            return f"Did you mean `{names.get(close[0], close[0])}`?"
        return "There are: " + ", ".join(f"`{known}`" for known in self._by_key) + "."


def load_assistants(folder: Path, default: str | None, more: Path | None = None) -> Assistants:
    """Read every `*.md` of a folder, and of one with `more` of them, whose keys give way to the folder's.

    `default` is the key that answers where nothing was chosen; without one, `general`, else the first file.
    Raises AssistantFileError naming file, line and mistake.
    """
    if not folder.is_dir():
        raise AssistantFileError(
            f"BOBBIN_ASSISTANTS: there is no folder {folder}; point it at a folder of *.md definitions."
        )
    paths = definitions(folder)
    own = {path.stem.lower() for path in paths}
    paths += [path for path in definitions(more) if path.stem.lower() not in own] if paths and more else []
    assistants = [read_assistant(path) for path in paths]
    if not assistants:
        raise AssistantFileError(f"BOBBIN_ASSISTANTS: {folder} holds no *.md definition; put one there.")
    for problem in same_keys(assistants):
        raise AssistantFileError(problem)
    keys = [assistant.key for assistant in assistants]
    chosen = default or ("general" if "general" in keys else keys[0])
    try:
        return Assistants(assistants, chosen)
    except CommandError as error:
        raise AssistantFileError(f"BOBBIN_DEFAULT_ASSISTANT: {error.sentence}") from error


def with_tokens(assistants: Assistants, environment: Mapping[str, str]) -> Assistants:
    """The assistants, with `environment`'s values for the `${NAME}` that their files have in the place of tokens.
    Raises AssistantFileError where one is missing."""
    return Assistants((with_its_tokens(each, environment) for each in assistants.all()), assistants.default.key)


def with_its_tokens(assistant: Assistant, environment: Mapping[str, str]) -> Assistant:
    """One assistant, as `with_tokens` does it."""
    for name in missing_tokens(assistant, environment):
        raise AssistantFileError(
            f"{assistant.source}: hosted_mcp: {name} is not set; put it into the environment or into .env."
        )
    servers = (
        replace(server, authorization=environment[name]) if (name := _token_of(server)) else server
        for server in assistant.hosted_mcp
    )
    return replace(assistant, hosted_mcp=tuple(servers))


def missing_tokens(assistant: Assistant, environment: Mapping[str, str]) -> tuple[str, ...]:
    """The names of tokens that an assistant's file has and the environment has not, each once."""
    names = dict.fromkeys(map(_token_of, assistant.hosted_mcp))
    return tuple(name for name in names if name and name not in environment)


def _token_of(server: HostedMcp) -> str:
    """The name in a server's `${NAME}`; empty where it needs none."""
    return (server.authorization or "")[2:-1]


def same_keys(assistants: Iterable[Assistant]) -> Iterator[str]:
    """A line for each assistant whose key is another's: keys are the same in upper and lower case."""
    known: dict[str, Assistant] = {}
    for assistant in assistants:
        first = known.setdefault(assistant.key, assistant)
        if first is not assistant:
            yield f"{assistant.source}: its key is that of {first.source} too; rename one of them."


def check_abilities(
    assistants: Assistants,
    backend: str,
    abilities: frozenset[Ability],
    functions: frozenset[str],
    mcp_servers: frozenset[str],
) -> None:
    """Raises AssistantFileError for the first assistant that wants what this backend cannot carry, or a function tool
    or MCP server that there is not."""
    for assistant in assistants.all():
        for problem in problems_of(assistant, backend, abilities, functions, mcp_servers):
            raise AssistantFileError(problem)


def problems_of(
    assistant: Assistant,
    backend: str,
    abilities: frozenset[Ability],
    functions: frozenset[str],
    mcp_servers: frozenset[str],
) -> Iterator[str]:
    """A line for each thing that an assistant wants and cannot have here. What it can do without is none."""
    source = assistant.source or assistant.key
    for ability in wanted_by(fitted(assistant, abilities)):
        if ability not in abilities:
            instead = _INSTEAD.get(ability, "take it out")
            yield (
                f"{source}: {ability} cannot be used with BOBBIN_BACKEND={backend}; {instead}, or choose another "
                "backend (docs/backends.md)."
            )
    for name in assistant.tools:
        if name not in HOSTED_TOOLS and name not in functions:
            yield f"{source}: tools: there is no tool {name}. {_near(name, HOSTED_TOOLS | functions, functions)}"
    for name in assistant.mcp_servers:
        if name not in mcp_servers:
            near = _choices(name, mcp_servers, "BOBBIN_MCP")
            yield f"{source}: mcp_servers: there is no server {name}. {near}"
    for pattern in assistant.approval:
        if not _asks(assistant, pattern):
            yield (
                f"{source}: approval: {pattern} is no tool of this assistant, so nobody would be asked. Name one of "
                "its function tools, or SERVER__TOOL of its mcp_servers; * stands for anything."
            )


def _asks(assistant: Assistant, pattern: str) -> bool:
    """Whether a pattern can mean a tool that Bobbin calls for this assistant; what a server offers is known later."""
    if any(fnmatchcase(name, pattern) for name in assistant.tools if name not in HOSTED_TOOLS):
        return True
    beginning, *wildcard = re.split(r"[*?\[]", pattern.casefold(), maxsplit=1)
    servers = (form for name in assistant.mcp_servers for form in (name, re.sub(r"[^a-zA-Z0-9_-]", "_", name)))
    names = [f"{server}__".casefold() for server in servers]
    return any(beginning.startswith(name) or (wildcard and name.startswith(beginning)) for name in names)


def left_out(assistant: Assistant, abilities: frozenset[Ability]) -> tuple[str, ...]:
    """The optional tools of an assistant that a backend cannot carry."""
    return tuple(name for name in assistant.optional_tools if Ability(name) not in abilities)


def told_left_out(assistant: Assistant, backend: str, abilities: frozenset[Ability]) -> str | None:
    """What is said of an assistant that goes without some of its tools; None where it has them all."""
    missing = left_out(assistant, abilities)
    return f"without {', '.join(missing)}, which BOBBIN_BACKEND={backend} cannot carry" if missing else None


def fitted(assistant: Assistant, abilities: frozenset[Ability]) -> Assistant:
    """An assistant without the optional tools that a backend cannot carry."""
    missing = left_out(assistant, abilities)
    return replace(
        assistant,
        tools=tuple(name for name in assistant.tools if name not in missing),
        files=() if "file_search" in missing else assistant.files,
    )


def wanted_by(assistant: Assistant) -> Iterator[Ability]:
    """What an assistant's file asks for and not every backend can carry."""
    for name in assistant.tools:
        yield Ability(name) if name in HOSTED_TOOLS else Ability.FUNCTIONS
    settings = {
        Ability.HOSTED_MCP: assistant.hosted_mcp,
        Ability.HOSTED_MCP_APPROVAL: any(server.approval for server in assistant.hosted_mcp),
        Ability.FUNCTIONS: assistant.mcp_servers,
        Ability.TEMPERATURE: assistant.temperature is not None,
        Ability.TOP_P: assistant.top_p is not None,
        Ability.REASONING_EFFORT: assistant.reasoning_effort,
        Ability.REASONING_SUMMARY: assistant.reasoning_summary,
        Ability.RESPONSE_FORMAT: assistant.response_format,
        Ability.JSON_OBJECT: assistant.response_format == "json_object",
        Ability.TOOL_CHOICE: assistant.tool_choice,
        Ability.MAX_OUTPUT_TOKENS: assistant.max_output_tokens,
        Ability.TRUNCATION: assistant.truncation,
        Ability.FALLBACK_MODELS: assistant.fallback_models,
        Ability.MODERATION: assistant.moderation,
    }
    yield from (ability for ability, wanted in settings.items() if wanted)


def _near(name: str, known: Iterable[str], functions: Iterable[str]) -> str:
    """What may have been meant by the name of a tool."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]}?"
    ours = ", ".join(sorted(functions)) or "none"
    return f"BOBBIN_TOOLS has: {ours}. The provider's are: {', '.join(sorted(HOSTED_TOOLS))}."


def _choices(name: str, known: Iterable[str], setting: str) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    if close:
        return f"Did you mean {close[0]}?"
    return f"{setting} has: {', '.join(sorted(known)) or 'none'}."
