"""This server is for this machine alone."""

import ipaddress

from aiohttp import web
from aiohttp.typedefs import Handler


def check_loopback(host: str) -> None:
    """Raises ValueError for a host that other machines could reach."""
    if not _is_loopback(host):
        raise ValueError(f"{host}: a local Slack listens on this machine only; use 127.0.0.1")


@web.middleware
async def only_loopback(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse requests that came under another name: a site of that name may have pointed it here (DNS rebinding)."""
    if not _is_loopback(request.url.host or ""):
        return web.Response(status=403, text="This server answers on this machine only.")
    return await handler(request)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
