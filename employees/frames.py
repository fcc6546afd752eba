"""Whose pages may show ours within them: origins, as browsers write them."""

from __future__ import annotations

import re

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.utils.translation import gettext_lazy as _

MOST = 20
_NAME = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
_PORT = r"(:[1-9][0-9]{0,4})?"
_ORIGIN = re.compile(rf"https://{_NAME}(\.{_NAME})*{_PORT}")
_LOOPBACK = re.compile(rf"http://(localhost|127\.0\.0\.1){_PORT}")


def valid_origin(origin: str) -> None:
    """Raises `ValidationError` unless it is `https://`, a host and perhaps a port, and nothing else: it goes into a
    header as it is. This machine's own pages may be `http` where private hosts are allowed."""
    if not (_ORIGIN.fullmatch(origin) or (settings.ALLOW_PRIVATE_HOSTS and _LOOPBACK.fullmatch(origin))):
        words = _("%(origin)s is not right: write https://, the host in small letters and nothing after it.")
        raise ValidationError(words, params={"origin": origin})


def valid_origins(text: str) -> None:
    origins = text.split()
    if len(origins) > MOST:
        raise ValidationError(_("At most %(most)d addresses."), params={"most": MOST})
    for origin in origins:
        valid_origin(origin)


def allow(response: HttpResponse, origins: list[str]) -> None:
    """Only these may frame this page; where there are none nobody may."""
    response.headers["Content-Security-Policy"] = " ".join(["frame-ancestors", *(origins or ["'none'"])])
    response.headers.pop("X-Frame-Options", None)
    response.xframe_options_exempt = True
