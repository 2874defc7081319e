"""Tokens, as far as a server counts them."""

from bot.backends.fields import field


def counted(usage: object, **names: str) -> dict[str, int]:
    """Bobbin's names for a server's counts. Compatible servers leave some out, or all."""
    counts = {ours: field(usage, theirs) for ours, theirs in names.items()}
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def detailed(usage: object, details: str, **names: str) -> dict[str, int]:
    """Bobbin's names for the counts within one field of a server's counts."""
    return counted(field(usage, details), **names)
