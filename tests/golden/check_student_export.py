"""Opens students that alambic wrote with Python's transformers and compares their logits.

    build/oracles-torch/bin/python tests/golden/check_student_export.py build/release/src/alambic/models/models_test
Needs the PyPI packages torch and transformers. Ends with status 1 if a logit differs by more than 1e-4.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from oracle import need

need("torch", "transformers", by="make oracles-torch")
import torch  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

count, worst = 0, 0.0
with tempfile.TemporaryDirectory() as directory:
    subprocess.run([sys.argv[1], "--gtest_filter=StudentExport.*:*IsWrittenForTransformersToCheck*"], check=True, stdout=subprocess.DEVNULL,
                   env=os.environ | {"ALAMBIC_EXPORT_DIR": directory})
    for folder in sorted(pathlib.Path(directory).iterdir()):
        count += 1
        record = json.loads((folder / "logits.json").read_text())
        model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
        assert not report["missing_keys"] and not report["unexpected_keys"], report
        with torch.no_grad():
            logits = model(torch.tensor([record["tokens"]])).logits[0]
        difference = (logits.flatten() - torch.tensor(record["logits"])).abs().max().item()
        print(f"{folder.name}: {type(model).__name__}, largest difference {difference:.2e}")
        worst = max(worst, difference)
print(f"{count} models, largest difference {worst:.2e}")
sys.exit(count == 0 or worst > 1e-4)
