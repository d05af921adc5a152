"""Opens adapters that alambic wrote with Python's peft and compares logits, beside the base and merged.

Run: ALAMBIC_EXPORT_DIR=/tmp/adapters build/release/src/alambic/models/models_test --gtest_filter='AdapterExport.*'
     python3 tests/golden/check_peft_export.py /tmp/adapters
Needs the PyPI packages torch, transformers and peft. Ends with status 1 if a logit differs by more than 1e-4.
"""

import json
import pathlib
import sys

import torch
from peft import AutoPeftModelForCausalLM

worst = 0.0
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    record = json.loads((folder / "logits.json").read_text())
    want = torch.tensor(record["logits"])
    model = AutoPeftModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    differences = []
    with torch.no_grad():
        for opened in (model, model.merge_and_unload()):
            logits = opened(torch.tensor([record["tokens"]])).logits[0].flatten()
            differences.append((logits - want).abs().max().item())
    print(f"{folder.name}: largest difference {differences[0]:.2e}, merged {differences[1]:.2e}")
    worst = max(worst, *differences)
sys.exit(0 if worst <= 1e-4 else 1)
