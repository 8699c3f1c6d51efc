"""Files as text: UTF-8, no NUL bytes."""

from pathlib import Path

from unlearnbench.errors import UserError

_UTF8_MARK = b"\xef\xbb\xbf"  # Excel and Notepad write it in front of UTF-8; it is no content
_OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}


def decoded_file(path: Path) -> str:
    """A file's text, its line ends as they are; a byte order mark of UTF-8 is left out.

    Raises `UserError` where it cannot be read, is not UTF-8, or holds NUL bytes.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    if (other := _OTHER_MARKS.get(content[:2])) is not None:
        raise UserError(f"{path} is not UTF-8 text but {other}; save it as UTF-8")
    if (at := content.find(0)) >= 0:
        raise UserError(
            f"{path} holds a NUL byte at byte {at}, so it is no UTF-8 text (UTF-16, or a binary "
            "file?); save it as UTF-8"
        )
    skipped = len(_UTF8_MARK) if content.startswith(_UTF8_MARK) else 0
    try:
        return content[skipped:].decode()
    except UnicodeDecodeError as error:
        at = skipped + error.start
        line = content.count(b"\n", 0, at) + 1
        raise UserError(
            f"{path} is not UTF-8 text: {error.reason} at byte {at}, line {line}; save it as UTF-8"
        ) from error


def text_of_file(path: Path) -> str:
    """A file's text with its line ends as line feeds; raises `UserError` like `decoded_file`."""
    return decoded_file(path).replace("\r\n", "\n").replace("\r", "\n")
