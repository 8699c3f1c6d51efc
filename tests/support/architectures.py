"""A tiny network of any causal architecture that the installed transformers has.

`python tests/support/architectures.py` writes the table of docs/models.md anew.
"""

from pathlib import Path
from typing import Any

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from unlearning_fakes import BOS, PAD, VOCABULARY, tiny_model

from unlearnbench.errors import UserError
from unlearnbench.models.generation.behaviour import behaviour_of
from unlearnbench.models.language_model import LanguageModel, ModelSource

PAGE = Path(__file__).parents[2] / "docs" / "models.md"

MODEL_TYPES = sorted(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
MOST_PARAMETERS = 5_000_000
# What configurations call their dimensions; each takes the names that it has.
_SIZES: dict[int, str] = {
    VOCABULARY: "vocab_size vocab_size_per_layer_input",
    64: "max_position_embeddings n_positions n_ctx max_seq_len",
    48: "intermediate_size ffn_dim n_inner d_inner decoder_ffn_dim encoder_ffn_dim ffn_hidden_size",
    32: "hidden_size d_model n_embd dim n_embed embed_dim word_embed_proj_dim embedding_size",
    16: "moe_intermediate_size shared_expert_intermediate_size sliding_window attention_window "
    "q_lora_rank kv_lora_rank",
    8: "head_dim mamba_n_heads mamba_d_state mamba_d_head state_size qk_nope_head_dim "
    "qk_rope_head_dim v_head_dim hidden_size_per_layer_input",
    4: "num_attention_heads n_head n_heads num_heads decoder_attention_heads "
    "encoder_attention_heads num_local_experts num_experts n_routed_experts rotary_dim",
    2: "num_hidden_layers n_layer n_layers num_layers decoder_layers encoder_layers "
    "num_decoder_layers num_key_value_heads num_experts_per_tok eos_token_id",
    1: "n_group topk_group",
}
_COMMON: dict[str, Any] = {name: size for size, names in _SIZES.items() for name in names.split()}
_COMMON |= {"pad_token_id": PAD, "bos_token_id": BOS}
# Where the sizes above do not fit together.
_LATENT = {"head_dim": None, "num_key_value_heads": 4}
_ALTERNATING = {"layer_types": ["linear_attention", "full_attention"]}
_OWN: dict[str, dict[str, Any]] = {
    "axk1": _LATENT,
    "axk2": _LATENT,
    "deepseek_v2": _LATENT,
    "deepseek_v3": _LATENT,
    "deepseek_v32": _LATENT,
    "falcon": {"head_dim": None},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gemma3n_text": {"num_kv_shared_layers": 0, "layer_types": ["full_attention"] * 2},
    "glm4_moe_lite": _LATENT,
    "glm_moe_dsa": _LATENT,
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 8},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "longcat_flash": _LATENT,
    "mamba2": {"num_heads": 8, "head_dim": 8, "n_groups": 1, "expand": 2},
    "minicpm3": _LATENT,
    "xlstm": {"v_head_dim": None, "head_dim": None, "num_heads": 4},
    "youtu": _LATENT,
    "zamba2": {
        "layer_types": ["linear_attention", "hybrid"],
        "hybrid_layer_ids": [1],
        "head_dim": None,
        "num_mem_blocks": 1,
        "mamba_headdim": 8,
        "mamba_ngroups": 1,
        "n_mamba_heads": 8,
    },
    "zaya": {"num_experts_per_tok": 1},
    "prophetnet": {
        "num_hidden_layers": None,
        "num_encoder_layers": 2,
        "num_decoder_layers": 2,
    },
    "qwen3_5_moe_text": _ALTERNATING,
    "qwen3_5_text": _ALTERNATING,
    "qwen3_next": _ALTERNATING,
}


def configuration(model_type: str) -> PretrainedConfig:
    """Two layers, width 32, the fakes' vocabulary; raises whatever the library raises."""
    kind = CONFIG_MAPPING[model_type]
    default = kind()
    if default.get_text_config() is not default:
        raise ValueError("its text model is a part of it")
    chosen = {name: value for name, value in _COMMON.items() if hasattr(default, name)}
    chosen |= _OWN.get(model_type, {})
    return kind(**{name: value for name, value in chosen.items() if value is not None})


def build(model_type: str, seed: int = 0) -> PreTrainedModel:
    """A network at random weights; raises ValueError for one of more than 5 M parameters."""
    config = configuration(model_type)
    with torch.device("meta"):
        size = sum(p.numel() for p in AutoModelForCausalLM.from_config(config).parameters())
    if size > MOST_PARAMETERS:
        raise ValueError(f"it has {size} parameters at the least")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoModelForCausalLM.from_config(config).eval()


def language_model(model_type: str) -> LanguageModel:
    """The network with the fakes' tokenizer."""
    source = ModelSource(model_type, model_type, None, "0" * 64)
    return LanguageModel(build(model_type), tiny_model().tokenizer, source)


def table_row(model_type: str) -> str:
    """What docs/models.md says of an architecture."""
    try:
        behaviour = behaviour_of(language_model(model_type))
    except UserError as error:
        said = str(error).partition(") ")[2].partition("; use")[0]
        return f"| {model_type} | refused | it {said} |"
    except Exception as error:
        return f"| {model_type} | not tried | {' '.join(str(error).split())[:90]} |"
    if behaviour.keeps_columns:
        return f"| {model_type} | shared | |"
    cache = "with" if behaviour.generates_with_cache else "without"
    return f"| {model_type} | generate | {cache} the library's cache |"


if __name__ == "__main__":
    lines = PAGE.read_text().splitlines()
    kept = [line for line in lines if not line.startswith("| ") or line.startswith("| type ")]
    at = next(i for i, line in enumerate(kept) if line.startswith("|---")) + 1
    rows = [table_row(model_type) for model_type in MODEL_TYPES]
    PAGE.write_text("\n".join([*kept[:at], *rows, *kept[at:]]) + "\n")
