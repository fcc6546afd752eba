"""The API's addresses: the resources of all rooms, their description, and the problems that they tell."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import include, path, re_path
from django.utils.module_loading import autodiscover_modules
from django.views.decorators.csrf import csrf_exempt
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularRedocView, SpectacularSwaggerView

from employees.api import partners, people, problems  # noqa: F401  (they register their resources)
from employees.api.routes import router

autodiscover_modules("api")


class Schema(SpectacularJSONAPIView):
    """The description by OpenAPI 3.1; anybody may read it."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()


class Swagger(SpectacularSwaggerView):
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()


class Redoc(SpectacularRedocView):
    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()


def problem(request: HttpRequest, code: str) -> HttpResponse:
    """Where the `type` of a problem leads: what it means, whichever the case."""
    if code not in problems.KINDS:
        return problems.answer("not_found", request)
    kind = problems.KINDS[code]
    told = {"code": code, "status": kind.status, "title": str(kind.title), "cure": str(kind.cure)}
    return JsonResponse(told | {"type": problems.type_of(code)})


@csrf_exempt
def unknown(request: HttpRequest) -> HttpResponse:
    return problems.answer("not_found", request)


urlpatterns = [
    path("v1/openapi.json", Schema.as_view(), name="api_schema"),
    path("v1/", Redoc.as_view(url_name="api_schema"), name="api_reference"),
    path("v1/try/", Swagger.as_view(url_name="api_schema"), name="api_try"),
    path("v1/problems/<slug:code>", problem, name="api_problem"),
    path("v1/", include(router.urls)),
    re_path("", unknown),  # a line break in an address is no reason to answer a page
]
