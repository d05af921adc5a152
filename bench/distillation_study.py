"""The study of docs/results.md: which word of a teacher helps, on real data, beside controls.

    python3 bench/distillation_study.py DATA OUT [--program P] [--jobs banking77,snips,multi30k] [--seeds 1,2,3]
    python3 bench/distillation_study.py DATA OUT --table

DATA holds the public sets (banking77/train.csv, snips/, multi30k_enfr/). OUT is made; a second call
goes on where the first one stopped. One job and seed takes about a quarter of an hour on a core.

Each job has an owner with few labelled rows and many without labels, and a teacher that was trained
on the whole training set: it stands for a large model that knows the job. Student and control start
from the same random weights. Test rows are held out from all of them.
"""

import argparse
import csv
import gzip
import json
import pathlib
import random
import subprocess

JOBS = {
    "banking77": {
        "task": "accuracy", "vocabulary": 1024, "max_tokens": 192, "validation": 100, "test_limit": 1500, "new": 24,
        "student": {"dim": 96, "layers": 2, "heads": 4, "kv_heads": 4, "ffn": 288}, "steps": 1500,
        "teacher": {"dim": 96, "layers": 5, "heads": 4, "kv_heads": 4, "ffn": 288},
        "teacher_train": {"epochs": 8, "lr": 0.003, "dropout": 0.1},
    },
    "snips": {
        "task": "slots", "vocabulary": 1536, "max_tokens": 192, "validation": 60, "test_limit": 695, "new": 110,
        "student": {"dim": 96, "layers": 3, "heads": 4, "kv_heads": 4, "ffn": 288}, "steps": 1500,
        "teacher": {"dim": 112, "layers": 6, "heads": 4, "kv_heads": 4, "ffn": 336},
        "teacher_train": {"epochs": 3, "lr": 0.003},
    },
    "multi30k": {
        "task": "bleu", "vocabulary": 2048, "max_tokens": 160, "validation": 100, "test_limit": 500, "new": 80,
        "student": {"dim": 128, "layers": 3, "heads": 4, "kv_heads": 4, "ffn": 384}, "steps": 2500,
        "teacher": {"dim": 160, "layers": 5, "heads": 5, "kv_heads": 5, "ffn": 480},
        "teacher_train": {"epochs": 3, "tokens_per_step": 768, "lr": 0.002, "dropout": 0.05},
    },
}
TOP_K = ["signals.kind=topk", "signals.count=16", "objective.alpha=0.5"]
# Name, whether the owner's prompts are answered, settings. The first gives three rows: control,
# texts, and texts with forward KL from draws.
ROWS = [
    ("answers and draws", True, ["signals.kind=draws", "objective.alpha=0.5"]),
    ("answers and top-k", True, TOP_K),
    ("answers and top-k, temperature 2", True, [*TOP_K, "signals.temperature=2", "objective.temperature=2"]),
    ("forward KL on the labelled rows", False, TOP_K),
    ("reverse KL on the labelled rows", False, [*TOP_K, "objective.divergence=reverse_kl"]),
    ("JSD on the labelled rows", False, [*TOP_K, "objective.divergence=jsd"]),
    ("on-policy after answers", True, ["signals.kind=text", "objective.on_policy=0.3"]),
]


def banking77(data):
    """The whole training file in a fixed order; 1,500 rows of it are the test."""
    rows, seen = [], set()
    with open(data / "banking77/train.csv", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            text = " ".join(row["text"].split())
            if text.lower() not in seen:
                seen.add(text.lower())
                rows.append((text, row["category"].strip().replace("_", " ")))
    random.Random(0).shuffle(rows)
    return rows[1500:], rows[:1500]


def snips(data):
    def part(name):
        columns = [(data / f"snips/{name}.{kind}").read_text(encoding="utf-8").splitlines()
                   for kind in ("label", "seq.in", "seq.out")]
        rows = {}
        for intent, text, tags in zip(*columns):
            words, marks = text.split(), tags.split()
            if len(words) != len(marks):
                continue
            slots, current = {}, None
            for word, mark in zip(words, marks):
                name_of_slot = mark[2:]
                if mark == "O":
                    current = None
                elif mark[0] == "B" or current != name_of_slot:
                    slots[name_of_slot] = f"{slots[name_of_slot]} | {word}" if name_of_slot in slots else word
                    current = name_of_slot
                else:
                    slots[name_of_slot] += " " + word
            record = json.dumps({"intent": intent, "slots": slots}, ensure_ascii=False, separators=(",", ":"))
            rows.setdefault(" ".join(words), record)
        return rows

    train, test = part("train"), part("valid")
    return [row for row in train.items() if row[0] not in test], list(test.items())


def multi30k(data):
    def part(name):
        with gzip.open(data / f"multi30k_enfr/{name}.en.gz", "rt", encoding="utf-8") as english, \
                gzip.open(data / f"multi30k_enfr/{name}.fr.gz", "rt", encoding="utf-8") as french:
            return {a.strip(): b.strip() for a, b in zip(english, french)}

    train, test = part("train"), part("val")
    return [row for row in train.items() if row[0] not in test], list(test.items())


def write(path, rows, labelled=True):
    with open(path, "w", encoding="utf-8") as file:
        for prompt, completion in rows:
            row = {"prompt": prompt, "completion": completion} if labelled else {"prompt": prompt}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def owner_of(job, rows, seed):
    """The labelled rows and the prompts of one owner."""
    rows = rows[:]
    random.Random(seed).shuffle(rows)
    if job == "snips":
        return rows[:300], rows[300:5300]
    if job == "multi30k":
        return rows[:2000], rows[2000:10000]
    count, labelled, prompts = {}, [], []  # ten of each intent
    for row in rows:
        count[row[1]] = count.get(row[1], 0) + 1
        (labelled if count[row[1]] <= 10 else prompts).append(row)
    return labelled, prompts


def toml(values):
    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())


def prepare(job, data, out, program):
    """Files, recipes and the teacher of a job."""
    folder = out / job
    if (folder / "teacher/model.safetensors").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    train, test = {"banking77": banking77, "snips": snips, "multi30k": multi30k}[job](data)
    write(folder / "test.jsonl", test)
    write(folder / "train.jsonl", train)
    for seed in (1, 2, 3):
        labelled, prompts = owner_of(job, train, seed)
        write(folder / f"labelled-{seed}.jsonl", labelled)
        write(folder / f"prompts-{seed}.jsonl", prompts, labelled=False)
    of = JOBS[job]
    shared = {"task": of["task"], "vocabulary": of["vocabulary"]}
    rows = {"test": str(folder / "test.jsonl"), "test_limit": of["test_limit"], "max_tokens": of["max_tokens"]}
    (folder / "teacher.toml").write_text(
        toml({"name": f"{job}-teacher", **shared}) + "[data]\n" +
        toml({"train": str(folder / "train.jsonl"), "validation": 300, **rows}) + "[student]\n" +
        toml(of["teacher"]) + "[student.train]\n" + toml(of["teacher_train"]), encoding="utf-8")
    (folder / "student.toml").write_text(
        toml({"name": job, **shared}) + "[data]\n" + toml({"validation": of["validation"], **rows}) + "[teacher]\n" +
        toml({"model": str(folder / "teacher")}) + "[student]\n" + toml(of["student"]) + "[student.train]\n" +
        toml({"steps": of["steps"]}) + "[eval]\n" +
        toml({"decode": ["ar"], "max_new_tokens": of["new"], "speed_prompts": 5, "dial_prompts": 0}), encoding="utf-8")
    subprocess.run([program, "train", folder / "teacher.toml", "--out", folder / "teacher", "--overwrite"], check=True)


def run(job, seed, out, program, threads):
    folder = out / job
    for name, answered, settings in ROWS:
        directory = folder / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
        if (directory / "report.json").exists():
            continue
        settings = [f"seed={seed}", f"data.seed={seed}", f"data.train={folder}/labelled-{seed}.jsonl", *settings]
        if answered:
            settings.append(f"data.prompts={folder}/prompts-{seed}.jsonl")
        sets = [word for setting in settings for word in ("--set", setting)]
        again = ["--resume"] if (directory / "recipe.toml").exists() else []
        subprocess.run([program, "distill", folder / "student.toml", "--run-dir", directory, "--threads", str(threads),
                        *again, *sets], check=True)


def percent(share):
    return "–" if share is None else f"{100 * share:.0f} %"


def table(out):
    """One line a row and job: the score of each seed, and what it closed of the gap."""
    for job in JOBS:
        lines = {}
        for path in sorted((out / job).glob("*/report.json")):
            report = json.loads(path.read_text(encoding="utf-8"))
            name, seed = path.parent.name.rsplit("-", 1)
            lines.setdefault("teacher", {})[seed] = (report["teacher"]["score"], None)
            lines.setdefault("control", {})[seed] = (report["control"]["score"], None)
            arms = {arm["name"]: arm for arm in report["arms"]}
            gap = report["teacher"]["score"] - report["control"]["score"]
            for arm, row in (("texts", "answers alone"), ("on_policy", name)):
                if arm in arms:
                    score = arms[arm]["score"]
                    lines.setdefault(row, {})[seed] = (score, (score - report["control"]["score"]) / gap)
            if name != "on-policy-after-answers":
                lines.setdefault(name, {})[seed] = (report["student"]["score"], report["gap_closed"])
        if lines:
            print(f"\n{job}: score (gap closed) of seeds {', '.join(sorted({s for l in lines.values() for s in l}))}")
        for name, seeds in lines.items():
            cells = [f"{score:.3f}" + ("" if share is None else f" ({percent(share)})")
                     for _, (score, share) in sorted(seeds.items())]
            print(f"  {name.replace('-', ' '):36} " + "  ".join(cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--program", default="build/release/alambic")
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="print what is there, and run nothing")
    given = parser.parse_args()
    out = given.out.resolve()
    if not given.table:
        for job in given.jobs.split(","):
            prepare(job, given.data.resolve(), out, given.program)
            for seed in given.seeds.split(","):
                run(job, int(seed), out, given.program, given.threads)
    table(out)


if __name__ == "__main__":
    main()
