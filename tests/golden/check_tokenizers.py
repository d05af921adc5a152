"""Compares alambic's tokenizers with Python's `tokenizers` and `sentencepiece` on a large mixed corpus.

Run from the repository root with `tokenizers`, `sentencepiece`, `protobuf`, `gguf` and `numpy` installed:
    build/oracles/bin/python tests/golden/check_tokenizers.py build/release/src/alambic/text/text_test [LINES [DATA [NAME ...]]]

DATA, the shared data unless told, is a folder of text files (txt, json, jsonl, gz), read recursively; if it holds
tokenizer_vectors and
weights_tinystories656K, the published vocabularies in them take part. LINES of it (100,000 unless told) and
synthetic ones are encoded by a tokenizer of every kind, trained here on a sample; ids, decoded texts and the ids
of the exported tokenizer.json are compared. Prints a line for each tokenizer, and the first differences. A tokenizer.json
cannot say all of a Unigram model of SentencePiece (the sums of its scores, its longest match, its byte pieces): there one
line in thirty may differ in the exported file, and alone there.
With names, tokenizers of these names alone (and those that they are made from).
"""

import gzip
import json
import os
import pathlib
import random
import struct
import subprocess
import sys
import tempfile

from oracle import DATA, need, need_data

need("numpy", "tokenizers", "sentencepiece", "gguf")
import numpy  # noqa: E402
import sentencepiece  # noqa: E402
from sentencepiece import sentencepiece_model_pb2  # noqa: E402
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,  # noqa: E402
                        processors, trainers)

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
WORDS = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*"
         r"|\s*[\r\n]+|\s+(?!\S)|\s+")
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
TEKKEN = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*|\p{{N}}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
SUFFIX = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
O200K = (rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{SUFFIX}|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{SUFFIX}"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
CL100K = (r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]"
          r"|\s+(?!\S)|\s+")
QWEN35 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
DEEPSEEK3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
             r"""| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""")
BLOOM = r" ?[^(\s|[.,!?…。，、।۔،])]+"


# ---- texts

def strings_of(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings_of(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from strings_of(item)


def texts_of(path):
    raw = gzip.open(path).read() if path.suffix == ".gz" else path.read_bytes()
    name = path.name.removesuffix(".gz")
    if name.endswith(".json"):
        yield from strings_of(json.loads(raw))
    elif name.endswith(".jsonl"):
        for line in raw.splitlines():
            yield from strings_of(json.loads(line))
    else:
        yield from raw.splitlines(keepends=True)  # bytes, in whatever encoding


def real_lines(folder, count, rng):
    lines = set()
    for path in sorted(folder.rglob("*")):
        if path.suffixes and path.suffix in (".txt", ".json", ".jsonl", ".gz", ".en", ".fr"):
            try:
                for text in texts_of(path):
                    lines.add((text if isinstance(text, bytes) else text.encode("utf-8", "replace"))[:2000])
            except ValueError:
                pass
    lines = sorted(lines)
    rng.shuffle(lines)
    return lines[:count]


# Assigned characters of Unicode 14 at most: tables differ between versions beyond that.
BLOCKS = [(0x20, 0x7F), (0xA1, 0x250), (0x300, 0x36F), (0x370, 0x377), (0x37A, 0x37F), (0x38E, 0x3A1), (0x3A3, 0x3FF),
          (0x400, 0x52F), (0x531, 0x556), (0x561, 0x587), (0x5D0, 0x5EA), (0x620, 0x669), (0x671, 0x6D3),
          (0x905, 0x939), (0x93E, 0x94D), (0x966, 0x96F), (0x995, 0x9A8), (0xE01, 0xE3A), (0xE40, 0xE5B),
          (0x10D0, 0x10FA), (0x1100, 0x1112), (0x1161, 0x1175), (0x11A8, 0x11C2), (0x1780, 0x17B3), (0x17B6, 0x17D3),
          (0x1E00, 0x1F15), (0x2000, 0x2064), (0x2070, 0x2071), (0x2074, 0x208E), (0x20A0, 0x20BF), (0x2100, 0x218B),
          (0x2190, 0x23FF), (0x2460, 0x24FF), (0x2500, 0x27BF), (0x3000, 0x303F), (0x3041, 0x3096), (0x30A0, 0x30FF),
          (0x3131, 0x318E), (0x3200, 0x321E), (0x3300, 0x33FF), (0x4E00, 0x9FFC), (0xAC00, 0xD7A3), (0xF900, 0xFA6D),
          (0xFB00, 0xFB06), (0xFE00, 0xFE0F), (0xFF01, 0xFFBE), (0x10400, 0x1044F), (0x1D400, 0x1D454),
          (0x1F1E6, 0x1F1FF), (0x1F300, 0x1F64F), (0x1F900, 0x1F9CB), (0x20000, 0x2A6DD), (0x9, 0xE), (0x80, 0xA0)]


def synthetic_lines(count, rng):
    lines = []
    words = ("don't I'M we'LL l'été Straße ΣΊΣΥΦΟΣ привет 你好 世界 こんにちは 안녕 สวัสดี नमस्ते مرحبا שלום "
             "x=y+1; foo_bar FooBar iPhone USA's 1234567 3.14 ½ ① ﬁn e\u0301 👩‍👩‍👧 🇫🇷 👍🏽 <s> </s> <unk> [MASK] [CLS] "
             "<|user|> <0x41> ▁ ▁▁x \u00a0 \u3000 \u200b \ufeff ... --- ==== !!! aaaaaaa hahahaha 'ſ K \r\n \n\n\t "
             "http://a.b/c?d=e#f").split(" ")
    for index in range(count):
        kind = index % 6
        if kind == 0:
            low, high = rng.choice(BLOCKS)
            text = "".join(rng.choice(["", "", "", " "]) + chr(rng.randrange(low, high)) for _ in range(rng.randrange(1, 60)))
        elif kind == 1:
            text = ""
            for _ in range(rng.randrange(1, 60)):
                low, high = rng.choice(BLOCKS)
                text += rng.choice(["", "", " "]) + chr(rng.randrange(low, high))
        elif kind == 2:
            text = rng.choice(["", " ", "  "]).join(rng.choice(words) for _ in range(rng.randrange(1, 15)))
        elif kind == 3:
            text = rng.choice(["a", " ", "=", "ab", "\n", "\r\n", "-", "é", "中", "1", "\u0301", "a\u0301", "▁", "aA", "xy "])
            text = text * rng.randrange(1, 40) + rng.choice(words)
        elif kind == 4:
            text = rng.randbytes(rng.randrange(1, 80)).decode("latin-1")
        else:
            text = rng.choice(words).join([rng.choice(words), rng.choice([" ", "", "'", "’", "_", "."])] * rng.randrange(1, 4))
        raw = text.encode("utf-8", "replace")
        if index % 7 == 0:  # broken
            raw = rng.randbytes(rng.randrange(1, 60)) if kind == 4 else raw[rng.randrange(len(raw) + 1):-1] + b"\xff\xc3" + raw
        lines.append(raw)
    return lines


# ---- tokenizers

def bpe(pre, normalizer=None, size=4000, **options):
    tokenizer = Tokenizer(models.BPE(**options))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=["<|endoftext|>", "<|user|>"], show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    return tokenizer, trainer


def cut(*expressions):
    steps = [pre_tokenizers.Split(Regex(e), "isolated") if isinstance(e, str) else e for e in expressions]
    return pre_tokenizers.Sequence(steps + [pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def byte_levels():
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digit = pre_tokenizers.Digits(individual_digits=True)
    yield "gpt2", *bpe(whole)
    yield "gpt2_prefix", *bpe(pre_tokenizers.ByteLevel(add_prefix_space=True), normalizers.NFC())
    yield "llama3", *bpe(cut(WORDS.replace("DIGITS", "{1,3}")), ignore_merges=True)
    yield "qwen2", *bpe(cut(WORDS.replace("DIGITS", "")), normalizers.NFC())
    yield "qwen35", *bpe(cut(QWEN35), normalizers.NFC())
    yield "cl100k", *bpe(cut(CL100K))
    yield "o200k", *bpe(cut(O200K))
    yield "tekken", *bpe(cut(TEKKEN), ignore_merges=True)
    yield "smollm", *bpe(pre_tokenizers.Sequence([digit, whole]))
    yield "bloom", *bpe(cut(BLOOM))
    yield "falcon", *bpe(pre_tokenizers.Sequence(
        [pre_tokenizers.Punctuation("contiguous"), whole, pre_tokenizers.Digits(False),
         pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")]))
    yield "deepseek_coder", *bpe(cut("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+", digit))
    yield "deepseek3", *bpe(cut(r"\p{N}{1,3}", "[一-龥぀-ゟ゠-ヿ]+", DEEPSEEK3))


def others(charsmap):
    digits = pre_tokenizers.Digits(individual_digits=True)
    for name, normalizer, pre in [
        ("words_mixed", normalizers.Sequence([normalizers.Nmt(), normalizers.NFKD(), normalizers.StripAccents()]),
         pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("merged_with_previous")])),
        ("words_delimited", normalizers.Sequence([normalizers.NFD(), normalizers.Lowercase(), normalizers.Strip()]),
         pre_tokenizers.Sequence([pre_tokenizers.CharDelimiterSplit("e"), pre_tokenizers.WhitespaceSplit(), digits])),
    ]:
        affix = {"continuing_subword_prefix": "##"} if name == "words_mixed" else {"end_of_word_suffix": "</w>"}
        tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=name == "words_mixed", **affix))
        tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, pre
        if name == "words_delimited":
            tokenizer.decoder = decoders.BPEDecoder()
        yield name, tokenizer, trainers.BpeTrainer(vocab_size=2000, special_tokens=["[UNK]"], limit_alphabet=200,
                                                   show_progress=False, **affix)
    for name, lowercase, accents in (("bert", True, None), ("bert_cased", False, True)):
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase, strip_accents=accents)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece(cleanup=lowercase)
        yield name, tokenizer, trainers.WordPieceTrainer(
            vocab_size=3000, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], limit_alphabet=400,
            show_progress=False)
    for name, scheme in (("unigram_always", "always"), ("unigram_first", "first"), ("unigram_never", "never")):
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " ")])
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
        yield name, tokenizer, trainers.UnigramTrainer(vocab_size=3000, special_tokens=["<unk>", "<s>", "</s>"],
                                                       unk_token="<unk>", show_progress=False)


def finish(name, tokenizer):
    """What training does not set."""
    if name.startswith("bert"):
        cls, sep = tokenizer.token_to_id("[CLS]"), tokenizer.token_to_id("[SEP]")
        tokenizer.post_processor = processors.BertProcessing(("[SEP]", sep), ("[CLS]", cls))
    if name == "gpt2_prefix":
        tokenizer.post_processor = processors.RobertaProcessing(("<|user|>", 1), ("<|endoftext|>", 0))
    if name == "llama3":
        tokenizer.post_processor = processors.Sequence(
            [processors.ByteLevel(trim_offsets=False),
             processors.TemplateProcessing("<|user|> $A", special_tokens=[("<|user|>", 1)])])
        tokenizer.add_tokens([AddedToken("iPhone", single_word=True), AddedToken("there", normalized=True)])
    if name == "qwen2":
        tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, normalized=False),
                                      AddedToken("[CLS]", rstrip=True, normalized=False)])
    return tokenizer


def train_sentencepiece(folder, sample):
    text = folder / "sample.txt"
    text.write_text("\n".join(sample))
    for name, options in {
        "spm_unigram": dict(model_type="unigram", vocab_size=3000),
        "spm_bpe": dict(model_type="bpe", vocab_size=2500, normalization_rule_name="identity", byte_fallback=True,
                        remove_extra_whitespaces=False, character_coverage=0.99),
        "spm_plain": dict(model_type="unigram", vocab_size=2000, add_dummy_prefix=False, byte_fallback=True,
                          character_coverage=0.98, normalization_rule_name="nmt_nfkc_cf"),
    }.items():
        sentencepiece.SentencePieceTrainer.train(input=str(text), model_prefix=str(folder / name), minloglevel=2,
                                                 num_threads=1, hard_vocab_limit=False, **options)
        yield name, folder / f"{name}.model"


def write_t5_gguf(model, path):
    import gguf
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.read_bytes())
    writer = gguf.GGUFWriter(path, "t5")
    writer.add_tokenizer_model("t5")
    writer.add_token_list([piece.piece for piece in proto.pieces])
    writer.add_token_scores([piece.score for piece in proto.pieces])
    writer.add_token_types([piece.type for piece in proto.pieces])
    writer.add_precompiled_charsmap(proto.normalizer_spec.precompiled_charsmap)
    writer.add_remove_extra_whitespaces(proto.normalizer_spec.remove_extra_whitespaces)
    writer.add_add_space_prefix(proto.normalizer_spec.add_dummy_prefix)
    writer.add_add_eos_token(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


# ---- comparison

def read_ids(path):
    numbers = numpy.fromfile(path, dtype=numpy.int32)
    at, rows = 0, []
    while at < len(numbers):
        count = int(numbers[at])
        rows.append(numbers[at + 1:at + 1 + count].tolist())
        at += 1 + count
    return rows


def read_texts(path):
    data, at, texts = path.read_bytes(), 0, []
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        texts.append(data[at + 4:at + 4 + size].decode("utf-8"))
        at += 4 + size
    return texts


def differences(label, texts, want, got, shown=2):
    wrong = [i for i in range(len(texts)) if want[i] != got[i]]
    for i in wrong[:shown]:
        print(f"  {label}: {texts[i][:90]!r}\n    want {want[i][:60]!r}\n    got  {got[i][:60]!r}")
    return len(wrong)


def main():
    program = sys.argv[1]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    data = pathlib.Path(sys.argv[3]) if len(sys.argv) > 3 else DATA
    only = set(sys.argv[4:])
    if data == DATA:
        need_data("tokenizer_vectors", "weights_tinystories656K")
    rng = random.Random(5)
    lines = real_lines(data, count * 4 // 5, rng)
    lines += synthetic_lines(count - len(lines), rng)
    texts = [line.decode("utf-8", "replace") for line in lines]
    print(f"{len(texts)} lines, {sum(map(len, lines)) / 1e6:.1f} MB")
    sample = [text for text in rng.sample(texts, min(len(texts), 8000)) if "\0" not in text]
    # A unigram vocabulary must hold all characters of its sample, and its special tokens once.
    narrow = [text for text in sample if max(text, default=" ") < "\u0500" and "<" not in text]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "texts.bin").write_bytes(b"".join(struct.pack("<I", len(line)) + line for line in lines))
        vectors = data / "tokenizer_vectors"
        charsmap = b""
        references, listed = {}, []

        def wanted(label):
            return not only or label in only or f"{label}_files" in only

        def add(label, reference, path):
            references[label] = reference
            listed.append(f"{label}\t{path}")

        if vectors.exists():
            proto = sentencepiece_model_pb2.ModelProto()
            proto.ParseFromString((vectors / "test_model.model").read_bytes())
            charsmap = proto.normalizer_spec.precompiled_charsmap
        for label, tokenizer, trainer in [*byte_levels(), *others(charsmap)]:
            if not wanted(label):
                continue
            tokenizer.train_from_iterator(narrow if label.startswith("unigram") else sample, trainer)
            tokenizer = finish(label, tokenizer)
            tokenizer.save(str(folder / f"{label}.json"), pretty=False)
            # Read back: `tokenizers` may be one unit off in the last place of a score that it reads.
            add(label, Tokenizer.from_file(str(folder / f"{label}.json")), folder / f"{label}.json")
        for label in ("gpt2", "bert"):  # the same vocabularies as plain files
            if not wanted(f"{label}_files"):
                continue
            directory = folder / f"{label}_files"
            directory.mkdir()
            references[label].model.save(str(directory))
            add(f"{label}_files", references[label], directory)
            if label == "gpt2":
                (directory / "tokenizer_config.json").write_text(
                    '{"added_tokens_decoder": {"1": {"content": "<|user|>", "special": true}}}')
        for label, path in train_sentencepiece(folder, narrow):
            if wanted(label) or (label == "spm_unigram" and wanted("t5_gguf")):
                add(label, sentencepiece.SentencePieceProcessor(model_file=str(path)), path)
        if wanted("t5_gguf"):
            write_t5_gguf(folder / "spm_unigram.model", folder / "t5.gguf")
            add("t5_gguf", references["spm_unigram"], folder / "t5.gguf")
        if vectors.exists():
            for label in filter(wanted, ("test_model", "llama2_tokenizer")):
                path = vectors / f"{label}.model"
                add(label, sentencepiece.SentencePieceProcessor(model_file=str(path)), path)
        stories = data / "weights_tinystories656K" / "tokenizer.json"
        if stories.exists() and wanted("tinystories"):
            add("tinystories", Tokenizer.from_file(str(stories)), stories)

        (folder / "list.txt").write_text("\n".join(listed) + "\n")
        run = subprocess.run([program, "--gtest_filter=Tokenizer.EncodesForThePythonCheck"], text=True,
                             stdout=subprocess.PIPE, env=os.environ | {"ALAMBIC_CHECK_DIR": str(folder)})
        if run.returncode != 0:
            sys.exit(run.stdout)
        total = 0
        for label, reference in references.items():
            got, decoded = read_ids(folder / f"{label}.ids"), read_texts(folder / f"{label}.decoded")
            exported = Tokenizer.from_file(str(folder / f"{label}.export.json"))
            if isinstance(reference, Tokenizer):
                special = {i for i, token in reference.get_added_tokens_decoder().items() if token.special}
                want = [encoding.ids for encoding in reference.encode_batch_fast(texts)]
                plain = reference.decode_batch([[i for i in row if i not in special] for row in want])
                rows = [(i, text) for i, text in enumerate(texts)]
            else:
                # Control symbols are found in text by `tokenizers`, not by `sentencepiece`.
                names = [reference.id_to_piece(i) for i in range(reference.get_piece_size())
                         if reference.is_control(i) or reference.is_unknown(i)]
                rows = [(i, text) for i, text in enumerate(texts) if not any(n in text for n in names)]
                want = reference.encode([text for _, text in rows])
                plain = reference.decode([[i for i in row if not reference.is_unknown(i)] for row in want])
            chosen = [text for _, text in rows]
            got = [got[i] for i, _ in rows]
            decoded = [decoded[i] for i, _ in rows]
            wrong = differences(f"{label} ids", chosen, want, got)
            wrong_text = differences(f"{label} text", chosen, plain, decoded)
            again = [encoding.ids for encoding in exported.encode_batch_fast(chosen)]
            wrong_export = differences(f"{label} export", chosen, again, got)
            if label in ("spm_unigram", "spm_plain", "t5_gguf", "test_model") and wrong_export <= len(rows) // 30:
                label, wrong_export = f"{label} ({wrong_export} exported allowed)", 0
            print(f"{label:18} {len(rows)} lines, {sum(map(len, want))} ids: {wrong} differ, "
                  f"{wrong_text} decoded, {wrong_export} exported", flush=True)
            total += wrong + wrong_text + wrong_export
    sys.exit(total > 0)


main()
