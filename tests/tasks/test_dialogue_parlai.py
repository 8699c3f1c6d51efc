"""ParlAI's own teachers over hand-made data in the layouts of its downloads."""

import json
import subprocess
import sys

import pytest

from unlearnbench.data.evaluation_sets import DIALOGUE_SETS
from unlearnbench.data.evaluation_sets.dialogue_files import read_dialogue_file
from unlearnbench.data.evaluation_sets.parlai import read_parlai_set
from unlearnbench.errors import UserError

EXPECTED = {
    "empathetic_dialogues": [
        ["I lost my cat, sadly ", "Oh no!", "She is back ", "Good."],
        ["One", "two", "three"],
        ["Short", "talk"],
        ["1", "2", "3", "4", "5"],
    ],
    "wizard_of_wikipedia": [["Red?", " It is next to orange. ", "Yes"], ["Hi", "Hello"]],
    "blended_skill_talk": [
        ["Is it far? ", "a | b", " not: far, no", "x\ty", "w", "z"],
        ["p", "q", "r", "s"],
    ],
    "wizard_of_internet": [["I read.  ", "So do I!", "What?"], ["Wizard first", "ok", "yes"]],
}


@pytest.fixture
def datapath(tmp_path):
    """ParlAI's data folder, marked as downloaded."""
    build_data = pytest.importorskip("parlai.core.build_data", reason="ParlAI: docs/dialogue.md")
    folders = {
        "empatheticdialogues": ("1.0", _write_empathetic),
        "wizard_of_wikipedia": ("1.0", _write_wikipedia),
        "blended_skill_talk": ("v1.5", _write_blended),
        "wizard_of_interent": ("1.0", _write_internet),  # ParlAI's spelling
    }
    for name, (version, write) in folders.items():
        (tmp_path / name).mkdir()
        write(tmp_path / name)
        build_data.mark_done(str(tmp_path / name), version)
    return tmp_path


def _write_empathetic(folder):
    lines = ["conv_id,utterance_idx,context,prompt,speaker_idx,utterance,selfeval,tags"]
    for number, turns in enumerate(EXPECTED["empathetic_dialogues"]):
        for at, turn in enumerate(turns, 1):
            said = turn.replace(",", "_comma_")
            # Later rows of the real files carry candidates as a ninth field.
            more = ",one|two" if number > 1 else ""
            lines.append(
                f"hit:0_conv:{number},{at},sad,My_comma_ own,{at % 2},{said},5|5_5|5,{more}"
            )
    (folder / "empatheticdialogues").mkdir()
    (folder / "empatheticdialogues" / "valid.csv").write_text("\n".join(lines) + "\n")


def _write_wikipedia(folder):
    empty = {"retrieved_topics": [], "retrieved_passages": []}
    episodes = [
        {
            "wizard_eval": 5,
            "chosen_topic": "Red",
            "chosen_topic_passage": ["Red is a colour."],
            "dialog": [
                {"speaker": f"{at % 2}_Wizard", "text": t, **empty} for at, t in enumerate(turns)
            ],
        }
        for turns in EXPECTED["wizard_of_wikipedia"]
    ]
    (folder / "valid_topic_split.json").write_text(json.dumps(episodes))


def _write_blended(folder):
    from parlai.tasks.blended_skill_talk.build import _create_parlai_format

    sources = ("convai2", "empathetic_dialogues", "wizard_of_wikipedia")
    episodes = [
        {
            "personas": [["mine", "too"], ["i like\\cats", "and dogs"]],
            "context_dataset": source,
            "additional_context": "Rust",
            "free_turker_utterance": turns[0],
            "guided_turker_utterance": turns[1],
            "dialog": [[at % 2, turn] for at, turn in enumerate(turns[2:])],
            "suggestions": [dict.fromkeys(sources, "s") for _ in turns[2:]],
            "chosen_suggestions": ["" for _ in turns[2:]],
        }
        for turns, source in zip(EXPECTED["blended_skill_talk"], sources[1:], strict=True)
    ]
    for split in ("train", "valid", "test"):
        (folder / f"{split}.json").write_text(json.dumps(episodes))
    _create_parlai_format(str(folder))


def _write_internet(folder):
    apprentice, wizard = "Apprentice => Wizard", "Wizard => Apprentice"
    search = [
        _message("Wizard => SearchAgent", "query"),
        _message("SearchAgent => Wizard", "", "found"),
    ]
    (one, two, three), (four, five, six) = EXPECTED["wizard_of_internet"]
    histories = [
        [
            _message(apprentice, one),
            *search,
            _message(wizard, two, "found"),
            _message(apprentice, three),
        ],
        [
            _message(wizard, four),
            _message(apprentice, five),
            *search,
            *search,
            _message(wizard, six),
        ],
    ]
    lines = [
        json.dumps({str(at): {"apprentice_persona": "I read.", "dialog_history": history}})
        for at, history in enumerate(histories)
    ]
    (folder / "valid.jsonl").write_text("\n".join(lines) + "\n")


def _message(action, text, found=""):
    contents = [{"title": "T", "url": "u", "content": [found]}] if found else []
    selected = [[False], [True]] if found else [[True]]
    context = {"contents": contents, "selected_contents": selected}
    return {"action": action, "text": text, "context": context}


@pytest.mark.parametrize("name", DIALOGUE_SETS)
def test_whole_conversations_out_of_parlai_s_teachers(name, datapath, capsys):
    rows = read_parlai_set(name, datapath)
    assert [row["turns"] for row in rows] == EXPECTED[name]
    assert [row["doc_id"] for row in rows] == [str(i) for i in range(len(rows))]
    assert capsys.readouterr().out == ""


def test_the_command_writes_files_that_the_harness_reads(datapath, tmp_path):
    out = tmp_path / "sets"
    command = [
        sys.executable,
        "-m",
        "unlearnbench.data.evaluation_sets.parlai",
        str(out),
        "--datapath",
        str(datapath),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        f"{out / name}.json  {len(EXPECTED[name])} conversations" for name in DIALOGUE_SETS
    ]
    for name in DIALOGUE_SETS:
        turns = [row["turns"] for row in read_dialogue_file(out / f"{name}.json")]
        assert turns == EXPECTED[name]


def test_without_data_or_network(tmp_path, monkeypatch):
    build_data = pytest.importorskip("parlai.core.build_data", reason="ParlAI: docs/dialogue.md")

    def fail(*_):
        raise RuntimeError("Connection broken too many times. Stopped retrying.\nmore")

    monkeypatch.setattr(build_data.DownloadableFile, "download_file", fail)
    with pytest.raises(UserError, match=r"no data of wizard_of_internet .*Connection broken"):
        read_parlai_set("wizard_of_internet", tmp_path)


def test_without_parlai_the_recipe_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "parlai", None)
    monkeypatch.setitem(sys.modules, "parlai.core.opt", None)
    with pytest.raises(UserError, match="pip install --no-deps parlai"):
        read_parlai_set("wizard_of_internet", tmp_path)


def test_unknown_names(tmp_path):
    with pytest.raises(UserError, match="did you mean 'wizard_of_internet'"):
        read_parlai_set("wizard_of_internets", tmp_path)
    with pytest.raises(UserError, match="unknown split 'validation'"):
        read_parlai_set("wizard_of_internet", tmp_path, "validation")
