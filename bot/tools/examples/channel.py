"""What was said in the channel in which Bobbin is asked."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import Field

from bot.tools import ChannelMessage, ChannelReader, PartlyRead, ToolScene, tool


@tool(repeatable=True, timeout=60)
async def search_channel(
    words: str,
    scene: ToolScene,
    channels: ChannelReader,
    limit: Annotated[int, Field(ge=1, le=50)] = 20,
) -> list[dict[str, Any]] | dict[str, Any] | str:
    """Search the messages of the channel in which you are asked; no other channel can be searched.

    Args:
        words: The words that a message must have, upper or lower case. Empty: the latest messages.
        limit: How many messages at most, the newest first.
    """
    asked = " ".join(words.split())
    found = await (channels.search(scene, asked, limit) if asked else channels.recent(scene, limit))
    # Whatever the reader came upon: nothing of another conversation leaves this function.
    here = [message for message in found if message.channel == scene.thread.channel]
    shown = [_shown(message) for message in here[:limit]]
    if isinstance(found, PartlyRead):
        return {"messages": shown, "note": "Not all threads were searched: there are too many, or it took too long."}
    return shown or "No message was found."


def _shown(message: ChannelMessage) -> dict[str, Any]:
    time = datetime.fromtimestamp(float(message.ts), UTC).strftime("%Y-%m-%d %H:%M UTC")
    shown = {"author": message.author, "time": time, "text": message.text}
    return shown | ({"permalink": message.permalink} if message.permalink else {})
