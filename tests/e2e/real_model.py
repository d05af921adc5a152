"""Real pretrained weights: loaded, told to write, scored, taught from. Skips where the data do not lie."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import sys
import tempfile

from program import DATA, Dialogue, write

MODEL = DATA / "weights_tinystories656K"


class TinyStories(Dialogue):
    def test_it_tells_a_story(self):
        line = self.json_of("generate", MODEL, "--prompt", "Once upon a time", "--max-tokens", 40, "--json")
        self.assertEqual(line["forwards"], 40)
        self.assertIn(" named ", line["text"])

    def test_what_it_lacks_is_said(self):
        self.fails(6, "diffusion", "generate", MODEL, "--prompt", "Once", "--decode", "diffusion")

    def test_inspect_counts_its_parameters(self):
        found = self.json_of("inspect", MODEL, "--json")
        self.assertEqual(found["model"]["parameters"], 656000)
        self.assertEqual(found["tokenizer"]["size"], 2048)
        self.assertEqual(found["decode"], ["ar"])

    def test_it_is_less_surprised_by_stories_than_by_noise(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            story = write(path / "s.txt", "Once upon a time, there was a little girl named Lily. She liked to play.\n")
            noise = write(path / "n.txt", "Quarterly derivatives plummeted; arbitrage ensued, q.v. Zyx-9 & co.\n")
            scores = [self.json_of("eval", MODEL, "--task", "perplexity", "--data", text, "--json")["score"]
                      for text in (story, noise)]
        self.assertGreater(scores[1], 10 * scores[0])

    def test_it_teaches(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            prompts = write(path / "p.jsonl", "".join(json.dumps({"prompt": p}) + "\n" for p in ("One day", "A dog")))
            said = self.json_of("teach", MODEL, "--data", prompts, "--texts", "teacher", "--samples", 2,
                                "--text-temperature", 1, "--max-tokens", 300, "--cut", "keep", "--out", path / "s.sqlite", "--json")
            self.assertEqual(said["rows"], 4)
            self.assertLess(said["bytes_per_token"], 40)


if __name__ == "__main__":
    if not (MODEL / "model.safetensors").exists():
        print(f"skipped: there is no {MODEL}")
        sys.exit(program.SKIPPED)
    program.main()
