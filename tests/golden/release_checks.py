"""Every check against an independent program, torch's among them; what they say, with date and versions, as a table.

    build/oracles-torch/bin/python tests/golden/release_checks.py build/release
`make oracles-torch` runs this before a release. The table goes to standard output and to release-checks.md in the folder of
the build; docs/oracles.md keeps the last one. Ends with status 1 if a check finds a difference.
"""

import datetime
import importlib.metadata
import pathlib
import subprocess
import sys
import time

from oracle import DATA, HERE, SKIPPED, need

need("torch", "transformers", "peft", by="make oracles-torch")
PACKAGES = ("torch", "transformers", "peft", "tokenizers", "sentencepiece", "jinja2", "gguf", "safetensors", "sacrebleu",
            "rouge-score", "numpy")


def checks(build):
    program, rooms = build / "alambic", build / "src" / "alambic"
    text_test, models_test = rooms / "text" / "text_test", rooms / "models" / "models_test"
    stories = DATA / "weights_tinystories656K"
    recorded = "check_recorded.py"
    yield "LLaMA: weights, logits, losses, greedy texts", recorded, "make_llama_goldens.py", *filter(pathlib.Path.exists, [stories])
    yield "families: weights, logits, losses, a step of AdamW", recorded, "make_family_goldens.py"
    yield "adapters of peft and their logits", recorded, "make_adapter_goldens.py"
    yield "texts of masked diffusion models", recorded, "make_masked_goldens.py"
    yield "GGUF blocks, and a model in all types", recorded, "make_gguf_goldens.py"
    yield "BLEU, ROUGE-L", recorded, "make_eval.py"
    yield "ids and texts of tokenizers", recorded, "make_tokenizer_goldens.py", "--kept", *filter(pathlib.Path.exists, [stories])
    yield "user-defined pieces of SentencePiece", recorded, "make_user_defined_goldens.py"
    yield "what templates write", recorded, "make_chat_goldens.py"
    yield "safetensors", recorded, "make_safetensors.py"
    yield "the templates' environment is transformers' own", "check_chat_oracle.py"
    yield "students and families opened by transformers", "check_student_export.py", models_test
    yield "adapters opened by peft", "check_peft_export.py", models_test
    yield "directories opened by safetensors", "check_model_export.py", models_test
    yield "GGUF files opened by gguf", "check_gguf_export.py", program
    yield "templates against jinja2", "check_chat_templates.py", text_test
    yield "tokenizers of every kind on 30,000 lines", "check_tokenizers.py", text_test, "30000"
    yield "trained tokenizers opened by tokenizers", "check_tokenizer_export.py", text_test
    yield "BLEU of a model's texts by sacrebleu", "check_bleu.py", program


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    lines = [f"{datetime.date.today()}, Python {sys.version.split()[0]}; {versions}", "", "| check | outcome |", "|---|---|"]
    print("\n".join(lines), flush=True)
    wrong = 0
    for what, script, *arguments in checks(build):
        start = time.monotonic()
        done = subprocess.run([sys.executable, "-B", HERE / script, *arguments], text=True, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, check=False)
        said = done.stdout.strip().splitlines() or ["said nothing"]
        state = {0: "same", SKIPPED: "skipped"}.get(done.returncode, "DIFFERS")
        wrong += state == "DIFFERS"
        lines.append(f"| {what} (`{script if script != 'check_recorded.py' else arguments[0]}`) | {state}: {said[-1]} |")
        print(lines[-1], flush=True)
        if state == "DIFFERS":
            print("\n".join(said[-30:]), file=sys.stderr)
        print(f"{script}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    (build / "release-checks.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    sys.exit(wrong > 0)


main()
