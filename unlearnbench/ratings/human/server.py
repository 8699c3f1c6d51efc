"""The page's server: for this machine only; every rating is on disk before the answer."""

import getpass
import hmac
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar

from unlearnbench.errors import UserError
from unlearnbench.files.strict_json import parsed
from unlearnbench.ratings.human.ratings import (
    RULE_PREFIX,
    annotator_of,
    ratings_in,
    ratings_path,
    read_ratings,
    save_rating,
)
from unlearnbench.ratings.human.scale import HIGHEST, LOWEST, RULES, SCALE, TASK
from unlearnbench.ratings.human.sheet import Item, read_sheet


@dataclass(frozen=True)
class AnnotationStudy:
    """What one annotator rates, and where the ratings go; the key is nowhere near."""

    items: Mapping[str, Item]  # by id, in the sheet's order
    annotator: str
    ratings: Path

    @classmethod
    def open(cls, sheet: Path, annotator: str | None) -> "AnnotationStudy":
        """The study of a sheet, or of the sheet in a folder; ratings lie beside it.

        Raises `UserError` for a file that is no sheet, ratings that cannot be read, or a
        rehearsal, which rules rate.
        """
        try:
            name = annotator or getpass.getuser()
        except (OSError, KeyError) as error:
            raise UserError("your login name is not known; give --annotator NAME") from error
        folder = sheet if sheet.is_dir() else sheet.parent
        if name.startswith(RULE_PREFIX):
            raise UserError(
                f"--annotator '{name}' is a rule's name: rules begin with '{RULE_PREFIX}'; take "
                "your own: --annotator anna"
            )
        if any(annotator_of(path).startswith(RULE_PREFIX) for path in ratings_in(folder)):
            raise UserError(
                f"{folder} is a rehearsal: rules have rated it, and people are never mixed with "
                "them; make people a sheet: unlearnbench human sheet RESULTS --out FOLDER"
            )
        items = {one.item: one for one in read_sheet(sheet)}
        study = cls(items, name, ratings_path(folder, name))
        study.n_rated()  # damaged ratings are refused now, not at the first score
        return study

    def n_rated(self) -> int:
        """How many of the sheet's items have a score."""
        return len(self.items.keys() & read_ratings(self.ratings))

    def state(self) -> dict[str, Any]:
        """Everything the page shows, ratings so far included."""
        return {
            "annotator": self.annotator,
            "file": str(self.ratings),
            "task": TASK,
            "rules": RULES,
            "scale": [asdict(level) for level in SCALE],
            "items": [item._asdict() for item in self.items.values()],
            "ratings": {i: r.score for i, r in read_ratings(self.ratings).items()},
        }

    def rate(self, sent: object) -> int:
        """Save one rating, {"item": ..., "score": ...}; how many of the items have one now.

        Raises `ValueError` for an item that is not in the sheet, or no whole score of 1-8.
        """
        if not isinstance(sent, dict):
            raise ValueError("a rating has an item and a score")
        item, score = sent.get("item"), sent.get("score")
        if not isinstance(item, str) or item not in self.items:
            raise ValueError("no such item in this sheet")
        if type(score) is not int or not LOWEST <= score <= HIGHEST:
            raise ValueError(f"the score must be a whole number, {LOWEST}-{HIGHEST}")
        return len(self.items.keys() & save_rating(self.ratings, item, score))


LOOPBACK = "127.0.0.1"
_LONGEST_REQUEST = 1000  # bytes; an item id and a score need fewer than 100
_PAGES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
}
_HEADERS = {
    # Only the page's own three files and its own address: nothing can be loaded from elsewhere.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def make_server(study: AnnotationStudy, port: int, token: str = "") -> ThreadingHTTPServer:
    """The server, listening on the loopback address; port 0 takes any free one.

    With a `token` every path begins with it, so that only who has the page's address can use
    it: other accounts of this machine reach the port, too.  Raises `UserError` if the port is
    taken.
    """
    root = f"/{token}/" if token else "/"
    handler = type("Handler", (_Handler,), {"study": study, "root": root})
    try:
        return ThreadingHTTPServer((LOOPBACK, port), handler)
    except OSError as error:
        raise UserError(
            f"cannot listen on port {port}: {error.strerror}; take any free one: --port 0"
        ) from error


def address_of(server: ThreadingHTTPServer) -> str:
    """The page's address, its token included."""
    handler: Any = server.RequestHandlerClass
    return f"http://{LOOPBACK}:{server.server_port}{handler.root}"


class _Handler(BaseHTTPRequestHandler):
    study: ClassVar[AnnotationStudy]
    root: ClassVar[str] = "/"

    def do_GET(self) -> None:
        """The page, or the study's state."""
        if not self._is_own():
            self._refuse(HTTPStatus.FORBIDDEN, "only this machine's own page may ask")
        elif self._page() in _PAGES:
            name, kind = _PAGES[self._page()]
            self._send(HTTPStatus.OK, kind, (files(__package__) / name).read_bytes())
        elif self._page() == "/study":
            self._answer(self.study.state)
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        """One rating: {"item": ..., "score": ...}."""
        length = self.headers.get("Content-Length", "")
        if not self._is_own():
            self._refuse(HTTPStatus.FORBIDDEN, "only this machine's own page may rate")
        elif self._page() != "/rating":
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")
        # A form of another site can send anything but this type without asking first.
        elif self.headers.get_content_type() != "application/json":
            self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a rating is JSON")
        elif not re.fullmatch("[0-9]{1,4}", length) or int(length) > _LONGEST_REQUEST:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "a rating is short")
        else:
            body = self.rfile.read(int(length))
            self._answer(lambda: {"rated": self.study.rate(parsed(body))})

    def _is_own(self) -> bool:
        """Whether the browser was on this page: another site's names are not ours.

        The host is looked at too, because a foreign name can be made to lead here.
        """
        port = self.connection.getsockname()[1]
        hosts = {f"{LOOPBACK}:{port}", f"localhost:{port}"}
        origin = self.headers.get("Origin")
        return self.headers.get("Host", "") in hosts and (
            origin is None or origin in {f"http://{host}" for host in hosts}
        )

    def _page(self) -> str:
        """The requested path without the token; empty, which is no page, where it is wrong."""
        start = self.path[: len(self.root)].encode()
        # In the same time however much of it is right.
        is_right = hmac.compare_digest(start, self.root.encode())
        return self.path[len(self.root) - 1 :] if is_right else ""

    def _answer(self, content: Callable[[], dict[str, Any]]) -> None:
        try:
            self._send(HTTPStatus.OK, "application/json", json.dumps(content()).encode())
        except ValueError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
        except UserError as error:  # the ratings' file is damaged, or the disk is full
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self.close_connection = True  # what was not read must not be taken for a request
        self._send(status, "application/json", json.dumps({"error": reason}).encode())

    def _send(self, status: HTTPStatus, kind: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        with suppress(ConnectionError):  # the tab was closed meanwhile; what was rated is saved
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a line per request would bury what the annotator must read."""
