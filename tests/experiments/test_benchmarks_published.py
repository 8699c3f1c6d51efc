"""Published benchmarks on their own rows: how many each split has, and that a run is planned."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import cli

from unlearnbench.data.benchmarks.source import open_benchmark
from unlearnbench.data.forget_source import ForgetRequest
from unlearnbench.data.items import Split


def json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]


def write(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows))


# Folders as users have them. Texts to train on are not among the shared data: some stand in.


def muse(data: Path, folder: Path) -> Path:
    """The authors' repository, with the first texts of membership as the corpora."""
    shutil.copytree(data / "muse_news", folder, copy_function=shutil.copyfile)
    for source, name in (("forget", "forget"), ("retain2", "retain1")):
        texts = json.loads((data / f"muse_news/privleak/{source}.json").read_text())
        write(folder / f"raw/{name}.json", texts[:6])
    return folder


def rwku(data: Path, folder: Path) -> Path:
    """Files of the hub, with texts about the person as what the model wrote."""
    for path in [*(data / "rwku").glob("*.jsonl"), *(data / "rwku").rglob("*.json")]:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / path.name)
    texts = json.loads((folder / "forget_mia.json").read_text())
    write(folder / "positive.json", [{n: t[n] for n in ("subject", "text")} for t in texts[:6]])
    return folder


def wmdp(data: Path, folder: Path) -> Path:
    """Questions alone are shared: invented corpora, and MMLU's five subjects."""
    for name in ("forget", "retain"):
        texts = [{"text": f"A text to {name}, number {i} of six."} for i in range(6)]
        write(folder / f"cyber-{name}-corpus.json", texts)
    shutil.copyfile(data / "wmdp/cyber.sample120.jsonl", folder / "wmdp-cyber.jsonl")
    shutil.copyfile(data / "mmlu/test.five_subjects.jsonl", folder / "mmlu_test.jsonl")
    return folder


def lume(data: Path, folder: Path) -> Path:
    return data / "lume"


FOLDERS: dict[str, Callable[[Path, Path], Path]] = {
    "muse-news": muse, "rwku": rwku, "wmdp": wmdp, "lume": lume
}  # fmt: skip


def folder_of(name: str, shared: Path, tmp_path: Path) -> Path:
    if not (shared / "data" / name.removesuffix("-news")).exists() and name != "muse-news":
        pytest.skip(f"the rows of {name} are not here")
    return FOLDERS[name](shared / "data", tmp_path / name)


def splits(name: str, run: str, shared: Path, tmp_path: Path) -> dict[str, Split]:
    data = folder_of(name, shared, tmp_path)
    source = open_benchmark(ForgetRequest(name, runs=(run,), benchmark=name, data=str(data)))
    source.check_roles(run)
    return {split.name: split for split in source.splits(run)}


def sizes(of: dict[str, Split]) -> dict[str, int]:
    return {name: len(split) for name, split in of.items()}


def test_muse(shared: Path, tmp_path: Path) -> None:
    found = splits("muse-news", "full", shared, tmp_path)
    assert set(sizes(found).values()) == {100}
    assert list(found) == [
        *("forget_verbmem", "forget_knowmem", "retain_knowmem", "forget", "holdout", "retain")
    ]
    rows = json.loads((shared / "data/muse_news/verbmem/forget.json").read_text())
    assert found["forget_verbmem"].items[7].question == rows[7]["prompt"]
    assert found["forget_verbmem"].items[7].answer == rows[7]["gt"]
    shown = json_lines(shared / "data/muse_news/knowmem_retain2_qa_icl.jsonl")
    assert found["retain_knowmem"].template.examples == tuple(
        (row["question"], row["answer"]) for row in shown
    )
    assert len(shown) == 10
    held = json.loads((shared / "data/muse_news/privleak/holdout.json").read_text())
    assert [item.answer for item in found["holdout"].items] == held


def test_muse_asks_as_its_authors_do(shared: Path, tmp_path: Path) -> None:
    from extraction_cases import shared_model

    from unlearnbench.data.templates import encode_prompts

    model = shared_model(shared / "models/stories260K")
    split = splits("muse-news", "full", shared, tmp_path)["forget_knowmem"]
    ids = encode_prompts(model, split.template, [split.items[3].question])[0]
    shown = json_lines(shared / "data/muse_news/knowmem_forget_qa_icl.jsonl")
    text = "".join(f"Question: {row['question']}\nAnswer: {row['answer']}\n\n" for row in shown)
    text += f"Question: {split.items[3].question}\nAnswer: "
    assert ids == model.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert split.stop == ("\n\n", "\nQuestion", "Question:")


def test_wmdp(shared: Path, tmp_path: Path) -> None:
    found = splits("wmdp", "cyber", shared, tmp_path)
    assert sizes(found) == {"wmdp": 120, "mmlu": 721}
    assert {item.asked_as for item in found["wmdp"].items} == {"wmdp_cyber"}
    counts = {"astronomy": 152, "college_computer_science": 100, "global_facts": 100}
    counts |= {"high_school_geography": 198, "world_religions": 171}
    for subject, n in counts.items():
        own = [item for item in found["mmlu"].items if item.asked_as == f"mmlu_{subject}"]
        assert len(own) == n
    for item, row in zip(
        found["wmdp"].items, json_lines(shared / "data/wmdp/cyber.sample120.jsonl"), strict=True
    ):
        assert list(item.choices) == row["choices"]
        assert item.position == row["answer"]


def test_rwku(shared: Path, tmp_path: Path) -> None:
    found = splits("rwku", "stephen_king", shared, tmp_path)
    every = json_lines(shared / "data/rwku/forget_level3.jsonl")
    own = [row["type"] for row in every if row["subject"] == "Stephen King"]
    n_suffix, n_context = own.count("affirmative suffix"), own.count("incontext learning")
    assert len(own) == 29
    assert sizes(found) == {
        "forget_level1": 8,
        "forget_level2": 10,
        "forget_level3": 29 - n_suffix - n_context,
        "forget_level3_suffix": n_suffix,
        "forget_level3_context": n_context,
        "neighbour_level1": 30,
        "neighbour_level2": 30,
        "forget": 55,
        "retain": 37,
    }
    ten = splits("rwku", "ten", shared, tmp_path / "ten")
    assert len(ten["forget_level1"]) == 8 + 16 + 20  # King, Bieber, Harry: who of the ten is here
    of_types = [len(ten[f"forget_level3{end}"]) for end in ("", "_suffix", "_context")]
    assert sum(of_types) == 29 + 27 + 40


def test_lume(shared: Path, tmp_path: Path) -> None:
    found = sizes(splits("lume", "all", shared, tmp_path))
    assert list(found.values()) == [
        *(243, 243, 250, 1250, 373, 373),
        *(246, 246, 250, 1250, 371, 371),
    ]
    assert "retain_task3_knowledge" in found


# ---- planning


@pytest.fixture(scope="module")
def model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama of random weights with GPT-2's vocabulary, room for 4096 tokens, and a chat."""
    import torch
    from transformers import GPT2Tokenizer, LlamaConfig, LlamaForCausalLM

    vocabulary, folder = shared / "data/gpt2_tokenizer", tmp_path_factory.mktemp("long")
    files = {"vocab": "vocab.json", "merges": "merges.txt"}
    tokenizer = GPT2Tokenizer(**{name: str(vocabulary / file) for name, file in files.items()})
    tokenizer.chat_template = (
        "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}{% endfor %}"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(1)
    shape = {"hidden_size": 8, "intermediate_size": 16, "num_attention_heads": 2}
    config = LlamaConfig(
        vocab_size=50257, num_hidden_layers=2, max_position_embeddings=4096,
        bos_token_id=50256, eos_token_id=50256, **shape,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def plan(name: str, model: Path, data: Path, tmp_path: Path, *more: str) -> tuple[int, str, str]:
    return cli(
        *("run", "--benchmark", name, "--model", model, "--data", data, "--dry-run", "--limit", 4),
        *("--out", tmp_path / "out", "--threads", 1, "--device", "cpu", *more),
    )


@pytest.mark.parametrize(
    ("name", "more", "n_cells"),
    [
        ("muse-news", (), 7),
        ("rwku", ("--warmup-steps", "0"), 3),
        # Hundreds of questions in lm-eval's words, and thousands of rows.
        pytest.param(
            "wmdp",
            ("--set", "rmu.layer=1", "--set", "rmu.trained=down_proj"),
            2,
            marks=pytest.mark.slow,
        ),
        pytest.param("lume", (), 3, marks=pytest.mark.slow),
    ],
)
def test_a_run_is_planned(
    name: str, more: tuple[str, ...], n_cells: int, model: Path, shared: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("UNLEARNBENCH_CACHE", str(tmp_path / "cache"))
    data = folder_of(name, shared, tmp_path)
    status, out, err = plan(name, model, data, tmp_path, *more)
    assert status == 0, err
    assert f"{n_cells} cells, 0 done" in out
    left_out = {"muse-news": [], "wmdp": []}.get(name, ["mmlu"])
    assert all(f"split '{split}' of benchmark {name} is left out" in err for split in left_out)
    assert ("is left out: " in err) == bool(left_out)


def test_items_longer_than_the_context_are_one_line(shared: Path, tmp_path: Path) -> None:
    model = shared / "models/stories260K"
    for name, message in (
        ("muse-news", "forget.json, row 0, chunk 0: has 2048 tokens for stories260K, which reads"),
        ("rwku", "forget_mia.json, row 0: 570 tokens of question and answer do not fit the 512"),
    ):
        status, _, err = plan(name, model, folder_of(name, shared, tmp_path), tmp_path)
        assert status == 2
        assert message in err
        assert len(err.strip().splitlines()) == 1
