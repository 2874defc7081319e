"""The only reader of the environment."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, FilePath, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    NoDecode,
    SettingsConfigDict,
)

from bot.errors import SettingsError

#: What a setting should look like and where to get it, for the line that refuses a wrong one.
_ADVICE = {
    "SLACK_BOT_TOKEN": "it starts with xoxb-; copy it from OAuth & Permissions, on your app's page "
    "at api.slack.com/apps",
    "SLACK_APP_TOKEN": "it starts with xapp-; make one with connections:write under Basic Information, App-Level "
    "Tokens, at api.slack.com/apps",
    "SLACK_SIGNING_SECRET": "copy it from Basic Information on your app's page at api.slack.com/apps",
    "SLACK_API_URL": "a URL such as https://slack.com/api/",
    "OPENAI_API_KEY": "make one at platform.openai.com/api-keys",
    "OPENAI_BASE_URL": "a URL such as https://api.openai.com/v1",
    "BOBBIN_BACKEND": "one of: responses, assistants, local, agents",
    "BOBBIN_CONTEXT_TOKENS": "what the model of a local server can read and write at once, from 1000 to 10000000",
    "PORT": "a port number from 1 to 65535",
    "DATABASE_URL": "sqlite:///bobbin.db, or sqlite:////absolute/path/bobbin.db (no other database yet)",
    "BOBBIN_RUN_TIMEOUT": "seconds, from 1 to 86400",
    "BOBBIN_GRACE": "seconds, from 0 to 3600",
    "BOBBIN_BACKGROUND": "true or false",
    "BOBBIN_TOOLS": "names of Python modules with tools, separated by commas; see docs/tools.md",
    "BOBBIN_MCP": "the path of a JSON file with mcpServers; see docs/tools.md",
    "BOBBIN_APPROVAL_TIMEOUT": "seconds, from 1 to 86400",
    "BOBBIN_PRICES": "a TOML file of prices that is there, as docs/admins.md shows under Usage",
    "BOBBIN_LOG_FORMAT": "console or json",
    "BOBBIN_LOG_LEVEL": "DEBUG, INFO, WARNING or ERROR",
}

#: `${NAME}`, `${env:NAME}` and `${NAME:-otherwise}`, as files name variables.
_VARIABLE = re.compile(r"\$\{(?:env:)?([A-Za-z_][A-Za-z0-9_]*)")
#: Variables that every process has, and whose values stand in places of the log where they are needed.
_NO_SECRETS = frozenset({"HOME", "LANG", "LOGNAME", "PATH", "PWD", "SHELL", "TEMP", "TMP", "TMPDIR", "USER"})

_URL = r"^https?://[^\s/]+"
#: Where a person's own assistants are, unless they say so; and the ones that ship, beside the package in a checkout
#: and inside it when installed.
OWN_ASSISTANTS = Path("assistants")
_SHIPPED_ASSISTANTS = (Path(__file__).parent.parent / "assistants", Path(__file__).parent / "assistants")


def _assistants() -> Path:
    """The folder of assistants where none is set: the person's own if there is one, else what ships."""
    return next((folder for folder in (OWN_ASSISTANTS, *_SHIPPED_ASSISTANTS) if folder.is_dir()), OWN_ASSISTANTS)


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _parts(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


_Module = Annotated[str, Field(pattern=r"^[^\W\d]\w*(\.[^\W\d]\w*)*$")]


class Settings(BaseSettings):
    """Bobbin's settings; each is the environment variable of its name in capitals, also read from `.env`."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True
    )

    slack_bot_token: SecretStr | None = None
    slack_app_token: SecretStr | None = None
    slack_signing_secret: SecretStr | None = None
    slack_api_url: str = Field(default="https://slack.com/api/", pattern=_URL)
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = Field(default=None, pattern=_URL)
    port: int = Field(default=3000, ge=1, le=65535)
    database_url: str = Field(default="sqlite:///bobbin.db", pattern=r"^sqlite:///.+")
    bobbin_backend: Literal["responses", "assistants", "local", "agents"] = "responses"
    bobbin_context_tokens: int = Field(default=32_000, ge=1_000, le=10_000_000)
    bobbin_assistants: Path = Field(default_factory=_assistants)
    bobbin_default_assistant: str | None = None
    bobbin_run_timeout: float = Field(default=600.0, ge=1, le=86_400)
    bobbin_grace: float = Field(default=10.0, ge=0, le=3_600)
    bobbin_background: bool = False
    bobbin_tools: Annotated[tuple[_Module, ...], NoDecode, BeforeValidator(_parts)] = ()
    bobbin_mcp: Path | None = None
    bobbin_approval_timeout: float = Field(default=300.0, ge=1, le=86_400)
    bobbin_prices: FilePath | None = None
    bobbin_log_format: Literal["console", "json"] = "console"
    bobbin_log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_upper)] = "INFO"

    @property
    def own_assistants(self) -> Path:
        """The folder to write an assistant to: never the one that ships."""
        return self.bobbin_assistants if "bobbin_assistants" in self.model_fields_set else OWN_ASSISTANTS

    @property
    def socket_mode(self) -> bool:
        return self.slack_app_token is not None

    @property
    def bot_token(self) -> str:
        """Raises SettingsError where it is missing or not a bot's."""
        return _token("SLACK_BOT_TOKEN", self.slack_bot_token, ("xoxb-", "xoxe.xoxb-"))

    @property
    def app_token(self) -> str:
        """Raises SettingsError where it is missing or not an app-level token."""
        return _token("SLACK_APP_TOKEN", self.slack_app_token, ("xapp-",))

    @property
    def signing_secret(self) -> str:
        """Raises SettingsError where it is missing."""
        return _token("SLACK_SIGNING_SECRET", self.slack_signing_secret, ("",))

    @property
    def api_key(self) -> str:
        """OpenAI's key. A server of your own (OPENAI_BASE_URL) may need none. Raises SettingsError."""
        if self.openai_api_key is None and self.openai_base_url:
            return "none"
        return _token("OPENAI_API_KEY", self.openai_api_key, ("",))

    def secrets(self) -> tuple[str, ...]:
        """What must not be seen anywhere, whatever it looks like."""
        kept = (self.slack_bot_token, self.slack_app_token, self.slack_signing_secret, self.openai_api_key)
        return (*(secret.get_secret_value() for secret in kept if secret is not None), *self._named_in_files())

    def _named_in_files(self) -> Iterator[str]:
        """The values of the variables that the files of MCP servers and of assistants name: tokens, as a rule."""
        known = environment()
        for path in (*filter(None, (self.bobbin_mcp,)), *sorted(self.bobbin_assistants.glob("*.md"))):
            for name in _VARIABLE.findall(_text_of(path)):
                if name in known and name not in _NO_SECRETS:
                    yield known[name]

    def check_for_serving(self) -> None:
        """Raises SettingsError for the first setting that `serve` needs and has not."""
        _ = self.bot_token, self.api_key
        if self.socket_mode:
            _ = self.app_token
        elif self.slack_signing_secret is None:
            raise SettingsError(
                "SLACK_APP_TOKEN is missing (for Socket Mode: "
                f"{_ADVICE['SLACK_APP_TOKEN']}), or set SLACK_SIGNING_SECRET to be reached over HTTP."
            )
        else:
            _ = self.signing_secret


def load_settings(**overrides: Any) -> Settings:
    """The settings from the environment and `.env`. Raises SettingsError: one line that names the wrong one."""
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]).upper()
        raise SettingsError(f"{name} is wrong: {_ADVICE.get(name, first['msg'])}.") from None
    except (UnicodeDecodeError, OSError) as error:
        raise SettingsError(f".env cannot be read ({error}); save it as UTF-8, readable for Bobbin.") from error


def environment() -> Mapping[str, str]:
    """What a file may name as `${VAR}`: the environment and, below it, `.env`, as the settings are read."""
    sources = (DotEnvSettingsSource(Settings, case_sensitive=True), EnvSettingsSource(Settings, case_sensitive=True))
    return {name: value for source in sources for name, value in source.env_vars.items() if value}


def _text_of(path: Path) -> str:
    """A file's text, as far as it can be read; who needs it whole says what is wrong with it."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _token(name: str, value: SecretStr | None, prefixes: tuple[str, ...]) -> str:
    if value is None:
        raise SettingsError(f"{name} is missing: {_ADVICE[name]}.")
    token = value.get_secret_value().strip()
    if not token or not token.startswith(prefixes) or not (token.isascii() and token.isprintable()):
        raise SettingsError(f"{name} is wrong: {_ADVICE[name]}.")
    return token
