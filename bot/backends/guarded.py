"""A run's events, whatever breaks them: the same promises for every backend."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

import openai

from bot.backends.failures import check_lengths, once_answering
from bot.engine.ports import RunEvent, RunRequest, TextDelta, TextDone
from bot.errors import BackendError, ContextOverflow, ThreadGone


async def guarded(
    request: RunRequest,
    limit: int,
    events: AsyncGenerator[RunEvent, None],
    explained: Callable[[openai.APIError], Awaitable[BackendError]],
) -> AsyncGenerator[RunEvent, None]:
    """The `events` of a run whose messages have at most `limit` characters each; what the SDK raises, `explained`.

    Once a part of the answer was yielded nothing may begin anew: ThreadGone and ContextOverflow are RunBroken then.
    """
    answering = False
    try:
        async with aclosing(events):
            check_lengths(request.messages, limit)
            async for event in events:
                answering = answering or isinstance(event, TextDelta | TextDone)
                yield event
    except openai.APIError as error:
        failure = await explained(error)
        raise (once_answering(failure) if answering else failure) from error
    except (ThreadGone, ContextOverflow) as error:
        if not answering:
            raise
        raise once_answering(error) from error
