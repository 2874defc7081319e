"""Logging: structured, on standard error, without secrets and, at INFO, without what people wrote."""

import logging
import re
import sys
from collections.abc import Sequence
from typing import Any

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

#: The tokens of Slack, OpenAI, GitHub and GitLab, wherever they turn up, and any other in its usual place.
_SECRET = re.compile(r"\b(xox[a-z](?:\.xox[a-z])?-|xapp-|sk-|gh[a-z]_|github_pat_|glpat-)[A-Za-z0-9_.-]{4,}")
_BEARER = re.compile(r"(\b[Bb]earer )[A-Za-z0-9_.~+/=-]{8,}")
#: The password within an address.
_PASSWORD = re.compile(r"(://[^\s/:@]*:)[^\s/@]+(?=@)")
#: What lets a Socket Mode connection in, within its address.
_TICKET = re.compile(r"([?&]ticket=)[^&\s'\"]+")
#: Characters of a secret that is replaced; a shorter one may be a word.
_SHORTEST = 6
#: These log whole payloads and requests below WARNING.
_TALKATIVE = ("slack_bolt", "slack_sdk", "openai", "httpx2", "httpcore2", "aiohttp", "aiosqlite", "asyncio")


def configure(log_format: str, level: str, secrets: Sequence[str] = ()) -> None:
    """Set up logging once. `log_format` is console or json; `level` is for Bobbin's own lines. Of `secrets`, those
    that are long enough to be some appear in no line."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redacting(secrets),
                structlog.processors.JSONRenderer() if log_format == "json" else _console(),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    # Its warnings are about how Bolt is set up, which is Bobbin's choice and nobody's to act on.
    logging.getLogger("slack_bolt").setLevel(logging.ERROR)
    # It logs what servers said, word for word; what matters of it Bobbin says itself.
    logging.getLogger("mcp").setLevel(logging.CRITICAL)


def redacting(secrets: Sequence[str]) -> Processor:
    """Takes tokens out of every string of a log line, and `secrets`, which may look like anything."""
    # The longest first: one may be a part of another.
    ours = sorted((secret for secret in secrets if len(secret) >= _SHORTEST), key=len, reverse=True)

    def redacted(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        for secret in ours:
            value = value.replace(secret, "…")
        for pattern in (_SECRET, _BEARER, _PASSWORD, _TICKET):
            value = pattern.sub(r"\1…", value)
        return value

    def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        return {key: redacted(value) for key, value in event.items()}

    return redact


def _console() -> Processor:
    return structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
