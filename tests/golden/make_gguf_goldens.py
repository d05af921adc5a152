"""Records tests/golden/gguf/: blocks of every type, and small models in GGUF files made by llama.cpp's own converter.

Run: python3 tests/golden/make_gguf_goldens.py [LLAMA_CPP]
Needs the PyPI packages numpy and gguf for the blocks; torch and transformers for mixed.gguf, which is left alone without them
(recorded with numpy 2.4, torch 2.15, transformers 5.23); and for the models a source tree of llama.cpp, for its converter and its
own package gguf (recorded with the one inside the source package of llama-cpp-python 0.3.36).

blocks.bin: for each type of TYPES, 256 numbers as they lie in a file, then as floats; random bits in all places but
the scales, which are random halves of ordinary size. rounded.bin: 512 floats, then those in Q8_0, Q4_0, F16 and BF16 as the
package gguf rounds them. NAME.gguf: the checkpoint tests/golden/families/NAME, whose golden.json has the logits. mixed.gguf: a
LLaMA with a type of its own in every place, made tensor by tensor; mixed.json: transformers' logits with its dequantised weights.
"""

import importlib.util
import json
import pathlib
import sys

from oracle import HERE, need

LLAMA_CPP = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
if LLAMA_CPP:
    sys.path[:0] = [str(LLAMA_CPP), str(LLAMA_CPP / "gguf-py")]
need("numpy", "gguf")
import gguf  # noqa: E402: the one of that tree, if there is one
import numpy as np  # noqa: E402

OUT = HERE / "gguf"
Type = gguf.GGMLQuantizationType
TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
# Where halves lie in a block.
SCALES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
CONVERTED = {"llama_biases_llama3_rope": "f16", "qwen2_yarn_rope": "bf16", "qwen3": "f16",
             "gpt2": "f16", "gpt_neox_parallel": "bf16", "bloom": "f16"}


def random_blocks(rng, kind, numbers, scale):
    block, size = gguf.GGML_QUANT_SIZES[Type[kind]]
    count = numbers // block
    if kind in ("F32", "F16", "BF16"):
        return gguf.quantize((scale * rng.standard_normal(numbers)).astype(np.float32), Type[kind]).view(np.uint8).reshape(-1)
    raw = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in SCALES[kind]:
        halves = (scale * rng.standard_normal(count)).astype(np.float16)
        raw[:, at:at + 2] = halves.view(np.uint8).reshape(count, 2)
    return raw.reshape(-1)


def floats(raw, kind):
    return gguf.dequantize(raw, Type[kind]).astype(np.float32).reshape(-1)


def record_blocks(rng):
    with open(OUT / "blocks.bin", "wb") as out:
        for kind in TYPES:
            raw = random_blocks(rng, kind, 256, 0.03)
            out.write(raw.tobytes() + floats(raw, kind).tobytes())
    values = rng.standard_normal(512).astype(np.float32)
    values[:32] = 0  # no scale at all
    values[32:64] *= 1e-8  # scales below the halves
    values[64:96] = values[64]  # all at the end of the range
    values[96:128] = np.arange(32) - 15.5  # ties
    with open(OUT / "rounded.bin", "wb") as out:
        out.write(values.tobytes())
        for kind in ("Q8_0", "Q4_0", "F16", "BF16"):
            out.write(gguf.quantize(values, Type[kind]).tobytes())


def convert(name, kind):
    from conversion import get_model_class
    from conversion.base import ModelBase
    folder = HERE / "families" / name
    hparams = ModelBase.load_hparams(folder, False)
    # What the converter expects of older files.
    hparams.setdefault("n_ctx", hparams.get("n_positions"))
    hparams.setdefault("rotary_pct", hparams.get("rope_parameters", {}).get("partial_rotary_factor", 1.0))
    base = get_model_class(hparams["architectures"][0])

    class WithoutVocabulary(base):
        model_arch = base.model_arch

        def set_vocab(self):
            self.gguf_writer.add_bos_token_id(1)
            self.gguf_writer.add_eos_token_id(2)

    types = {"f32": gguf.LlamaFileType.ALL_F32, "f16": gguf.LlamaFileType.MOSTLY_F16, "bf16": gguf.LlamaFileType.MOSTLY_BF16}
    WithoutVocabulary(folder, types[kind], OUT / f"{name}.gguf", eager=True, hparams=hparams, model_name=name).write()


PLACES = {"attn_q": "Q8_0", "attn_k": "Q4_1", "attn_v": "BF16", "attn_output": "Q5_1", "ffn_gate": "Q4_0", "ffn_up": "Q5_0"}
DOWN = ["Q4_K", "Q5_K", "Q6_K"]
NAMES = {"attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj",
         "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}


def record_mixed(rng):
    import torch
    import transformers as hf
    dim, ffn, heads, vocabulary = 32, 256, 4, 67
    config = hf.LlamaConfig(vocab_size=vocabulary, hidden_size=dim, intermediate_size=ffn, num_hidden_layers=3,
                            num_attention_heads=heads, num_key_value_heads=heads, max_position_embeddings=64,
                            rms_norm_eps=1e-5, tie_word_embeddings=False)
    model = hf.LlamaForCausalLM(config).float().eval()
    model.set_attn_implementation("eager")
    weights = model.state_dict()
    writer = gguf.GGUFWriter(OUT / "mixed.gguf", "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(dim)
    writer.add_block_count(3)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_layer_norm_rms_eps(1e-5)

    def add(name, target, kind, rows, cols, scale):
        raw = random_blocks(rng, kind, rows * cols, scale)
        values = torch.from_numpy(floats(raw, kind).reshape(rows, cols))
        if name.endswith(("attn_q.weight", "attn_k.weight")):  # from pairs of neighbours to halves
            values = values.reshape(heads, dim // heads // 2, 2, cols).swapaxes(1, 2).reshape(rows, cols)
        weights[target] = values
        block, size = gguf.GGML_QUANT_SIZES[Type[kind]]
        if kind in ("F16", "F32"):
            writer.add_tensor(name, raw.view(np.float16 if kind == "F16" else np.float32).reshape(rows, cols))
        else:
            writer.add_tensor(name, raw.reshape(rows, cols // block * size), raw_dtype=Type[kind])

    def add_norm(name, target):
        values = (1 + 0.1 * rng.standard_normal(dim)).astype(np.float32)
        weights[target] = torch.from_numpy(values)
        writer.add_tensor(name, values)

    scales = {"Q4_0": 0.04, "Q4_1": 0.03, "Q5_0": 0.02, "Q5_1": 0.02, "Q8_0": 0.003, "BF16": 0.2, "F16": 0.5, "Q4_K": 0.0003,
              "Q5_K": 0.00015, "Q6_K": 0.0001}
    add("token_embd.weight", "model.embed_tokens.weight", "F16", vocabulary, dim, scales["F16"])
    for layer in range(3):
        shapes = {"ffn_gate": (ffn, dim), "ffn_up": (ffn, dim), "ffn_down": (dim, ffn)}
        add_norm(f"blk.{layer}.attn_norm.weight", f"model.layers.{layer}.input_layernorm.weight")
        add_norm(f"blk.{layer}.ffn_norm.weight", f"model.layers.{layer}.post_attention_layernorm.weight")
        for name, kind in {**PLACES, "ffn_down": DOWN[layer]}.items():
            add(f"blk.{layer}.{name}.weight", f"model.layers.{layer}.{NAMES[name]}.weight", kind,
                *shapes.get(name, (dim, dim)), scales[kind])
    add_norm("output_norm.weight", "model.norm.weight")
    add("output.weight", "lm_head.weight", "Q8_0", vocabulary, dim, scales["Q8_0"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model.load_state_dict(weights)
    ids = torch.from_numpy(rng.integers(0, vocabulary, 12))
    with torch.no_grad():
        logits = model(ids[None]).logits[0]
    print("mixed: logits from", logits.min().item(), "to", logits.max().item())
    (OUT / "mixed.json").write_text(json.dumps(
        {"tokens": ids.tolist(), "logits": [float(f"{x:.7g}") for x in logits.double().flatten().tolist()]}) + "\n")


OUT.mkdir(exist_ok=True)
draws = np.random.default_rng(4)
record_blocks(draws)
if importlib.util.find_spec("transformers"):
    record_mixed(draws)
if LLAMA_CPP:
    for model_name, file_type in CONVERTED.items():
        convert(model_name, file_type)
