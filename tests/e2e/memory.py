"""alambic inspect predicts what a run then takes: within a tenth, for a model of 15 million random weights."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import math
import os
import pathlib
import struct
import tempfile

from program import Dialogue

DIM, LAYERS, HEADS, FFN, VOCABULARY = 288, 6, 6, 768, 32000


def write_model(path):
    """Weights in bf16 whose magnitudes are near 2^-8, so that nothing overflows."""
    shapes = {"model.embed_tokens.weight": [VOCABULARY, DIM], "model.norm.weight": [DIM]}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        shapes[prefix + "input_layernorm.weight"] = shapes[prefix + "post_attention_layernorm.weight"] = [DIM]
        for name in "qkvo":
            shapes[f"{prefix}self_attn.{name}_proj.weight"] = [DIM, DIM]
        for name, shape in (("gate", [FFN, DIM]), ("up", [FFN, DIM]), ("down", [DIM, FFN])):
            shapes[f"{prefix}mlp.{name}_proj.weight"] = shape
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    block = bytearray(os.urandom(1 << 20))
    block[1::2] = bytes(0x3B | byte & 0x80 for byte in block[1::2])  # sign and exponent
    with open(path / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for first in range(0, end, len(block)):
            file.write(block[:end - first])
    (path / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": DIM, "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS, "num_key_value_heads": HEADS, "intermediate_size": FFN, "vocab_size": VOCABULARY,
        "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "tie_word_embeddings": True,
        "hidden_act": "silu", "torch_dtype": "bfloat16"}), encoding="utf-8")


class Memory(Dialogue):
    def test_a_run_takes_what_was_predicted(self):
        if program.sanitised():
            self.skipTest("a sanitised program takes more")
        with tempfile.TemporaryDirectory() as folder:
            write_model(pathlib.Path(folder))
            for part, prompt, generated in (("prompt", 512, 1), ("generate", 16, 128)):
                needs = self.json_of("inspect", folder, "--json", "--prompt-tokens", prompt, "--max-tokens", generated)["needs"]
                for dtype in ("bf16", "fp32"):
                    run = self.json_of("bench", folder, "--quick", "--json", "--only", part, "--dtype", dtype)["results"][0]
                    ratio = needs["decode"][dtype]["total_bytes"] / run["peak_rss_bytes"]
                    self.assertTrue(0.9 < ratio < 1.1, f"{part} {dtype}: {ratio}")


if __name__ == "__main__":
    program.main()
