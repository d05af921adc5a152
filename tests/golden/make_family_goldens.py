"""Records tests/golden/families/: a tiny random checkpoint of every family, and what the reference computes with it.

Run: python3 tests/golden/make_family_goldens.py
Needs the PyPI packages torch and transformers (recorded with torch 2.15, transformers 5.23). The reference is transformers'
own model; for LLaDA and Dream, which it does not have, the forward pass written down here after their published definition.
Every number is computed in float32 on the stored (bf16) weights.
"""

import json
import pathlib
import shutil

import torch
import transformers as hf
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).parent / "families"
ADAMW = dict(lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)
SIZES = dict(vocab_size=67, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40,
             max_position_embeddings=64, bos_token_id=1, eos_token_id=2)
LLAMA = dict(SIZES, num_key_value_heads=2, tie_word_embeddings=False, rms_norm_eps=1e-5)
GPT = dict(vocab_size=67, n_embd=24, n_layer=2, n_head=4, n_positions=64, bos_token_id=1, eos_token_id=2,
           embd_pdrop=0.0, attn_pdrop=0.0, resid_pdrop=0.0)


def rope(kind, **more):
    return {"rope_type": kind, "rope_theta": 10000.0, **more}


MODELS = {
    "gpt2": lambda: hf.GPT2LMHeadModel(hf.GPT2Config(**GPT)),
    "gptj": lambda: hf.GPTJForCausalLM(hf.GPTJConfig(**GPT, rotary_dim=4, tie_word_embeddings=False)),
    "gpt_neox_parallel": lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(
        **{**SIZES, "num_attention_heads": 3}, rope_parameters=rope("default", partial_rotary_factor=0.5), use_parallel_residual=True,
        tie_word_embeddings=False)),
    "gpt_neox_sequential": lambda: hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(
        **SIZES, rope_parameters=rope("default", partial_rotary_factor=1.0), use_parallel_residual=False,
        hidden_act="gelu_fast", tie_word_embeddings=False)),
    # six heads: the slopes beyond a power of two
    "bloom": lambda: hf.BloomForCausalLM(hf.BloomConfig(
        vocab_size=67, hidden_size=24, n_layer=2, n_head=6, bos_token_id=1, eos_token_id=2, hidden_dropout=0.0,
        attention_dropout=0.0)),
    "llama_biases_llama3_rope": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(
        **LLAMA, attention_bias=True, rope_parameters=rope(
            "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32))),
    "llama_linear_rope": lambda: hf.LlamaForCausalLM(hf.LlamaConfig(
        **LLAMA, rope_parameters=rope("linear", factor=2.5))),
    "mistral_window": lambda: hf.MistralForCausalLM(hf.MistralConfig(**LLAMA, sliding_window=5, head_dim=10)),
    "qwen2_yarn_rope": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(
        **LLAMA, rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=16))),
    "qwen2_window_above": lambda: hf.Qwen2ForCausalLM(hf.Qwen2Config(
        **LLAMA, use_sliding_window=True, sliding_window=4, max_window_layers=1)),
    "qwen3": lambda: hf.Qwen3ForCausalLM(hf.Qwen3Config(**{**LLAMA, "tie_word_embeddings": True}, head_dim=8)),
}
SHARDED = "qwen3"


def floats(t):
    return [float(f"{x:.9g}") for x in t.detach().double().flatten().tolist()]


def loss_of(logits, ids):
    return torch.nn.functional.cross_entropy(logits[:-1], ids[1:])


def golden_of(parameters, logits_of, ids, tables):
    """Logits, loss, gradient norm, and the loss after a step of AdamW that decays matrices but no tables."""
    golden = {"tokens": ids.tolist(), "logits": floats(logits_of(ids))}
    decayed = [p for p in parameters if p.ndim == 2 and not any(p is t for t in tables)]
    rest = [p for p in parameters if not any(p is d for d in decayed)]
    optimizer = torch.optim.AdamW([{"params": decayed}, {"params": rest, "weight_decay": 0.0}], **ADAMW)
    loss = loss_of(logits_of(ids), ids)
    loss.backward()
    golden["loss"] = loss.item()
    golden["gradient_norm"] = torch.cat([p.grad.flatten() for p in parameters]).norm().item()
    optimizer.step()
    golden["loss_after_step"] = loss_of(logits_of(ids), ids).item()
    return golden


def randomise(named):
    with torch.no_grad():
        for key, p in named:
            if p.ndim == 1:
                bias = key.endswith("bias")
                p.copy_(0.1 * torch.randn_like(p) + (0.0 if bias else 1.0))
            else:
                p.copy_(torch.randn_like(p) / p.shape[-1] ** 0.5)
            p.copy_(p.bfloat16().float())


def record(name, make, seed):
    torch.manual_seed(seed)
    model = make().float().eval()
    model.set_attn_implementation("eager")
    randomise(model.named_parameters())
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    ids = torch.randint(0, 67, (23,))
    half = make().bfloat16()
    half.load_state_dict(model.state_dict())
    half.save_pretrained(folder, **({"max_shard_size": "10KB"} if name == SHARDED else {}))
    (folder / "generation_config.json").unlink(missing_ok=True)
    tables = [model.get_input_embeddings().weight] + [p for k, p in model.named_parameters() if k.endswith("wpe.weight")]
    golden = golden_of(list(model.parameters()), lambda t: model(t[None]).logits[0], ids, tables)
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    print(name, {k: v for k, v in golden.items() if not isinstance(v, list)})


def diffusion_logits(w, names, heads, kv_heads, theta, eps):
    """A bidirectional LLaMA block stack: RMS norm, rotary halves, grouped heads, SwiGLU."""
    def norm(x, weight):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight

    def logits(ids):
        x = w[names["embedding"]][ids]
        rows, dim = x.shape
        learned = names["positions"] in w
        if learned:
            x = x + w[names["positions"]][:rows]
        size = dim // heads
        angle = torch.outer(torch.arange(rows).float(), theta ** (-torch.arange(0, size, 2).float() / size))
        cos, sin = (torch.cat([f(angle), f(angle)], -1)[:, None] for f in (torch.cos, torch.sin))

        def turn(t):
            if learned:
                return t
            a, b = t.chunk(2, -1)
            return t * cos + torch.cat([-b, a], -1) * sin

        for i in range(2):
            def get(part, kind="weight"):
                return w.get(names["layer"].format(i) + names[part] + "." + kind)

            n = norm(x, get("attention_norm"))
            q, k, v = (torch.nn.functional.linear(n, get(p), get(p, "bias")).view(rows, -1, size)
                       for p in ("query", "key", "value"))
            q, k = turn(q), turn(k)
            k, v = (t.repeat_interleave(heads // kv_heads, 1) for t in (k, v))
            scores = torch.einsum("qhd,khd->hqk", q, k) / size ** 0.5
            x = x + torch.einsum("hqk,khd->qhd", scores.softmax(-1), v).reshape(rows, dim) @ get("output").T
            n = norm(x, get("mlp_norm"))
            x = x + (torch.nn.functional.silu(n @ get("gate").T) * (n @ get("up").T)) @ get("down").T
        return norm(x, w[names["final_norm"]]) @ w[names["head"]].T

    return logits


LLADA = dict(
    embedding="model.transformer.wte.weight", positions="model.transformer.wpe.weight", final_norm="model.transformer.ln_f.weight",
    head="model.transformer.ff_out.weight", layer="model.transformer.blocks.{}.", attention_norm="attn_norm",
    mlp_norm="ff_norm", query="q_proj", key="k_proj", value="v_proj", output="attn_out", gate="ff_proj", up="up_proj",
    down="ff_out")
DREAM = dict(
    embedding="model.embed_tokens.weight", positions="", final_norm="model.norm.weight", head="lm_head.weight",
    layer="model.layers.{}.", attention_norm="input_layernorm", mlp_norm="post_attention_layernorm",
    query="self_attn.q_proj", key="self_attn.k_proj", value="self_attn.v_proj", output="self_attn.o_proj",
    gate="mlp.gate_proj", up="mlp.up_proj", down="mlp.down_proj")
LLADA_CONFIG = dict(
    architectures=["LLaDAModelLM"], model_type="llada", d_model=24, n_layers=2, n_heads=4, n_kv_heads=4,
    mlp_hidden_size=40, vocab_size=67, embedding_size=67, max_sequence_length=64, rope=True, rope_theta=500000.0,
    rms_norm_eps=1e-5, weight_tying=False, include_bias=False, include_qkv_bias=False, block_type="llama",
    layer_norm_type="rms", activation_type="silu", alibi=False, mask_token_id=66, eos_token_id=2)
DREAM_CONFIG = dict(
    architectures=["DreamModel"], model_type="Dream", hidden_size=24, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, intermediate_size=40, vocab_size=67, max_position_embeddings=64, rope_theta=1000000.0,
    rope_scaling=None, rms_norm_eps=1e-6, tie_word_embeddings=False, hidden_act="silu", use_sliding_window=False,
    mask_token_id=66, bos_token_id=1, eos_token_id=2)


def record_diffusion(name, names, config, kv_heads, theta, eps, bias, seed, learned=0):
    torch.manual_seed(seed)
    dim, ffn, size = 24, 40, 6
    shapes = {names["embedding"]: (67, dim), names["head"]: (67, dim), names["final_norm"]: (dim,)}
    if learned:
        shapes[names["positions"]] = (learned, dim)
    for i in range(2):
        for part, shape in dict(attention_norm=(dim,), mlp_norm=(dim,), query=(dim, dim), key=(kv_heads * size, dim),
                                value=(kv_heads * size, dim), output=(dim, dim), gate=(ffn, dim), up=(ffn, dim),
                                down=(dim, ffn)).items():
            shapes[names["layer"].format(i) + names[part] + ".weight"] = shape
            if bias and part in ("query", "key", "value"):
                shapes[names["layer"].format(i) + names[part] + ".bias"] = shape[:1]
    w = {k: torch.zeros(s, requires_grad=True) for k, s in shapes.items()}
    randomise(w.items())
    folder = OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_file({k: v.detach().bfloat16().contiguous() for k, v in w.items()}, folder / "model.safetensors",
              metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    ids = torch.randint(0, 67, (23,))
    golden = golden_of(list(w.values()), diffusion_logits(w, names, 4, kv_heads, theta, eps), ids,
                       [w[k] for k in (names["embedding"], names["positions"]) if k in w])
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    print(name, {k: v for k, v in golden.items() if not isinstance(v, list)})


for index, (name, make) in enumerate(MODELS.items()):
    record(name, make, seed=index + 1)
record_diffusion("llada", LLADA, LLADA_CONFIG, 4, 500000.0, 1e-5, False, seed=101)
record_diffusion("dream", DREAM, DREAM_CONFIG, 2, 1000000.0, 1e-6, True, seed=102)
record_diffusion("llada_learned", LLADA, dict(LLADA_CONFIG, rope=False), 4, 500000.0, 1e-5, False, seed=103, learned=64)
