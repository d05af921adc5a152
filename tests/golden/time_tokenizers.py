"""Encoding speed of Python's `tokenizers` on the text of bench/text_bench.cc, one thread, processor time.

Run from the repository root, beside `build/release/bench/text_bench`, with `tokenizers` installed:
    python3 tests/golden/time_tokenizers.py ../shared/data
"""

import json
import os
import pathlib
import sys
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer, decoders, models, pre_tokenizers  # noqa: E402  (after the variable it reads)


def main():
    data = pathlib.Path(sys.argv[1])
    vectors = data / "tokenizer_vectors"
    merges = [tuple(line.split(" ")) for line in (vectors / "gpt2_vocab.bpe").read_text().split("\n")[1:] if line]
    tokenizer = Tokenizer(models.BPE(json.loads((vectors / "gpt2_encoder.json").read_text()), merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    parts = [data / "wikitext2" / "valid.txt", data / "gutenberg" / "1342-0.txt", data / "gutenberg" / "135-0.txt"]
    text = "".join(part.read_bytes().decode("utf-8", "replace") for part in parts)
    size = len(text.encode())
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    for name, pieces in (("whole", [text]), ("lines", lines)):
        best = 0
        for _ in range(3):
            start = time.process_time()
            count = sum(len(encoding.ids) for encoding in tokenizer.encode_batch_fast(pieces))
            best = max(best, size / (time.process_time() - start))
        print(f"gpt-2 {name}: {best / 2**20:.2f} MiB/s, {count} ids")


main()
