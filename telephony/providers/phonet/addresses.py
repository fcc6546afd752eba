"""Where Phonet sends its requests from.

Source: the vendor's list, the same in two public clients.
"""

from __future__ import annotations

from ipaddress import ip_address

_PHONET = frozenset(
    {
        "89.184.65.208",
        "89.184.82.130",
        "89.184.67.228",
        "89.184.82.191",
        "89.184.65.137",
        "95.213.132.131",
    }
)


def foreign(remote: str) -> bool:
    """Whether a request comes from elsewhere. An address of our own network is a proxy's: it says nothing."""
    try:
        return ip_address(remote).is_global and remote not in _PHONET
    except ValueError:
        return False
