"""A hub on this machine: repositories, and commits of files that are small enough to be in them."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard, constants

TOKEN = "hf_" + "NotAToken" * 4


@dataclass
class Repository:
    """One repository of the hub."""

    private: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    commits: list[str] = field(default_factory=list)

    def facts(self, name: str) -> dict[str, Any]:
        """What the hub says of it."""
        card = self.files.get("README.md", b"").decode()
        tags = ModelCard(card).data.to_dict().get("tags", []) if card else []
        return {
            "id": name,
            "private": self.private,
            "sha": f"{len(self.commits):040x}",
            "tags": tags,
            "siblings": [{"rfilename": file} for file in self.files],
        }

    def commit(self, lines: list[dict[str, Any]]) -> None:
        """Apply the lines of one commit."""
        for line in lines:
            value = line["value"]
            if line["key"] == "header":
                self.commits.append(value["summary"])
            elif line["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            else:
                assert line["key"] == "deletedFile"
                del self.files[value["path"]]


@dataclass
class Hub:
    """All repositories, and how the hub answers whoever may not write."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    refusal: int | None = None  # a status for every request that would change something
    requests: list[str] = field(default_factory=list)

    def answer(self, method: str, path: str, body: bytes, token: str) -> tuple[int, Any]:
        """Status and content."""
        self.requests.append(f"{method} {path}")
        if method == "POST" and (token != f"Bearer {TOKEN}" or self.refusal):
            return self.refusal or 401, {"error": f"refused: {token}"}
        if path == "/api/repos/create":
            wanted = json.loads(body)
            name = f"{wanted['organization']}/{wanted['name']}"
            made = Repository(private=wanted.get("visibility") == "private")
            made.files[".gitattributes"] = b""
            self.repositories[name] = made
            return 200, {"url": f"{constants.ENDPOINT}/{name}"}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        name = "/".join(path.split("/")[3:5])
        if name not in self.repositories:
            return 404, {"error": "Repository not found"}
        repository = self.repositories[name]
        if "/preupload/" in path:
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = {"uploadMode": "regular", "shouldIgnore": False}
            return 200, {"files": [{"path": file, **modes} for file in files]}
        if "/commit/" in path:
            repository.commit([json.loads(line) for line in body.splitlines()])
            url = f"{constants.ENDPOINT}/{name}/commit/main"
            return 200, {"commitUrl": url, "commitOid": "0" * 40}
        return 200, repository.facts(name)

    def download(self, name: str, folder: Path) -> Path:
        """The repository's files, put into a folder."""
        for file, content in self.repositories[name].files.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(content)
        return folder


@contextmanager
def hub_at_home() -> Iterator[Hub]:
    """A hub to which the library speaks in place of the real one."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply("GET")

        def do_POST(self) -> None:
            self._reply("POST")

        def _reply(self, method: str) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            token = self.headers.get("Authorization", "")
            status, content = hub.answer(method, path, body, token)
            self.send_response(status)
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
            patch.setattr(constants, "HF_HUB_OFFLINE", False)
            patch.setenv("HF_TOKEN", TOKEN)
            patch.setenv("NO_PROXY", "127.0.0.1")
            yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
