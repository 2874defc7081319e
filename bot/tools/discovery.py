"""Where function tools come from: modules that are named, and packages that announce theirs."""

import importlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from types import ModuleType
from typing import Any

from bot.errors import BobbinError, SettingsError
from bot.tools.functions import Function, FunctionTool, is_tool

#: The entry-point group in which an installed package announces a module of tools.
ENTRY_POINTS = "bobbin.tools"


def find_tools(modules: Sequence[str]) -> Mapping[str, FunctionTool]:
    """The tools of these modules and of all installed packages that announce some, by name.

    Raises SettingsError for a module that cannot be imported, a function that cannot be a tool, a name twice.
    """
    found: dict[str, FunctionTool] = {}
    for function in _functions(modules):
        tool = FunctionTool.of(function)
        known = found.setdefault(tool.spec.name, tool)
        if known.function is not function:
            raise SettingsError(
                f"BOBBIN_TOOLS: two tools have the name {tool.spec.name} ({_place(known.function)} and "
                f"{_place(function)}); give one of them another with @tool(name=...)."
            )
    return found


def _functions(modules: Sequence[str]) -> Iterator[Function]:
    for name in modules:
        yield from _marked(_imported(name), f"BOBBIN_TOOLS: {name}")
    for entry in sorted(metadata.entry_points(group=ENTRY_POINTS), key=lambda entry: (entry.value, entry.name)):
        yield from _marked(_loaded(entry), f"The installed tools {entry.value}")


def _imported(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except BobbinError:
        raise
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and error.name == name.split(".", maxsplit=1)[0]:
            raise SettingsError(
                f"BOBBIN_TOOLS: there is no module {name}; install its package, or put its folder on PYTHONPATH."
            ) from error
        raise SettingsError(
            f"BOBBIN_TOOLS: {name} cannot be imported ({_one_line(error)}); name modules, separated by commas."
        ) from error


def _loaded(entry: metadata.EntryPoint) -> object:
    try:
        loaded: object = entry.load()
    except BobbinError:
        raise
    except (Exception, SystemExit) as error:
        raise SettingsError(
            f"The installed tools {entry.value} cannot be imported ({_one_line(error)}); mend or uninstall the package."
        ) from error
    return loaded


def _marked(source: object, where: str) -> Iterable[Function]:
    values: list[Any] = list(vars(source).values()) if isinstance(source, ModuleType) else [source]
    functions: list[Function] = [value for value in values if is_tool(value)]
    if not functions:
        raise SettingsError(f"{where} has no function marked with @tool.")
    return functions


def _place(function: Function) -> str:
    return f"{function.__module__}.{getattr(function, '__qualname__', '?')}"


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
