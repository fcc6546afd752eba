"""Where the resources of all rooms are put together. Addresses have no slash at their end."""

from typing import Any

from django.urls import URLPattern, path
from rest_framework.routers import SimpleRouter


class Router(SimpleRouter):
    """Also knows resources of which each key has one: they are read and changed at an address without an id."""

    def __init__(self) -> None:
        super().__init__(trailing_slash=False, use_regex_path=False)
        self.ones: list[URLPattern] = []

    def register_one(self, name: str, resource: Any) -> None:
        view = resource.as_view({"get": "retrieve", "patch": "partial_update"}, basename=name, detail=True)
        self.ones.append(path(name, view, name=f"{name}-detail"))

    def get_urls(self) -> list[Any]:
        return [*super().get_urls(), *self.ones]


router = Router()
"""Each room's `api.py` registers here."""
