"""Slack's limits, as data, each with where it is written down."""

#: Characters of `markdown_text` in one call (https://docs.slack.dev/reference/methods/chat.postMessage).
MARKDOWN_TEXT = 12_000
#: Characters of a section's text (https://docs.slack.dev/reference/block-kit/blocks/section-block).
SECTION_TEXT = 3_000
#: Characters of `text` on chat.postMessage that Slack recommends, and that chat.update accepts
#: (https://docs.slack.dev/reference/methods/chat.update).
TEXT = 4_000

#: Characters of an address in a message (https://docs.slack.dev/reference/block-kit/block-elements/button-element).
LINK_URL = 3_000

#: Characters of a task card's title, details and output (https://docs.slack.dev/reference/methods/chat.appendStream).
TASK_TEXT = 256

#: Seconds after which Slack ends a stream, whatever is appended: five minutes, measured as 300 to 318
#: (https://github.com/slackapi/python-slack-sdk/issues/1859).
STREAM_LIFETIME = 300.0
#: Seconds after which Slack takes the "is thinking…" status away
#: (https://docs.slack.dev/reference/methods/assistant.threads.setStatus).
STATUS_LIFETIME = 120.0

#: Calls a minute for a method, app and workspace: Slack's tiers (https://docs.slack.dev/apis/web-api/rate-limits).
CALLS_PER_MINUTE = {
    "chat.startStream": 20,
    "chat.appendStream": 100,
    "chat.stopStream": 20,
    "chat.update": 50,
    "chat.postEphemeral": 100,
    "assistant.threads.setStatus": 600,
    "agents.sessions.setStatus": 50,
    "assistant.threads.setSuggestedPrompts": 100,
    "conversations.history": 50,
    "conversations.replies": 50,
    "conversations.info": 50,
    "files.completeUploadExternal": 100,
    "files.getUploadURLExternal": 100,
    "files.info": 100,
    "users.info": 100,
    "reactions.add": 50,
    "reactions.remove": 50,
    "views.open": 100,
}
#: chat.postMessage has a limit of its own: about one message a second and channel
#: (https://docs.slack.dev/apis/web-api/rate-limits).
POSTS_PER_MINUTE_AND_CHANNEL = 60

#: Characters of a picture's description, and bytes of a snippet
#: (https://docs.slack.dev/reference/methods/files.getUploadURLExternal#errors).
ALT_TEXT = 1_000
SNIPPET_BYTES = 1_000_000
