"""Records what `sentencepiece` makes of user-defined pieces, for tokenizer_test.cc.

Run from the repository root with `sentencepiece` installed (recorded with 0.2.3):
    python3 tests/golden/make_user_defined_goldens.py

Writes beside itself, for four ways of making a model from the sentences below:
    tokenizer_user_NAME.model      the model
    tokenizer_user_NAME.ids.json   rows of "text", "ids", and mostly "decoded"
"""

import json
import pathlib
import random
import tempfile

from oracle import HERE, need

need("sentencepiece")
import sentencepiece  # noqa: E402

# Runs of spaces, overlapping words, and what the character map would change.
PIECES = ["▁▁", "▁▁▁▁", "<code>", "</code>", "ab", "abc", "A1", "\ufb01", "\t", "▁the▁cat", "é"]
KINDS = {
    "bpe_prefix": dict(
        model_type="bpe",
        vocab_size=330,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
    ),
    "bpe_mapped": dict(
        model_type="bpe",
        vocab_size=90,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        character_coverage=0.99,
    ),
    "unigram_prefix": dict(model_type="unigram", vocab_size=90),
    "unigram_plain": dict(
        model_type="unigram",
        vocab_size=350,
        byte_fallback=True,
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
    ),
}
WORDS = (
    "the cat sat on a mat and the dog saw a cab at the back of the lab while abel ate a fig".split()
)


def sentences(rng, count):
    return [" ".join(rng.choice(WORDS) for _ in range(rng.randrange(3, 12))) for _ in range(count)]


def texts(rng):
    parts = [
        *WORDS,
        " ",
        "  ",
        "   ",
        "    ",
        "     ",
        "<code>",
        "</code>",
        "ab",
        "abc",
        "abab",
        "A1",
        "A",
        "1",
        "fi",
        "\ufb01",
        "\t",
        "\n",
        "é",
        "e\u0301",
        "▁",
        "▁▁",
        " the cat",
        "<co",
        "Q",
        "中",
    ]
    fixed = [
        "",
        " ",
        "  ",
        "a  b",
        "a<code>b",
        "<code>b",
        "<code> b",
        " <code>",
        "  <code>  ",
        "a    b     c",
        "abcabab",
        "xabcx",
        "A1 a1 A 1",
        "\ufb01 fi",
        "a\tb",
        " the cat",
        "the cat",
        "on the cat sat",
        "▁▁a",
        "caf\u00e9",
    ]
    return fixed + [
        "".join(rng.choice(parts) for _ in range(rng.randrange(1, 14))) for _ in range(180)
    ]


def main():
    rng = random.Random(14)
    with tempfile.TemporaryDirectory() as folder:
        sample, rules = pathlib.Path(folder) / "sample.txt", pathlib.Path(folder) / "rules.tsv"
        sample.write_text("\n".join(sentences(rng, 400)) + "\n")
        rules.write_text("41\t61\n65 301\tE9\nFB01\t66 69\n9\t20\nA0\t20\n")
        rows = texts(rng)
        for name, options in KINDS.items():
            stem = str(HERE / f"tokenizer_user_{name}")
            if "normalization_rule_name" not in options:
                options = options | {"normalization_rule_tsv": str(rules)}
            sentencepiece.SentencePieceTrainer.train(
                input=str(sample),
                model_prefix=stem,
                user_defined_symbols=PIECES,
                hard_vocab_limit=False,
                minloglevel=2,
                num_threads=1,
                **options,
            )
            pathlib.Path(stem + ".vocab").unlink()
            model = sentencepiece.SentencePieceProcessor(model_file=stem + ".model")
            lines = []
            for text in rows:
                ids = model.encode(text)
                row = {"text": text, "ids": ids}
                decoded = model.decode([i for i in ids if not model.is_unknown(i)])
                # Where spaces are removed, alambic leaves none at the start.
                if not (decoded.startswith(" ") and options.get("remove_extra_whitespaces", True)):
                    row["decoded"] = decoded
                lines.append(json.dumps(row))
            pathlib.Path(stem + ".ids.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


if __name__ == "__main__":
    main()
