"""Connections on which a request that waits for nothing is answered as soon as it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar, Final

from fastapi.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from serving.quick import JSON

AtOnce = Callable[[bytes], Response | None]
"""Answers a body, or returns None where it is for the application to say what is wrong."""

NOT_AT_ONCE: Final = frozenset({b"origin", b"expect"})
"""Headers that ask for more than an answer."""


class Connection(HttpToolsProtocol):
    """A connection of uvicorn that answers posts of JSON to the paths ``at_once`` without a task and its messages.

    Whatever is not plain goes through the application: a page of another site, another version of HTTP, a body of more
    than ``longest`` bytes, a request that came while another one is answered, and a client that does not read.
    """

    at_once: ClassVar[Mapping[bytes, AtOnce]] = {}
    longest: ClassVar[int] = 0
    _answer: AtOnce | None = None

    def on_headers_complete(self) -> None:
        """Decide which way the request takes."""
        self._answer = self.at_once.get(self.url) if self._is_plain() else None
        if self._answer is None:
            super().on_headers_complete()
        else:
            self._body = b""

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if self._answer is None:
            super().on_body(body)
        else:
            self._body = self._body + body if self._body else body
            if len(self._body) > self.longest:
                self._pass_on()

    def on_message_complete(self) -> None:
        """Answer, or pass on what has no answer."""
        response = None if self._answer is None else self._answer(self._body)
        if response is None:
            self._pass_on()
            super().on_message_complete()
            return
        self._answer = None
        lines = [STATUS_LINE[response.status_code]]
        for name, value in (*self.server_state.default_headers, *response.raw_headers):
            lines += name, b": ", value, b"\r\n"
        self.transport.write(b"".join((*lines, b"\r\n", response.body)))
        self.on_response_complete()

    def shutdown(self) -> None:
        """Answer what has come in part before the connection is closed."""
        self._pass_on()
        super().shutdown()

    def _pass_on(self) -> None:
        """Give what has come so far to the application."""
        if self._answer is not None:
            self._answer = None
            super().on_headers_complete()
            super().on_body(self._body)

    def _is_plain(self) -> bool:
        parser, headers = self.parser, self.headers
        return (
            parser.get_method() == b"POST"
            and JSON in headers
            and not any(name in NOT_AT_ONCE for name, _ in headers)
            and parser.get_http_version() == "1.1"
            and parser.should_keep_alive()
            and not parser.should_upgrade()
            and (self.cycle is None or self.cycle.response_complete)
            and not self.flow.write_paused
        )
