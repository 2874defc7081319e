"""The backends' limits, as data, each with where it is written down."""

#: Characters of a message (https://platform.openai.com/docs/assistants/deep-dive#context-window-management, as it was).
ASSISTANTS_MESSAGE = 256_000
#: Messages that a new thread may begin with.
ASSISTANTS_FIRST_MESSAGES = 32
#: Characters of an input string (openai/types/responses: input_text, 10 MiB of text in a request).
RESPONSES_MESSAGE = 1_000_000
#: Items in one call (openai/types/conversations/item_create_params.py).
CONVERSATION_ITEMS = 20
#: Objects on a page of a list.
PAGE = 100
