"""Which tools of MCP servers the patterns under `approval` in an assistant's file mean.

A pattern that looks right must ask: people write a server's and a tool's own names, which are not always those that a
model is offered (mcp_names.py).
"""

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from bot.tools.mcp_names import fitting, offered_name

#: What stands for something else in a pattern.
_WILDCARD = re.compile(r"[*?\[]")


def asks(pattern: str, name: str) -> bool:
    """Whether a pattern means this name, in upper or lower case."""
    pattern, name = pattern.casefold(), name.casefold()
    return pattern == name or fnmatchcase(name, pattern)


def asks_of(pattern: str, server: str, tool: str) -> bool:
    """Whether a pattern means a server's tool, by any of its names: the offered one, the server's own, and that with
    what does not fit replaced."""
    names = (offered_name(server, tool), f"{server}__{tool}", f"{fitting(server)}__{fitting(tool)}")
    return any(asks(form, name) for form in {pattern, _fitting_pattern(pattern)} for name in names)


def names_one_of(pattern: str, server: str) -> bool:
    """Whether a pattern names a single tool of this server, whether or not there is such a one."""
    beginnings = (f"{server}__".casefold(), f"{fitting(server)}__".casefold())
    return not _WILDCARD.search(pattern) and pattern.casefold().startswith(beginnings)


def _fitting_pattern(pattern: str) -> str:
    return "".join(_fitting_parts(pattern))


def _fitting_parts(pattern: str) -> Iterator[str]:
    """A pattern as tools' names are made to fit, with its wildcards as they are."""
    for part in re.split(r"(\[[^\]]*\]|[*?])", pattern):
        yield part if _WILDCARD.match(part) else fitting(part)
