"""Opens adapters that alambic wrote with Python's peft and compares logits, beside the base and merged.

    build/oracles-torch/bin/python tests/golden/check_peft_export.py build/release/src/alambic/models/models_test
Needs the PyPI packages torch, transformers and peft. Ends with status 1 if a logit differs by more than 1e-4.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from oracle import need

need("torch", "transformers", "peft", by="make oracles-torch")
import torch  # noqa: E402
from peft import AutoPeftModelForCausalLM  # noqa: E402

count, worst = 0, 0.0
with tempfile.TemporaryDirectory() as directory:
    subprocess.run([sys.argv[1], "--gtest_filter=AdapterExport.*"], check=True, stdout=subprocess.DEVNULL,
                   env=os.environ | {"ALAMBIC_EXPORT_DIR": directory})
    for folder in sorted(pathlib.Path(directory).iterdir()):
        count += 1
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
print(f"{count} models, largest difference {worst:.2e}")
sys.exit(count == 0 or worst > 1e-4)
