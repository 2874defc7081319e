"""One tree of errors. Each carries the sentence that the person in Slack (or at the terminal) reads.

BobbinError
├── SettingsError        a setting is missing or wrong: ends the start, exit code 2
├── AssistantFileError   a definition cannot be read: ends the start, exit code 2
├── CommandError         what somebody typed cannot be done
├── ToolError            a tool says why it did not do what the model wanted
├── SlackRefused         Slack does not take what Bobbin sends
├── FileUnusable         a file cannot be used, or not be posted
└── BackendError         the backend cannot make this run
    ├── BackendUnsupported, BackendRefused (key, quota, model), BackendBusy, BackendUnreachable
    ├── ThreadGone, ThreadLocked, ContextOverflow
    └── PostTooLong, RunBroken, Moderated
"""

from collections.abc import Mapping


class BobbinError(Exception):
    """`sentence` says what happened and what to do, without secrets and without SDK words."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class SettingsError(BobbinError):
    """A setting is missing or wrong."""


class AssistantFileError(BobbinError):
    """An assistant's file is unreadable or invalid; the sentence has the file and the line. `more` are its other
    mistakes, a sentence each."""

    def __init__(self, sentence: str, more: tuple[str, ...] = ()) -> None:
        super().__init__(sentence)
        self.more = more


class CommandError(BobbinError):
    """What somebody typed cannot be done."""


class ToolError(BobbinError):
    """A tool did not do what it was called for. The model reads the sentence, and may tell people."""


class SlackRefused(BobbinError):
    """Slack does not take what Bobbin sends; `code` is Slack's error name. `passing` says that Slack was not there to
    say so, and may be later."""

    def __init__(self, sentence: str, code: str, *, passing: bool = False) -> None:
        super().__init__(sentence)
        self.code = code
        self.passing = passing


class FileUnusable(BobbinError):
    """A file of a post cannot be used, or one that a run made cannot be posted.

    Of a post's file, the sentence is only what comes after its name: "is empty", "was deleted".
    """


class StoppedByUser(BobbinError):
    """Somebody pressed Slack's Stop under an answer."""

    def __init__(self) -> None:
        super().__init__("Stopped.")


class BackendError(BobbinError):
    """The backend cannot make this run. `retry` says whether offering Retry makes sense."""

    retry = True


class BackendUnsupported(BackendError):
    """The server does not speak this backend's protocol."""

    retry = False


class BackendRefused(BackendError):
    """Key, quota, permission or model: an admin has to act."""


class BackendBusy(BackendError):
    """Rate limits or overload that outlasted our patience."""


class BackendUnreachable(BackendError):
    """No connection, or the server failed."""


class ThreadGone(BackendError):
    """The backend no longer has the thread."""


class ThreadLocked(BackendError):
    """Another operation holds the backend's thread; `backend_run` names it where the server says so."""

    def __init__(self, sentence: str, backend_run: str | None = None) -> None:
        super().__init__(sentence)
        self.backend_run = backend_run


class ContextOverflow(BackendError):
    """The conversation no longer fits the model's context."""


class PostTooLong(BackendError):
    """A post is over the backend's limit."""

    retry = False


class RunBroken(BackendError):
    """The run ended in a way that is nobody's answer: failed, expired, lost."""


class Moderated(BackendError):
    """The provider's safety check objects to a post, or to an answer, which `model` made with so much `usage`."""

    retry = False
    usage: Mapping[str, int] = {}
    model: str | None = None
