"""Which software computes: versions of packages, and digests of what our own code does."""

import ast
import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import unlearnbench
from unlearnbench.errors import UserError

# Another version of one of these can change a number.
PACKAGES = (
    "accelerate",
    "bert-score",
    "datasets",
    "faiss-cpu",
    "lm-eval",
    "nltk",
    "numpy",
    "sacrebleu",
    "sentence-transformers",
    "tokenizers",
    "torch",
    "transformers",
    "trl",
)
# What these compute decides a number; the other packages plan, run, store and show.
_MEASURING = ("data", "metrics", "models", "unlearning", "protocol.py", "results/score.py")
# Calls that are a statement of their own and whose texts are for people.
_TALK = {"warn", "debug", "info", "warning", "error"}

_COMPUTES = (ast.Call, ast.Compare, ast.Subscript, ast.keyword, ast.Lambda)


@cache
def package_versions() -> dict[str, str]:
    """The installed version of every package that takes part in a measurement."""
    return {"unlearnbench": unlearnbench.__version__} | versions_of(PACKAGES)


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """The installed versions of packages by name."""
    versions: dict[str, str] = {}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue  # an extra that is not installed takes no part
    return versions


@cache
def source_sha256(plugin: type) -> str:
    """Digest of the code of the file a plugin is written in: an edited method is another method.

    Read once in a process, like the plugin itself: a later edit is nothing that it runs.
    For a built-in one also of what the files of its folder share: `_*.py` and task files; for one
    of somebody else's package of all its Python files.
    What is made of several, a method with wrappers round it, has a digest of all of theirs.
    Raises `UserError` for one that was not read from a file, whose source nobody can look up.
    """
    if made_of := getattr(plugin, "made_of", ()):
        return hashlib.sha256("\0".join(map(source_sha256, made_of)).encode()).hexdigest()
    try:
        file = Path(inspect.getfile(plugin))
    except (OSError, TypeError) as error:
        name = getattr(plugin, "name", plugin.__name__)
        raise UserError(
            f"'{name}' was defined outside of a file, and a stored result must tell its source; "
            f'put it into one: --plugin {name}.py, in Python plugin=["{name}.py"]'
        ) from error
    parts = [file]
    if plugin.__module__.startswith("unlearnbench."):
        shared = ("_[!_]*.py", "*/*.yaml")
        parts += sorted(path for pattern in shared for path in file.parent.glob(pattern))
    else:
        package = sys.modules.get(plugin.__module__.partition(".")[0])
        folders = map(Path, getattr(package, "__path__", ()))
        parts += sorted(path for folder in folders for path in folder.rglob("*.py"))
    return hashlib.sha256("\0".join(map(_content, parts)).encode()).hexdigest()


@cache
def harness_sha256() -> str:
    """Digest of the code of the harness's packages that take part in a measurement.

    In a checkout an edited loss or metric is never mistaken for the old one; an edited comment,
    docstring or error message changes nothing, nor does any file of the other packages.
    """
    return code_sha256(Path(__file__).resolve().parents[1])


@cache
def attacking_sha256() -> str:
    """Digest of what attacks compute with beside that; no other cell's numbers hang on it."""
    return code_sha256(Path(__file__).resolve().parents[1], ("attacking",))


def code_sha256(folder: Path, packages: Iterable[str] = _MEASURING) -> str:
    """Digest of the measuring packages in a folder: file names and code."""
    digest = hashlib.sha256()
    for path in (folder / name for name in packages):
        for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
            name = file.relative_to(folder).as_posix()
            digest.update(f"{name}\0{_content(file)}\0".encode())
    return digest.hexdigest()


def _content(file: Path) -> str:
    """A Python file's code, any other file's text."""
    text = file.read_text(encoding="utf-8", errors="backslashreplace")
    with suppress(SyntaxError, ValueError):  # somebody's template, or of another Python
        return code_of(text) if file.suffix == ".py" else text
    return text


def code_of(source: str) -> str:
    """What a Python source does: its syntax tree without layout, comments, docstrings, messages.

    Where tuning looks for a setting (`search`) is left out, too: it changes no number of a cell.
    Written out here and not by `ast.dump`, whose output differs between versions of Python.
    """
    parts: list[str] = []
    tree = ast.parse(source)
    for call in _calls(tree, "setting"):
        call.keywords = [keyword for keyword in call.keywords if keyword.arg != "search"]
    _write(tree, False, {id(call) for call in _messages(tree)}, parts.append)
    return " ".join(parts)


def _calls(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            yield node


def _messages(tree: ast.AST) -> Iterator[ast.AST]:
    """The calls whose texts are for people: errors, warnings and lines of a log."""
    for node in ast.walk(tree):
        match node:
            case ast.Raise(exc=ast.Call() as call):
                yield call
            case ast.Call(func=ast.Name(id="UserError")):
                yield node
            case ast.Expr(
                value=ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)) as call
            ):
                if name in _TALK:
                    yield call


def _write(node: object, is_talk: bool, messages: set[int], add: Callable[[str], None]) -> None:
    """Add a node, each with its type and fields; fields that are None or empty are left out.

    A text inside a message that something is computed with is none of its words.
    """
    if isinstance(node, ast.Constant):
        add("text" if is_talk and isinstance(node.value, str) else repr(node.value))
    elif isinstance(node, ast.AST):
        is_talk = id(node) in messages or (is_talk and not isinstance(node, _COMPUTES))
        add(f"({type(node).__name__}")
        for name in node._fields:
            if name != "ctx" and (value := getattr(node, name, None)) not in (None, []):
                add(name)
                _write(value, is_talk, messages, add)
        add(")")
    elif isinstance(node, list):
        for one in node:
            if not (_is_bare_text(one) or (is_talk and _is_text(one))):
                _write(one, is_talk, messages, add)
    else:  # a name, or the place of a default or a key that is not there
        add("-" if node is None else repr(node))


def _is_bare_text(node: object) -> bool:
    """A docstring, of whatever it is."""
    return isinstance(node, ast.Expr) and _is_text(node.value)


def _is_text(node: object) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)
