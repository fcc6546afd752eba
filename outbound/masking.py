"""No secret in a log: requests and answers are masked before anybody sees them."""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "•••"
MASKED_NAMES = (
    "auth|access_token|refresh_token|application_token|client_secret|code|password|passwd|secret|api_key|api_salt|"
    "token|user_token|sign|signature|authorization|vpbx_api_key|vpbx_api_salt"
)
_IN_JSON = re.compile(rf'("(?:{MASKED_NAMES})"\s*:\s*)"(?:[^"\\]|\\.)*"', re.IGNORECASE)
_IN_FORM = re.compile(rf"((?:^|[?&\[\s])(?:{MASKED_NAMES})(?:%5D|\])?=)[^&\s\"']*", re.IGNORECASE)


def mask(text: str, secrets: Iterable[str] = (), limit: int = 16_384) -> str:
    """`text` without the given secret values and without values under names that are secret everywhere.

    At most `limit` characters are kept, and a cut is marked.
    """
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, MASK)
    text = _IN_JSON.sub(rf'\1"{MASK}"', text)
    text = _IN_FORM.sub(rf"\1{MASK}", text)
    return text if len(text) <= limit else text[:limit] + f"… (+{len(text) - limit})"
