"""What a look at the files of a folder has found, kept by their content.

Checking a model builds its network without the weights, for which torch and transformers are
loaded: seconds, which a run that comes again need not wait for.
"""

import json
import warnings
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

from unlearnbench.files.cache import cache_root, read_entry, write_entry

_READ = ("*.json", "*.txt", "*.jinja", "*.model")  # by transformers, whatever a result's key holds


def found_in(folder: Path, what: str, check: Callable[[], Any]) -> Any:
    """The JSON that `check` gives, asked once for each content and version of the libraries.

    `what` names the question, and the content of whatever is not read here: weights, or files
    elsewhere.  What `check` raises is raised each time.
    """
    try:
        digest = _sha256(folder, what)
    except OSError:  # a file that cannot be read, of which the check knows more to say
        return check()
    path = cache_root() / "checked" / f"{digest}.json"
    content = read_entry(path)
    if content is not None:
        return json.loads(content)
    answer = check()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where it cannot be kept, nothing but time is lost
        write_entry(path, json.dumps(answer).encode())
    return answer


def _sha256(folder: Path, what: str) -> str:
    """Of all that decides what a check says: the files, the libraries, and this package."""
    from unlearnbench.files.software import harness_sha256, package_versions

    software = json.dumps([package_versions(), harness_sha256()], sort_keys=True)
    digest = sha256(f"{software}\0{what}\0".encode())
    for path in sorted({path for pattern in _READ for path in folder.glob(pattern)}):
        digest.update(path.name.encode() + b"\0" + sha256(path.read_bytes()).digest())
    return digest.hexdigest()
