"""The page."""

from typing import Any


class Page:
    def __init__(self, slack: Any, manifest: Any) -> None: ...
    def add_routes(self, app: Any) -> None: ...
