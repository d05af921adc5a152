"""Opens the model directories that alambic writes with the reference reader of safetensors: every weight comes back as it was.

    build/oracles/bin/python tests/golden/check_model_export.py build/release/src/alambic/models/models_test
The checkpoints of every family that transformers wrote (tests/golden/families, tests/golden/llama) are read and saved in 32
bits; what is a number of the checkpoint must be the same number under the same name. Wants `safetensors` and `numpy`.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from oracle import HERE, need

need("numpy", "safetensors")
import numpy as np  # noqa: E402
import safetensors  # noqa: E402

from weights import read_weights  # noqa: E402


def differences(kept, written, tied):
    for name in sorted(written.keys() | kept.keys()):
        if name not in written:
            if not (tied and name in ("lm_head.weight", "embed_out.weight")):
                yield f"{name} is not written"
        elif name not in kept:
            yield f"{name} is not in the checkpoint"
        elif written[name].shape != kept[name].shape or not np.array_equal(written[name], kept[name]):
            yield f"{name} holds other numbers"


def main():
    wrong = 0
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.argv[1], "--gtest_filter=*IsWrittenForTransformersToCheck*:StudentExport.*"], check=True,
                       stdout=subprocess.DEVNULL, env=os.environ | {"ALAMBIC_EXPORT_DIR": directory})
        folders = sorted(pathlib.Path(directory).iterdir())
        assert len(folders) > 10, "the test wrote too little"
        for folder in folders:
            weights = read_weights(folder)
            config = json.loads((folder / "config.json").read_text())
            with safetensors.safe_open(folder / "model.safetensors", "numpy") as opened:
                found = [] if (opened.metadata() or {}).get("format") == "pt" else ["metadata lack format = pt"]
            source = HERE / folder.name.replace("_", "/", 1)  # llama_NAME, families_NAME
            if source.exists():
                found += differences(read_weights(source), weights, config.get("tie_word_embeddings"))
            print(f"{folder.name}: {len(weights)} tensors, {len(found)} wrong")
            for line in found[:5]:
                print(f"  {line}")
            wrong += len(found)
    sys.exit(wrong > 0)


main()
