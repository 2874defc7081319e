"""Tokens, as far as a server counts them."""

from collections.abc import Mapping


def counted(usage: object, **names: str) -> dict[str, int]:
    """Bobbin's names for a server's counts. Compatible servers leave some out, or all."""
    counts = {ours: _field(usage, theirs) for ours, theirs in names.items()}
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def detailed(usage: object, details: str, **names: str) -> dict[str, int]:
    """Bobbin's names for the counts within one field of a server's counts."""
    return counted(_field(usage, details), **names)


def _field(holder: object, name: str) -> object:
    """A field of an object, or of a JSON object where the SDK does not know the field."""
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
