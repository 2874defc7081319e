"""Bobbin puts OpenAI assistants into Slack."""

from importlib.metadata import version

__version__ = version("bobbin")
