"""Asking an OpenAI-compatible server: its address and key, one question, many questions."""

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

import openai
from pydantic import AliasPath, BaseModel, BeforeValidator, Field, ValidationError

from unlearnbench.errors import UserError
from unlearnbench.files.safe_text import redact
from unlearnbench.ratings.judge.questions import Question
from unlearnbench.ratings.judge.replies import Reply
from unlearnbench.ratings.judge.rubric import Prompt

VARIABLE = "OPENAI_API_KEY"
_PLACEHOLDER = "none"  # the client wants a key where a local server does not
# Stricter than addresses are, so that no client takes one apart in another way than we do.
_SIGNS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_HOST = re.compile(r"(?:.*@)?(?:[\w][\w.-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}


def key_from_environment() -> str:
    """The key in OPENAI_API_KEY, a placeholder without one; raises `UserError` if it is none."""
    value = os.environ.get(VARIABLE, "").strip() or _PLACEHOLDER
    # Such a key makes an illegal header, and the error about it would print the key.
    if not value.isascii() or not value.isprintable() or " " in value:
        raise UserError(
            f"{VARIABLE} holds characters that no key has (spaces, line breaks, other than ASCII); "
            f"set it again: export {VARIABLE}=..."
        )
    return value


@dataclass(frozen=True)
class Endpoint:
    """The root of an OpenAI-compatible server: http://127.0.0.1:8000/v1."""

    url: str

    @property
    def name(self) -> str:
        """Host, port if it is not the usual one, and path: what scores are filed under."""
        parts = urlsplit(self.url)
        usual = parts.port in (None, _DEFAULT_PORTS[parts.scheme])
        host = parts.hostname or ""
        place = host if usual else f"{host}:{parts.port}"
        return place + parts.path.rstrip("/")

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read the key: it is encrypted, or stays on this machine."""
        parts = urlsplit(self.url)
        return parts.scheme == "https" or parts.hostname in ("localhost", "127.0.0.1", "::1")


def parse_endpoint(text: str) -> Endpoint:
    """The endpoint at a URL; raises `UserError` for one that is none or holds a password."""
    example = "give the server's root: --base-url http://127.0.0.1:8000/v1"
    try:
        parts = urlsplit(text.strip())
        is_written_as_one = _SIGNS.fullmatch(text.strip()) and _HOST.fullmatch(parts.netloc)
        is_url = bool(is_written_as_one) and parts.scheme in _DEFAULT_PORTS and parts.port != 0
    except ValueError:  # a port that is no number
        is_url = False
    if not is_url:
        raise UserError(f"--base-url is no http or https address; {example}")
    if "@" in parts.netloc or "?" in text or "#" in text:
        # Not repeated: what stands there may be the key.
        raise UserError(
            f"--base-url has a password, '?' or '#' in it; {example} and the key as {VARIABLE}"
        )
    return Endpoint(text.strip().rstrip("/").removesuffix("/chat/completions"))


# Wrong key, no credit, no such model or path: the next question would fare no better.
_HOPELESS_STATUS = (401, 402, 404, 405)
_NO_CREDIT = "insufficient_quota"
_LONGEST_REASON = 300
_NO_COUNT = 2**31  # tokens that no reply has


class _Message(BaseModel):
    content: str | None = None


def _count(value: Any) -> int | None:
    """A number of tokens; None for what is none: the answer has been paid for all the same."""
    return value if type(value) is int and 0 <= value < _NO_COUNT else None


def _at(name: str, *place: str | int, default: Any = None) -> Any:
    return Field(default, validation_alias=AliasPath(name, *place))


_Count = Annotated[int | None, BeforeValidator(_count)]


class Answer(BaseModel):
    """The parts of a chat completion that are kept."""

    message: _Message = _at("choices", 0, "message", default=...)
    finish_reason: str | None = _at("choices", 0, "finish_reason")  # 'stop', 'length', ...
    prompt_tokens: _Count = _at("usage", "prompt_tokens")
    completion_tokens: _Count = _at("usage", "completion_tokens")
    model: str | None = None

    def reply_to(self, question: Question, max_tokens: int) -> Reply:
        """What is kept of it, secrets struck out."""
        return Reply(
            item=question.item.key,
            cell=question.cell,
            doc_id=question.doc_id,
            reply=redact(self.message.content or ""),
            finish_reason=self.finish_reason,
            max_tokens=max_tokens,
            served_model=self.model and redact(self.model),
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
        )


@dataclass(frozen=True)
class Failure:
    """No answer, after all retries."""

    reason: str
    is_hopeless: bool = False  # no other question would be answered either


@dataclass
class Client:
    """Asks one model at one endpoint at temperature 0.

    `retries` more attempts, with growing waits or those the server asks for (two minutes at
    most), follow a rate limit, an error of the server, a time-out and a broken connection;
    that is the openai library's doing.  An attempt ends after `timeout` seconds of silence,
    and after twice as many in any case.
    """

    endpoint: Endpoint
    key: str = field(repr=False)
    model: str
    timeout: float  # seconds
    retries: int
    max_tokens: int
    # Newer hosted models know the limit by another name only; the first refusal tells.
    _limit_name: str = field(default="max_tokens", init=False)

    def __post_init__(self) -> None:
        self.openai = openai.AsyncOpenAI(
            api_key=self.key,
            base_url=self.endpoint.url,
            timeout=self.timeout,
            max_retries=self.retries,
            http_client=PatientClient(2 * self.timeout),
        )

    async def ask(self, prompt: str) -> Answer | Failure:
        """The answer to a prompt; raises nothing that a server can cause."""
        try:
            content = await self._complete(prompt)
            return Answer.model_validate_json(content)
        except openai.APITimeoutError:
            return Failure(f"no answer in time (--timeout {self.timeout:g})")
        except ValidationError:
            text = content.decode("utf-8", "replace")
            return Failure(_reason("the reply is no chat completion", text))
        except openai.APIStatusError as error:
            is_hopeless = error.status_code in _HOPELESS_STATUS or error.code == _NO_CREDIT
            text = error.message.removeprefix(f"Error code: {error.status_code} - ")
            return Failure(_reason(f"HTTP status {error.status_code}", text), is_hopeless)
        except openai.APIError as error:
            cause = error.__cause__ or error
            return Failure(_reason(f"connection failed: {type(cause).__name__}", str(cause)))

    async def _complete(self, prompt: str) -> bytes:
        """The body of the server's reply, whatever it is."""
        name = self._limit_name
        try:
            return await self._post(prompt, name)
        except openai.BadRequestError as error:
            if name != "max_tokens" or "max_completion_tokens" not in str(error):
                raise
            self._limit_name = "max_completion_tokens"
            return await self._post(prompt, self._limit_name)

    async def _post(self, prompt: str, limit_name: str) -> bytes:
        raw = await self.openai.chat.completions.with_raw_response.create(
            model=self.model,
            messages=[{"role": "user", "content": prompt}],
            temperature=0,
            extra_body={limit_name: self.max_tokens},
        )
        return bytes(raw.content)


def _reason(what: str, detail: str) -> str:
    """One line that a person can act on; the key is struck out before anything is cut."""
    printable = (c if c.isprintable() else " " for c in redact(detail))
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


# A server that fails this often without one answer in between has gone for good; each failure
# has had its retries by then.
STOP_AFTER = 8


@dataclass
class Outcome:
    """What became of the questions of one run."""

    replies: list[Reply] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)  # reason by item
    n_in_a_row: int = 0  # failures since the last answer
    stopped: str | None = None  # why the rest was not asked
    is_hopeless: bool = False  # it was stopped by a refusal that holds for all questions

    def add_failure(self, item: str, failure: Failure) -> None:
        """Count a question that got no answer, and see whether the rest is worth asking."""
        self.failures[item] = failure.reason
        self.n_in_a_row += 1
        if failure.is_hopeless and not self.is_hopeless:
            self.stopped, self.is_hopeless = failure.reason, True
        elif self.n_in_a_row == STOP_AFTER and not self.stopped:
            self.stopped = f"{STOP_AFTER} failures in a row, the last: {failure.reason}"


def ask_all(
    client: Client,
    prompt: Prompt,
    questions: Mapping[str, Question],
    concurrency: int,
    append: Callable[[Reply], None],
    advance: Callable[[], None],
) -> Outcome:
    """Ask all questions, at most `concurrency` at a time.

    `append` gets each reply at once; `advance` is called after each question.  After a refusal
    that would meet every question, or `STOP_AFTER` failures in a row, the rest is not asked and
    counted as failed.  What was asked by then is waited for: it is paid for.
    """
    outcome, waiting = Outcome(), iter(questions.values())

    async def work() -> None:
        for question in waiting:
            item = question.item
            response = await client.ask(prompt.render(item.prefix, item.reference, item.candidate))
            if isinstance(response, Answer):
                reply = response.reply_to(question, client.max_tokens)
                append(reply)
                outcome.replies.append(reply)
                outcome.n_in_a_row = 0
            else:
                outcome.add_failure(item.key, response)
            advance()
            if outcome.stopped:
                return

    async def work_all() -> None:
        async with client.openai:
            await asyncio.gather(*(work() for _ in range(concurrency)))

    if questions:
        asyncio.run(work_all())
    for key in questions.keys() - {r.item for r in outcome.replies} - outcome.failures.keys():
        outcome.failures[key] = "not asked"
    return outcome
