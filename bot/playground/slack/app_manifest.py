"""What an app's manifest grants it (https://docs.slack.dev/reference/app-manifest)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Self

from bot.playground.slack import limits


@dataclass(frozen=True, slots=True)
class AppManifest:
    """The parts of a manifest that Slack acts on. None stands for everything."""

    scopes: frozenset[str] = limits.ALL_SCOPES
    events: Collection[str] | None = None
    commands: Collection[str] | None = None
    shortcuts: Collection[str] | None = None
    interactive: bool = True
    home_tab: bool = True
    agent: bool = True

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> Self:
        """Take what matters from a parsed manifest. Raises ValueError for what Slack would not save."""
        features, settings = content.get("features", {}), content.get("settings", {})
        manifest = cls(
            scopes=frozenset(content["oauth_config"]["scopes"]["bot"]),
            events=frozenset(settings.get("event_subscriptions", {}).get("bot_events", ())),
            commands=frozenset(command["command"] for command in features.get("slash_commands", ())),
            shortcuts=frozenset(shortcut["callback_id"] for shortcut in features.get("shortcuts", ())),
            interactive=bool(settings.get("interactivity", {}).get("is_enabled")),
            home_tab=bool(features.get("app_home", {}).get("home_tab_enabled")),
            agent="agent_view" in features or "assistant_view" in features,
        )
        if missing := manifest.missing_scopes():
            raise ValueError(f"the manifest lacks {', '.join(sorted(missing))}")
        return manifest

    def missing_scopes(self) -> set[str]:
        """Scopes that the events and commands need, and that nobody asked for."""
        needed = {limits.EVENT_SCOPES[event] for event in self.events or () if event in limits.EVENT_SCOPES}
        if self.commands or self.shortcuts:
            needed.add("commands")
        return needed - self.scopes

    def hears(self, event: str) -> bool:
        """Whether the app subscribed to this event, by its name in a manifest."""
        return self.events is None or event in self.events

    def has_command(self, command: str) -> bool:
        return self.commands is None or command in self.commands

    def has_shortcut(self, callback_id: str) -> bool:
        return self.shortcuts is None or callback_id in self.shortcuts
