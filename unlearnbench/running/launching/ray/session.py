"""Being connected to a Ray cluster: to one that runs already, or to one of one's own here."""

import logging
import os
import secrets
import shutil
import signal
import socket
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from unlearnbench.errors import UserError

HOW_TO_START = "start one on its first machine with: ray start --head"
HOW_TO_ENTER = f"{HOW_TO_START}; for one that asks for a token: export RAY_AUTH_MODE=token"
OBJECT_STORE_BYTES = 200_000_000  # data that cells share, and results on their way
_LONGEST_PATH = 20  # Ray's sockets lie deep below, and a socket's path has 107 characters at most
# Ray is the means here, not the subject: it says nothing of its own, and tells nobody.
_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "RAY_SCHEDULER_EVENTS": "0",
}
# On this machine only: nobody else can connect, nor can another user of it without the token.
_PRIVATE = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}


@dataclass
class Session:
    """A connection, to be closed."""

    is_own: bool  # a cluster of one machine that ends with this process
    folder: Path | None = None  # of the own one's sockets and logs

    def close(self) -> None:
        """Disconnect; the own cluster ends, and leaves nothing."""
        import ray

        ray.shutdown()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def connect(address: str | None) -> Session:
    """Connect to the cluster at 'auto' or 'HOST:PORT', or start one of one's own.

    Raises `UserError` where Ray is not installed, or no fitting cluster is there.
    """
    # Another's cluster is entered as the user's own RAY_AUTH_MODE says.  It has to be the
    # cluster's: a driver that asks for tokens hears nothing from machines that have none.
    private = {} if address is not None else {**_PRIVATE, "RAY_AUTH_TOKEN": _token()}
    with _environment({**_QUIET, **private}):
        _check_installed()
        if address is None:
            return _start()
        _check_address(address)
        _init(address, address=address)
    return Session(is_own=False)


def _start() -> Session:
    from unlearnbench.models.devices.device import cores

    folder = Path(tempfile.mkdtemp(prefix="ray-", dir=_short_folder()))
    session = Session(is_own=True, folder=folder)
    try:
        _init(
            "here",
            address="local",  # whatever RAY_ADDRESS says
            num_cpus=cores(),
            include_dashboard=False,
            object_store_memory=OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=str(folder),
        )
    except BaseException:
        session.close()
        raise
    return session


def _init(where: str, **options: Any) -> None:
    """`ray.init`, which leaves this process's signals as they were; raises `UserError`."""
    import ray
    from ray.exceptions import RayError

    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(log_to_driver=False, logging_level=logging.CRITICAL, **options)
    except (ConnectionError, RuntimeError, ValueError, OSError, RayError) as error:
        text = " ".join(str(error).split())[:300]
        is_other = "ersion mismatch" in text
        hint = "every machine needs the same Python and Ray" if is_other else HOW_TO_ENTER
        raise UserError(f"cannot use a Ray cluster at {where}: {text}; {hint}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)


def _check_installed() -> None:
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"--launcher ray needs Ray ({error}): pip install 'unlearnbench[ray]'"
        ) from error


def _check_address(address: str) -> None:
    """See whether anybody listens there: Ray itself would try for a minute."""
    if address == "auto":
        return
    if address.startswith("ray://"):
        raise UserError(
            f"--ray-address {address}: a run cannot outlive such a connection; run the command on "
            "a machine of the cluster with --ray-address auto"
        )
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise UserError(
            f"--ray-address '{address}' is neither auto nor HOST:PORT; e.g. 192.168.1.10:6379"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise UserError(
            f"no Ray cluster at {address} ({error.strerror or error}); {HOW_TO_START}"
        ) from error


@cache
def _token() -> str:
    """Of the clusters that this process starts; Ray reads it once."""
    return secrets.token_hex(32)


def _short_folder() -> str | None:
    """Where temporary files go, if sockets can lie there, too."""
    folder = tempfile.gettempdir()
    return folder if len(folder) <= _LONGEST_PATH else "/tmp"


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Within, variables that Ray and its processes read."""
    before = {name: os.environ[name] for name in values if name in os.environ}
    os.environ.update(values)
    try:
        yield
    finally:
        for name in values:
            os.environ.pop(name, None)
        os.environ.update(before)
