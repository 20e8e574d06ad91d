"""The page /docs: names the routes. Made from the route table, so that the two cannot part."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from typing import Final

from .routes import ROUTES

_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "td,th{text-align:left;vertical-align:top;padding:.2em 1em .2em 0}code{white-space:nowrap}"
)
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CSP: Final = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""The policy under which the page is sent: it runs nothing and loads nothing."""

_NOTES = (
    "<code>?quality=1</code> on /data adds how far each reading may be trusted.",
    "<code>?from&amp;to&amp;limit&amp;order</code> on a timeseries reads its past: milliseconds or "
    "ISO 8601; <code>Next</code> says where more begin, <code>?gaps=1</code> what is missing.",
    "<code>HEAD</code> goes wherever <code>GET</code> goes; <code>OPTIONS</code> answers "
    "<code>Allow</code> anywhere.",
    "<code>ETag</code> and <code>If-None-Match</code> save what has not changed; "
    "<code>Accept-Encoding: gzip</code> is honoured.",
    "An error is <code>{&quot;error&quot;, &quot;message&quot;, &quot;hint&quot;}</code>: 400 "
    "bad request, 401 needs the token, 403 not allowed, 404 nothing there, 405 not with this "
    "method, 408 too slow, 409 taken already, 413 body too large, 414 address and 431 headers too "
    "long, 501 a method unknown there, 502 a device failed, 503 busy, not ready or set too often "
    "(with Retry-After), 504 a device did not answer in time, 507 disk full.",
    "A GET of an actuator asks its device. In all below a place, one that fails shows its last "
    "value and <code>Error</code>. <code>GET /jobs?full=1</code> adds uuid, State and Error.",
    "A NaN or infinity is <code>null</code> in Readings and named in <code>NonFinite</code>: "
    "<code>[[index, &quot;NaN&quot;]]</code>.",
    "POST /readings takes all of a body or nothing. A key that an object has twice, one that may "
    "be misspelt, a uuid that is nobody&#39;s, another unit or ReadingType: 400. A time is any "
    "number of milliseconds of 64 bits, before 1970 and far ahead too.",
)


def page(version: str) -> bytes:
    """The page, as UTF-8."""
    rows = "".join(
        f"<tr><td>{route.method}</td><td><code>{escape(_shown(route.rule))}</code></td>"
        f"<td>{escape(route.doc)}</td></tr>\n"
        for route in ROUTES
    )
    notes = "".join(f"<li>{note}</li>\n" for note in _NOTES)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">'
        f"<title>smapd: routes</title>\n<style>{_STYLE}</style></head>\n<body>\n"
        f"<h1>smapd {escape(version)}</h1>\n<table>\n"
        f"<tr><th>method</th><th>address</th><th>what</th></tr>\n{rows}</table>\n"
        f"<ul>\n{notes}</ul>\n</body>\n</html>\n"
    ).encode()


def _shown(rule: str) -> str:
    """As people write it: ``/reports/UUID``."""
    return re.sub(r"<(?:path:)?(\w+)>", lambda found: found[1].upper(), rule)
