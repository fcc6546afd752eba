"""What Zadarma sends: a form for calls, a multipart form for everything else."""

from __future__ import annotations

from email.parser import BytesParser
from email.policy import HTTP

from telephony.providers import values
from telephony.providers.base import Request


def fields(request: Request) -> dict[str, str]:
    """The fields of a notification; raises `ValueError`."""
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        return values.form(request.body)
    head = f"Content-Type: {kind}\r\n\r\n".encode("utf-8", "replace")
    message = BytesParser(policy=HTTP).parsebytes(head + request.body)
    if not message.is_multipart():
        raise ValueError("not a multipart form")
    return {
        values.clean(str(name)): values.clean(bytes(part.get_payload(decode=True) or b"").decode("utf-8", "replace"))
        for part in message.iter_parts()
        if (name := part.get_param("name", header="content-disposition"))
    }
