"""The names by which models know the tools of MCP servers."""

import hashlib
import re

from bot.tools.functions import NAME

#: Characters of a name that are left for server and tool where a hash is put behind them.
_READABLE = 55
#: Characters that a server's name may take of those.
_SERVER = 40


def offered_name(server: str, tool: str) -> str:
    """`server__tool` where that fits what a function may be named; otherwise what does not fit is replaced, and a
    part of a hash keeps different tools apart.

    A name depends on nothing else, so a call that was kept through a restart still finds its tool.
    """
    plain = f"{server}__{tool}"
    # The first __ is the border: a server's name with one in it could make two tools' names the same.
    if NAME.fullmatch(plain) and "__" not in f"{server}_":
        return plain
    digest = hashlib.sha256(f"{server}\0{tool}".encode("utf-8", "replace")).hexdigest()[:8]
    return f"{_beginning(server)}__{fitting(tool)}"[:_READABLE] + f"_{digest}"


def may_be_of(server: str, name: str) -> bool:
    """Whether a tool of this server could have this name."""
    return name.startswith(_beginning(server))


def _beginning(server: str) -> str:
    return fitting(server)[:_SERVER]


def fitting(name: str) -> str:
    """A name with what a function's name may not have replaced."""
    return re.sub(r"[^a-zA-Z0-9_-]", "_", name)
