"""The frame of our pages: the customer's portal at `/` and the support desk at `/support/`.

A portal page is a function registered with `portal.page`: it names the right it needs, and gets a request with
`membership`. What it shows of the database it takes through `mine`, so that companies never meet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import update_wrapper
from typing import Any, TypeVar, cast

from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.templatetags.static import static
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from unfold.sites import UnfoldAdminSite

from . import phones, signin
from .forms import carried, way_back
from .models import Company, Membership, User
from .rights import RIGHTS, Right, may

M = TypeVar("M", bound=models.Model)
View = Callable[..., HttpResponseBase]

BLUE = {
    "50": "oklch(97% .014 254.604)",
    "100": "oklch(93.2% .032 255.585)",
    "200": "oklch(88.2% .059 254.128)",
    "300": "oklch(80.9% .105 251.813)",
    "400": "oklch(70.7% .165 254.624)",
    "500": "oklch(62.3% .214 259.815)",
    "600": "oklch(54.6% .245 262.881)",
    "700": "oklch(48.8% .243 264.376)",
    "800": "oklch(42.4% .199 265.638)",
    "900": "oklch(37.9% .146 265.522)",
    "950": "oklch(28.2% .091 267.935)",
}


class PortalRequest(HttpRequest):
    """A request of somebody who is signed in and looks at a company."""

    membership: Membership
    memberships: list[Membership]
    user: User
    current_app: str


def mine(request: HttpRequest, model: type[M]) -> models.QuerySet[M]:
    """The rows of the company that the request looks at."""
    membership = cast("PortalRequest", request).membership
    return model._default_manager.filter(company=membership.company)


def my(request: HttpRequest, model: type[M], **which: Any) -> M:
    """One row of the company; another company's is not found."""
    return get_object_or_404(mine(request, model), **which)


@dataclass(frozen=True)
class Page:
    route: str
    name: str
    right: Right
    view: View
    posts: bool
    """Whether the page only takes POST."""


@dataclass(frozen=True)
class MenuItem:
    title: Any
    icon: str
    page: str
    group: Any
    order: int
    right: Right
    inside: tuple[str, ...] = field(default=())
    """Names of further pages that belong to this item."""
    shown: Callable[[HttpRequest], bool] | None = None
    """Whether it is there now; always, where nothing is said."""


class _Site(UnfoldAdminSite):
    """What both sites share: the look, and sign-in and sign-out at one address."""

    final_catch_all_view = False
    enable_nav_sidebar = True

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        context["colors"]["primary"] = BLUE
        context["styles"] = [static("callbridge/callbridge.css")]
        context["site_url"] = None
        context["site_favicons"] = [{"rel": "icon", "type": "image/svg+xml", "href": static("callbridge/favicon.svg")}]
        return context

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return signin.sign_out(request)

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return HttpResponseRedirect(reverse("account_change_password"))


class PortalSite(_Site):
    """The customer's own site: pages of one company."""

    index_title = _("Overview")

    def __init__(self, name: str = "portal") -> None:
        super().__init__(name)
        self.pages: list[Page] = []
        self.menu: list[MenuItem] = []

    def page(self, route: str, *, name: str, right: Right, posts: bool = False) -> Callable[[View], View]:
        """Register a page; who lacks `right` gets 403, `posts` says that it only takes POST."""

        def register(view: View) -> View:
            self.pages.append(Page(route, name, right, view, posts))
            return view

        return register

    def view(self, name: str) -> View:
        """A registered page's view with its rights, for an address that leads elsewhere too."""
        return self._wrapped(next(page for page in self.pages if page.name == name))

    def in_menu(
        self,
        page: str,
        title: Any,
        icon: str,
        *,
        group: Any,
        order: int,
        inside: tuple[str, ...] = (),
        shown: Callable[[HttpRequest], bool] | None = None,
    ) -> None:
        """Put a registered page into the menu; `inside` are names of pages that belong to it, `shown` says when."""
        right = next(row.right for row in self.pages if row.name == page)
        self.menu.append(MenuItem(title, icon, page, group, order, right, inside, shown))

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and getattr(request, "membership", None))

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        membership: Membership | None = getattr(request, "membership", None)
        context["site_subheader"] = membership.company.name if membership else None
        context["membership"] = membership
        context["memberships"] = getattr(request, "memberships", [])
        context["way_back"], context["carried"] = way_back(request), carried(request)
        context["rights"] = RIGHTS.get(membership.role, frozenset()) if membership else frozenset()
        context["may_manage"], context["may_work"] = may(membership, Right.MANAGE), may(membership, Right.WORK)
        context["numbers_hidden"] = phones.hidden()
        return context

    def render(
        self, request: HttpRequest, template: str, context: dict[str, Any] | None = None, status: int = 200
    ) -> HttpResponse:
        request.current_app = self.name
        return TemplateResponse(
            request, template, {**self.each_context(request), **(context or {})}, status=status
        ).render()

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("login/", self.login, name="login"),
            path("logout/", self.logout, name="logout"),
            path("password/", self.admin_view(self.password_change), name="password_change"),
            path("jsi18n/", self.admin_view(self.i18n_javascript, cacheable=True), name="jsi18n"),
            path("search/", self.admin_view(self.search), name="search"),
        ]
        # `admin:index` must exist for the frame; the home page is a page like the others.
        return own + [path(page.route, self._wrapped(page), name=page.name) for page in self.pages]

    def _wrapped(self, page: Page) -> View:
        def view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not may(getattr(request, "membership", None), page.right):
                raise PermissionDenied
            if page.posts and request.method != "POST":
                return HttpResponse(status=405, headers={"Allow": "POST"})
            return page.view(request, *args, **kwargs)

        return cast("View", self.admin_view(update_wrapper(view, page.view)))

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        return []

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        membership: Membership | None = getattr(request, "membership", None)
        match = request.resolver_match
        here = match.url_name if match else ""
        groups: dict[str, list[dict[str, Any]]] = {}
        for item in sorted(self.menu, key=lambda row: row.order):
            if not may(membership, item.right) or (item.shown and not item.shown(request)):
                continue
            groups.setdefault(str(item.group), []).append(
                {
                    "title": item.title,
                    "icon": item.icon,
                    "link": reverse(f"{self.name}:{item.page}"),
                    "active": here == item.page or here in item.inside,
                    "has_permission": True,
                }
            )
        return [{"title": title, "items": items} for title, items in groups.items()]

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return signin.sign_in(request)


class SupportSite(_Site):
    """The desk of our support: all companies."""

    site_title = index_title = _("Support desk")

    def __init__(self, name: str = "support") -> None:
        super().__init__(name)
        self.pages: list[tuple[str, View, str]] = []
        """Pages beside the lists: route, view, name."""
        self.menu: list[tuple[int, str, Any, str]] = []
        """Of these the ones in the menu: order, name, title, icon."""

    def page(self, route: str, *, name: str, title: Any = "", icon: str = "", order: int = 0) -> Callable[[View], View]:
        """Register a page beside the lists; with a title it stands in the menu above them."""

        def register(view: View) -> View:
            self.pages.append((route, view, name))
            if title:
                self.menu.append((order, name, title, icon))
            return view

        return register

    def render(self, request: HttpRequest, template: str, context: dict[str, Any] | None = None) -> HttpResponse:
        request.current_app = self.name
        return TemplateResponse(request, template, {**self.each_context(request), **(context or {})}).render()

    def extra_urls(self) -> list[URLPattern]:
        return [path(route, cast("Any", self.admin_view(view)), name=name) for route, view, name in self.pages]

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and getattr(request.user, "is_staff", False))

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        return {**super().each_context(request), "site_subheader": _("Support desk"), "support": True}

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        there = reverse("portal:login")
        query = request.GET.urlencode()
        return HttpResponseRedirect(f"{there}?{query}" if query else there)

    def get_sidebar_list(self, request: HttpRequest) -> list[dict[str, Any]]:
        here = request.resolver_match.url_name if request.resolver_match else ""
        desk = [
            {
                "title": title,
                "link": reverse(f"{self.name}:{name}"),
                "active": here == name,
                "has_permission": True,
                "icon": icon,
            }
            for _order, name, title, icon in sorted(self.menu, key=lambda row: row[0])
        ]
        return [{"title": "", "items": desk}, *self._lists(request)]

    def _lists(self, request: HttpRequest) -> list[dict[str, Any]]:
        return [
            {
                "title": app["name"],
                "items": [
                    {
                        "title": str(model["name"])[:1].upper() + str(model["name"])[1:],
                        "link": model["admin_url"],
                        "active": request.path.startswith(str(model["admin_url"] or "-")),
                        "has_permission": bool(model["admin_url"]),
                        "icon": getattr(self._registry[model["model"]], "icon", "table"),
                    }
                    for model in app["models"]
                ],
            }
            for app in self.get_app_list(request)
        ]


portal = PortalSite()
support = SupportSite()


def company_of(request: HttpRequest) -> Company:
    return cast("PortalRequest", request).membership.company
