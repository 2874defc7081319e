"""The file of MCP servers, in the form that other programs use too: {"mcpServers": {NAME: {...}}}."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, Field, ValidationError, model_validator

from bot.errors import SettingsError

#: Seconds for a call of a server that names none, and for its start: some install themselves first.
USUAL_TIMEOUT, USUAL_START = 60.0, 60.0
#: `${NAME}`, `${env:NAME}` as VS Code and Cursor write it, and `${NAME:-what stands in its place}`.
_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")
#: Anything in that form; what is no variable would be sent as it stands.
_PLACEHOLDER = re.compile(r"\$\{[^}]*\}?")
#: The names that programs have for the transports, without their - and _.
_TRANSPORTS = frozenset({"stdio", "http", "streamablehttp"})


@dataclass(frozen=True, slots=True)
class StdioServer:
    """A server that Bobbin starts. Of Bobbin's own environment it gets PATH and HOME, and what `env` has."""

    name: str
    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    timeout: float = USUAL_TIMEOUT
    start_timeout: float = USUAL_START


@dataclass(frozen=True, slots=True)
class HttpServer:
    """A server that is there already, reached over streamable HTTP."""

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = USUAL_TIMEOUT
    start_timeout: float = USUAL_START


def _transport(value: Any) -> Any:
    kind = re.sub(r"[-_]", "", value.lower()) if isinstance(value, str) else value
    if kind == "sse":
        raise ValueError("the sse transport is no longer spoken; use the server's streamable HTTP address")
    if kind not in _TRANSPORTS:
        raise ValueError("a transport is stdio or http")
    return kind


def _text(value: Any) -> Any:
    """A number or a truth value as a variable of the environment has it."""
    return json.dumps(value) if isinstance(value, (bool, int, float)) else value


_Texts = dict[str, Annotated[str, BeforeValidator(_text)]]


class _Entry(BaseModel):
    """A server's entry, by the names of several programs. What they add to theirs is passed over."""

    type: Annotated[str, BeforeValidator(_transport)] = Field(
        "stdio", validation_alias=AliasChoices("type", "transport")
    )
    command: str | None = Field(default=None, min_length=1)
    args: list[Annotated[str, BeforeValidator(_text)]] = []
    env: _Texts = {}
    cwd: str | None = None
    url: str | None = Field(
        default=None,
        pattern=r"^(?:https?://[^\s/]+|\$\{)",
        validation_alias=AliasChoices("url", "serverUrl", "httpUrl"),
    )
    headers: _Texts = {}
    timeout: float = Field(default=USUAL_TIMEOUT, gt=0, le=3_600)
    start_timeout: float = Field(default=USUAL_START, gt=0, le=3_600, validation_alias="startTimeout")

    @model_validator(mode="before")
    @classmethod
    def _without_nothing(cls, value: Any) -> Any:
        """What is null is not there."""
        return {key: each for key, each in value.items() if each is not None} if isinstance(value, dict) else value


class _Repeated(ValueError):
    """A name is there twice in one object of JSON, of which a reader would see the last."""


def load_servers(path: Path, environment: Mapping[str, str]) -> tuple[StdioServer | HttpServer, ...]:
    """The servers of a file that are not disabled, in its order; `${VAR}` is taken from `environment`.

    Raises SettingsError: one line with the server and what is wrong, never a value.
    """
    return tuple(_server(name, _entry(name, each, path), path, environment) for name, each in _enabled(path).items())


def _enabled(path: Path) -> dict[str, Any]:
    """The entries of a file, but for those that are not meant to be used."""
    try:
        # As Windows' editors save it, too: with a mark at the beginning.
        content = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_once)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"BOBBIN_MCP: {path} cannot be read ({reason}).") from error
    except _Repeated as error:
        raise SettingsError(f"BOBBIN_MCP: {path}: {error}") from None
    except json.JSONDecodeError as error:
        raise SettingsError(f"BOBBIN_MCP: {path}: line {error.lineno}: it is not JSON ({error.msg}).") from None
    except (ValueError, RecursionError):
        raise SettingsError(f"BOBBIN_MCP: {path}: it is not JSON.") from None
    servers = content.get("mcpServers") if isinstance(content, dict) else None
    if not isinstance(servers, dict):
        raise SettingsError(f'BOBBIN_MCP: {path}: it has no servers; write {{"mcpServers": {{NAME: ...}}}}.')
    return {name: each for name, each in servers.items() if not _is_disabled(each)}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Repeated(f"{name} is there twice; rename or remove one of them.")
        found[name] = value
    return found


def _is_disabled(entry: Any) -> bool:
    return isinstance(entry, dict) and (entry.get("disabled") is True or entry.get("enabled") is False)


def _entry(name: str, entry: Any, path: Path) -> _Entry:
    try:
        return _Entry.model_validate(entry)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(("mcpServers", name, *(str(part) for part in first["loc"])))
        raise SettingsError(f"BOBBIN_MCP: {path}: {where}: {first['msg'].removeprefix('Value error, ')}.") from None


def _server(name: str, entry: _Entry, path: Path, environment: Mapping[str, str]) -> StdioServer | HttpServer:
    where = f"BOBBIN_MCP: {path}: {name}"
    if not name.strip() or not name.isprintable():
        raise SettingsError(f"{where}: a server needs a name that can be read.")
    if (entry.command is None) == (entry.url is None):
        raise SettingsError(f"{where}: a server has either a command or a url.")
    if entry.url is not None:
        url = _filled_in(entry.url, f"{where}.url", environment)
        if not url.startswith(("https://", "http://")):
            raise SettingsError(f"{where}.url: it is no address that begins with https:// or http://.")
        headers = _all_filled_in(entry.headers, f"{where}.headers", environment)
        return HttpServer(name, url, headers, entry.timeout, entry.start_timeout)
    assert entry.command is not None
    command = _filled_in(entry.command, f"{where}.command", environment)
    args = tuple(_filled_in(each, f"{where}.args", environment) for each in entry.args)
    env = _all_filled_in(entry.env, f"{where}.env", environment)
    cwd = None if entry.cwd is None else _filled_in(entry.cwd, f"{where}.cwd", environment)
    return StdioServer(name, command, args, env, cwd, entry.timeout, entry.start_timeout)


def _all_filled_in(values: Mapping[str, str], where: str, environment: Mapping[str, str]) -> dict[str, str]:
    return {key: _filled_in(value, f"{where}.{key}", environment) for key, value in values.items()}


def _filled_in(value: str, where: str, environment: Mapping[str, str]) -> str:
    def variable(match: re.Match[str]) -> str:
        known = _VARIABLE.fullmatch(match[0])
        if known is None:
            raise SettingsError(f"{where}: {match[0]:.40} is no variable; write ${{NAME}} or ${{NAME:-otherwise}}.")
        name, otherwise = known[1], known[2]
        if name not in environment and otherwise is None:
            raise SettingsError(f"{where}: {name} is not set; put it into the environment or into .env.")
        return str(environment.get(name, otherwise))

    return _PLACEHOLDER.sub(variable, value)
