"""`bobbin assistants`: list, check, import, try. Parsing only."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from bot.engine.assistant_files import read_assistant
from bot.engine.assistants import load_assistants, problems_of
from bot.errors import AssistantFileError, BobbinError
from bot.log import configure
from bot.old_assistants import assistants_in, imported
from bot.settings import Settings, environment, load_settings

app = typer.Typer(help="The assistants' files: list, check, import, try.", no_args_is_help=True, rich_markup_mode=None)


@app.command("list")
def list_() -> None:
    """All assistants; the default has a star."""
    settings = _settings()
    assistants = load_assistants(settings.bobbin_assistants, settings.bobbin_default_assistant)
    rows = [("", "KEY", "NAME", "MODEL", "TOOLS")]
    for each in assistants.all():
        tools = [*each.tools, *each.mcp_servers, *(server.label for server in each.hosted_mcp)]
        star = "*" if each.key == assistants.default.key else ""
        rows.append((star, each.key, each.name, each.model, ", ".join(tools)))
    widths = [max(len(row[place]) for row in rows) for place in range(5)]
    for row in rows:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


@app.command()
def check(folder: Annotated[Path | None, typer.Argument(help="Where the files are.")] = None) -> None:
    """Every mistake of every file, without asking any server; exit code 1 where there is one."""
    # Imported here: they take a second, which no other command should wait for.
    from bot.backends import ABILITIES
    from bot.tools.toolbox import open_toolbox

    settings = _settings()
    folder = folder or settings.bobbin_assistants
    files = sorted(folder.glob("*.md"))
    if not files:
        raise AssistantFileError(f"{folder} holds no *.md definition.")
    toolbox = open_toolbox(settings.bobbin_tools, settings.bobbin_mcp, environment(), None)
    backend = settings.bobbin_backend
    wrong = False
    for path in files:
        try:
            assistant = read_assistant(path)
            problems = list(problems_of(assistant, backend, ABILITIES[backend], toolbox.known(), toolbox.servers()))
        except AssistantFileError as error:
            problems = [error.sentence]
        for problem in problems:
            typer.echo(f"not ok  {problem}")
        if not problems:
            typer.echo(f"ok      {path}")
        wrong = wrong or bool(problems)
    if wrong:
        raise typer.Exit(1)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="Assistant objects, saved as JSON.")],
    into: Annotated[Path | None, typer.Option(help="The folder to write to.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Make files of assistants that were saved from the old Assistants API, and say what does not carry over."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BobbinError(f"{file} is not UTF-8.") from error
    except OSError as error:
        raise BobbinError(f"{file} cannot be read ({(error.strerror or '').lower()}).") from error
    folder = into or _settings().bobbin_assistants
    made = list(imported(assistants_in(text, str(file))))
    there = [folder / f"{each.key}.md" for each in made if (folder / f"{each.key}.md").exists()]
    if there and not force:
        raise BobbinError(f"{there[0]} is there already; --force overwrites, --into names another folder.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for each in made:
            (folder / f"{each.key}.md").write_text(each.text, encoding="utf-8")
    except OSError as error:
        raise BobbinError(f"{folder} cannot be written ({(error.strerror or '').lower()}).") from error
    for each in made:
        typer.echo(f"{folder / f'{each.key}.md'}")
        for loss in each.losses:
            typer.echo(f"  does not carry over: {loss}")


@app.command("try")
def try_(
    key: Annotated[str, typer.Argument(help="The assistant's key.")],
    question: Annotated[str, typer.Argument(help="What to ask.")],
) -> None:
    """Ask one question in the terminal, through the configured backend. Needs no Slack."""
    from bot.trial import Terminal, attempt

    settings = _settings()
    terminal = Terminal(lambda text: typer.echo(text, nl=False), lambda line: typer.secho(line, err=True, dim=True))
    try:
        asyncio.run(attempt(settings, key, question, terminal))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def _settings() -> Settings:
    settings = load_settings()
    quiet = "bobbin_log_level" not in settings.model_fields_set
    configure(settings.bobbin_log_format, "ERROR" if quiet else settings.bobbin_log_level)
    return settings
