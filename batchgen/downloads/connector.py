"""Connections on which an answer can only be the answer to the question that was asked."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler


class OneAnswerConnector(aiohttp.TCPConnector):
    """Closes a kept-alive connection that brings more than one answer to a question.

    aiohttp closes one whose surplus came together with the answer. What arrives later, while the
    connection is idle, it would keep and hand out as the answer to the next question.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._factory = cast("partial[ResponseHandler]", partial(_OneAnswer, loop=self._loop))


class _OneAnswer(ResponseHandler):
    _answered = False

    def set_response_params(self, **params: Any) -> None:
        """Aiohttp calls this as a request is about to be written."""
        self._answered = False
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        if self._answered and data:
            self.close()
            return
        super().data_received(data)
        if self._payload is not None and self._payload.is_eof():
            self._answered = True
