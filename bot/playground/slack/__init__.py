"""A local Slack: strict for the real slack_bolt, pleasant for a person in the browser."""

from bot.playground.slack.server import LocalSlack

__all__ = ["LocalSlack"]
