"""How a run asks for its answer, and what it gives up where a server does not take that."""

from collections import deque
from collections.abc import Sequence

import openai
import structlog

from bot.backends.failures import lacks_model
from bot.backends.local.exchanges import Item
from bot.backends.local.input import Form
from bot.engine.ports import Assistant

_log = structlog.get_logger()

#: How often a conversation is cut in half after a server said that it is too long.
_HALVINGS = 3
#: Answers to a request that is not in the form that the server wants.
_NOT_TAKEN = (400, 422)


class Approach:
    """The model that is asked, in which form, and with how much of the conversation. What a method gives up is asked
    without from then on; False says that there was nothing to give up."""

    def __init__(self, assistant: Assistant, forms: dict[str, Form], own: Sequence[Item]) -> None:
        """`forms` is what is known of models, and learns; `own` are the items that the run itself brought."""
        self._models = deque(dict.fromkeys([assistant.model, *assistant.fallback_models]))
        self._forms = forms
        self._own = own
        self.model = self._models.popleft()
        self.form = forms.get(self.model, Form())
        self.halvings = 0

    @property
    def last_model(self) -> bool:
        return not self._models

    @property
    def unseen(self) -> tuple[str, ...]:
        """The names of the run's own pictures that the model does not get."""
        return self.form.unseen_in(self._own)

    def pass_over(self) -> bool:
        """Ask the next model."""
        if self.last_model:
            return False
        _log.warning("model-passed-over", model=self.model)
        self.model = self._models.popleft()
        self.form = self._forms.get(self.model, Form())
        self.halvings = 0
        return True

    def shorten(self) -> bool:
        """Send half as much."""
        self.halvings += 1
        return self.halvings <= _HALVINGS

    def simplify(self, words: str, items: Sequence[Item], *, refused: bool = False) -> bool:
        """Send the same in a plainer form, where the server's `words` are about that; see Form.plainer."""
        form = self.form.plainer(words, items, self._own, refused=refused)
        if form is None:
            return False
        _log.info("form-made-plainer", model=self.model, turns=form.turns, unseen=len(form.unseen))
        self.form = form
        return True

    def simplify_after(self, error: openai.APIStatusError, items: Sequence[Item]) -> bool:
        """The same after a refusal."""
        refused = error.status_code in _NOT_TAKEN
        return not lacks_model(error) and self.simplify(str(error.message), items, refused=refused)

    def remember(self) -> None:
        """The server took it: later runs begin with this form."""
        self._forms[self.model] = self.form
