"""The Web API's methods for people and conversations (https://docs.slack.dev/reference/methods)."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bot.playground.slack import limits
from bot.playground.slack.errors import SlackError, invalid, require_scopes
from bot.playground.slack.workspace import Channel, Person, Workspace, new_id

Json = dict[str, Any]

#: What conversations.list calls the kinds (https://docs.slack.dev/reference/methods/conversations.list).
_TYPES = {"public_channel": "channel", "private_channel": "group", "mpim": "mpim", "im": "im"}
_DEFAULT_PAGE, _LARGEST_PAGE = 100, 1_000


class Directory:
    """Who and what there is. What a bot is not a member of and may not see is not found."""

    def __init__(self, workspace: Workspace, granted: frozenset[str]) -> None:
        """`granted` are the token's scopes: what may be read depends on a channel's kind."""
        self._workspace = workspace
        self._granted = granted

    def table(self) -> dict[str, Callable[[Json], Json]]:
        return {
            "auth.test": self.auth_test,
            "conversations.history": self.history,
            "conversations.info": self.channel_info,
            "conversations.join": self.join,
            "conversations.list": self.channels,
            "conversations.members": self.members,
            "conversations.open": self.open,
            "conversations.replies": self.replies,
            "users.info": self.user_info,
            "users.list": self.users,
        }

    def auth_test(self, _: Json) -> Json:
        workspace = self._workspace
        return {
            "url": workspace.url,
            "team": workspace.team_name,
            "user": "bobbin",
            "team_id": workspace.team_id,
            "user_id": workspace.bot_user_id,
            "bot_id": workspace.bot_id,
            "is_enterprise_install": False,
        }

    # Conversations

    def channel_info(self, call: Json) -> Json:
        return {"channel": self._shown(self._readable(call["channel"], limits.INFO_SCOPES))}

    def channels(self, call: Json) -> Json:
        names = [name.strip() for name in call.get("types", "public_channel").split(",")]
        if unknown := set(names) - set(_TYPES):
            raise SlackError("invalid_types", note=", ".join(sorted(unknown)))
        kinds = {_TYPES[name] for name in names}
        require_scopes({limits.INFO_SCOPES[kind] for kind in kinds}, self._granted)
        found = [
            self._shown(channel)
            for channel in self._workspace.channels.values()
            if channel.kind in kinds
            and self._visible(channel)
            and not (call.get("exclude_archived") and channel.archived)
        ]
        return _page(found, call, "channels")

    def members(self, call: Json) -> Json:
        return _page(self._readable(call["channel"], limits.INFO_SCOPES).members, call, "members")

    def join(self, call: Json) -> Json:
        channel = self._workspace.channel(call["channel"])
        if channel is None or not self._visible(channel):
            raise SlackError("channel_not_found")
        if channel.kind != "channel":
            raise SlackError("method_not_supported_for_channel_type")
        if channel.archived:
            raise SlackError("is_archived")
        return {"channel": self._shown(self._workspace.join(channel, self._workspace.bot_user_id))}

    def open(self, call: Json) -> Json:
        """The direct message with one person, or the group one with several; made where there is none."""
        users = [user for user in call.get("users", "").split(",") if user]
        if bool(users) == ("channel" in call):
            raise invalid("give either users or channel")
        require_scopes({limits.OPEN_SCOPES["mpim" if len(users) > 1 else "im"]}, self._granted)
        if not users:
            channel = self._readable(call["channel"], limits.INFO_SCOPES)
            if channel.kind not in limits.OPEN_SCOPES:
                raise SlackError("method_not_supported_for_channel_type")
        elif any(self._workspace.person(user) is None for user in users):
            raise SlackError("user_not_found")
        else:
            channel = self._opened({*users, self._workspace.bot_user_id}, create=not call.get("prevent_creation"))
        return {"channel": self._shown(channel) if call.get("return_im") else {"id": channel.id}}

    def history(self, call: Json) -> Json:
        channel = self._member(call["channel"])
        said = self._workspace.messages[channel.id].values()
        shared = [m for m in said if m.get("thread_ts") in (None, m["ts"]) or m.get("subtype") == "thread_broadcast"]
        newest_first = sorted(shared, key=lambda message: str(message["ts"]), reverse=True)
        ranged = [message for message in newest_first if _in_range(message, call)]
        return _page([self._workspace.shown(channel.id, message) for message in ranged], call, "messages")

    def replies(self, call: Json) -> Json:
        channel = self._member(call["channel"])
        thread = self._workspace.thread(channel.id, call["ts"])
        if not thread:
            raise SlackError("thread_not_found")
        # The root comes along with any range, as on the method's page.
        said = [message for message in thread if message["ts"] == call["ts"] or _in_range(message, call)]
        return _page([self._workspace.shown(channel.id, message) for message in said], call, "messages", 1_000)

    # People

    def user_info(self, call: Json) -> Json:
        person = self._workspace.person(call["user"])
        if person is None:
            raise SlackError("user_not_found")
        return {"user": self._profile(person)}

    def users(self, call: Json) -> Json:
        return _page([self._profile(person) for person in self._workspace.people.values()], call, "members")

    # Pieces

    def _visible(self, channel: Channel) -> bool:
        return channel.kind == "channel" or self._workspace.bot_user_id in channel.members

    def _readable(self, channel_id: str, scopes: Mapping[str, str]) -> Channel:
        channel = self._workspace.channel(channel_id)
        if channel is None:
            raise SlackError("channel_not_found")
        require_scopes({scopes[channel.kind]}, self._granted)
        if not self._visible(channel):
            raise SlackError("channel_not_found")
        return channel

    def _member(self, channel_id: str) -> Channel:
        channel = self._readable(channel_id, limits.HISTORY_SCOPES)
        if self._workspace.bot_user_id not in channel.members:
            raise SlackError("not_in_channel")
        return channel

    def _opened(self, members: set[str], *, create: bool) -> Channel:
        for channel in self._workspace.channels.values():
            if channel.kind in limits.OPEN_SCOPES and set(channel.members) == members:
                return channel
        if not create:
            raise SlackError("channel_not_found")
        # Everybody has a direct message with the bot from the start, so this one is a group's.
        handles = sorted(person.name for person in self._workspace.people.values() if person.id in members)
        name = f"mpdm-{'--'.join(handles)}-1"
        return self._workspace.add_channel(Channel(new_id("G"), name, "mpim", tuple(sorted(members))))

    def _shown(self, channel: Channel) -> Json:
        found: Json = {
            "id": channel.id,
            "is_archived": channel.archived,
            "is_channel": channel.kind == "channel",
            "is_group": channel.kind == "group",
            "is_im": channel.kind == "im",
            "is_mpim": channel.kind == "mpim",
            "is_private": channel.kind != "channel",
            "is_member": self._workspace.bot_user_id in channel.members,
            "context_team_id": self._workspace.team_id,
        }
        return found | ({"user": channel.members[0]} if channel.kind == "im" else {"name": channel.name})

    def _profile(self, person: Person) -> Json:
        return {
            "id": person.id,
            "team_id": self._workspace.team_id,
            "name": person.name,
            "real_name": person.real_name,
            "deleted": False,
            "is_bot": person.is_bot,
            "tz": "Etc/UTC",
            "profile": {"real_name": person.real_name, "display_name": ""},
        }


def _in_range(message: Json, call: Json) -> bool:
    oldest, latest = call.get("oldest", "0"), call.get("latest", "9999999999.999999")
    return oldest < message["ts"] < latest or (bool(call.get("inclusive")) and message["ts"] in (oldest, latest))


def _page(found: Sequence[Any], call: Json, name: str, size: int = _DEFAULT_PAGE) -> Json:
    """One page of what was found (https://docs.slack.dev/apis/web-api/pagination)."""
    size = int(call.get("limit", size))
    cursor = call.get("cursor") or "0"
    if not cursor.isdecimal() or int(cursor) > len(found):
        raise SlackError("invalid_cursor")
    if not 1 <= size <= _LARGEST_PAGE:
        raise SlackError("invalid_limit")
    start = int(cursor)
    end = start + size
    following = str(end) if end < len(found) else ""
    page: Json = {name: list(found[start:end]), "response_metadata": {"next_cursor": following}}
    return page | ({"has_more": bool(following)} if name == "messages" else {})
