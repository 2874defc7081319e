"""Slack's own numbers, as data, each with where it is written down."""

#: Characters of markdown_text in a call, and of all markdown blocks of one message together
#: (https://docs.slack.dev/reference/block-kit/blocks/markdown-block).
MARKDOWN = 12_000
#: Characters of `text` on chat.postMessage, after which Slack cuts, and on chat.update, after which it refuses
#: (https://docs.slack.dev/reference/methods/chat.update).
TEXT, UPDATE_TEXT = 40_000, 4_000
#: Seconds to acknowledge an event (https://docs.slack.dev/apis/events-api).
ACK_TIMEOUT = 3.0
#: Seconds a stream lives, whatever is appended (https://github.com/slackapi/python-slack-sdk/issues/1859).
STREAM_LIFETIME = 300.0
#: Seconds a legacy status lives (https://docs.slack.dev/reference/methods/assistant.threads.setStatus).
STATUS_LIFETIME = 120.0
#: Uses of a response_url, and the seconds it lives (https://docs.slack.dev/interactivity/handling-user-interaction).
RESPONSE_URL_USES, RESPONSE_URL_LIFETIME = 5, 1_800.0
#: Characters of the text fields of a task or plan chunk (https://docs.slack.dev/reference/methods/chat.startStream).
CHUNK_TEXT = 256
TASK_STATUSES = frozenset({"pending", "in_progress", "complete", "error"})

BLOCKS = 50
SECTION_TEXT, HEADER_TEXT, BUTTON_TEXT, BUTTON_VALUE = 3_000, 150, 75, 2_000
OPTION_TEXT, OPTION_VALUE, OPTIONS, ACTION_ELEMENTS, CONTEXT_ELEMENTS = 75, 150, 100, 25, 10
#: (https://docs.slack.dev/reference/block-kit/blocks)
BLOCK_TYPES = frozenset(
    {
        "actions", "card", "container", "context", "context_actions", "divider", "header", "image", "input", "markdown",
        "plan", "rich_text", "section", "table", "task_card", "video",
    }
)  # fmt: skip

#: Calls a minute for a method, app and workspace (https://docs.slack.dev/apis/web-api/rate-limits).
CALLS_PER_MINUTE = {
    "agents.sessions.setStatus": 50,
    "assistant.threads.setStatus": 600,
    "assistant.threads.setSuggestedPrompts": 100,
    "chat.appendStream": 100,
    "chat.delete": 50,
    "chat.postEphemeral": 100,
    "chat.startStream": 20,
    "chat.stopStream": 20,
    "chat.update": 50,
    "conversations.info": 50,
    "conversations.replies": 50,
    "reactions.add": 50,
    "reactions.remove": 50,
    "users.info": 100,
    "views.open": 100,
}
#: chat.postMessage: one a second and channel, with short bursts (same page).
POSTS_PER_MINUTE_AND_CHANNEL = 60

#: What a bot token needs for a method (its page under https://docs.slack.dev/reference/methods). Any one of a group
#: of channel kinds is enough here; the channel's own kind decides.
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
    "reactions.add": {"reactions:write"},
    "reactions.remove": {"reactions:write"},
    "users.info": {"users:read"},
}
#: The scope for reading a channel of each kind.
INFO_SCOPES = {"channel": "channels:read", "group": "groups:read", "im": "im:read", "mpim": "mpim:read"}
HISTORY_SCOPES = {"channel": "channels:history", "group": "groups:history", "im": "im:history", "mpim": "mpim:history"}
#: How a message event is called in a manifest, by the channel's kind.
MESSAGE_EVENTS = {"channel": "message.channels", "group": "message.groups", "im": "message.im", "mpim": "message.mpim"}
