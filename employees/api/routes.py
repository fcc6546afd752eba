"""Where the resources of all rooms are put together. Addresses have no slash at their end."""

from rest_framework.routers import SimpleRouter

router = SimpleRouter(trailing_slash=False, use_regex_path=False)
"""Each room's `api.py` registers here."""
