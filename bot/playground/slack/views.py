"""Modals and Home tabs (https://docs.slack.dev/surfaces/modals, https://docs.slack.dev/reference/views)."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bot.playground.slack import limits
from bot.playground.slack.app_manifest import AppManifest
from bot.playground.slack.blocks import check_blocks, check_text
from bot.playground.slack.errors import SlackError, invalid
from bot.playground.slack.workspace import Workspace, new_id

Json = dict[str, Any]


_LONGEST = {"private_metadata": limits.PRIVATE_METADATA, "callback_id": limits.ID, "external_id": limits.ID}


@dataclass(frozen=True, slots=True)
class _Trigger:
    """What lets the app open a view: who did something, and when (seconds)."""

    user: str
    at: float


class Views:
    """Each person's stack of modals, and their Home tab."""

    def __init__(self, workspace: Workspace, manifest: AppManifest) -> None:
        self._workspace = workspace
        self._manifest = manifest
        self._triggers: dict[str, _Trigger] = {}
        self._used: set[str] = set()
        #: user id -> open modals, the top one last
        self.stacks: dict[str, list[Json]] = {}
        #: user id -> their Home tab
        self.homes: dict[str, Json] = {}

    def table(self) -> dict[str, Callable[[Json], Json]]:
        return {
            "views.open": self.open,
            "views.publish": self.publish,
            "views.push": self.push,
            "views.update": self.update,
        }

    def trigger(self, user_id: str) -> str:
        """A trigger_id for something that a person did."""
        trigger_id = new_id("trigger.")
        self._triggers[trigger_id] = _Trigger(user_id, self._workspace.clock())
        return trigger_id

    # The methods

    def open(self, call: Json) -> Json:
        self._check(call["view"], "modal")
        view = self._new(call["view"])
        self.stacks[self._take(call["trigger_id"])] = [view]
        return {"view": view}

    def push(self, call: Json) -> Json:
        self._check(call["view"], "modal")
        return {"view": self._push(self._take(call["trigger_id"]), call["view"])}

    def update(self, call: Json) -> Json:
        if ("view_id" in call) == ("external_id" in call):
            raise invalid("give either view_id or external_id")
        view = self._find(call)
        self._check_hash(view, call)
        self._check(call["view"], view["type"], view)
        return {"view": self._replace(view, call["view"])}

    def publish(self, call: Json) -> Json:
        if not self._manifest.home_tab:
            raise SlackError("not_enabled")
        if self._workspace.person(call["user_id"]) is None:
            raise SlackError("user_not_found")
        self._check(call["view"], "home")
        shown = self.homes.get(call["user_id"])
        if shown:
            self._check_hash(shown, call)
        self.homes[call["user_id"]] = self._new(call["view"])
        return {"view": self.homes[call["user_id"]]}

    # What people do with them

    def shown_to(self, user_id: str, view_id: str) -> Json:
        """A view that a person sees: the top modal, or their Home tab. Raises SlackError."""
        tops = self.stacks.get(user_id, [])[-1:]
        home = self.homes.get(user_id)
        for view in (*tops, *([home] if home else [])):
            if view["id"] == view_id:
                return view
        raise SlackError("not_found")

    def fill(self, view: Json, values: Mapping[str, Any]) -> dict[str, str]:
        """Fill in a form; returns what the form itself finds missing, by block."""
        view["state"] = {"values": {block: dict(actions) for block, actions in values.items()}}
        return {
            block["block_id"]: "Please complete this required field."
            for block in view["blocks"]
            if block["type"] == "input" and not block.get("optional") and not values.get(block["block_id"])
        }

    def settle(self, user_id: str, view: Json, answer: Any) -> dict[str, str]:
        """Obey the answer to a submission: errors (returned, by block), update, push, clear; else the form closes."""
        answer = answer or {}
        match answer.get("response_action"):
            case "errors":
                return dict(answer["errors"])
            case "update":
                self._check(answer["view"], "modal", view)
                self._replace(view, answer["view"])
            case "push":
                self._check(answer["view"], "modal")
                self._push(user_id, answer["view"])
            case "clear":
                self.stacks.pop(user_id, None)
            case None:
                self.close(user_id)
            case unknown:
                raise SlackError("invalid_response_action", note=str(unknown))
        return {}

    def close(self, user_id: str) -> None:
        """Close the top modal."""
        stack = self.stacks.get(user_id, [])
        if stack:
            stack.pop()

    # Pieces

    def _take(self, trigger_id: str) -> str:
        if trigger_id in self._used:
            raise SlackError("exchanged_trigger_id")
        trigger = self._triggers.pop(trigger_id, None)
        if trigger is None:
            raise SlackError("invalid_trigger_id")
        self._used.add(trigger_id)
        if self._workspace.clock() - trigger.at > limits.TRIGGER_LIFETIME:
            raise SlackError("expired_trigger_id")
        return trigger.user

    def _push(self, user_id: str, content: Json) -> Json:
        stack = self.stacks.get(user_id, [])
        if not stack:
            raise SlackError("not_found")
        if len(stack) >= limits.VIEW_STACK:
            raise SlackError("push_limit_reached")
        view = self._new(content) | {"root_view_id": stack[0]["id"], "previous_view_id": stack[-1]["id"]}
        stack.append(view)
        return view

    def _all(self) -> list[Json]:
        return [*self.homes.values(), *(view for stack in self.stacks.values() for view in stack)]

    def _find(self, call: Json) -> Json:
        name = "view_id" if "view_id" in call else "external_id"
        for view in self._all():
            if view["id" if name == "view_id" else name] == call[name]:
                return view
        raise SlackError("not_found")

    def _check_hash(self, view: Json, call: Json) -> None:
        if call.get("hash", view["hash"]) != view["hash"]:
            raise SlackError("hash_conflict")

    def _check(self, view: Json, kind: str, replaced: Json | None = None) -> None:
        """Raises SlackError for a view that Slack would refuse in the place of `replaced`."""
        if view.get("type") != kind:
            raise invalid(f"the view must be a {kind}")
        if len(json.dumps(view)) > limits.VIEW_BYTES:
            raise SlackError("view_too_large")
        for name, most in _LONGEST.items():
            if not isinstance(view.get(name, ""), str) or len(view.get(name, "")) > most:
                raise invalid(f"{name} must be text of at most {most} characters")
        blocks = view.get("blocks")
        if not blocks:
            raise invalid("missing required field: blocks")
        check_blocks(blocks, limits.VIEW_BLOCKS)
        if kind == "modal":
            self._check_modal(view)
        taken = [other["external_id"] for other in self._all() if other is not replaced and other["external_id"]]
        if view.get("external_id") in taken:
            raise SlackError("duplicate_external_id")

    def _check_modal(self, view: Json) -> None:
        for name in ("title", "submit", "close"):
            if name in view or name == "title":
                check_text(view.get(name), limits.VIEW_TITLE, f"/view/{name}", plain=True)
        if any(block["type"] == "input" for block in view["blocks"]) and "submit" not in view:
            raise invalid("a view with an input needs submit")

    def _new(self, content: Json) -> Json:
        workspace = self._workspace
        view_id = new_id("V")
        defaults = {
            "id": view_id,
            "team_id": workspace.team_id,
            "app_id": workspace.app_id,
            "bot_id": workspace.bot_id,
            "app_installed_team_id": workspace.team_id,
            "callback_id": "",
            "external_id": "",
            "private_metadata": "",
            "root_view_id": view_id,
            "previous_view_id": None,
            "clear_on_close": False,
            "notify_on_close": False,
            "title": None,
            "submit": None,
            "close": None,
        }
        return {**defaults, **self._fresh(content)}

    def _replace(self, view: Json, content: Json) -> Json:
        view |= self._fresh(content)
        return view

    def _fresh(self, content: Json) -> Json:
        blocks = [{"block_id": new_id("b"), **block} for block in content["blocks"]]
        return {**content, "blocks": blocks, "state": {"values": {}}, "hash": f"{self._workspace.next_ts()}.local"}
