"""A tracker's own process: `python -m unlearnbench.running.tracking.tracker`.

It reads one JSON message a line, does what it says with accelerate's tracker, and answers each
message by a line: the number of messages done, or what went wrong.  A run whose tracker breaks is
given up, the next one starts anew.  When nothing more comes the process ends, whatever its
tracker is waiting for.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread, Timer
from typing import Any, TextIO

PROJECT = "unlearnbench"
_TRACKING_URI = os.environ.get("MLFLOW_TRACKING_URI")  # the user's; mlflow sets the variable itself
#: Those to which words can be logged; others take them as a part of the configuration.
_LOG_WORDS = ("tensorboard", "wandb")
_LINGER = 60.0  # seconds in which what is left may be sent, once whoever measures is gone

Message = dict[str, Any]


class Runs:
    """The runs of one kind of tracker, one after the other."""

    def __init__(self) -> None:
        self._tracker: Any = None
        self._config: Message = {}

    def do(self, message: Message) -> None:
        """What a message says: begin, log or end a run; raises what the tracker raises."""
        kind = message["do"]
        if kind == "begin":
            self.give_up()
            self._begin(message)
        elif self._tracker is None:
            return  # the run was given up
        elif kind == "log":
            self._tracker.log(message["values"], step=message["step"])
        else:
            self._end(message)

    def give_up(self) -> None:
        """End the run that is open, if there is one, as well as it goes."""
        tracker, self._tracker = self._tracker, None
        if tracker is not None:
            with suppress(Exception):
                tracker.finish()

    def _begin(self, message: Message) -> None:
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS
        from filelock import FileLock

        name, folder = message["tracker"], Path(message["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        made = _ARGUMENTS.get(name, _of_any)
        kind = LOGGER_TYPE_TO_CLASS[name]
        # Cells side by side would each make the experiment, or the tables of its data base.
        with FileLock(folder / ".lock"):
            self._tracker = kind(**made(kind, message))
            self._tracker.start()
        self._config = message["config"]
        self._tracker.store_init_configuration(self._config)

    def _end(self, message: Message) -> None:
        tracker, words = self._tracker, message["words"]
        tracker.log(message["values"], step=message["step"])
        if tracker.name in _LOG_WORDS:
            tracker.log(words, step=message["step"])
        else:
            tracker.store_init_configuration({**self._config, **words})
        self._tracker = None
        tracker.finish()


def _of_tensorboard(_: Any, run: Message) -> dict[str, Any]:
    # Of a cell that is run again, what it wrote before is hidden.
    return {"run_name": run["name"], "logging_dir": run["folder"], "purge_step": 0}


def _of_wandb(_: Any, run: Message) -> dict[str, Any]:
    import wandb

    return {
        "run_name": os.environ.get("WANDB_PROJECT", PROJECT),
        "name": run["title"],
        "group": run["group"],
        "dir": run["folder"],
        "settings": wandb.Settings(console="off", silent=True),
    }


def _of_mlflow(_: Any, run: Message) -> dict[str, Any]:
    import mlflow

    place = {}
    if not _TRACKING_URI:
        mlflow.set_tracking_uri(f"sqlite:///{run['folder']}/mlflow.db")
        place = {"logging_dir": (Path(run["folder"]) / "artifacts").as_uri()}
    return {"experiment_name": PROJECT, "run_name": run["title"], **place}


def _of_any(kind: Any, run: Message) -> dict[str, Any]:
    """As accelerate's `Accelerator.init_trackers` gives them."""
    folder = {"logging_dir": run["folder"]} if kind.requires_logging_directory else {}
    return {"run_name": PROJECT, **folder}


_ARGUMENTS: dict[str, Callable[[Any, Message], dict[str, Any]]] = {
    "tensorboard": _of_tensorboard,
    "wandb": _of_wandb,
    "mlflow": _of_mlflow,
}


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
