"""Records what Python's `tokenizers` makes of a varied corpus, for src/alambic/text/*_test.cc.

Run from the repository root with `tokenizers` and `sentencepiece` installed (recorded with 0.23 and 0.2.3):
    python3 tests/golden/make_tokenizer_goldens.py [--kept] [DIRECTORY_WITH_TINYSTORIES_TOKENIZER]

With --kept the tokenizers that lie here are read, not trained anew: `tokenizers` breaks ties of its training by chance.
Writes beside itself:
    tokenizer_texts.json       the corpus: one list of strings
    tokenizer_NAME.json        small tokenizers made here, as `tokenizers` saves them
    tokenizer_NAME.ids.json    for each text: ids; "bare", ids without special tokens, where these differ;
                               "text", what they decode to, where it is not the text; "full", the same with
                               special tokens, where that differs
    tokenizer_spm_NAME.model   small SentencePiece models, with the same .ids.json as `sentencepiece` has them
    tokenizer_tinystories.ids.json  the same for a published tokenizer, which itself is not stored
"""

import json
import pathlib
import random
import sys
import tempfile

from oracle import need

need("tokenizers", "sentencepiece")
import sentencepiece  # noqa: E402
from tokenizers import (AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers,  # noqa: E402
                        processors, trainers)

HERE = pathlib.Path(__file__).parent


def corpus():
    rng = random.Random(7)
    texts = [
        "", " ", "  ", "\n", "\t", "a", " a", "a ", "  a  b  ", "\n\n\nend\r\n", "\u00a0\u2003wide\u3000space",
        "Hello, world! It's 7:30 and we're late; they'll've left, I'd say.",
        "The quick brown fox jumps over the lazy dog. THE QUICK BROWN FOX.",
        "Dear Sir or Madam, my order 48213-77 of 12 March has not arrived. Kind regards, Anne-Marie O'Neil",
        "Bonjour, je n'ai pas reçu ma commande n° 55 120 ; où en est-elle ? Ça m'inquiète, à bientôt.",
        "L'été dernier, nous avons goûté des crêpes à l'œuf près du château — quel délice !",
        "Größe, Straße, naïve café, Ærøskøbing, Łódź, İstanbul, ǅ, ß, ŉ",
        "def f(x, *, y=None):\n    if x is None:\n\t\treturn {'a': [1, 2.5e-3], \"b\": y}\n    return x**2  # ok\n",
        "#include <vector>\nint main(int argc, char** argv) { return argv[0][0] != '\\0' && argc > 1; }\n",
        '{"intent": "book_flight", "slots": {"from": "Paris", "to": "Oslo"}, "n": 3}',
        "Привет, мир! Как дела?", "γειά σου Κόσμε ς Σ", "שלום עולם", "مرحبا بالعالم ١٢٣", "नमस्ते दुनिया १२३",
        "สวัสดีชาวโลก", "안녕하세요 세계", "こんにちは、世界。カタカナ ﾊﾝｶｸ", "你好，世界！１２３ 四五六", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛",
        "😀 👩‍👩‍👧‍👦 🇫🇷 👍🏽 ❤️ 🏴‍☠️", "e\u0301 vs é, a\u0323\u0307 vs ạ̇, ﬁ ﬂ ½ ² Ⅷ ㎏ ｆｕｌｌ",
        "Z\u0351\u036b\u0343a\u0328l\u034dg\u0320o\u0321", "\u200bzero\u200dwidth\u200c\ufeffmarks\u00ad",
        "ctrl \x00\x01\x07\x1b[31m\x7f\x85\x9f end", "\u2028line\u2029paragraph\x0b\x0c",
        "\ue000 private \uffff \U0010ffff \U000e0041", "₤€¥¢ ©®™ ±×÷ ≠≤≥ ←→ ▁▂▃", "▁already▁marked ▁ text▁",
        "12345678901234567890 3.14159 1,000,000 0x1F600 1e10 v2.0.1", "١٢٣٤ ४५६ ⅓ ① 𝟜𝟝",
        "<s>tagged</s> <|user|>hi<|end|><|user|> <unk> <0x41><0xE9>", "<|user|> <|end|>  <|end|>x",
        "sentence.<mask>word <mask> . <mask>s", "keep  KEEP keeps keep. unkeep keep", "Day day daylight Day.Day",
        "don't DON'T I'M we'LL you'Re 'tis 's 't", "https://example.org/a?b=c&d=%20#frag me@example.com",
        "word" * 300, "ab" * 600, "a" * 1500, " " * 300 + "x", "\n \n" * 100, "é" * 500, "中" * 400, "1" * 333,
        "".join(chr(rng.randrange(33, 127)) for _ in range(900)),
    ]
    words = "the of and to in said was that he she little dog big tree happy day play went with friend".split()
    for _ in range(25):
        texts.append(" ".join(rng.choice(words) for _ in range(rng.randrange(3, 40))).capitalize() + ".")
    for _ in range(20):
        texts.append(rng.randbytes(rng.randrange(1, 60)).decode("utf-8", "replace"))
    for _ in range(20):
        texts.append(rng.randbytes(rng.randrange(1, 60)).decode("latin-1"))
    # Assigned characters of Unicode 14 at most: tables differ between versions beyond that.
    blocks = [(0x20, 0x7F), (0xA1, 0x250), (0x370, 0x3FF), (0x400, 0x4FF), (0x5D0, 0x5EA), (0x621, 0x64A),
              (0x905, 0x939), (0x2010, 0x2050), (0x3041, 0x30FF), (0x4E00, 0x9F00), (0xAC00, 0xD7A3),
              (0x1F300, 0x1F600), (0x300, 0x36F), (0x9, 0xE)]
    for _ in range(40):
        text = ""
        for _ in range(rng.randrange(1, 50)):
            low, high = rng.choice(blocks)
            text += rng.choice(["", "", " "]) + chr(rng.randrange(low, high))
        texts.append(text)
    return texts


def byte_level(texts):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=True)
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=["<|endoftext|>", "<|user|>", "<|end|>"],
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def metaspace(texts):
    specials = ["<unk>", "<s>", "</s>"]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=specials + fallback, limit_alphabet=120,
                                  show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    # Byte tokens are ordinary vocabulary, not special tokens.
    data = json.loads(tokenizer.to_str())
    data["added_tokens"] = [token for token in data["added_tokens"] if token["id"] < len(specials)]
    tokenizer = Tokenizer.from_str(json.dumps(data))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> $B", special_tokens=[("<s>", 1), ("</s>", 2)])
    return tokenizer


def digits(texts):
    """A modern pattern, digits one by one, added tokens of every kind, merges ignored for whole tokens."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.normalizer = normalizers.NFC()
    pattern = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
               r"|\s*[\r\n]+|\s+(?!\S)|\s+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
                                  show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken("<|user|>", special=True, normalized=False),
                                  AddedToken("<mask>", special=True, lstrip=True, normalized=False),
                                  AddedToken("<|end|>", special=True, rstrip=True, normalized=False)])
    tokenizer.add_tokens([AddedToken("keep", single_word=True, normalized=True),
                          AddedToken("Day", normalized=False), AddedToken("Daylight"), AddedToken("e\u0301 vs")])
    return tokenizer


def words(texts):
    """Normalizers that rewrite text, a word pattern, unknown characters one by one."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Strip(), normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace("'", "’"),
         normalizers.Replace(Regex(r"\s+"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Whitespace(), pre_tokenizers.Digits(individual_digits=False),
         pre_tokenizers.Split("e", "merged_with_previous"), pre_tokenizers.Split(Regex("[ao]"), "merged_with_next"),
         pre_tokenizers.Split(Regex("[.,;]"), "contiguous"), pre_tokenizers.Split("q", "removed")])
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=["[UNK]"], limit_alphabet=60, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def unigram(texts):
    """Log-probabilities, a Metaspace prefix on every stretch of text, unknown characters in one piece."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(vocab_size=500, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>",
                                      show_progress=False)
    latin = [text for text in texts if text.isascii() and "<" not in text]
    tokenizer.train_from_iterator(latin, trainer)
    return tokenizer


def wordpiece(texts):
    """BERT: its own normalizer, cutter, model, decoder and post-processor."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=60))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(vocab_size=500, special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
                                        limit_alphabet=80, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return tokenizer


def affixes(texts):
    """Tokens that say whether they begin or end a word, accents stripped, punctuation joined to what follows."""
    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]", fuse_unk=True, continuing_subword_prefix="##",
                                     end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("merged_with_next"),
         pre_tokenizers.CharDelimiterSplit("x")])
    tokenizer.decoder = decoders.BPEDecoder()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=["[UNK]"], limit_alphabet=60, show_progress=False,
                                  continuing_subword_prefix="##", end_of_word_suffix="</w>")
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def record_sentencepiece(texts, kept):
    latin = [text for text in texts if text.isascii() and "<" not in text and "\n" not in text and "\0" not in text]
    with tempfile.TemporaryDirectory() as folder:
        sample, rules = pathlib.Path(folder) / "sample.txt", pathlib.Path(folder) / "rules.tsv"
        sample.write_text("\n".join(latin) + "\n")
        # Characters of the left column, in hexadecimal, become those of the right one; the longest wins.
        rules.write_text("41\t61\n45 301\te9\n65 301\tE9\n301\t27\nFB01\t66 69\n3000\t20\nA0\t20\n9\t20\n")
        kinds = {"unigram": dict(model_type="unigram", vocab_size=300, normalization_rule_tsv=str(rules)),
                 "bpe": dict(model_type="bpe", vocab_size=600, normalization_rule_name="identity", byte_fallback=True,
                             remove_extra_whitespaces=False, user_defined_symbols="<|user|>")}
        for kind, options in kinds.items():
            stem = str(HERE / f"tokenizer_spm_{kind}")
            if not kept:
                sentencepiece.SentencePieceTrainer.train(input=str(sample), model_prefix=stem, hard_vocab_limit=False,
                                                         minloglevel=2, num_threads=1, **options)
                pathlib.Path(stem + ".vocab").unlink()
            model = sentencepiece.SentencePieceProcessor(model_file=stem + ".model")
            rows = []
            for text in texts:
                # What `sentencepiece` takes as text and `tokenizers` as tokens is left out.
                known = any(name in text for name in ("<s>", "</s>", "<unk>", "<|user|>"))
                rows.append({"ids": None} if known else {"ids": model.encode(text)})
            lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
            pathlib.Path(stem + ".ids.json").write_text(f"[\n{lines}\n]\n")


def record(name, tokenizer, texts):
    rows = []
    special = {i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    for text in texts:
        ids = tokenizer.encode(text).ids
        row = {"ids": ids}
        bare = tokenizer.encode(text, add_special_tokens=False).ids
        # Left out by id: release 0.23 keeps special tokens that a normalizer changes.
        plain = tokenizer.decode([i for i in ids if i not in special])
        full = tokenizer.decode(ids, skip_special_tokens=False)
        rows.append(row | ({"bare": bare} if bare != ids else {}) | ({"text": plain} if plain != text else {})
                    | ({"full": full} if full != plain else {}))
    lines = ",\n".join(json.dumps(row, separators=(",", ":"), ensure_ascii=False) for row in rows)
    (HERE / f"tokenizer_{name}.ids.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")


def main():
    arguments = sys.argv[1:]
    kept = "--kept" in arguments
    folders = [argument for argument in arguments if argument != "--kept"]
    texts = corpus()
    (HERE / "tokenizer_texts.json").write_text(json.dumps(texts, indent=0) + "\n")
    # The same rule stands in train_bpe_test.cc.
    learn = [text for text in texts if len(text) < 600 and "<|" not in text]
    for make in (byte_level, metaspace, digits, words, unigram, wordpiece, affixes):
        path = str(HERE / f"tokenizer_{make.__name__}.json")
        if not kept:
            make(learn).save(path, pretty=False)
        record(make.__name__, Tokenizer.from_file(path), texts)
    record_sentencepiece(texts, kept)
    for folder in folders:
        record("tinystories", Tokenizer.from_file(folder + "/tokenizer.json"), texts)


main()
