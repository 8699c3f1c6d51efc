"""Shared fixtures: offline, one thread, the real data where it is."""

import os
import shutil
import signal
import threading
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import pytest

import unlearnbench

# Processes that tests start use the package under test, be it a wheel or the checkout.
os.environ["PYTHONSAFEPATH"] = "1"
os.environ["PYTHONPATH"] = str(Path(unlearnbench.__file__).resolve().parents[1])

# Tests interrupt processes they start; a shell's background job ignores that, and passes it on.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at it
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Each worker of `-n` begins with a part of its own: a module's fixtures are made once."""
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Small models are slower with more threads, and results are the same on every machine."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def all_plugins() -> None:
    """Every built-in one, before a test patches the registry: a module registers itself once."""
    from unlearnbench import registry

    for kind in registry.KINDS:
        getattr(registry, kind)()


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real data and models; the test is skipped where it is absent."""
    default = Path(__file__).resolve().parents[2] / "shared"
    path = Path(os.environ.get("UNLEARNBENCH_SHARED", default))
    if not path.is_dir():
        pytest.skip(f"real data not found at {path}; set UNLEARNBENCH_SHARED to its folder")
    return path


@pytest.fixture
def undrawn(monkeypatch) -> None:
    """Pages without their figures, which take seconds to draw and have tests of their own."""
    monkeypatch.setattr("unlearnbench.reporting.report.Figure.image", lambda *_: None)


@pytest.fixture(scope="session")
def nano_data(tmp_path_factory) -> Path:
    """The nano world's data, written into an empty cache; a test that changes it takes a copy."""
    from unlearnbench import nano

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNLEARNBENCH_CACHE", str(tmp_path_factory.mktemp("nano")))
        return nano.data_path()


@pytest.fixture(scope="module")
def browser():
    """The machine's own Chromium; the test is skipped where it or playwright is absent."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip(f"no browser found, looked for: {', '.join(BROWSERS)}")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()
