"""HTTP as we take it: uvicorn's, with a bound on what comes before a request's body, which it does not have."""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HEAD = 64 * 1024
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedProtocol(HttpToolsProtocol):
    """Who sends a longer request line with its headers is answered 431 and cut off."""

    _in_head = True
    _size = 0

    def data_received(self, data: bytes) -> None:
        self._size += len(data)
        super().data_received(data)
        # What came with it beyond the head was parsed by now: what is left is a head without an end.
        if self._in_head and self._size > MAX_HEAD and not self.transport.is_closing():
            self.transport.write(TOO_LARGE)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head, self._size = True, 0
        super().on_message_complete()
