"""What every resource of the API stands on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from typing import Any, TypeVar, cast

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework import serializers
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.pagination import CursorPagination
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from employees import audit, phones
from employees.models import ApiKey, ApiRequest, Company, KeptAnswer

from . import access, idempotency
from .problems import Problem, invalid

M = TypeVar("M", bound=models.Model)


class Pages(CursorPagination):
    """Pages that follow each other: nothing is counted, and what comes meanwhile moves nothing."""

    page_size = 50
    page_size_query_param = "page_size"
    max_page_size = 200
    ordering = "-id"
    invalid_cursor_message = "cursor"

    def get_page_size(self, request: Request) -> int:
        asked = request.query_params.get(self.page_size_query_param, str(self.page_size))
        if not (asked.isdecimal() and 1 <= int(asked) <= self.max_page_size):
            raise invalid(self.page_size_query_param, f"1…{self.max_page_size}")
        return int(asked)

    def get_schema_operation_parameters(self, view: Any) -> Any:
        found = super().get_schema_operation_parameters(view)
        sizes = {"type": "integer", "minimum": 1, "maximum": self.max_page_size, "default": self.page_size}
        return [each | {"schema": sizes} if each["name"] == self.page_size_query_param else each for each in found]

    def decode_cursor(self, request: Request) -> Any:
        try:
            return super().decode_cursor(request)
        except Exception as error:
            raise Problem("cursor_invalid") from error


class Mine(serializers.SlugRelatedField):
    """Names a row of the company by its `uuid`; another company's is not found."""

    def __init__(self, model: type[models.Model], **options: Any) -> None:
        super().__init__("uuid", queryset=model._default_manager.all(), **options)

    def get_queryset(self) -> Any:
        return cast("Any", super()).get_queryset().filter(company=self.context["view"].company)

    def to_internal_value(self, data: Any) -> Any:
        try:
            return super().to_internal_value(data)
        except ValidationError:
            self.fail("does_not_exist", slug_name="uuid", value=data)


class Uuid(serializers.SlugRelatedField):
    """Tells which row it is by its `uuid`."""

    def __init__(self, **options: Any) -> None:
        super().__init__("uuid", read_only=True, **options)


class Anything(DefaultContentNegotiation):
    """For answers that are no JSON: whatever is accepted, they are what they are, and problems come as JSON."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class Nothing(serializers.Serializer):
    """No parameters, or no body."""


class Resource(GenericViewSet):
    """Rows of one company under an address of their own, each found by its `uuid`.

    `area` is that of the scopes; an action that needs another names it: `@action(…, area="commands")`. `filters`
    describes the parameters of its list; what it does not name is refused. An action that has parameters or pages
    names `filters`, `paged`.
    """

    area = ""
    tag = ""
    paged = False
    tagged = False
    names_company = True
    """Whether a partner's key must say which company is meant."""
    problems: Sequence[str] = ()
    """Codes of problems that this action may answer beside the usual ones, for the reference."""
    filters: type[serializers.Serializer] = Nothing
    lookup_field = "uuid"
    lookup_value_converter = "uuid"
    pagination_class: Any = Pages
    action: str  # None where the method is not known here

    _kept: KeptAnswer | None = None
    _let_in = False

    @property
    def key(self) -> ApiKey:
        return access.key_of(self.request)

    @property
    def company(self) -> Company:
        """The company that the request is about; asked for once."""
        if not hasattr(self, "_company"):
            self._company = access.company_of(self.request)
        return self._company

    def mine(self, model: type[M]) -> models.QuerySet[M]:
        """The rows of the company."""
        return model._default_manager.filter(company=self.company)

    def parameters(self) -> dict[str, Any]:
        """What the address asks for, validated."""
        given = self.request.query_params.dict()  # a form's empty field would be none; an empty parameter is not right
        asked = self.filters(data=given, context={"view": self})
        asked.is_valid(raise_exception=True)
        return asked.validated_data

    def validated(self, **extra: Any) -> dict[str, Any]:
        """The body, validated by the serializer of this action."""
        serializer = self.get_serializer(data=self.request.data, **extra)
        serializer.is_valid(raise_exception=True)
        return serializer.validated_data

    # --- The way of a request -----------------------------------------------------------------------------------------

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """All that it changes is the key's doing; numbers are told whole. It is written down, whatever came of it."""
        self._started = time.monotonic()
        with phones.shown(phones.Look()), audit.acting(None):
            return super().dispatch(request, *args, **kwargs)

    def perform_authentication(self, request: Request) -> None:
        super().perform_authentication(request)
        self._let_in = isinstance(request.auth, ApiKey)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if self.action is None:
            self.http_method_not_allowed(request)
        self._known_parameters(request)
        if self.names_company:
            self._company = access.company_of(request)
        audit.act(audit.Actor(None, f"API · {self.key}", audit.address_of(request)))
        self._kept = idempotency.begin(request)
        if self._kept and self._kept.status:
            raise Answered(self._kept)

    def _known_parameters(self, request: Request) -> None:
        known = set(self.filters_of_action()().fields) | ({"cursor", "page_size"} if self.pages else set())
        if unknown := sorted(set(request.query_params) - known):
            raise Problem("parameter_unknown", ", ".join(unknown))

    @property
    def pages(self) -> bool:
        return self.paged or (self.action == "list" and self.pagination_class is not None)

    def filters_of_action(self) -> type[serializers.Serializer]:
        """Those of the class are its list's; another action has what it names."""
        listed = self.action == "list" or self.filters is not type(self).filters
        return self.filters if listed else Nothing

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, Answered):
            self._kept = None
            return idempotency.answered(exc.row)
        return super().handle_exception(exc)

    def finalize_response(self, request: Any, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        for throttle in getattr(self, "_throttles", []):
            for name, value in throttle.headers().items():
                response[name] = value
        response.setdefault("Cache-Control", "no-store")
        if isinstance(response, Response):
            response.add_post_render_callback(self._answered)
        else:
            self._answered(response)
        return response

    def get_throttles(self) -> Any:
        self._throttles = super().get_throttles()
        return self._throttles

    def _answered(self, response: HttpResponseBase) -> None:
        if self._kept and isinstance(response, HttpResponse):
            idempotency.keep(self._kept, response)
        if not self._let_in:
            return
        told = getattr(response, "data", None)
        problem = told.get("code", "") if response.status_code >= 400 and isinstance(told, dict) else ""
        company = getattr(self, "_company", None)
        ApiRequest.objects.create(
            key=self.key,
            company_id=company.pk if company else self.key.company_id,
            method=self.request.method or "",
            path=self.request.path[:300],
            status=response.status_code,
            code=problem,
            milliseconds=round((time.monotonic() - self._started) * 1000),
            address=audit.address_of(self.request),
            request_id=getattr(self.request._request, "request_id", ""),
        )


class Answered(Exception):
    """This request was answered before."""

    def __init__(self, row: KeptAnswer) -> None:
        super().__init__()
        self.row = row


# --- Rows that two may change at once ---------------------------------------------------------------------------------


class Tagged:
    """Reads and changes (PATCH) rows that carry an `ETag`: who sends `If-Match` changes only what he has read."""

    tagged = True

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        view = cast("Resource", self)
        return tagged(view.get_serializer(view.get_object()).data)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        view = cast("Resource", self)
        with transaction.atomic():
            row = view.get_object()
            self._unchanged(view, row)
            serializer = view.get_serializer(row, data=request.data, partial=True)
            serializer.is_valid(raise_exception=True)
            self.perform_update(serializer)
        return tagged(serializer.data)

    def perform_update(self, serializer: Any) -> None:
        serializer.save()

    @staticmethod
    def _unchanged(view: Resource, row: models.Model) -> None:
        """Raises a `Problem` where the row is not what `If-Match` names. It is held until the transaction ends."""
        wanted = view.request.headers.get("If-Match", "*").strip()
        if wanted == "*":
            return
        held = type(row)._base_manager.select_for_update().get(pk=row.pk)
        if etag(view.get_serializer(held).data) not in {part.strip() for part in wanted.split(",")}:
            raise Problem("changed_meanwhile")


def tagged(told: Any) -> Response:
    return Response(told, headers={"ETag": etag(told)})


def etag(told: Any) -> str:
    return f'"{hashlib.sha256(JSONRenderer().render(dict(told))).hexdigest()[:32]}"'
