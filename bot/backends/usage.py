"""Tokens, as far as a server counts them."""


def counted(usage: object, **names: str) -> dict[str, int]:
    """Bobbin's names for a server's counts. Compatible servers leave some out, or all."""
    counts = {ours: getattr(usage, theirs, None) for ours, theirs in names.items()}
    return {name: count for name, count in counts.items() if isinstance(count, int)}
