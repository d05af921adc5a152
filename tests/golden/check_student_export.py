"""Opens students that alambic wrote with Python's transformers and compares their logits.

Run: ALAMBIC_EXPORT_DIR=/tmp/export build/release/src/alambic/models/models_test --gtest_filter='StudentExport.*'
     python3 tests/golden/check_student_export.py /tmp/export
Needs the PyPI packages torch and transformers. Ends with status 1 if a logit differs by more than 1e-4.
"""

import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM

worst = 0.0
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    record = json.loads((folder / "logits.json").read_text())
    model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"], report
    with torch.no_grad():
        logits = model(torch.tensor([record["tokens"]])).logits[0]
    difference = (logits.flatten() - torch.tensor(record["logits"])).abs().max().item()
    print(f"{folder.name}: {type(model).__name__}, largest difference {difference:.2e}")
    worst = max(worst, difference)
sys.exit(0 if worst <= 1e-4 else 1)
