"""Reads the GGUF files that `alambic export` writes with llama.cpp's own package `gguf`: settings, tokens, and every weight.

    build/oracles/bin/python tests/golden/check_gguf_export.py build/release/alambic [MODEL]
MODEL is a LLaMA in a Hugging Face directory, weights_tinystories656K of the shared data unless told. Each type's weights must
be, byte for byte, what the package makes of the directory's. Wants `gguf`, `numpy`, `safetensors` and `tokenizers`.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from oracle import DATA, need, need_data

need("gguf", "numpy", "safetensors", "tokenizers")
import gguf  # noqa: E402
import numpy as np  # noqa: E402
from tokenizers import Tokenizer  # noqa: E402

from weights import read_weights  # noqa: E402

PARTS = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
         "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
         "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
wrong = 0


def check(right, what):
    global wrong
    if not right:
        wrong += 1
        print(f"  {what}")


def name_there(name):
    """model.layers.0.self_attn.q_proj.weight for blk.0.attn_q.weight."""
    parts = name.removesuffix(".weight").split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{PARTS[parts[2]]}.weight"
    return WHOLE[parts[0]] + ".weight"


def neighbours(values, heads):
    """Rows of a head as GGUF has them for LLaMA: what turns together stands side by side."""
    rows, cols = values.shape
    return values.reshape(heads, 2, rows // heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


def check_settings(reader, config):
    def field(name):
        return reader.get_field(name).contents()

    heads = config["num_attention_heads"]
    want = {"context_length": config["max_position_embeddings"], "embedding_length": config["hidden_size"],
            "block_count": config["num_hidden_layers"], "feed_forward_length": config["intermediate_size"],
            "attention.head_count": heads, "attention.head_count_kv": config.get("num_key_value_heads", heads),
            "vocab_size": config["vocab_size"],
            "rope.dimension_count": config.get("head_dim") or config["hidden_size"] // heads}
    check(field("general.architecture") == "llama", "architecture")
    for name, value in want.items():
        check(field("llama." + name) == value, f"{name} is {field('llama.' + name)}, want {value}")
    for name, value in {"attention.layer_norm_rms_epsilon": config["rms_norm_eps"],
                        "rope.freq_base": config.get("rope_theta", 10000.0)}.items():
        check(np.float32(field("llama." + name)) == np.float32(value), f"{name} is {field('llama.' + name)}, want {value}")


def check_tokens(reader, directory):
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    tokens = reader.get_field("tokenizer.ggml.tokens").contents()
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    want = [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
    # A special token's mark for a space is no part of its name.
    want = [token.removeprefix("▁") if i in special else token for i, token in enumerate(want)]
    check(tokens == want, "the tokens differ")
    kinds = reader.get_field("tokenizer.ggml.token_type").contents()
    control = {i for i, kind in enumerate(kinds) if kind in (gguf.TokenType.CONTROL, gguf.TokenType.UNKNOWN)}
    check(special <= control, f"special tokens {sorted(special - control)} are ordinary ones there")


def check_weights(reader, weights, config):
    tied = config.get("tie_word_embeddings", False)
    if tied:  # a directory has the table under either name
        weights.setdefault("model.embed_tokens.weight", weights.get("lm_head.weight"))
    seen = {"lm_head.weight"} if tied else set()
    for tensor in reader.tensors:
        name = name_there(tensor.name)
        seen.add(name)
        values = weights[name]
        if tensor.name.endswith("attn_q.weight"):
            values = neighbours(values, config["num_attention_heads"])
        if tensor.name.endswith("attn_k.weight"):
            values = neighbours(values, config.get("num_key_value_heads", config["num_attention_heads"]))
        want = np.ascontiguousarray(gguf.quantize(values, tensor.tensor_type)).view(np.uint8).reshape(-1)
        got = np.ascontiguousarray(tensor.data).view(np.uint8).reshape(-1)
        check(want.shape == got.shape and (want == got).all(), f"{tensor.name} holds other numbers")
    missing = set(weights) - seen
    check(not missing, f"{sorted(missing)} are not in the file")


def main():
    program = sys.argv[1]
    if len(sys.argv) < 3:
        need_data("weights_tinystories656K")
    directory = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else DATA / "weights_tinystories656K"
    config = json.loads((directory / "config.json").read_text())
    weights = read_weights(directory)
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("f32", "f16", "bf16", "q8_0", "q4_0"):
            path = pathlib.Path(folder) / f"{kind}.gguf"
            subprocess.run([program, "export", directory, "--to", "gguf", "--type", kind, path], check=True,
                           stdout=subprocess.DEVNULL)
            before, reader = wrong, gguf.GGUFReader(path)
            check_settings(reader, config)
            check_tokens(reader, directory)
            check_weights(reader, weights, config)
            print(f"{kind}: {len(reader.tensors)} tensors, {len(reader.fields)} fields, {wrong - before} wrong")
    sys.exit(wrong > 0)


main()
