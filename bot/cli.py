"""The `bobbin` command: parsing only."""

import asyncio
import errno
import importlib.util
import os
import signal
import sys
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from bot import __version__
from bot.assistants_cli import app as assistants
from bot.errors import (
    BackendBusy,
    BackendUnreachable,
    BobbinError,
    RunBroken,
    SlackRefused,
    ThreadGone,
    ThreadLocked,
)
from bot.log import configure
from bot.settings import Settings, load_settings
from bot.usage.forms import Form, formed
from bot.usage.prices import load_prices
from bot.usage.since import beginning
from bot.usage.sums import By, summed
from storage.base import StorageError

app = typer.Typer(
    help="Bobbin puts OpenAI assistants into Slack.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)

app.add_typer(assistants, name="assistants")

#: What a shell expects of a program that was told wrong, and of one that failed
#: (https://tldp.org/LDP/abs/html/exitcodes.html).
_USAGE_ERROR, _FAILURE = 2, 1
#: Nothing that has to be put right here: it may be well another time.
_PASSING = (SlackRefused, BackendBusy, BackendUnreachable, RunBroken, ThreadGone, ThreadLocked)


def main() -> None:
    """The entry point: every expected error is one line on standard error. Exit code 2 says that something has to be
    put right, 1 that starting again later may do."""
    try:
        app()
    except (BobbinError, StorageError) as error:
        message = error.sentence if isinstance(error, BobbinError) else str(error)
        typer.echo(f"bobbin: {message}", err=True)
        sys.exit(_FAILURE if isinstance(error, _PASSING) else _USAGE_ERROR)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EIO):
            raise
        typer.echo(f"bobbin: the output cannot be written ({(error.strerror or '').lower()}).", err=True)
        os._exit(_FAILURE)  # Python would try again to write what is left, and complain


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bobbin {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Bobbin puts OpenAI assistants into Slack."""


@app.command()
def serve() -> None:
    """Serve a Slack workspace, over Socket Mode or HTTP."""
    _run(_serve(_settings()))


@app.command()
def doctor() -> None:
    """Check settings, database, tokens, scopes, backend and models; exit code 1 when something is wrong."""
    from bot.doctor import examine

    if not asyncio.run(examine(typer.echo)):
        raise typer.Exit(1)


@app.command()
def playground(
    port: Annotated[int, typer.Option(help="Where the local Slack's page is.", min=0, max=65535)] = 8065,
    folder: Annotated[Path, typer.Option(help="Where everything said is kept.")] = Path(".playground"),
) -> None:
    """Try Bobbin in a local Slack, in the browser. Needs no account and no key."""
    if importlib.util.find_spec("sympy") is None or importlib.util.find_spec("markdown_it") is None:
        raise BobbinError("the playground's packages are not installed; install bobbin[playground], or use make.")
    settings = load_settings()
    quiet = "bobbin_log_level" not in settings.model_fields_set
    configure(settings.bobbin_log_format, "WARNING" if quiet else settings.bobbin_log_level, settings.secrets())
    _run(_playground(port, folder))


@app.command()
def usage(
    by: Annotated[list[By] | None, typer.Option(help="What to sum by; may be given several times.")] = None,
    since: Annotated[str, typer.Option(help="How far back (12h, 7d, 4w), or a date (2026-11-01, UTC).")] = "7d",
    form: Annotated[Form, typer.Option("--format", help="How to print it.")] = Form.TABLE,
) -> None:
    """Sum up the tokens that runs used, and their price. Works beside a Bobbin that serves, and without one."""
    from bot.app import used

    settings = load_settings()
    prices = load_prices(settings.bobbin_prices)
    begin = beginning(since, datetime.now(UTC))
    usages = asyncio.run(used(settings, begin.timestamp()))
    report = summed(usages, by or [By.ASSISTANT], begin, prices)
    typer.echo(formed(report, form))
    if report.total.unpriced:
        models = ", ".join(report.total.unpriced)
        typer.echo(f"bobbin: no price is known for {models}; give it in the file that BOBBIN_PRICES names.", err=True)


async def _serve(settings: Settings) -> None:
    from bot.app import running

    async with running(settings) as where:
        typer.echo(f"Bobbin is serving ({where}). Stop it with Ctrl-C.", err=True)
        await _told_to_stop()


async def _playground(port: int, folder: Path) -> None:
    from bot.app import playing

    async with playing(port, folder) as url:
        typer.echo(f"\n  Bobbin's playground is ready: {url}\n  Stop it with Ctrl-C; nothing is lost.\n")
        await _told_to_stop()
        typer.echo("Stopping…")


def _settings() -> Settings:
    settings = load_settings()
    configure(settings.bobbin_log_format, settings.bobbin_log_level, settings.secrets())
    return settings


def _run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


async def _told_to_stop() -> None:
    """Wait for SIGTERM or Ctrl-C. A second one is obeyed at once, by the operating system's own way."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def obey() -> None:
        stop.set()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, obey)
    await stop.wait()
