"""What the tests of publishing share."""

from pathlib import Path

import pytest
from tiny import save_model


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("saved") / "model"
    save_model(folder, ["kab kad kaf kag kak kal"])
    return folder
