"""Where Slack lives: the only hosts to which files go, from which they come, and that may see the bot token."""

from yarl import URL

#: Slack's own domains, each with all below it: the hosts of `url_private` and of thumbnails
#: (https://docs.slack.dev/reference/objects/file-object), and of upload URLs.
_DOMAINS = ("slack.com", "slack-files.com")


class SlackHosts:
    """Slack's hosts, over HTTPS; and that of SLACK_API_URL exactly as it is set, be it HTTP."""

    def __init__(self, api_url: str) -> None:
        self._api = _place(URL(api_url))

    def own(self, url: URL) -> bool:
        """Whether a URL leads to Slack. A name or a port in it that is not Slack's usual one makes it foreign."""
        host = (url.raw_host or "").lower()
        if not host or url.user is not None or url.password is not None:
            return False
        if _place(url) == self._api:
            return True
        theirs = any(host == domain or host.endswith(f".{domain}") for domain in _DOMAINS)
        return theirs and url.scheme == "https" and url.port == 443


def _place(url: URL) -> tuple[str, str, int | None]:
    return url.scheme, (url.raw_host or "").lower(), url.port


def parse(address: str) -> URL | None:
    """A URL as the HTTP client will understand it; None for what is none."""
    try:
        url = URL(address)
    except ValueError:
        return None
    return url if url.absolute and url.port is not None else None
