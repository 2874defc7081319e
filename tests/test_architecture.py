"""The dependency rule of docs/architecture.md, held against every import."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

_FILES = sorted(path for top in ("bot", "storage") for path in Path(top).rglob("*.py"))

#: Which rooms a room may use, besides itself and the standard library.
_MAY_USE = {
    "bot.engine": {"bot.engine", "bot.errors", "storage.base"},
    "bot.listeners": {"bot.engine", "bot.errors", "bot.render", "storage.base"},
    "bot.render": {"bot.engine", "bot.errors"},
    "bot.backends": {"bot.engine", "bot.errors"},
    "bot.tools": {"bot.engine", "bot.errors"},
    "bot.usage": {"bot.errors", "storage.base"},
    "bot.playground": {"bot.playground"},
    "bot.settings": {"bot.errors"},
    "bot.errors": set(),
    "bot.old_assistants": {"bot.engine.assistant_files", "bot.errors", "bot.old_objects", "bot.retired_models"},
    "bot.old_objects": {"bot.errors"},
    "bot.retired_models": set(),
    "bot.terminal": {"bot.engine.ports", "bot.render.harmless"},
    "bot.log": set(),
    "bot.manifest": set(),
    "storage": {"storage"},
}

#: One SDK, one home.
_HOMES = {
    "openai": {"bot.backends"},
    "aiosqlite": {"storage"},
    "sqlite3": {"storage"},
    "slack_bolt": {"bot.listeners", "bot.render", "bot.app", "bot.doctor"},
    "slack_sdk": {"bot.listeners", "bot.render", "bot.app", "bot.doctor"},
    "mcp": {"bot.tools"},
    "mcp_types": {"bot.tools"},
    "sympy": {"bot.playground"},
    "markdown_it": {"bot.playground"},
}


def module_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def inside(module: str, room: str) -> bool:
    return module == room or module.startswith(f"{room}.")


@pytest.mark.parametrize("path", _FILES, ids=str)
def test_imports_follow_the_dependency_rule(path: Path) -> None:
    module = module_of(path)
    room = next((room for room in _MAY_USE if inside(module, room)), None)
    for name in imports(path):
        ours = inside(name, "bot") or inside(name, "storage")
        if room and ours and name not in ("bot", "storage"):
            allowed = {room, *_MAY_USE[room]}
            # `from storage import base` names the package first.
            assert any(inside(name, each) for each in allowed), f"{module} imports {name}"
        home = _HOMES.get(name.split(".")[0])
        assert home is None or any(inside(module, each) for each in home), f"{module} imports {name}"


def test_every_room_is_watched() -> None:
    watched = {*_MAY_USE, "bot", "bot.__main__", "bot.app", "bot.cli", "bot.doctor"}
    watched |= {"bot.assistants_check", "bot.assistants_cli", "bot.trial"}
    for path in _FILES:
        module = module_of(path)
        assert module in watched or any(inside(module, room) for room in _MAY_USE), f"{module} has no rule"


@pytest.mark.parametrize("name", ["os.environ", "os.getenv"])
def test_only_settings_reads_the_environment(name: str) -> None:
    readers = [path for path in _FILES if name in path.read_text(encoding="utf-8")]
    assert not readers, "bot/settings.py reads it through pydantic-settings"
