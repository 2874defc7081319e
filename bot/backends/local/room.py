"""How much of a conversation a model can read, where nobody counts tokens for us: characters stand for them."""

from collections.abc import Mapping, Sequence
from typing import Any

from bot.backends.limits import CHARACTERS_PER_TOKEN, IMAGE_TOKENS

#: What an item costs besides its words.
_ITEM_TOKENS = 4


def tokens_of(item: Mapping[str, Any]) -> int:
    """About how many tokens the model reads of an item; rather too many than too few."""
    return _characters(item) // CHARACTERS_PER_TOKEN + _ITEM_TOKENS


def fair_share(sizes: Sequence[int], room: int) -> int:
    """How much each of these may have at most, for all of them to fit: what small ones leave is for the large ones."""
    left = max(room, 0)
    for place, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - place)
        if size > share:
            return share
        left -= size
    return max(sizes, default=0)


def _characters(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        if value.get("type") == "input_image":
            return IMAGE_TOKENS * CHARACTERS_PER_TOKEN
        return sum(map(_characters, value.values()))
    return sum(map(_characters, value)) if isinstance(value, list) else 0
