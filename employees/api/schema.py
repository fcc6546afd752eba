"""What the reference (OpenAPI 3.1, by drf-spectacular) says of every resource alike."""

from __future__ import annotations

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from . import access, idempotency, problems

COMPANY = OpenApiParameter(
    access.COMPANY,
    {"type": "string", "format": "uuid"},
    OpenApiParameter.HEADER,
    description="Whose rows: a partner's key must name one of its companies, a company's key need not.",
)
IDEMPOTENCY = OpenApiParameter(
    idempotency.HEADER,
    {"type": "string", "minLength": 1, "maxLength": idempotency.LONGEST},
    OpenApiParameter.HEADER,
    description="Any text of yours: a repetition with the same one does nothing again and is answered alike, for 24 h.",
)
IF_MATCH = OpenApiParameter(
    "If-Match",
    {"type": "string"},
    OpenApiParameter.HEADER,
    description="The `ETag` that you have read: what somebody else changed since is not overwritten (412).",
)


class FieldErrorSerializer(serializers.Serializer):
    field = serializers.CharField(allow_blank=True)
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer):
    """RFC 9457. `code` is stable; `title`, `detail` and `cure` are words in the language of `Accept-Language`."""

    type = serializers.URLField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    code = serializers.ChoiceField(choices=[(code, code) for code in problems.KINDS])
    detail = serializers.CharField()
    cure = serializers.CharField()
    request_id = serializers.CharField(allow_blank=True)
    errors = FieldErrorSerializer(many=True, required=False)  # type: ignore[assignment]


class KeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = access.KeyAuthentication
    name = "key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "An API key: `cb_…`."}


class Described(AutoSchema):
    """Adds to each operation its parameters, its scope, and every problem that it may answer."""

    view: Any

    def get_override_parameters(self) -> list[Any]:
        found: list[Any] = []
        if self.view.area != "" and self.view.names_company:
            found.append(COMPANY)
        if self.method == "POST":
            found.append(IDEMPOTENCY)
        if self.method in ("PUT", "PATCH") and self.view.tagged:
            found.append(IF_MATCH)
        filters = self.view.filters_of_action()
        return [*found, filters] if filters().fields else found

    def get_description(self) -> str:  # type: ignore[override]
        scope = access.scope_of(self.view, self.method)
        return f"{super().get_description() or ''}\n\nScope: `{scope}`.".strip()

    def get_operation_id(self) -> str:
        return super().get_operation_id().removeprefix("v1_")

    def get_tags(self) -> list[str]:
        return [self.view.tag or self.view.basename]

    def _is_list_view(self, serializer: Any = None) -> bool:
        return self.view.paged or super()._is_list_view(serializer)

    def _get_response_bodies(self, direction: Any = "response") -> Any:
        answers = super()._get_response_bodies(direction)
        for status, codes in self._codes().items():
            if status not in answers:
                told = self._get_response_for_code(_problem(codes), status, [problems.CONTENT_TYPE])  # type: ignore[no-untyped-call]
                answers[status] = told
        return answers

    def _codes(self) -> dict[str, list[str]]:
        """Codes of the problems of this operation, by status."""
        codes = ["key_missing", "key_refused", "scope_missing", "too_many_requests", "not_acceptable", "internal"]
        codes += ["parameter_unknown", "malformed", "invalid"]
        if self.view.names_company:
            codes += ["company_required", "not_found"]
        if "{" in self.path:
            codes.append("not_found")
        if self.method == "GET" and self.view.pages:
            codes.append("cursor_invalid")
        if self.method in ("POST", "PUT", "PATCH"):
            codes.append("media_type")
        if self.method == "POST":
            codes += ["request_in_progress", "idempotency_key_reused"]
        if self.method in ("PUT", "PATCH") and self.view.tagged:
            codes.append("changed_meanwhile")
        if self.method != "GET" or self.view.problems is not type(self.view).problems:
            codes += self.view.problems
        found: dict[str, list[str]] = {}
        for code in dict.fromkeys(codes):
            found.setdefault(str(problems.KINDS[code].status), []).append(code)
        return found


def _problem(codes: list[str]) -> OpenApiResponse:
    examples = [
        OpenApiExample(code, value=problems.body(code), media_type=problems.CONTENT_TYPE, response_only=True)
        for code in codes
    ]
    words = ", ".join(f"`{code}`" for code in codes)
    return OpenApiResponse(ProblemSerializer, description=words, examples=examples)
