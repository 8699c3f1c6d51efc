"""An HTTP client that gives up on a server which never stops sending.

Imported by the judge's client only when it connects: openai takes a second to import.
"""

import asyncio
from typing import Any

import openai


class PatientClient(openai.DefaultAsyncHttpxClient):
    """The openai library's own client with a limit on a whole exchange.

    Its time-outs count from one byte to the next, so a server (or a gateway keeping the line
    open) that sends a blank now and then would never be given up.
    """

    def __init__(self, longest: float) -> None:
        super().__init__()
        self.longest = longest  # seconds

    async def send(self, request: Any, **options: Any) -> Any:
        """The response; raises `openai.APITimeoutError`, which is not retried, after `longest`."""
        try:
            async with asyncio.timeout(self.longest):
                return await super().send(request, **options)
        except TimeoutError as error:
            raise openai.APITimeoutError(request=request) from error
