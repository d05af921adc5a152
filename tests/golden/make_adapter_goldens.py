"""Records tests/golden/adapters/: LoRA adapters that Python's peft wrote for the checkpoints of families/, and the logits.

Run: python3 tests/golden/make_adapter_goldens.py
Needs the PyPI packages torch, transformers and peft (recorded with torch 2.15, transformers 5.23, peft 0.21).
"""

import json
import pathlib
import shutil

import torch
import transformers
from peft import LoraConfig, get_peft_model

HERE = pathlib.Path(__file__).parent
CASES = {
    # plain matrices; one part with a rank and a scale of its own
    "llama_linear_rope": dict(target_modules=["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"], r=4, lora_alpha=6,
                              rank_pattern={"self_attn.o_proj": 2}, alpha_pattern={"self_attn.o_proj": 5}),
    # queries, keys and values fused, one after another, in transposed matrices; root scaling
    "gpt2": dict(target_modules=["c_attn", "mlp.c_proj"], r=3, lora_alpha=4, fan_in_fan_out=True, use_rslora=True),
    # fused head by head
    "gpt_neox_parallel": dict(target_modules=["query_key_value", "dense_4h_to_h"], r=3, lora_alpha=9),
}

for index, (name, settings) in enumerate(CASES.items()):
    torch.manual_seed(index)
    base = transformers.AutoModelForCausalLM.from_pretrained(HERE / "families" / name, dtype=torch.float32)
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
    with torch.no_grad():
        for key, p in model.named_parameters():
            if "lora_" in key:
                p.copy_((torch.randn_like(p) / p.shape[-1] ** 0.5).bfloat16().float())
    folder = HERE / "adapters" / name
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = f"families/{name}"
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
    ids = torch.randint(0, 67, (17,))
    with torch.no_grad():
        logits = model(ids[None]).logits[0]
    golden = {"tokens": ids.tolist(), "logits": [float(f"{x:.9g}") for x in logits.double().flatten().tolist()]}
    (folder / "golden.json").write_text(json.dumps(golden) + "\n")
    print(name, sorted(p.name for p in folder.iterdir()))
