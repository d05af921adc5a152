"""Checks that Python's `tokenizers` opens what alambic trains and saves, and gives the same ids and texts.

Run from the repository root with `tokenizers` installed:
    build/oracles/bin/python tests/golden/check_tokenizer_export.py build/release/src/alambic/text/text_test
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from oracle import HERE, need

need("tokenizers")
from tokenizers import Tokenizer  # noqa: E402


def main():
    texts = json.loads((HERE / "tokenizer_texts.json").read_text())
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run([sys.argv[1], "--gtest_filter=TrainBpe.ExportsForThePythonCheck"], check=True,
                       stdout=subprocess.DEVNULL, env=os.environ | {"ALAMBIC_EXPORT_DIR": directory})
        files = sorted(path for path in pathlib.Path(directory).glob("*.json") if ".ids." not in path.name)
        assert files, "the test exported nothing"
        wrong = 0
        for path in files:
            tokenizer = Tokenizer.from_file(str(path))
            recorded = json.loads(path.with_suffix(".ids.json").read_text())
            for text, ids in zip(texts, recorded, strict=True):
                # The mark for a space and special tokens are not text.
                plain = "▁" in text or "<|" in text or tokenizer.decode(ids) == text
                if tokenizer.encode(text).ids != ids or not plain:
                    wrong += 1
                    print(f"{path.name}: {text[:60]!r}: {ids[:20]} is {tokenizer.encode(text).ids[:20]} there")
            print(f"{path.name}: {tokenizer.get_vocab_size()} tokens, {len(texts)} texts")
    sys.exit(wrong > 0)


main()
