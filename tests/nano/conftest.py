"""The nano world, made once for all that looks at it."""

import shutil

import pytest

from unlearnbench.nano import data


@pytest.fixture(scope="session")
def world_and_rows():
    """The world and its rows; nothing changes them."""
    return data.make_world_and_rows()


@pytest.fixture
def copied(nano_data, monkeypatch):
    """Whoever writes the data gets a copy: how they are written is other tests' subject."""
    monkeypatch.setattr(
        data, "write_data", lambda folder: shutil.copytree(nano_data, folder, dirs_exist_ok=True)
    )
