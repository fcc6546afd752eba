"""What can go wrong when we speak to a vendor, sorted by what must be done about it."""

from __future__ import annotations

import re

_DIFFERING = re.compile(r"\S*(?:\d|://)\S*")


class OutboundError(Exception):
    """A request to a vendor did not do what it should.

    `words` are the vendor's own, shown to people as they came (masked before). `code` is the vendor's code where it
    has one. `fate_unknown` says that the request may have taken effect all the same: it left, and no answer came.
    `retry_after` is seconds to wait at least, where known.
    """

    kind = "temporary"
    about: object = None
    """What the request was for, where somebody has written that down."""

    def __init__(self, words: str, *, code: str = "", retry_after: float | None = None, fate_unknown: bool = False):
        super().__init__(words)
        self.words = words
        self.code = code
        self.retry_after = retry_after
        self.fate_unknown = fate_unknown

    @property
    def cause(self) -> str:
        """Code, a space, and the words without what differs from call to call: ids, numbers, addresses."""
        return f"{self.code} {' '.join(_DIFFERING.sub('…', self.words).split())}"


class Temporary(OutboundError):
    """The vendor is unreachable or overloaded: try again later, with backoff."""


class RateLimited(OutboundError):
    """The vendor, or our own limiter in its name, asks us to slow down."""

    kind = "rate_limited"


class CredentialsRefused(OutboundError):
    """The vendor does not accept our keys: pause the account, keep the work, tell the customer."""

    kind = "credentials"


class TokenExpired(CredentialsRefused):
    """Only the short-lived access token is over: refresh it and repeat the request."""

    kind = "token_expired"


class Rejected(OutboundError):
    """The vendor understood and refused for good: repeating it unchanged is useless."""

    kind = "rejected"


class VendorFault(Temporary):
    """The answer is not one: HTML instead of JSON, truncated, empty."""

    kind = "vendor_fault"


class AddressRefused(Rejected):
    """The address leads into a network that customers' addresses may not reach."""

    kind = "address_refused"


class DeadlineExceeded(Temporary):
    """The time budget is used up."""

    kind = "deadline"


PASSING = (Temporary, RateLimited)
"""What time mends: the same request may succeed later."""
