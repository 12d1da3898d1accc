"""What every request passes: the right host, no other site behind it; and what every answer says."""

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
    """A request that is answered by one line and a status other than 400."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def guard(names: frozenset[str]) -> Middleware:
    """The middleware.

    Args:
        names: Host names by which the page may be called, beside addresses of numbers. A name of somebody else that
            points here (DNS rebinding) would let another site read what is open.
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
        except ConnectionError:  # nobody is left to answer
            raise
        except Exception as error:  # a page must not be answered by a traceback, nor the server end
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
        raise RefusedError(403, "this page is not called by that name; open the address that clit web printed")
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers["Host"]:
        raise RefusedError(403, "another site may not ask this page")
    if request.path != "/" and request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        raise RefusedError(403, "another site may not ask this page")


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
