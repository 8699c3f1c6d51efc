"""The record of a test of metrics, meta.json, and the tables that come with the package."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from unlearnbench.errors import UserError
from unlearnbench.files.strict_json import first_error, parsed
from unlearnbench.files.whole_files import read_regular
from unlearnbench.nano import WORLDS
from unlearnbench.results.record import Count, Record, Result

if TYPE_CHECKING:
    from pandas import DataFrame

FILE_NAME = "meta.json"
FOLDER = Path(__file__).parent
BEGINNING = "metrics-"  # of a shipped table's file, before the name of its pools
UNTOLD = 0.5  # the faithfulness of a metric that tells nothing

Share = Annotated[float, Field(ge=0, le=1)]


class TestedModel(Record):
    """A model that metrics were tested by."""

    name: str
    pool: Literal["with", "without", "before", "retrained", "unlearned"]
    kind: str = Field(description="what it has read; of an unlearned one its method")
    weights_sha256: str = Field(description="of an unlearned one empty")
    values: dict[str, float] = Field(description="by 'task.metric', stored units")


class TestedMetric(Record):
    """What the test found of one metric."""

    task: str
    name: str
    label: str
    scale: float = Field(description="printed value = stored value * scale")
    about: Literal["forgotten", "kept"] = Field(
        description="whether it says what is forgotten, or what is kept: then it is a control"
    )
    higher_is_better: bool
    n_with: Count
    n_without: Count
    faithfulness: Share = Field(
        description="AUC: that a model with the knowledge shows more of it than one without"
    )
    low: Share | None = Field(
        description="95% interval over models and kinds; null for a single model on a side"
    )
    high: Share | None
    threshold: float = Field(
        description="stored units: the value that parts the pools best (Youden)"
    )
    accuracy: Share = Field(description="balanced, of the threshold on these very models")
    kinds_with: dict[str, Share] = Field(description="AUC of each kind against all models without")
    kinds_without: dict[str, Share] = Field(description="AUC of all models with against each kind")
    relearning: Share | None = Field(default=None, description="R, mean over unlearned models")
    quantisation: Share | None = Field(default=None, description="Q, likewise")
    aggregate: Share | None = Field(default=None, description="HM(R, Q)")
    overall: Share | None = Field(default=None, description="HM(faithfulness, HM(R, Q))")
    symmetric_relearning: Share | None = Field(default=None, description="R as UDS states it")
    symmetric_quantisation: Share | None = Field(default=None, description="Q as UDS states it")
    symmetric_aggregate: Share | None = Field(default=None, description="their HM")
    n_unlearned: Count = Field(default=0, description="unlearned models in R and Q")

    @property
    def place(self) -> tuple[str, str]:
        """Task and name."""
        return self.task, self.name

    @property
    def is_untold(self) -> bool:
        """Whether the interval reaches down to 0.5: no evidence that it tells the pools apart."""
        return self.about == "forgotten" and self.low is not None and self.low <= UNTOLD


class RedundancyRecord(Record):
    """Which metrics order the models alike."""

    metrics: list[str] = Field(description="'task.metric', in the order of their clusters")
    labels: list[str] = Field(description="of these, as printed")
    correlations: list[list[float | None]] = Field(
        description="Spearman's, of values turned so that more is better; null: too few models"
    )
    groups: list[list[str]] = Field(description="of which every two are alike, |rho| >= 0.9")
    n_models: Count


class MetaTable(Record):
    """A test of metrics: faithfulness, robustness and redundancy."""

    schema_version: int = 1
    name: str = Field(description="of the pool file: 'nano'")
    title: str
    command: str = Field(description="that makes this file")
    worlds: list[str] = Field(description="synthetic ones that the models with are of")
    benchmark: str | None = Field(description="whose items were measured")
    runs: list[str] = Field(description="forget sets")
    n_rows: list[int] = Field(description="of each, rows to forget")
    limit: int | None = Field(description="documents per task; null: all")
    original: str = Field(description="the model that was unlearned, and that is before")
    retrained: str | None = Field(description="what derived scores are relative to")
    models: list[TestedModel]
    metrics: list[TestedMetric]
    left_out: dict[str, str] = Field(description="why a metric could not be tested, by its place")
    redundancy: RedundancyRecord
    software: dict[str, str] = Field(description="version by package")
    harness: str = Field(description="digest of the code that measures")

    def of_pool(self, *pools: str) -> list[TestedModel]:
        """The models of these pools."""
        return [model for model in self.models if model.pool in pools]

    def of_metric(self, task: str, name: str) -> TestedMetric | None:
        """The test of a metric; None where it was not tested."""
        return next((m for m in self.metrics if m.place == (task, name)), None)

    def to_frame(
        self, what: Literal["metrics", "models", "correlations"] = "metrics"
    ) -> "DataFrame":
        """A pandas frame in stored units: a row a metric, a model, or of the correlations."""
        import pandas as pd

        if what == "correlations":
            names, rows = self.redundancy.metrics, self.redundancy.correlations
            return pd.DataFrame(rows, index=names, columns=names, dtype=float)
        if what == "models":
            return pd.DataFrame([{**m.model_dump(exclude={"values"}), **m.values}
                                 for m in self.models])  # fmt: skip
        return pd.DataFrame([metric.model_dump() for metric in self.metrics])

    def fits(self, result: Result) -> bool:
        """Whether a result is of the same world and benchmark, so that the table speaks of it."""
        benchmark = result.benchmark.name if result.benchmark else None
        models = (WORLDS[name].models for name in self.worlds if name in WORLDS)
        return benchmark == self.benchmark and any(result.group in of for of in models)


def read_table(path: Path) -> MetaTable:
    """The table in a file of `unlearnbench meta`; raises `UserError` for any other."""
    try:
        return MetaTable.model_validate(parsed(read_regular(path)), strict=True)
    except OSError as error:
        raise UserError(f"cannot read the table of metrics {path}: {error.strerror}") from error
    except ValueError as error:
        raise UserError(
            f"{path} is no table of metrics: {first_error(error)}; make one with: unlearnbench meta"
        ) from error


def shipped_tables() -> dict[str, Path]:
    """The tables that come with the package, by the name of their pools."""
    files = sorted(FOLDER.glob(f"{BEGINNING}*.json"))
    return {path.stem.removeprefix(BEGINNING): path for path in files}


def fitting_table(results: list[Result]) -> MetaTable | None:
    """The shipped table of most of the results' worlds and benchmarks; None where none fits."""
    if not results or not any(result.model.is_synthetic for result in results):
        return None
    tables = [read_table(path) for path in shipped_tables().values()]
    fitting = [sum(map(table.fits, results)) for table in tables]
    return tables[fitting.index(max(fitting))] if any(fitting) else None
