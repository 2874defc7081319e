"""What time it is."""

from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from bot.tools import ToolError, tool


@tool(repeatable=True)
async def clock(time_zone: str = "UTC") -> str:
    """The current date and time in a time zone.

    Args:
        time_zone: A name of the IANA database, such as Europe/Berlin.
    """
    try:
        now = datetime.now(ZoneInfo(time_zone))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ToolError(f"There is no time zone {time_zone[:80]}; give a name such as Europe/Berlin.") from None
    return now.strftime(f"%A, %d %B %Y, %H:%M:%S ({now.tzname()}, UTC%z)")
