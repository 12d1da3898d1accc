"""Middleware of all requests: rejects foreign hosts and sites, turns exceptions into JSON, adds security headers."""

import ipaddress
import json
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from clit_plugin.utils.console import warn
from clit_plugin.utils.errors import UserError

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class RefusedError(Exception):
    """A refused request: an HTTP status other than 400 and a one-line reason."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def guard(names: frozenset[str]) -> Middleware:
    """The middleware.

    Args:
        names: Host names accepted in the Host header, besides IP addresses. Accepting any other name would let a site
            whose name resolves to this computer (DNS rebinding) read the open pictures.
    """

    @web.middleware
    async def checked(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            _check_origin(request, names)
            response = await handler(request)
        except RefusedError as error:
            response = _error(error.status, str(error))
        except UserError as error:
            response = _error(400, str(error))
        except web.HTTPException as error:
            response = _error(error.status, error.reason)
        except ConnectionError:  # the client is gone: nobody reads the response
            response = web.Response(status=400)
        except Exception as error:  # the page gets one line, not a traceback, and the server keeps running
            warn(f"clit web: {request.method} failed ({type(error).__name__}: {error})")
            response = _error(500, f"this failed in clit web ({type(error).__name__}: {error})"[:300])
        response.headers.update(HEADERS)
        return response

    return checked


def _error(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=json.dumps({"error": text}), content_type="application/json")


def _check_origin(request: web.Request, names: frozenset[str]) -> None:
    host = _host(f"//{request.headers.get('Host', '')}")
    if host is None or not (host in names or _is_address(host)):
        raise RefusedError(403, "unknown host name; open the address that clit web printed")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers["Host"]:
        raise RefusedError(403, "requests from other sites are refused")
    if request.path != "/" and request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise RefusedError(403, "requests from other sites are refused")


def _host(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
