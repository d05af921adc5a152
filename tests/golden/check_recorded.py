"""Records goldens afresh, in a copy of this folder, and says where they differ from those that are kept.

    build/oracles/bin/python tests/golden/check_recorded.py make_chat_goldens.py [ARGUMENT ...]
Numbers may differ by 1e-5 of the largest in their list; what says which release wrote a file is not compared, nor the order
of a set. Ends with status 1 if something differs.
"""

import filecmp
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from oracle import HERE, SKIPPED

TOLERANCE = 1e-5
VERSIONS = ("transformers_version", "made_by", "peft_version")
SETS = ("target_modules",)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def differences(kept, fresh, at=""):
    """Lines that say where two JSON values differ."""
    if isinstance(kept, dict) and isinstance(fresh, dict):
        for key in sorted(kept.keys() | fresh.keys()):
            if key in VERSIONS or (key in SETS and sorted(kept.get(key, [])) == sorted(fresh.get(key, []))):
                continue
            if key not in kept or key not in fresh:
                yield f"{at}/{key} is only in the {'fresh' if key not in kept else 'kept'} file"
            else:
                yield from differences(kept[key], fresh[key], f"{at}/{key}")
    elif isinstance(kept, list) and isinstance(fresh, list) and len(kept) == len(fresh):
        if all(map(is_number, kept)) and all(map(is_number, fresh)):
            worst = max((abs(a - b) for a, b in zip(kept, fresh)), default=0)
            scale = max((abs(a) for a in kept), default=0)
            whole = all(isinstance(a, int) for a in kept)
            if worst > (0 if whole else TOLERANCE * max(scale, 1)):
                yield f"{at}: numbers differ by up to {worst:.2e}"
        else:
            for index, (a, b) in enumerate(zip(kept, fresh)):
                yield from differences(a, b, f"{at}/{index}")
    elif is_number(kept) and is_number(fresh):
        if abs(kept - fresh) > TOLERANCE * max(abs(kept), 1):
            yield f"{at}: {kept} is {fresh}"
    elif kept != fresh:
        yield f"{at}: {str(kept)[:80]!r} is {str(fresh)[:80]!r}"


def without_places(path):
    """A model of SentencePiece without the names of the files that it was trained on and written to."""
    from sentencepiece import sentencepiece_model_pb2
    model = sentencepiece_model_pb2.ModelProto()
    model.ParseFromString(path.read_bytes())
    for field in ("input", "model_prefix"):
        model.trainer_spec.ClearField(field)
    model.normalizer_spec.ClearField("normalization_rule_tsv")
    return model


def compare(kept, fresh):
    if filecmp.cmp(kept, fresh, shallow=False):
        return []
    if kept.suffix == ".model" and without_places(kept) == without_places(fresh):
        return []
    if kept.suffix != ".json":
        return ["other bytes"]
    return list(differences(json.loads(kept.read_text()), json.loads(fresh.read_text())))


def main():
    script, *arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as name:
        copy = pathlib.Path(name) / "tests" / "golden"
        shutil.copytree(HERE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        for path in copy.rglob("*"):  # what the script does not write again is not compared
            if path.is_file():
                path.touch()
        before = {path: path.stat().st_mtime_ns for path in copy.rglob("*") if path.is_file()}
        done = subprocess.run([sys.executable, "-B", copy / script, *arguments], text=True, capture_output=True, check=False)
        if done.returncode == SKIPPED:
            print(done.stdout, end="")
            sys.exit(SKIPPED)
        if done.returncode != 0:
            sys.exit(f"{script} ends with {done.returncode}\n{done.stdout}{done.stderr}")
        written = sorted(path for path in copy.rglob("*") if path.is_file() and path.stat().st_mtime_ns != before.get(path))
        wrong = 0
        for path in written:
            kept = HERE / path.relative_to(copy)
            found = compare(kept, path) if kept.exists() else ["is not kept"]
            wrong += bool(found)
            for line in found[:5]:
                print(f"{path.relative_to(copy)}: {line}")
            if len(found) > 5:
                print(f"{path.relative_to(copy)}: and {len(found) - 5} more")
        gone = [path for path in before if not path.exists()]
        for path in gone:
            print(f"{path.relative_to(copy)}: is not written any more")
        print(f"{script}: {len(written)} files, {wrong + len(gone)} differ")
    sys.exit(not written or wrong > 0 or bool(gone))


main()
