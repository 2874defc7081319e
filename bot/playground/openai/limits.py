"""The limits of OpenAI's API that the server holds its callers to: data, each with its source.

"reference" is https://developers.openai.com/api/reference; "spec" is openapi.yaml of openai/openai-openapi.
"""

from __future__ import annotations

# Assistants: reference, "Create assistant".
ASSISTANT_NAME = 256
ASSISTANT_DESCRIPTION = 512
INSTRUCTIONS = 256_000
TOOLS = 128
CODE_INTERPRETER_FILES = 20
VECTOR_STORES = 1

# Vector stores: reference, "Create vector store" and "Create vector store file batch".
VECTOR_STORE_FILES = 10_000
BATCH_FILES = 2_000

# Metadata of every object: reference, "metadata".
METADATA_PAIRS = 16
METADATA_KEY = 64
METADATA_VALUE = 512

# Messages: reference, "Create message", and the deep dive on threads.
MESSAGE_CONTENT = 256_000
INITIAL_MESSAGES = 32

# Runs: every example of the spec has `expires_at` = `created_at` + 600.
RUN_EXPIRY_SECONDS = 600.0

# Lists: reference, query parameter `limit`.
PAGE = 20
PAGE_MAXIMUM = 100

# Conversations: reference, "Create a conversation" and "Create items".
ITEMS_PER_CALL = 20

# Responses: reference, "Create a model response".
INPUT_TEXT = 10_485_760
SAFETY_IDENTIFIER = 128
SEARCHED_VECTOR_STORES = 2
MINIMUM_OUTPUT_TOKENS = 16

# Containers: https://developers.openai.com/api/docs/guides/tools-code-interpreter, "Containers".
CONTAINER_IDLE_MINUTES = 20
CONTAINER_FILES = 50

# openai-python issue 2828: how long after its start a background response can be streamed again.
RESUME_WINDOW_SECONDS = 300.0

# The offline brain counts no real tokens; four characters a token is OpenAI's own rule of thumb:
# https://help.openai.com/en/articles/4936856
CHARACTERS_PER_TOKEN = 4

# Files: reference, "Upload file".
FILE_BYTES = 512 * 2**20

# Files and images that a model is given: https://developers.openai.com/api/docs/guides/file-inputs and
# .../guides/images-vision. The image's limit is that of a whole request's payload.
INPUT_FILE_BYTES = 50 * 2**20
INPUT_FILES_BYTES = 50 * 2**20
IMAGE_BYTES = 512 * 2**20
REQUEST_BYTES = 512 * 2**20
_TEXTS = """
    .asm .bat .c .cc .conf .cpp .cs .css .cxx .def .dic .diff .go .h .hh .htm .html .in .java .js .json .jsx .ksh .kt
    .list .log .lua .markdown .md .mjs .patch .php .pl .ps1 .py .r .rb .rs .rst .s .scala .sh .sql .srt .swift .tex
    .text .toml .ts .tsx .txt .vtt .xml .yaml .yml
"""
_DOCUMENTS = """
    .pdf .csv .tsv .iif .xla .xlb .xlc .xlm .xls .xlsx .xlt .xlw .doc .docx .dot .odt .rtf .pot .ppa .pps .ppt .pptx
    .pwz .wiz .eml .ics .ifb .mht .mhtml .mime .nws .vcf
"""
INPUT_FILE_ENDINGS = frozenset(_TEXTS.split()) | frozenset(_DOCUMENTS.split())

# File search: https://developers.openai.com/api/docs/guides/tools-file-search, "Supported files".
_SEARCHABLE = """
    .c .cpp .cs .css .doc .docx .go .html .java .js .json .md .pdf .php .pptx .py .rb .sh .tex .ts .txt
"""
SEARCHABLE_ENDINGS = frozenset(_SEARCHABLE.split())

# Recordings: reference, "Create transcription", and https://developers.openai.com/api/docs/guides/speech-to-text.
AUDIO_BYTES = 25 * 2**20
AUDIO_ENDINGS = frozenset({"flac", "m4a", "mp3", "mp4", "mpeg", "mpga", "oga", "ogg", "wav", "webm"})
