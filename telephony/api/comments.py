"""The API's resource of comments: what was noted of clients, kept under their numbers."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from clients import book
from clients.models import Client, Comment
from employees import phones
from employees.api.resources import Mine, Resource
from employees.api.routes import router
from telephony import live
from telephony.live_pages import CommentForm
from telephony.models import Call

MOST = CommentForm.base_fields["text"].max_length  # type: ignore[attr-defined]


class CommentSerializer(serializers.ModelSerializer):
    """`call`: during which, or about which, it was written. `author` is an e-mail; null: a program."""

    author = serializers.EmailField(source="author.email", default=None, read_only=True, allow_null=True)

    class Meta:
        model = Comment
        fields = ["id", "call", "client_phone", "author", "at", "text"]
        read_only_fields = fields


class NewCommentSerializer(serializers.Serializer):
    call = Mine(Call)
    text = serializers.CharField(max_length=MOST)


class CommentFilters(serializers.Serializer):
    """One of them, or all comments of the company."""

    client = Mine(Client, required=False)
    phone = serializers.CharField(required=False, help_text="A client's number; those of his other numbers come too.")
    call = serializers.UUIDField(required=False)


class Comments(mixins.ListModelMixin, mixins.RetrieveModelMixin, Resource):
    """What was noted of clients, the newest first."""

    area = "clients"
    filters = CommentFilters
    lookup_field, lookup_value_converter = "pk", "int"
    serializer_class = CommentSerializer

    def get_queryset(self) -> QuerySet[Comment]:
        rows = self.mine(Comment).select_related("author")
        return self._narrowed(rows, self.parameters()) if self.action == "list" else rows

    def _narrowed(self, rows: QuerySet[Comment], asked: dict[str, Any]) -> QuerySet[Comment]:
        if "client" in asked:
            rows = rows.filter(client_phone__in=asked["client"].phones.values("phone"))
        if phone := phones.normalise(asked.get("phone", ""), self.company.region):
            rows = rows.filter(book.under(self.company, phone))
        return rows.filter(call=asked["call"]) if "call" in asked else rows

    @extend_schema(request=NewCommentSerializer, responses={201: CommentSerializer})
    def create(self, request: Request) -> Response:
        """Note something of the client of a call. Open pages show it at once."""
        form = NewCommentSerializer(data=request.data, context=self.get_serializer_context())
        form.is_valid(raise_exception=True)
        call, text = form.validated_data["call"], form.validated_data["text"]
        row = Comment.objects.create(company=self.company, client_phone=call.client_phone, call=call.uuid, text=text)
        live.touch(call.pk)
        return Response(self.get_serializer(row).data, status.HTTP_201_CREATED)


router.register("comments", Comments, "comments")
