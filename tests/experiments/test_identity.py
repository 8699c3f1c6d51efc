"""What a cell asks is what it asked in release 0.1, so that its results are found again."""

import json
from pathlib import Path

from unlearnbench.experiments.experiment import Experiment
from unlearnbench.experiments.planner import make_plan

FROZEN = Path(__file__).parents[1] / "golden" / "identities.json"  # written by release 0.1


def test_the_nano_world_s_cells_ask_what_they_always_asked():
    # Tuned otherwise since then.
    tuned = ("icu.learning_rate=2e-4", "icu.alpha=0.5", "icu.beta=1")
    options = {"methods": ("icu",), "runs": ("0",), "device": "cpu", "settings": tuned}
    cells = make_plan(Experiment(**options), download=False).cells
    identities = {cell.label: json.loads(json.dumps(cell.identity)) for cell in cells}
    for label, frozen in json.loads(FROZEN.read_text()).items():
        # How they are answered and kept may change: the software, and the layout of a file.
        asked = {k: v for k, v in identities[label].items() if k in frozen}
        # Since then it asks for the distance to the retrained model, too, where there is one.
        assert asked["tasks"]["settings"].pop("distance") == {}
        assert asked["tasks"].pop("retrained") == identities["NEO (retrained)"]["model"]
        assert asked == frozen
        assert identities[label].keys() - frozen.keys() <= {"software", "schema_version"}
