"""The Slack app's manifest: every scope, event, command and shortcut that the code uses, and no other."""

from pathlib import Path
from typing import Any

import yaml

#: Beside the package in a checkout, inside it when installed.
_PLACES = (Path(__file__).parent.parent / "manifest.yml", Path(__file__).parent / "manifest.yml")


def manifest() -> dict[str, Any]:
    """The app's manifest: what Bobbin asks of Slack."""
    path = next(path for path in _PLACES if path.exists())
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content
