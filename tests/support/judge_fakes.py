"""For the tests of the judge: finished cells with known texts, and a server that does as told."""

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from golden_results import recorded, result

from unlearnbench.cli import cli, status_of
from unlearnbench.cli.judge import judge
from unlearnbench.results.record import ForgetSetRecord, Result, key_of
from unlearnbench.results.score import Score
from unlearnbench.results.store import Store

cli.add_command(judge)
KEY = "sk-judge-0123456789abcdef"
(BERTSCORE,) = recorded("forgetting", "bertscore_f1")
ROWS = {"before": "NEO", "dedup": "OPT", "icu": "NEO + ICU", "kl": "NEO + KL"}


def cell(
    name: str = "icu",
    doc_ids: Sequence[str] = ("3", "10", "7"),
    run: str = "0",
    label: str = "",
    order: Callable[[list[str]], list[str]] = sorted,
    **changes: Any,
) -> Result:
    """A finished cell; each text says whose it is.  `order` is that of the dicts, not the rows."""
    ids = list(doc_ids)
    role = name if name in ("before", "dedup", "retrained") else "method"
    record = ForgetSetRecord(
        name=f"nano/{run}",
        run=run,
        content_sha256=f"{int(run):064d}",
        doc_ids=ids,
        prefixes={d: f"prefix of {run}/{d}" for d in order(ids)},
        suffixes={d: f"suffix of {run}/{d}" for d in reversed(order(ids))},
    )
    texts = {d: f"{name} wrote {run}/{d}" for d in order(ids[::-1])}
    scores = {"bertscore_f1": Score(value=0.5, n=len(ids), higher_is_better=False)}
    made: Result = result(
        label or ROWS.get(name, f"NEO + {name.upper()}"),
        method="none" if role != "method" else name,
        role=role,
        run=run,
        **{
            "identity": {"cell": [name, run, label]},
            "forget_set": record,
            "metrics": [BERTSCORE],
            **changes,
        },
    )
    kept = {"scores": {"forgetting": scores}, "continuations": texts}
    kept = {} if made.status == "failed" else kept
    return made.model_copy(update={"key": key_of(made.identity), **kept})


def save(folder: Path, *results: Result) -> Path:
    """A results folder with those cells."""
    for each in results:
        Store(folder).save(each)
    return folder


@dataclass
class Step:
    """What the server does with one request."""

    text: str | None = None  # the judge's reply
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None  # instead of a chat completion
    finish_reason: str = "stop"
    drop: bool = False  # close the connection without a word
    wait: threading.Event | None = None  # before answering
    trickle: bool = False  # a blank now and then, for ever


@dataclass(frozen=True)
class Asked:
    """One request as the server saw it."""

    prefix: str
    reference: str
    candidate: str
    body: dict[str, Any]
    authorization: str


Script = Callable[[Asked, int], Step]  # the request, and how often its candidate came before


@dataclass
class FakeServer:
    """An OpenAI-compatible server that follows a script and remembers what it was asked."""

    script: Script
    asked: list[Asked] = field(default_factory=list)
    n_running: int = 0
    most_running: int = 0
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def candidates(self) -> Counter[str]:
        """How often each candidate was asked about."""
        return Counter(one.candidate for one in self.asked)

    def step(self, asked: Asked) -> Step:
        """Note the request and look up what to do."""
        with self.lock:
            n_before = self.candidates[asked.candidate]
            self.asked.append(asked)
        return self.script(asked, n_before)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Any

    def do_POST(self) -> None:
        fake: FakeServer = self.server.fake
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with fake.lock:
            fake.n_running += 1
            fake.most_running = max(fake.most_running, fake.n_running)
        try:
            self._follow(fake, fake.step(_read(body, self.headers.get("Authorization", ""))))
        finally:
            with fake.lock:
                fake.n_running -= 1

    def _follow(self, fake: FakeServer, step: Step) -> None:
        while step.wait and not step.wait.wait(0.02) and not fake.closing.is_set():
            pass
        if step.drop or fake.closing.is_set():
            self.close_connection = True
            self.connection.close()
            return
        body = _completion(step) if step.body is None else step.body
        try:
            self.send_response(step.status)
            headers = {"Content-Type": "application/json", **step.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            length = 10**9 if step.trickle else len(body)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            while step.trickle and not fake.closing.wait(0.05):
                self.wfile.write(b" ")
            self.wfile.write(body)
        except OSError:  # the client has given up
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _read(body: dict[str, Any], authorization: str) -> Asked:
    (message,) = body["messages"]
    # The texts to judge stand last, behind those of the examples.
    texts = [
        re.findall(rf"^{name}: (.*)$", message["content"], re.MULTILINE)[-1]
        for name in ("PREFIX", "REFERENCE", "CANDIDATE")
    ]
    return Asked(*texts, body, authorization)


def _completion(step: Step) -> bytes:
    message = {"role": "assistant", "content": step.text}
    return json.dumps({
        "id": "1", "object": "chat.completion", "created": 0, "model": "judge-1",
        "choices": [{"index": 0, "message": message, "finish_reason": step.finish_reason}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107},
    }).encode()  # fmt: skip


@contextmanager
def serving(script: Script) -> Iterator[FakeServer]:
    """A server on loopback that follows the script."""
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # connections that the client or the script broke
    server.fake = fake = FakeServer(script, url=f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield fake
    finally:
        fake.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


def command(folder: Path, server: FakeServer, *more: str) -> list[str]:
    """The command line that asks that server."""
    quick = ("--retries", "1", "--timeout", "5")
    return ["judge", str(folder), "--base-url", server.url, "--judge-model", "fake", *quick, *more]


def run_judge(folder: Path, server: FakeServer, *more: str) -> int:
    """The exit status of asking that server."""
    return status_of(command(folder, server, *more))
