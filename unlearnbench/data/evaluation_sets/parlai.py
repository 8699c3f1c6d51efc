"""The four dialogue sets out of ParlAI's own teachers, written as the JSON that --data reads.

python -m unlearnbench.parlai_sets OUTDIR [--datapath DIR]
ParlAI 1.7.2 has to be installed as docs/dialogue.md says; its teachers download what is
not there.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from unlearnbench.data.evaluation_sets import DIALOGUE_SETS
from unlearnbench.data.evaluation_sets.dialogue_files import write_dialogue_file
from unlearnbench.errors import UserError, unknown

Conversations = Iterator[list[str]]  # one list of turns per conversation

# The state of the published files: 967 conversations on topics that training has not.
_WIKIPEDIA_TASK = "wizard_of_wikipedia:WizardOfWikipedia:topic_split"
_SPLITS = ("train", "valid", "test")  # as ParlAI calls them


def read_parlai_set(
    name: str, datapath: Path | None = None, split: str = "valid"
) -> list[dict[str, Any]]:
    """A set's conversations as {"doc_id": number, "turns": [text, ...]}, in ParlAI's order.

    `datapath` is ParlAI's data folder (its own default if None); what is missing
    there is downloaded by ParlAI.  Conversations without two turns or without a reply
    are left out; the others keep their number.
    Raises `UserError` for an unknown name or split, without ParlAI, and without its data.
    """
    if name not in _READERS:
        raise unknown("dialogue set", name, _READERS, "docs/dialogue.md")
    if split not in _SPLITS:
        raise unknown("split", split, _SPLITS, "docs/dialogue.md")
    with redirect_stdout(sys.stderr):  # ParlAI talks on stdout
        conversations = _conversations(name, _options(name, datapath, split))
    return [
        {"doc_id": str(at), "turns": turns}
        for at, turns in enumerate(conversations)
        if len(turns) > 1 and turns[-1].strip()
    ]


def _options(name: str, datapath: Path | None, split: str) -> dict[str, Any]:
    try:
        from parlai.core.opt import Opt
        from parlai.core.params import ParlaiParser
    except ImportError as error:
        raise UserError(
            f"ParlAI cannot be imported ({error}); install it in an environment of its own: "
            'pip install --no-deps parlai==1.7.2 && pip install iopath jsonlines "setuptools<81", '
            "or use the published JSON: --data DIR"
        ) from error
    task = _WIKIPEDIA_TASK if name == "wizard_of_wikipedia" else name
    # The parser only for where ParlAI keeps its data.
    folder = str(datapath or ParlaiParser(False, False).parse_args([])["datapath"])
    options: dict[str, Any] = Opt({"task": task, "datatype": split, "datapath": folder})
    return options


def _conversations(name: str, options: dict[str, Any]) -> list[list[str]]:
    try:
        return list(_READERS[name](options))
    except (OSError, RuntimeError) as error:  # what ParlAI's downloads fail with
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"ParlAI has no data of {name} in {options['datapath']} and could not get it "
            f"({reason}); put it there (docs/dialogue.md) or name the folder: --datapath DIR"
        ) from error


def _wizard_of_wikipedia(options: dict[str, Any]) -> Conversations:
    """Both speakers' turns, which only the teacher of raw episodes has."""
    from parlai.tasks.wizard_of_wikipedia.agents import WizardOfWikipediaTeacher

    teacher = WizardOfWikipediaTeacher(options)
    for episode in range(teacher.num_episodes()):
        turns = range(teacher.len_episode(episode))
        yield [teacher.get(episode, turn)["text"] for turn in turns]


def _empathetic_dialogues(options: dict[str, Any]) -> Conversations:
    """Whole conversations: the teacher's listener half leaves out a speaker's last word."""
    from parlai.core.message import Message
    from parlai.tasks.empathetic_dialogues.agents import EmpatheticDialoguesTeacher

    class BothHalves(EmpatheticDialoguesTeacher):
        def _select_dialogues_to_add(
            self, listener: list[Message], speaker: list[Message]
        ) -> list[list[Message]]:
            turns = _paired(listener)
            if len(speaker) == len(listener):  # an odd number of turns: the speaker's is the last
                turns += [message["labels"][0] for message in speaker[-1:]]
            return [[Message(text=turns[0], labels=turns[-1:], turns=turns)]] if turns else []

    teacher = BothHalves(options)
    for episode in range(teacher.num_episodes()):
        yield teacher.get(episode, 0)["turns"]


def _blended_skill_talk(options: dict[str, Any]) -> Conversations:
    """The two given turns of the context, then the conversation; persona and topic left out."""
    from parlai.tasks.blended_skill_talk.agents import BlendedSkillTalkTeacher

    for episode in BlendedSkillTalkTeacher(options).episodes:
        context = episode[0]["text"].removesuffix(episode[0]["free_message"])
        given = context.removesuffix("\n").split("\n")[-2:]
        messages = ((m["free_message"], _label(m)) for m in episode)
        yield [*given, *(turn for pair in messages for turn in pair)]


def _wizard_of_internet(options: dict[str, Any]) -> Conversations:
    """What the two people said, without the searches between."""
    from parlai.tasks.wizard_of_internet import constants
    from parlai.tasks.wizard_of_internet.agents import WizardDialogTeacher

    class AllMessages(WizardDialogTeacher):
        def teacher_setup_data(self, datafile: str) -> Iterator[tuple[dict[str, Any], bool]]:
            for actions in self._load_data(datafile):
                turns = [
                    message[constants.MESSAGE_TEXT]
                    for message in actions[constants.ACTION_ALL]
                    if message[constants.SPEAKER_ID] != constants.SEARCH_AGENT
                    and not message.get(constants.IS_SEARCH_QUERY)
                ]
                yield {"text": "\n".join(turns), "labels": turns[-1:], "turns": turns}, True

    teacher = AllMessages(options)
    for episode in range(teacher.num_episodes()):
        yield teacher.get(episode, 0)["turns"]


def _paired(messages: Sequence[dict[str, Any]]) -> list[str]:
    return [turn for m in messages for turn in (m["text"], _label(m))]


def _label(message: dict[str, Any]) -> str:
    # ParlAI renames the field where nothing is trained.
    label: str = (message.get("labels") or message["eval_labels"])[0]
    return label


_READERS: dict[str, Callable[[dict[str, Any]], Conversations]] = {
    "wizard_of_wikipedia": _wizard_of_wikipedia,
    "empathetic_dialogues": _empathetic_dialogues,
    "blended_skill_talk": _blended_skill_talk,
    "wizard_of_internet": _wizard_of_internet,
}


@click.command()
@click.argument("outdir", type=click.Path(path_type=Path, file_okay=False))
@click.option("--datapath", type=click.Path(path_type=Path), help="ParlAI's data folder")
@click.option("--split", default="valid", show_default=True, type=click.Choice(_SPLITS))
def main(outdir: Path, datapath: Path | None, split: str) -> None:
    """Write ParlAI's four dialogue sets into OUTDIR, for: unlearnbench run --data OUTDIR."""
    outdir.mkdir(parents=True, exist_ok=True)
    for name in DIALOGUE_SETS:
        try:
            rows = read_parlai_set(name, datapath, split)
        except UserError as error:
            click.echo(f"unlearnbench: {error}", err=True)
            raise SystemExit(2) from error
        path = outdir / f"{name}.json"
        write_dialogue_file(path, rows)
        click.echo(f"{path}  {len(rows)} conversations")


if __name__ == "__main__":
    main()
