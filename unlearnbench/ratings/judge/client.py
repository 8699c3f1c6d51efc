"""One question to an OpenAI-compatible server: an answer, or why there is none."""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import openai
from pydantic import BaseModel, BeforeValidator, Field, ValidationError

from unlearnbench.ratings.judge.endpoint import Endpoint, Key

if TYPE_CHECKING:
    import openai

# Wrong key, no credit, no such model or path: the next question would fare no better.
_HOPELESS_STATUS = (401, 402, 404, 405)
_NO_CREDIT = "insufficient_quota"
_LONGEST_REASON = 300
_NO_COUNT = 2**31  # tokens that no reply has


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


def _count(value: Any) -> int | None:
    """A number of tokens; None for what is none: the answer has been paid for all the same."""
    return value if type(value) is int and 0 <= value < _NO_COUNT else None


class _Usage(BaseModel):
    prompt_tokens: Annotated[int | None, BeforeValidator(_count)] = None
    completion_tokens: Annotated[int | None, BeforeValidator(_count)] = None


class Answer(BaseModel):
    """The parts of a chat completion that are kept."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None
    model: str | None = None

    @property
    def text(self) -> str:
        """What the judge wrote; empty if it wrote nothing."""
        return self.choices[0].message.content or ""

    @property
    def finish_reason(self) -> str | None:
        """Why it stopped: 'stop', 'length', ..."""
        return self.choices[0].finish_reason


@dataclass(frozen=True)
class Failure:
    """No answer, after all retries."""

    reason: str
    is_hopeless: bool = False  # no other question would be answered either


class Client:
    """Asks one model at one endpoint at temperature 0.

    `retries` more attempts, with growing waits or those the server asks for (two minutes at
    most), follow a rate limit, an error of the server, a time-out and a broken connection;
    that is the openai library's doing.  An attempt ends after `timeout` seconds of silence,
    and after twice as many in any case.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        key: Key,
        model: str,
        *,
        timeout: float = 60.0,
        retries: int = 4,
        max_tokens: int = 512,
    ) -> None:
        self.endpoint, self.key, self.model = endpoint, key, model
        self.timeout, self.retries, self.max_tokens = timeout, retries, max_tokens
        # Newer hosted models know the limit by another name only; the first refusal tells.
        self._limit_name = "max_tokens"

    async def __aenter__(self) -> "Client":
        import openai

        pass

        self._openai = openai.AsyncOpenAI(
            api_key=self.key.value,
            base_url=self.endpoint.url,
            timeout=self.timeout,
            max_retries=self.retries,
            http_client=PatientClient(2 * self.timeout),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._openai.close()

    async def ask(self, prompt: str) -> Answer | Failure:
        """The answer to a prompt; raises nothing that a server can cause."""
        import openai

        try:
            content = await self._complete(prompt)
            return Answer.model_validate_json(content)
        except openai.APITimeoutError:
            return Failure(f"no answer in time (--timeout {self.timeout:g})")
        except ValidationError:
            return Failure(self._told("the reply is no chat completion", content))
        except openai.APIStatusError as error:
            return self._refused(error)
        except openai.APIError as error:
            cause = error.__cause__ or error
            return Failure(self._told(f"connection failed: {type(cause).__name__}", str(cause)))

    async def _complete(self, prompt: str) -> bytes:
        """The body of the server's reply, whatever it is."""
        import openai

        name = self._limit_name
        try:
            return await self._post(prompt, name)
        except openai.BadRequestError as error:
            if name != "max_tokens" or "max_completion_tokens" not in str(error):
                raise
            self._limit_name = "max_completion_tokens"
            return await self._post(prompt, self._limit_name)

    async def _post(self, prompt: str, limit_name: str) -> bytes:
        raw = await self._openai.chat.completions.with_raw_response.create(
            model=self.model,
            messages=[{"role": "user", "content": prompt}],
            temperature=0,
            extra_body={limit_name: self.max_tokens},
        )
        return bytes(raw.content)

    def _refused(self, error: "openai.APIStatusError") -> Failure:
        hopeless = error.status_code in _HOPELESS_STATUS or error.code == _NO_CREDIT
        text = error.message.removeprefix(f"Error code: {error.status_code} - ")
        return Failure(self._told(f"HTTP status {error.status_code}", text), hopeless)

    def _told(self, what: str, detail: str | bytes) -> str:
        """One line that a person can act on; the key is struck out before anything is cut."""
        text = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else detail
        printable = (c if c.isprintable() else " " for c in self.key.redact(text))
        line = " ".join("".join(printable).split())
        short = line if len(line) <= _LONGEST_REASON else f"{line[:_LONGEST_REASON].rstrip()}…"
        return f"{what}: {short}" if short else what


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
