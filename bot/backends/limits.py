"""The backends' limits, as data, each with where it is written down."""

#: Characters of a message (https://platform.openai.com/docs/assistants/deep-dive, as it was before August 2026).
ASSISTANTS_MESSAGE = 256_000
#: Messages that a new thread may begin with (https://platform.openai.com/docs/api-reference/threads/createThread).
ASSISTANTS_FIRST_MESSAGES = 32
#: Characters of an assistant's name and description (openai/types/beta/assistant_create_params.py).
ASSISTANT_NAME = 256
ASSISTANT_DESCRIPTION = 512
#: Characters of a message. A request may have 10,485,760 of text (https://platform.openai.com/docs/api-reference/responses);
#: no model's context holds a million words' worth of one post.
RESPONSES_MESSAGE = 1_000_000
#: Characters of a message to an agent, and of what a new session is told of earlier ones: Bobbin's own limit.
AGENTS_MESSAGE = 200_000
#: Items in one call (openai/types/conversations/item_create_params.py).
CONVERSATION_ITEMS = 20
#: Pairs of an object's metadata, and characters of a value
#: (https://platform.openai.com/docs/api-reference/conversations/create).
METADATA_PAIRS, METADATA_VALUE = 16, 512
#: Files of a code interpreter's container (https://developers.openai.com/api/docs/guides/tools-code-interpreter).
CONTAINER_FILES = 50
#: Objects on a page of a list (https://platform.openai.com/docs/api-reference, parameter `limit`).
PAGE = 100
#: Characters of a function's description (https://platform.openai.com/docs/api-reference/assistants/createAssistant).
FUNCTION_DESCRIPTION = 1024
#: Bytes of a picture, of a file in a request, and of any upload (https://platform.openai.com/docs/guides/images-vision,
#: https://platform.openai.com/docs/guides/pdf-files, https://platform.openai.com/docs/api-reference/files/create).
IMAGE_BYTES, INPUT_FILE_BYTES, UPLOAD_BYTES = 20 * 2**20, 50 * 2**20, 512 * 2**20
#: Bytes of a file that a run made and that is fetched: Bobbin's own limit, so that no run fills the disk.
MADE_FILE_BYTES = 100 * 2**20
#: Bytes of a recording (https://platform.openai.com/docs/guides/speech-to-text).
AUDIO_BYTES = 25 * 2**20
#: Files of one message (https://platform.openai.com/docs/assistants/deep-dive, as it was before August 2026).
ASSISTANT_ATTACHMENTS = 10
#: Images that a model is shown (https://platform.openai.com/docs/guides/images-vision).
IMAGE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
#: Endings that file search takes (https://platform.openai.com/docs/assistants/tools/file-search/supported-files).
SEARCHABLE = frozenset(
    {
        ".c", ".cpp", ".cs", ".css", ".doc", ".docx", ".go", ".html", ".java", ".js", ".json", ".md", ".pdf", ".php",
        ".pptx", ".py", ".rb", ".sh", ".tex", ".ts", ".txt",
    }
)  # fmt: skip
#: Endings of text, code and tables among the files that a request may have
#: (https://developers.openai.com/api/docs/guides/file-inputs).
READABLE = SEARCHABLE - {".doc", ".docx", ".pdf", ".pptx"} | frozenset(
    {
        ".bat", ".cc", ".conf", ".csv", ".cxx", ".def", ".h", ".hh", ".htm", ".in", ".list", ".log", ".markdown",
        ".mjs", ".pl", ".rst", ".s", ".sql", ".srt", ".text", ".tsv", ".vtt", ".xml",
    }
)  # fmt: skip
#: Messages of a thread (https://platform.openai.com/docs/assistants/deep-dive, as it was before August 2026).
THREAD_MESSAGES = 100_000
#: Characters of a token, rather too few than too many: what a conversation is measured by where nobody counts tokens.
CHARACTERS_PER_TOKEN = 3
#: About what a picture costs (https://platform.openai.com/docs/guides/images-vision#calculating-costs).
IMAGE_TOKENS = 1_200
#: A text file, and a picture, that is written into a message: Bobbin's own limits.
INLINE_CHARACTERS, INLINE_IMAGE_BYTES = 100_000, 8 * 2**20
