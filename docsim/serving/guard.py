"""The guard: whom a request comes from, whether it was meant for this server, and whether there were too many.

Everything but a few paths needs somebody: a bearer token, a session of the page, or a user named by a trusted proxy. On
a loopback address without tokens that is whoever uses this machine, who may see everything and change nothing; with
``--open`` it is anybody, who sees what is everybody's.

A page of another site can make a browser send requests here. So a request has to be addressed to this machine by a
name that a stranger cannot give it (else it may have been led here by DNS rebinding), and one that does more than read
has to come from this server's own pages (CSRF). Where a request does not say that it does, a session may only read.
"""

from __future__ import annotations

import ipaddress
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from docsim.serving.access import Access, Rules, Viewer
from docsim.serving.problems import Problem
from docsim.serving.rate_limit import Rate
from docsim.serving.settings import Settings
from docsim.serving.tokens import Tokens

__all__ = ["COOKIE", "Guarded"]

COOKIE = "docsim_session"

_PUBLIC = ("/livez", "/readyz", "/login", "/opensearch.xml", "/v1/openapi.json")
_PUBLIC_BELOW = "/static/"
_SAFE = ("GET", "HEAD", "OPTIONS")
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class Guarded:
    """Lets requests through to an application, with what they may see as ``scope["state"]["access"]``."""

    def __init__(self, app: ASGIApp, settings: Settings, rules: Rules, tokens: Tokens) -> None:
        """Guard an application."""
        self._app, self._settings, self._rules, self._tokens = app, settings, rules, tokens
        self._rate = Rate(settings.rate)
        self._proxies = [ipaddress.ip_network(one) for one in settings.proxies]
        own = {"localhost", socket.gethostname().lower(), settings.host.lower()}
        self._names = own | {name.lower().rstrip(".") for name in settings.names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or turn it away."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        headers = Headers(scope=scope)
        if self._is_from_proxy(scope) and headers.get("x-forwarded-proto") in ("http", "https"):
            scope["scheme"] = headers["x-forwarded-proto"]
        self._check_host(headers)
        _check_origin(scope, headers)
        if scope["path"] not in _PUBLIC and not scope["path"].startswith(_PUBLIC_BELOW):
            viewer = self._viewer(scope, headers)
            if viewer is None:
                return await _unknown(scope, headers)(scope, receive, send)
            self._check_rate(viewer, scope)
            scope.setdefault("state", {})["access"] = Access(viewer, self._rules)
        return await self._app(scope, receive, send)

    def _check_host(self, headers: Headers) -> None:
        """Refuse a request for a name that is not known to be this machine's. An address cannot be rebound."""
        hosts = headers.getlist("host")
        name = _host_name(hosts[0]) if len(hosts) == 1 else ""
        if name not in self._names and not _is_address(name):
            message = f"expected a request for a host name of this server, got {name[:100]!r}"
            raise Problem(421, f"{message}; the server can be started with more names")

    def _viewer(self, scope: Scope, headers: Headers) -> Viewer | None:
        """Return whom a request comes from, or None when that cannot be told."""
        given = headers.get("authorization")
        if given is not None:
            kind, _, token = given.partition(" ")
            return self._tokens.viewer(token.strip()) if kind.lower() == "bearer" else None
        if (session := _session(headers)) and (viewer := self._tokens.resumed(session)):
            is_own = scope["method"] in _SAFE or _is_from_own_page(scope, headers)
            return viewer if is_own else Viewer(viewer.name, viewer.groups)
        return self._from_proxy(scope, headers) or self._anonymous(headers)

    def _is_from_proxy(self, scope: Scope) -> bool:
        """Return whether a request was handed on by a trusted proxy."""
        if not self._proxies or not scope.get("client"):
            return False
        address = ipaddress.ip_address(scope["client"][0])
        return any(address in network for network in self._proxies)

    def _from_proxy(self, scope: Scope, headers: Headers) -> Viewer | None:
        """Return the user that a trusted proxy names."""
        user = headers.get("x-forwarded-user", "").strip()
        if not user or not self._is_from_proxy(scope):
            return None
        groups = (one.strip() for one in ",".join(headers.getlist("x-forwarded-groups")).split(","))
        return Viewer(user[:200], frozenset(filter(None, groups)))

    def _anonymous(self, headers: Headers) -> Viewer | None:
        """Return who asks without saying so, if nobody has to.

        What a proxy hands on comes from a loopback address too, but not from this machine.
        """
        if self._settings.open:
            return Viewer("anyone", frozenset())
        is_direct = not any(name in headers for name in _FORWARDED)
        if self._settings.is_local and is_direct and not self._proxies and not self._tokens.any():
            return Viewer("local", None)
        return None

    def _check_rate(self, viewer: Viewer, scope: Scope) -> None:
        is_anonymous = viewer.name in ("anyone", "local")
        address = scope["client"][0] if scope.get("client") else ""
        wait = self._rate.take(f"at {address}" if is_anonymous else f"by {viewer.name}")
        if wait:
            message = f"expected at most {self._settings.rate} requests a minute, got more; ask again later"
            raise Problem(429, message, {"Retry-After": str(int(wait) + 1)})


def _unknown(scope: Scope, headers: Headers) -> ASGIApp:
    """Return where somebody on the page can sign in.

    Raises:
        Problem: It is no request for a page.
    """
    if scope["method"] == "GET" and "text/html" in headers.get("accept", "") and not scope["path"].startswith("/v1"):
        path = scope["path"] + (f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else "")
        return RedirectResponse(f"/login?next={quote(path, safe='')}", 303)
    message = "expected a token that is known and has not expired, in the header Authorization: Bearer TOKEN; got none"
    raise Problem(401, message, {"WWW-Authenticate": "Bearer"})


def _check_origin(scope: Scope, headers: Headers) -> None:
    """Refuse what a page of another site has a browser send, unless it only reads."""
    if scope["method"] in _SAFE:
        return
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    if origin not in (None, *_own(scope, headers)) or site not in (None, "same-origin", "none"):
        raise Problem(403, "expected a request from a page of this server, got one from a page of another site")


def _is_from_own_page(scope: Scope, headers: Headers) -> bool:
    """Return whether a browser says that a request comes from a page of this server."""
    return headers.get("sec-fetch-site") == "same-origin" or headers.get("origin") in _own(scope, headers)


def _own(scope: Scope, headers: Headers) -> tuple[str, str]:
    """Return the origins of this server's pages; a proxy may speak HTTPS before it."""
    own = f"{scope['scheme']}://{headers.get('host', '')}"
    return own, own.replace("http://", "https://", 1)


def _session(headers: Headers) -> str | None:
    try:
        held = SimpleCookie("; ".join(headers.getlist("cookie"))).get(COOKIE)
    except CookieError:
        return None
    return held.value if held else None


def _host_name(host: str) -> str:
    """Return the name or address in a ``Host`` header, without its port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.rpartition(":")[0] or host
    return name.lower().rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
