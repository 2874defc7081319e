"""Slack's own numbers, as data, each with where it is written down."""

#: Characters of markdown_text in a call, and of all markdown blocks of one message together
#: (https://docs.slack.dev/reference/block-kit/blocks/markdown-block).
MARKDOWN = 12_000
#: Characters of `text` on chat.postMessage, after which Slack cuts, and on chat.update, after which it refuses
#: (https://docs.slack.dev/reference/methods/chat.update).
TEXT, UPDATE_TEXT = 40_000, 4_000
#: Seconds to acknowledge an event (https://docs.slack.dev/apis/events-api).
ACK_TIMEOUT = 3.0
#: Seconds before an event is sent again, three times at most (https://docs.slack.dev/apis/events-api#retries).
REDELIVER_AFTER = (0.0, 60.0, 300.0)
#: Seconds a stream lives, whatever is appended (https://github.com/slackapi/python-slack-sdk/issues/1859).
STREAM_LIFETIME = 300.0
#: Seconds a legacy status lives (https://docs.slack.dev/reference/methods/assistant.threads.setStatus).
STATUS_LIFETIME = 120.0
#: Uses of a response_url, and the seconds it lives (https://docs.slack.dev/interactivity/handling-user-interaction).
RESPONSE_URL_USES, RESPONSE_URL_LIFETIME = 5, 1_800.0
#: Characters of the text fields of a task or plan chunk (https://docs.slack.dev/reference/methods/chat.startStream).
CHUNK_TEXT = 256
TASK_STATUSES = frozenset({"pending", "in_progress", "complete", "error"})

#: Blocks of a message, and of a modal or a Home tab.
BLOCKS, VIEW_BLOCKS = 50, 100
SECTION_TEXT, SECTION_FIELDS, FIELD_TEXT, HEADER_TEXT, IMAGE_URL, ALT_TEXT = 3_000, 10, 2_000, 150, 3_000, 2_000
ACTION_ELEMENTS, CONTEXT_ELEMENTS, CONTEXT_ACTION_ELEMENTS = 25, 10, 5
BUTTON_TEXT, BUTTON_VALUE, OPTION_TEXT, OPTION_VALUE, OPTIONS, ID = 75, 2_000, 75, 150, 100, 255
#: (https://docs.slack.dev/reference/block-kit/blocks)
BLOCK_TYPES = frozenset(
    {
        "actions", "card", "carousel", "alert", "container", "context", "context_actions", "data_table", "divider",
        "file", "header", "image", "input", "markdown", "plan", "rich_text", "section", "table", "task_card", "video",
    }
)  # fmt: skip
#: (https://docs.slack.dev/reference/block-kit/block-elements)
ELEMENT_TYPES = frozenset(
    {
        "button", "channels_select", "checkboxes", "conversations_select", "datepicker", "email_text_input",
        "external_select", "feedback_buttons", "file_input", "icon_button", "image", "multi_external_select",
        "multi_static_select", "multi_users_select", "number_input", "overflow", "plain_text_input", "radio_buttons",
        "rich_text_input", "static_select", "timepicker", "url_text_input", "users_select", "workflow_button",
    }
)  # fmt: skip

#: Of a view: characters of its title and buttons, of private_metadata, its bytes, and how many lie on one another
#: (https://docs.slack.dev/reference/views).
VIEW_TITLE, PRIVATE_METADATA, VIEW_BYTES, VIEW_STACK = 24, 3_000, 250_000, 3
#: Seconds in which a trigger_id may be used, once (https://docs.slack.dev/interactivity/handling-user-interaction).
TRIGGER_LIFETIME = 3.0
#: Characters of alt_txt, bytes of a snippet, bytes of a file
#: (https://docs.slack.dev/reference/methods/files.getUploadURLExternal).
FILE_ALT_TEXT, SNIPPET_BYTES, FILE_BYTES = 1_000, 1_000_000, 1_000_000_000
#: Characters of a session's title (https://docs.slack.dev/reference/methods/agents.sessions.rename).
SESSION_TITLE = 200
#: Texts of a loading status (https://docs.slack.dev/reference/methods/assistant.threads.setStatus).
LOADING_MESSAGES = 10
#: Socket Mode connections of one app (https://docs.slack.dev/apis/events-api/using-socket-mode).
CONNECTIONS = 10

_TIER_2, _TIER_3, _TIER_4 = 20, 50, 100
#: Calls a minute for a method, app and workspace (https://docs.slack.dev/apis/web-api/rate-limits).
CALLS_PER_MINUTE = {
    "agents.sessions.rename": _TIER_3,
    "agents.sessions.setStatus": _TIER_3,
    "apps.connections.open": _TIER_3,
    "assistant.threads.setStatus": 600,
    "assistant.threads.setSuggestedPrompts": _TIER_4,
    "assistant.threads.setTitle": _TIER_4,
    "chat.appendStream": _TIER_4,
    "chat.delete": _TIER_3,
    "chat.postEphemeral": _TIER_4,
    "chat.startStream": _TIER_2,
    "chat.stopStream": _TIER_2,
    "chat.update": _TIER_3,
    "conversations.history": _TIER_3,
    "conversations.info": _TIER_3,
    "conversations.join": _TIER_3,
    "conversations.list": _TIER_2,
    "conversations.members": _TIER_4,
    "conversations.open": _TIER_3,
    "conversations.replies": _TIER_3,
    "files.completeUploadExternal": _TIER_4,
    "files.getUploadURLExternal": _TIER_4,
    "files.info": _TIER_4,
    "reactions.add": _TIER_3,
    "reactions.get": _TIER_3,
    "reactions.remove": _TIER_2,
    "users.info": _TIER_4,
    "users.list": _TIER_2,
    "views.open": _TIER_4,
    "views.publish": _TIER_4,
    "views.push": _TIER_4,
    "views.update": _TIER_4,
}
#: chat.postMessage: one a second and channel, with short bursts (same page).
POSTS_PER_MINUTE_AND_CHANNEL = 60

#: What a bot token needs for a method, whatever it is called with (each method's page under
#: https://docs.slack.dev/reference/methods).
METHOD_SCOPES = {
    "agents.sessions.rename": {"chat:write"},
    "agents.sessions.setStatus": {"chat:write"},
    "assistant.threads.setStatus": {"chat:write"},
    "assistant.threads.setSuggestedPrompts": {"assistant:write"},
    "assistant.threads.setTitle": {"assistant:write"},
    "chat.appendStream": {"chat:write"},
    "chat.delete": {"chat:write"},
    "chat.postEphemeral": {"chat:write"},
    "chat.postMessage": {"chat:write"},
    "chat.startStream": {"chat:write"},
    "chat.stopStream": {"chat:write"},
    "chat.update": {"chat:write"},
    "conversations.join": {"channels:join"},
    "files.completeUploadExternal": {"files:write"},
    "files.getUploadURLExternal": {"files:write"},
    "files.info": {"files:read"},
    "reactions.add": {"reactions:write"},
    "reactions.get": {"reactions:read"},
    "reactions.remove": {"reactions:write"},
    "users.info": {"users:read"},
    "users.list": {"users:read"},
}
#: A name or a picture of the app's own choice (https://docs.slack.dev/reference/scopes/chat.write.customize).
CUSTOMIZE_SCOPE = "chat:write.customize"
#: The scope for reading about a channel of each kind, its messages, and for opening one.
INFO_SCOPES = {"channel": "channels:read", "group": "groups:read", "im": "im:read", "mpim": "mpim:read"}
HISTORY_SCOPES = {"channel": "channels:history", "group": "groups:history", "im": "im:history", "mpim": "mpim:history"}
OPEN_SCOPES = {"im": "im:write", "mpim": "mpim:write"}
#: How a message event is called in a manifest, by the channel's kind.
MESSAGE_EVENTS = {"channel": "message.channels", "group": "message.groups", "im": "message.im", "mpim": "message.mpim"}
#: What an event needs (each event's page under https://docs.slack.dev/reference/events); others need nothing.
EVENT_SCOPES = {
    "agent_session_stopped": "assistant:write",
    "agent_session_title_changed": "assistant:write",
    "app_mention": "app_mentions:read",
    "reaction_added": "reactions:read",
    "reaction_removed": "reactions:read",
    **{event: HISTORY_SCOPES[kind] for kind, event in MESSAGE_EVENTS.items()},
}
#: Every scope that something here asks for: what an app without a manifest is granted.
ALL_SCOPES = frozenset(
    {
        "commands", CUSTOMIZE_SCOPE, *EVENT_SCOPES.values(), *INFO_SCOPES.values(), *OPEN_SCOPES.values(),
        *(scope for scopes in METHOD_SCOPES.values() for scope in scopes),
    }
)  # fmt: skip
