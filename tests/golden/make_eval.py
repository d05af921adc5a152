#!/usr/bin/env python3
"""Records what the reference scorers say about made-up texts, for src/alambic/eval/*_test.cc.

    build/oracles/bin/python tests/golden/make_eval.py

writes tests/golden/eval/scorers.json (recorded with sacrebleu 2.6.0, rouge-score 0.1.2). Without rouge-score, its scores stay as
they were. Every text is made here; the seed is fixed.
"""

import importlib.util
import json
import random

from oracle import HERE, need

need("sacrebleu")
import sacrebleu  # noqa: E402
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a  # noqa: E402

SENTENCES = [
    "The kettle sang at 3.15 p.m., and nobody -- not even the cat -- looked up.",
    "Ship order #A-1042 before 2024-05-06; the total is $1,299.99 (tax incl.).",
    "Le café d'à côté ouvre à 7h30, sauf le dimanche.",
    "He said: \"it's well-known\", didn't he?",
    "5-year-old twins won 10-0.",
    "A river runs behind the old mill and turns its wheel all night long.",
    "Grüße aus Köln! Wie geht's?",
    "Tom &amp; Ann said &quot;hi&quot; &lt;there&gt; &amp;lt;",
    "one",
    "two words",
    "",
    "日本語 の 文 。",
    "e.g. 3,5 or 3.5, or .5, or 5., or ...",
    "tabs\tand\u00a0hard spaces\u2003and a line-\nbreak here ",
    "<skipped> {braces} [brackets] a/b a_b a^b ~x `y` | 100% @home = * +",
]


def noisy(rng, text):
    words = text.split(" ")
    for _ in range(rng.randint(0, 3)):
        kind, at = rng.randint(0, 2), rng.randrange(len(words) + 1)
        if kind == 0 and at < len(words):
            del words[at]
        elif kind == 1:
            words.insert(at, rng.choice(["a", "the", "mill", "5", ",", "cat", "Le"]))
        elif at + 1 < len(words):
            words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def rouge_scores(rng):
    from rouge_score import rouge_scorer
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    pairs = [(noisy(rng, s), s) for _ in range(4) for s in SENTENCES]
    pairs += [(rng.choice(SENTENCES), rng.choice(SENTENCES)) for _ in range(20)]
    pairs += [("\u0130stanbul 20\u212a", "i stanbul 20k"), ("naïve café", "na ve caf"), ("A-B_C", "a b c")]
    return [{"hypothesis": h, "reference": r, "f1": scorer.score(r, h)["rougeL"].fmeasure} for h, r in pairs]


def main():
    rng = random.Random(20240229)
    alphabet = "ab 9.,-'\"&;<>!?()é日_/\\%$ \n\u00a0K"
    texts = SENTENCES + ["".join(rng.choice(alphabet) for _ in range(rng.randint(0, 40))) for _ in range(150)]
    tokenizer = Tokenizer13a()
    tokens = [{"text": t, "tokens": tokenizer(t.rstrip()).split()} for t in texts]

    corpora = []
    for name, rows in [
        ("sentences with noise", [(noisy(rng, s), s) for _ in range(6) for s in SENTENCES]),
        ("identical", [(s, s) for s in SENTENCES]),
        ("nothing in common", [("x y z w v", "a b c d e f")]),
        ("short: no 4-gram", [("two words", "two words")]),
        ("smoothing: bigrams at most", [("the cat by a door", "the cat on the mat here"), ("a b", "b a")]),
        ("hypotheses too short", [("the old mill", SENTENCES[5]), ("A river runs behind", SENTENCES[5])]),
        ("hypotheses too long", [(SENTENCES[5] + " " + SENTENCES[0], SENTENCES[5])]),
        ("empty hypotheses", [("", "a b c d"), ("", "e f")]),
        ("random symbols", [(texts[i], texts[i + 1]) for i in range(15, 160, 2)]),
        ("random symbols with noise", [(noisy(rng, t), t) for t in texts[15:]]),
    ]:
        hyps, refs = [h for h, _ in rows], [r for _, r in rows]
        corpora.append({"name": name, "hypotheses": hyps, "references": refs,
                        "bleu": sacrebleu.corpus_bleu(hyps, [refs]).score})

    out = HERE / "eval" / "scorers.json"
    out.parent.mkdir(exist_ok=True)
    if importlib.util.find_spec("rouge_score"):
        rouge = rouge_scores(rng)
    else:
        rouge = json.loads(out.read_text(encoding="utf-8"))["rouge_l"]
    golden = {"made_by": f"make_eval.py, sacrebleu {sacrebleu.__version__}",
              "tokens_13a": tokens, "bleu": corpora, "rouge_l": rouge}
    out.write_text(json.dumps(golden, ensure_ascii=False, indent=0) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
