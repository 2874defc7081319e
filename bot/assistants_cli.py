"""`bobbin assistants`: list, check, import, try. Parsing only."""

import asyncio
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from bot.engine.assistants import load_assistants
from bot.log import configure
from bot.old_assistants import imported, old_ids, write_files
from bot.old_objects import read_objects
from bot.settings import Settings, environment, load_settings

#: What a shell expects of a program that Ctrl-C ended (https://tldp.org/LDP/abs/html/exitcodes.html).
_INTERRUPTED = 130

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
    # Imported here: it takes a second, which no other command should wait for.
    from bot.assistants_check import look

    wrong = False
    for looked in look(_settings(), folder):
        for mistake in looked.mistakes:
            typer.echo(f"not ok  {mistake}")
        if not looked.mistakes:
            typer.echo(f"ok      {looked.at}" + (f" ({'; '.join(looked.notes)})" if looked.notes else ""))
        wrong = wrong or bool(looked.mistakes)
    if wrong:
        raise typer.Exit(1)


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="Assistant objects, saved as JSON or JSONL.")],
    into: Annotated[Path | None, typer.Option(help="The folder to write to.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite files that are there.")] = False,
) -> None:
    """Make files of assistants that were saved from the old Assistants API, and say what does not carry over; exit
    code 1 where something saved could not be made a file."""
    saved = read_objects(file)
    folder = into or _settings().own_assistants
    result = imported(saved.objects, datetime.now(UTC).date(), old_ids(folder))
    written = write_files(result.made, folder, force=force)
    for each, path in zip(result.made, written, strict=True):
        typer.echo(str(path))
        for loss in each.losses:
            typer.echo(f"  does not carry over: {loss}")
        for note in each.notes:
            typer.echo(f"  note: {note}")
    not_imported = (*saved.foreign, *result.refused)
    for refusal in not_imported:
        typer.echo(f"not imported: {refusal}")
    if saved.cut_after is not None:
        typer.echo(_cut(file, saved.cut_after))
    if not_imported:
        raise typer.Exit(1)


@app.command("try")
def try_(
    key: Annotated[str, typer.Argument(help="The assistant's key.")],
    question: Annotated[str, typer.Argument(help="What to ask.")],
) -> None:
    """Ask one question in the terminal, through the configured backend. Needs no Slack."""
    try:
        # Imported here: it takes a second, which no other command should wait for.
        from bot.terminal import Terminal, one_place
        from bot.trial import attempt

        note = typer.echo if "NO_COLOR" in environment() else partial(typer.secho, dim=True)  # https://no-color.org
        terminal = Terminal(
            lambda text: typer.echo(text, nl=False),
            lambda line: note(line, err=True),
            together=one_place(),
        )
        asyncio.run(attempt(_settings(), key, question, terminal))
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None


def _cut(file: Path, last: str) -> str:
    """What to do about a list that is not whole (https://platform.openai.com/docs/api-reference/assistants/list)."""
    after = last or "ID-OF-THE-LAST"
    return (
        f"not whole: {file} is one page of a list, and the server had more (has_more). Save what comes after it with "
        f"GET /v1/assistants?limit=100&after={after} and import that file too, until a page says has_more: false. "
        "OpenAI itself has not answered this since 26 August 2026."
    )


def _settings() -> Settings:
    settings = load_settings()
    quiet = "bobbin_log_level" not in settings.model_fields_set
    configure(settings.bobbin_log_format, "ERROR" if quiet else settings.bobbin_log_level, settings.secrets())
    return settings
