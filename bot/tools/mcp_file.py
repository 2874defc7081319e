"""The file of MCP servers, in the form that other programs use too: {"mcpServers": {NAME: {...}}}."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from bot.errors import SettingsError

#: Seconds for a call of a server that names none.
USUAL_TIMEOUT = 60.0
#: `${NAME}`, and `${NAME:-what stands in its place}`.
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class StdioServer:
    """A server that Bobbin starts. Of Bobbin's own environment it gets PATH and HOME, and what `env` has."""

    name: str
    command: str
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    timeout: float = USUAL_TIMEOUT


@dataclass(frozen=True, slots=True)
class HttpServer:
    """A server that is there already, reached over streamable HTTP."""

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    timeout: float = USUAL_TIMEOUT


def _no_sse(value: str) -> str:
    if value == "sse":
        raise ValueError("the sse transport is no longer spoken; use the server's streamable HTTP address")
    return value


class _Entry(BaseModel):
    """A server's entry. What other programs add to theirs is passed over."""

    type: Annotated[Literal["stdio", "http", "streamable-http", "streamable_http", "sse"], AfterValidator(_no_sse)] = (
        "stdio"
    )
    command: str | None = Field(default=None, min_length=1)
    args: list[str] = []
    env: dict[str, str] = {}
    cwd: str | None = None
    url: str | None = Field(default=None, pattern=r"^(?:https?://[^\s/]+|\$\{)")
    headers: dict[str, str] = {}
    timeout: float = Field(default=USUAL_TIMEOUT, gt=0, le=3_600)
    disabled: bool = False


class _File(BaseModel):
    servers: dict[str, _Entry] = Field(alias="mcpServers")


def load_servers(path: Path, environment: Mapping[str, str]) -> tuple[StdioServer | HttpServer, ...]:
    """The servers of a file that are not disabled, in its order; `${VAR}` is taken from `environment`.

    Raises SettingsError: one line with the server and what is wrong, never a value.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"BOBBIN_MCP: {path} cannot be read ({reason}).") from error
    try:
        file = _File.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"BOBBIN_MCP: {path}: {where + ': ' if where else ''}{said}.") from None
    enabled = {name: entry for name, entry in file.servers.items() if not entry.disabled}
    return tuple(_server(name, entry, path, environment) for name, entry in enabled.items())


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
        return HttpServer(name, url, _all_filled_in(entry.headers, f"{where}.headers", environment), entry.timeout)
    assert entry.command is not None
    command = _filled_in(entry.command, f"{where}.command", environment)
    args = tuple(_filled_in(each, f"{where}.args", environment) for each in entry.args)
    env = _all_filled_in(entry.env, f"{where}.env", environment)
    return StdioServer(name, command, args, env, entry.cwd, entry.timeout)


def _all_filled_in(values: Mapping[str, str], where: str, environment: Mapping[str, str]) -> dict[str, str]:
    return {key: _filled_in(value, where, environment) for key, value in values.items()}


def _filled_in(value: str, where: str, environment: Mapping[str, str]) -> str:
    def variable(match: re.Match[str]) -> str:
        name, otherwise = match[1], match[2]
        if name not in environment and otherwise is None:
            raise SettingsError(f"{where}: {name} is not set; put it into the environment or into .env.")
        return str(environment.get(name, otherwise))

    return _VARIABLE.sub(variable, value)
