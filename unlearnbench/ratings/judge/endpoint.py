"""Where the judge is asked, and the key, which leaves the process in a request header only."""

import os
import re
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from unlearnbench.errors import UserError

VARIABLE = "OPENAI_API_KEY"
_PLACEHOLDER = "none"  # the client wants a key where a local server does not
_SHORTEST = 8  # a shorter one ('EMPTY', 'none') is no secret, and may be a word of a reply
# Stricter than addresses are, so that no client takes one apart in another way than we do.
_SIGNS = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+")
_HOST = re.compile(r"(?:.*@)?(?:[\w][\w.-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]*)?", re.ASCII)
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Key:
    """An API key that never shows itself."""

    value: str = field(default=_PLACEHOLDER, repr=False)

    @property
    def is_secret(self) -> bool:
        """Whether there is anything to hide."""
        return len(self.value) >= _SHORTEST

    def redact(self, text: str) -> str:
        """The text with the key struck out, should somebody have put it there."""
        return text.replace(self.value, "[key]") if self.is_secret else text

    def check_absent(self, *texts: str) -> None:
        """Raises `UserError` if a text that is going to be stored holds the key."""
        if self.is_secret and any(self.value in text for text in texts):
            raise UserError(
                f"the key stands in --base-url, --judge-model or the prompt, which are stored; "
                f"leave it in the environment only: export {VARIABLE}=..."
            )


def key_from_environment() -> Key:
    """The key in OPENAI_API_KEY, a placeholder without one; raises `UserError` if it is none."""
    value = os.environ.get(VARIABLE, "").strip()
    if not value:
        return Key()
    # Such a key makes an illegal header, and the error about it would print the key.
    if not value.isascii() or not value.isprintable() or " " in value:
        raise UserError(
            f"{VARIABLE} holds characters that no key has (spaces, line breaks, other than ASCII); "
            f"set it again: export {VARIABLE}=..."
        )
    return Key(value)


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
    def is_local(self) -> bool:
        """Whether requests stay on this machine."""
        return urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody on the way can read the key."""
        return urlsplit(self.url).scheme == "https"


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
