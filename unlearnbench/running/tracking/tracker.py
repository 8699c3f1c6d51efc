"""A tracker's own process: `python -m unlearnbench.running.tracking.tracker`.

It reads one JSON message a line, does what it says with accelerate's tracker, and answers each
message by a line: the number of messages done, or what went wrong.  A run whose tracker breaks is
given up, the next one starts anew.  When nothing more comes the process ends, whatever its
tracker is waiting for.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread, Timer
from typing import Any, TextIO

PROJECT = "unlearnbench"
_TRACKING_URI = os.environ.get("MLFLOW_TRACKING_URI")  # the user's; mlflow sets the variable itself
_LINGER = 60.0  # seconds in which what is left may be sent, once whoever measures is gone

Message = dict[str, Any]


class Run:
    """A run of any of accelerate's trackers, made as its `Accelerator.init_trackers` makes them."""

    def __init__(self, message: Message) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        self.message, self.folder = message, Path(message["folder"])
        self.config: dict[str, Any] = message["config"]
        self._kind: Any = LOGGER_TYPE_TO_CLASS[message["tracker"]]
        self.tracker: Any = None

    def start(self) -> None:
        """Begin it, with the configuration."""
        from filelock import FileLock

        self.folder.mkdir(parents=True, exist_ok=True)
        # Cells side by side would each make the experiment, or the tables of its data base.
        with FileLock(self.folder / ".lock"):
            self.tracker = self._kind(**self.arguments())
            self.tracker.start()
        self.configure()

    def arguments(self) -> dict[str, Any]:
        """What the tracker is made with."""
        folder = {"logging_dir": str(self.folder)} if self._kind.requires_logging_directory else {}
        return {"run_name": PROJECT, **folder}

    def configure(self) -> None:
        """Say what the run is."""
        self.tracker.store_init_configuration(self.config)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Numbers of a step."""
        self.tracker.log(values, step=step)

    def end(self, values: Mapping[str, float], words: Mapping[str, str], step: int) -> None:
        """The last numbers, and how it ended in words; not every tracker logs words."""
        self.log(values, step)
        self.tracker.store_init_configuration({**self.config, **words})

    def finish(self, failed: bool) -> None:  # noqa: ARG002 - not every tracker can say so
        """Write what is left; the cell has ended well, or not."""
        self.tracker.finish()


class TensorBoardRun(Run):
    """A folder of event files; its hyper-parameters stand beside its scores."""

    def arguments(self) -> dict[str, Any]:
        """A folder for each run; of a cell that is run again what it wrote before is hidden."""
        folder, name = str(self.folder), self.message["name"]
        return {"run_name": name, "logging_dir": folder, "purge_step": 0}

    def configure(self) -> None:
        """As a table of text: hyper-parameters are written with the scores that they lead to."""
        rows = "\n".join(f"| {name} | {value} |" for name, value in self.config.items())
        self.tracker.log({"configuration": f"| name | value |\n| --- | --- |\n{rows}"}, step=0)

    def end(self, values: Mapping[str, float], words: Mapping[str, str], step: int) -> None:
        """The scores as those of these hyper-parameters, in the run's own folder."""
        self.tracker.log(dict(words), step=step)
        writer = self.tracker.tracker
        writer.add_hparams(self.config, dict(values), run_name=".", global_step=step)


class WandbRun(Run):
    """A run of Weights & Biases, in the group of its model."""

    def arguments(self) -> dict[str, Any]:
        """Its name and group; the process's own output is no part of it."""
        import wandb

        return {
            "run_name": os.environ.get("WANDB_PROJECT", PROJECT),
            "name": self.message["title"],
            "group": self.message["group"],
            "dir": str(self.folder),
            "settings": wandb.Settings(console="off", silent=True),
        }

    def end(self, values: Mapping[str, float], words: Mapping[str, str], step: int) -> None:
        """Words can be logged, and stand in the run's summary."""
        self.tracker.log({**values, **words}, step=step)

    def finish(self, failed: bool) -> None:
        """Say so in the list of runs if it has failed."""
        self.tracker.tracker.finish(exit_code=int(failed))


class MlflowRun(Run):
    """A run of MLflow, on the user's server or in a data base in the folder."""

    def arguments(self) -> dict[str, Any]:
        """Its name, and the data base where the user names no other place."""
        import mlflow

        own = {}
        if not _TRACKING_URI:
            mlflow.set_tracking_uri(f"sqlite:///{self.folder}/mlflow.db")
            own = {"logging_dir": (self.folder / "artifacts").as_uri()}
        return {"experiment_name": PROJECT, "run_name": self.message["title"], **own}

    def finish(self, failed: bool) -> None:
        """Say so in the list of runs if it has failed."""
        import mlflow

        mlflow.end_run("FAILED" if failed else "FINISHED")


_KINDS: dict[str, type[Run]] = {
    "tensorboard": TensorBoardRun,
    "wandb": WandbRun,
    "mlflow": MlflowRun,
}


class Runs:
    """The runs of a tracker, one after the other."""

    def __init__(self) -> None:
        self._run: Run | None = None

    def do(self, message: Message) -> None:
        """What a message says: begin, log or end a run; raises what the tracker raises."""
        match message["do"]:
            case "begin":
                self.give_up()
                self._run = _KINDS.get(message["tracker"], Run)(message)
                self._run.start()
            case "log" if self._run is not None:
                self._run.log(message["values"], message["step"])
            case "end" if self._run is not None:
                self._run.end(message["values"], message["words"], message["step"])
                run, self._run = self._run, None
                run.finish(message["words"].get("status") == "failed")

    def give_up(self) -> None:
        """End the run that is open, if there is one, as well as it goes."""
        run, self._run = self._run, None
        if run is not None and run.tracker is not None:
            with suppress(Exception):
                run.finish(failed=True)


def serve(messages: TextIO, answers: TextIO) -> None:
    """Do what the messages say, until there are no more."""
    waiting: SimpleQueue[Message | None] = SimpleQueue()
    Thread(target=_read, args=(messages, waiting.put), daemon=True).start()

    def answer(**what: Any) -> None:
        with suppress(OSError):  # nobody is there any more
            print(json.dumps(what), file=answers, flush=True)

    runs, n_done = Runs(), 0
    while (message := waiting.get()) is not None:
        try:
            runs.do(message)
        except BaseException as error:  # some libraries exit
            text = " ".join(str(error).split())[:300]
            answer(problem=f"{type(error).__name__}: {text}")
            runs.give_up()
        n_done += 1
        answer(done=n_done)
    runs.give_up()


def _read(messages: TextIO, put: Callable[[Message | None], None]) -> None:
    for line in messages:
        put(json.loads(line))
    put(None)
    ending = Timer(_LINGER, os._exit, (1,))
    ending.daemon = True
    ending.start()


def main() -> None:
    """Serve on the standard streams, which are nothing's for the tracker's library."""
    messages, answers = os.fdopen(os.dup(0), "r"), os.fdopen(os.dup(1), "w")
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1):
        os.dup2(nothing, stream)
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from accelerate import PartialState

    PartialState(cpu=True)  # accelerate's trackers ask it whether they are to write
    serve(messages, answers)


if __name__ == "__main__":
    main()
