"""Model directories that a dialogue makes itself: random weights, bytes as tokens."""

import json
import random
import struct

BYTES = 256
END = "<|end|>"
VOCABULARY = BYTES + 1


def byte_alphabet():
    """GPT-2's characters for bytes, by byte."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in kept else chr(next(others)) for b in range(BYTES)]


def tokenizer():
    level = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": True,
        "use_regex": True,
    }
    end = {
        "id": BYTES,
        "content": END,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [end],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE",
            "vocab": {c: i for i, c in enumerate(byte_alphabet())},
            "merges": [],
        },
    }


def config(**settings):
    base = {
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "vocab_size": VOCABULARY,
        "hidden_size": 8,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 8,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "eos_token_id": BYTES,
    }
    return base | settings


def floats(seed, *shape):
    draws, count = random.Random(seed), 1
    for size in shape:
        count *= size
    return list(shape), struct.pack(f"<{count}f", *(draws.gauss(0, 0.5) for _ in range(count)))


def weights(settings, head=True):
    """{name: (shape, bytes)} of a LLaMA."""
    d, f, rows = settings["hidden_size"], settings["intermediate_size"], settings["vocab_size"]
    tensors = {
        "model.embed_tokens.weight": floats("table", rows, d),
        "model.norm.weight": floats("norm", d),
    }
    for i in range(settings["num_hidden_layers"]):
        layer = f"model.layers.{i}."
        for part in ("q", "k", "v", "o"):
            tensors[f"{layer}self_attn.{part}_proj.weight"] = floats(layer + part, d, d)
        for part, shape in (("gate", (f, d)), ("up", (f, d)), ("down", (d, f))):
            tensors[f"{layer}mlp.{part}_proj.weight"] = floats(layer + part, *shape)
        for part in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{layer}{part}.weight"] = floats(layer + part, d)
    if head:
        tensors["lm_head.weight"] = floats("head", rows, d)
    return tensors


def write_safetensors(path, tensors):
    header, at = {}, 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(
        struct.pack("<Q", len(text)) + text + b"".join(data for _, data in tensors.values())
    )


def read_header(path):
    data = path.read_bytes()
    return json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])


def write_settings(directory, settings):
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(settings))
    (directory / "tokenizer.json").write_text(json.dumps(tokenizer()))


def write_model(directory, tensors=None, **settings):
    settings = config(**settings)
    write_settings(directory, settings)
    write_safetensors(
        directory / "model.safetensors", weights(settings) if tensors is None else tensors
    )
    return directory


def write_shards(directory, **settings):
    settings = config(**settings)
    write_settings(directory, settings)
    tensors = list(weights(settings).items())
    places = {}
    for i, part in enumerate((tensors[::2], tensors[1::2]), 1):
        name = f"model-{i:05}-of-00002.safetensors"
        write_safetensors(directory / name, dict(part))
        places |= {tensor: name for tensor, _ in part}
    (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return directory


def write_adapters(directory, base):
    """PEFT's files, and no tokenizer: that of the base is meant."""
    directory.mkdir(parents=True)
    settings = json.loads((base / "config.json").read_text())
    d, name = (
        settings["hidden_size"],
        "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight",
    )
    write_safetensors(
        directory / "adapter_model.safetensors",
        {name.format("A"): floats("a", 2, d), name.format("B"): floats("b", d, 2)},
    )
    (directory / "adapter_config.json").write_text(
        json.dumps(
            {
                "peft_type": "LORA",
                "task_type": "CAUSAL_LM",
                "base_model_name_or_path": str(base),
                "r": 2,
                "lora_alpha": 4,
                "bias": "none",
                "target_modules": ["q_proj"],
            }
        )
    )
    return directory
