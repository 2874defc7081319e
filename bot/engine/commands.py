"""What people say to Bobbin itself: the same words as slash commands and, in a thread, after its name."""

import re
from dataclasses import dataclass

from bot.engine.assistants import Assistants
from bot.engine.ports import Assistant, Scope, Storage, ThreadKey
from bot.errors import CommandError

#: How many threads the picker of `/reset` offers.
_PICKER_LIMIT = 5


@dataclass(frozen=True, slots=True)
class Word:
    """A command as it was typed: its name and, for `use`, the assistant's key."""

    name: str
    argument: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command was given. `thread` is None for slash commands, which Slack never sends from a thread."""

    team: str
    channel: str
    person: str
    surface: str
    thread: ThreadKey | None = None

    @property
    def scope(self) -> tuple[Scope, str]:
        """For whom `use` chooses here: in a DM for the person, elsewhere for the channel."""
        return (Scope.PERSON, self.person) if self.surface == "im" else (Scope.CHANNEL, self.channel)


_IN_THREAD = re.compile(r"^(?:(?P<name>reset|help|stop)|use\s+`?(?P<key>[\w.-]+)`?)\s*[.!]?$", re.IGNORECASE)


def parse_word(text: str) -> Word | None:
    """The command that is the whole of a post (its mention of the bot already taken off), else None.

    A post of nothing but the bot's name asks what it can do.
    """
    text = text.strip()
    if not text:
        return Word("hello")
    match = _IN_THREAD.match(text)
    if not match:
        return None
    if match["key"]:
        return Word("use", match["key"])
    return Word(match["name"].lower())


class Commands:
    """Carries commands out. Every method returns what to tell the person (mrkdwn), or raises CommandError."""

    def __init__(self, storage: Storage, assistants: Assistants) -> None:
        self._storage = storage
        self._assistants = assistants

    def is_command(self, text: str, *, mentioned: bool) -> bool:
        """Whether a post is a command. Without a mention (in a DM) `use` counts only before a key that exists:
        "use semicolons" is a sentence."""
        word = parse_word(text)
        if word is None:
            return False
        if mentioned or word.name != "use":
            return True
        return self._assistants.knows(word.argument)

    async def in_thread(self, text: str, place: Place, now: str) -> str:
        """Carry out a post's command in its thread. `now` is the post's ts."""
        word = parse_word(text)
        if word is None or place.thread is None:
            raise CommandError(self.help())
        if word.name == "reset":
            return await self.reset(place.thread, now)
        if word.name == "use":
            return await self.use(place, word.argument)
        if word.name == "stop":
            return "Nothing is running in this thread."
        return self.help()

    async def who(self, place: Place) -> Assistant:
        """Who answers here."""
        thread = await self._storage.thread(place.thread) if place.thread else None
        # A person's own choice counts in their DM only: in a channel everybody meets the same assistant.
        choices = await self._storage.choices(place.team, place.channel, place.person)
        if place.surface != "im":
            choices = {scope: key for scope, key in choices.items() if scope is not Scope.PERSON}
        return self._assistants.who_answers(thread, choices)

    def assistant(self, key: str) -> Assistant:
        """The assistant with this key; the default one where its file is gone."""
        return self._assistants.get(key) if self._assistants.knows(key) else self._assistants.default

    async def use(self, place: Place, key: str) -> str:
        """Switch the assistant: of the thread where there is one, else of the DM's person or the channel."""
        assistant = self._assistants.get(key)
        if place.thread:
            await self._storage.choose_for_thread(place.thread, assistant.key)
            return f"*{assistant.name}* answers in this thread from now on. What was said so far stays."
        await self._storage.choose(place.team, *place.scope, assistant.key)
        where = "to you in direct messages" if place.surface == "im" else "in this channel"
        return f"*{assistant.name}* answers {where} from now on. Threads with a choice of their own keep it."

    async def reset(self, thread: ThreadKey, now: str, where: str = "in this thread") -> str:
        """Forget what was said in a thread. `now` is the ts up to which its history is never read again; `where` says
        to the person which thread that is."""
        before = await self._storage.reset_thread(thread, now)
        if before is None or before.backend_thread is None:
            return f"There is nothing to forget {where}; just go on."
        return f"Done: I have forgotten what was said {where}. Your next post there starts afresh."

    async def resettable(self, place: Place) -> list[ThreadKey]:
        """The person's threads in this conversation that remember something, latest first."""
        return list(await self._storage.latest_threads(place.team, place.channel, place.person, _PICKER_LIMIT))

    def all(self) -> tuple[Assistant, ...]:
        return self._assistants.all()

    def list(self) -> str:
        lines = [f"• `{a.key}` *{a.name}* {a.description}".rstrip() for a in self._assistants.all()]
        return "\n".join(["These assistants can answer:", *lines, "Switch with `/assistant use KEY`."])

    def show(self, key: str) -> str:
        assistant = self._assistants.get(key)
        tools = ", ".join(assistant.tools) or "none"
        return (
            f"*{assistant.name}* (`{assistant.key}`) {assistant.description}\n"
            f"Model `{assistant.model}`, tools: {tools}.\n>>> {_excerpt(assistant.instructions)}"
        )

    def help(self) -> str:
        return "\n".join(
            [
                "Mention me with a question and I answer in a thread; in the thread, and in a direct message, "
                "just write on.",
                "• `/assistant` who answers here, and a picker; `/assistant list`, `use KEY`, `show KEY`, `help`",
                "• `/reset` forget your latest thread here",
                "• In a thread, after my name: `stop`, `reset`, `use KEY`, `help`",
            ]
        )


def _excerpt(text: str, limit: int = 1500) -> str:
    return text if len(text) <= limit else text[:limit].rsplit(maxsplit=1)[0] + " …"
