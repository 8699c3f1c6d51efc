"""The nano world, made once for all that looks at it."""

import copy
import shutil

import pytest

from unlearnbench.nano import data


@pytest.fixture(scope="session")
def make_world_and_rows():
    """A function that gives what `make_world_and_rows` does, which is made once.

    A world changes as texts are written about it, so everybody has one of their own.
    """
    world, rows = data.make_world_and_rows()
    return lambda *_: (copy.deepcopy(world), rows)


@pytest.fixture
def world_and_rows(make_world_and_rows):
    return make_world_and_rows()


@pytest.fixture
def copied(nano_data, monkeypatch):
    """Whoever writes the data gets a copy: how they are written is other tests' subject."""
    monkeypatch.setattr(
        data, "write_data", lambda folder: shutil.copytree(nano_data, folder, dirs_exist_ok=True)
    )
