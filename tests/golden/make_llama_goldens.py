"""Records tests/golden/llama/: tiny random LLaMA checkpoints, and what Python's transformers computes with them.

Run: python3 tests/golden/make_llama_goldens.py [DIRECTORY OF weights_tinystories656K]
Needs the PyPI packages torch and transformers (recorded with torch 2.15, transformers 5.23). Every number is computed in
float32 on the stored weights. The optional directory is a published model that is not kept here; only its logits are.
"""

import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

OUT = pathlib.Path(__file__).parent / "llama"
BASE = dict(
    attention_bias=False, mlp_bias=False, hidden_act="silu", max_position_embeddings=64, use_cache=False,
    bos_token_id=1, eos_token_id=2,
)
MODELS = {
    # grouped queries, untied head, an odd vocabulary
    "gqa_untied_f32": (
        dict(vocab_size=67, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             head_dim=6, intermediate_size=40, tie_word_embeddings=False, rms_norm_eps=1e-5, rope_theta=10000.0),
        torch.float32),
    # a tied head, heads wider than dim / heads, one key head, another rope base
    "wide_heads_tied_f16": (
        dict(vocab_size=129, hidden_size=24, num_hidden_layers=3, num_attention_heads=3, num_key_value_heads=1,
             head_dim=16, intermediate_size=33, tie_word_embeddings=True, rms_norm_eps=1e-6, rope_theta=500000.0),
        torch.float16),
    # as many key heads as heads, stored in bf16
    "mha_untied_bf16": (
        dict(vocab_size=101, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
             head_dim=16, intermediate_size=64, tie_word_embeddings=False, rms_norm_eps=1e-5, rope_theta=10000.0),
        torch.bfloat16),
}
ADAMW = dict(lr=1e-2, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)


def config_of(sizes):
    # written by hand so that the file has the keys that published checkpoints have, and nothing that moves by version
    theta = sizes["rope_theta"]
    config = LlamaConfig(**{**BASE, **sizes})
    config.rope_parameters = {"rope_type": "default", "rope_theta": theta}
    return config


def floats(t):
    return [float(f"{x:.9g}") for x in t.detach().double().flatten().tolist()]


def loss_of(model, ids):
    """Mean next-token cross-entropy of one document, labels shifted by hand."""
    logits = model(ids[None]).logits[0]
    return torch.nn.functional.cross_entropy(logits[:-1], ids[1:])


def record(name, sizes, dtype, seed):
    torch.manual_seed(seed)
    model = LlamaForCausalLM(config_of(sizes))
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.copy_(1 + 0.1 * torch.randn_like(p) if p.ndim == 1 else torch.randn_like(p) / p.shape[-1] ** 0.5)
            p.copy_(p.to(dtype).float())
    folder = OUT / name
    folder.mkdir(parents=True, exist_ok=True)
    state = {k: v.to(dtype).contiguous() for k, v in model.state_dict().items()}
    if sizes["tie_word_embeddings"]:
        state.pop("lm_head.weight", None)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    stored = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **BASE, **sizes,
              "torch_dtype": str(dtype).removeprefix("torch.")}
    (folder / "config.json").write_text(json.dumps(stored, indent=1, sort_keys=True) + "\n")

    ids = torch.randint(0, sizes["vocab_size"], (19,))
    golden = {"tokens": ids.tolist(), "logits": floats(model(ids[None]).logits)}
    optimizer = torch.optim.AdamW(
        [{"params": [p for p in model.parameters() if p.ndim == 2 and p is not model.model.embed_tokens.weight]},
         {"params": [p for p in model.parameters() if p.ndim == 1 or p is model.model.embed_tokens.weight],
          "weight_decay": 0.0}], **ADAMW)
    loss = loss_of(model, ids)
    loss.backward()
    golden["loss"] = loss.item()
    golden["gradient_norm"] = torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item()
    optimizer.step()
    golden["loss_after_step"] = loss_of(model, ids).item()
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    print(name, {k: v for k, v in golden.items() if not isinstance(v, list)})


def record_stories(directory):
    model = LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32)
    from transformers import PreTrainedTokenizerFast
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(pathlib.Path(directory) / "tokenizer.json"))
    cases = []
    for text in ("Once upon a time", "The little dog wanted to", "Lily and Tom went to the park. They saw a big"):
        ids = [1] + tokenizer.encode(text, add_special_tokens=False)
        with torch.no_grad():
            prompt = torch.tensor(ids)
            logits = model(prompt[None]).logits[0]
            for _ in range(40):
                ids.append(model(torch.tensor(ids)[None]).logits[0, -1].argmax().item())
        cases.append({"prompt": prompt.tolist(), "last_logits": floats(logits[-1]), "first_logits": floats(logits[0]),
                      "greedy": ids[len(prompt):]})
        print(tokenizer.decode(ids))
    (OUT / "tinystories656K.json").write_text(json.dumps(cases) + "\n")


for index, (name, (sizes, dtype)) in enumerate(MODELS.items()):
    record(name, sizes, dtype, seed=index + 1)
if len(sys.argv) > 1:
    record_stories(sys.argv[1])
