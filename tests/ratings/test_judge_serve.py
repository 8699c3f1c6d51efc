"""The judge end to end against a real OpenAI-compatible server with a real, if tiny, model."""

import json
import signal
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from fault_cases import forked, wait_until
from judge_fakes import cell, save

from unlearnbench.cli import status_of
from unlearnbench.ratings.judge.replies import JudgeFiles

pytest.importorskip("uvicorn", reason="the server needs transformers[serving]")
pytest.importorskip("fastapi", reason="the server needs transformers[serving]")

# It answers by a table of what follows what: any question ends in '<answer>'.
WORDS = ["<unk>", "<end>", "<answer>", "Fluent.", "Final", "score:", "6.5"]
ANSWER = "Fluent. Final score: 6.5"
TEMPLATE = "{% for message in messages %}{{ message['content'] }} {% endfor %}<answer>"


def save_answering_model(folder: Path) -> None:
    """A Llama whose layers do nothing: the next word depends on the last one only."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    size = 16
    config = LlamaConfig(
        vocab_size=len(WORDS), hidden_size=size, intermediate_size=size, num_hidden_layers=1,
        num_attention_heads=1, max_position_embeddings=2048, bos_token_id=None, eos_token_id=1,
        pad_token_id=1, tie_word_embeddings=False,
    )  # fmt: skip
    network = LlamaForCausalLM(config)
    follows = ["<answer>", *ANSWER.split(), "<end>"]
    with torch.no_grad():
        for part in network.model.layers.parameters():
            part.zero_()
        network.model.embed_tokens.weight.copy_(torch.eye(len(WORDS), size))
        network.lm_head.weight.zero_()
        for now, then in pairwise(follows):
            network.lm_head.weight[WORDS.index(then), WORDS.index(now)] = 10
    network.save_pretrained(folder)
    _save_tokenizer(folder)


def _save_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>")
    tokenizer = Tokenizer(words)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<end>", pad_token="<end>"
    )
    fast.chat_template = TEMPLATE
    fast.save_pretrained(folder)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and model name of a running `transformers serve`."""
    folder = tmp_path_factory.mktemp("serve")
    save_answering_model(folder / "model")
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    command = [
        "transformers", "serve", str(folder / "model"),
        *("--host", "127.0.0.1", "--port", str(port), "--device", "cpu"),
    ]  # fmt: skip

    def serve() -> int:
        from transformers.cli.transformers import main

        sys.argv = command
        main()
        return 0

    run = forked(folder / "told", serve)  # which has torch loaded
    try:
        # Seconds of CPU time, but machines are busy.
        wait_until(lambda: _is_up(f"http://127.0.0.1:{port}/health"), seconds=600, of=run)
        yield f"http://127.0.0.1:{port}/v1", str(folder / "model")
    finally:
        run.signal(signal.SIGTERM)
        run.wait(30)


def _is_up(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True


def test_a_real_server_fills_the_gpt_column(
    server: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    url, model = server
    folder = save(tmp_path, cell("dedup"), cell("icu"))
    command = ["judge", str(folder), "--base-url", url, "--judge-model", model]
    assert status_of([*command, "--max-tokens", "3"]) == 1  # 'Fluent. Final score:', cut off
    assert "0 scored, 6 unparsable, 0 failed" in capsys.readouterr().err
    assert status_of([*command, "--max-tokens", "20"]) == 0
    assert "6 to ask" in (err := capsys.readouterr().err)
    assert "6 scored, 0 unparsable, 0 failed" in err
    files = JudgeFiles(folder)
    (judge,) = files.judges().values()
    replies = files.load(judge).values()
    assert {reply.reply for reply in replies} == {ANSWER}
    assert all((reply.prompt_tokens or 0) > 300 for reply in replies)
    assert {reply.completion_tokens for reply in replies} <= {4, 5}
    assert status_of(["report", str(folder), "--json"]) == 0
    (group,) = json.loads(capsys.readouterr().out)["blocks"][0]["groups"]
    assert {row["cells"]["gpt"]["text"] for row in group["rows"]} == {"6.50"}
