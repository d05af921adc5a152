"""alambic bench --quick: every figure is there, is a number, and is of its own run."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import tempfile

from program import Dialogue


class Bench(Dialogue):
    def test_machine_and_results_are_measured(self):
        report = self.json_of("bench", "--quick", "--json")
        machine = report["machine"]
        self.assertIn(machine["isa"], ["scalar", "avx2", "avx512", "amx"])
        self.assertGreaterEqual(machine["threads"], 1)
        for key in ("bf16_flops", "fp32_flops", "int8_ops", "read_bytes_per_s"):
            self.assertGreater(machine[key], 1e6, key)
        results = report["results"]
        self.assertLess(machine["ceilings_differ"], 1)
        self.assertRegex(report["date"], r"^\d{4}-\d\d-\d\d \d\d:\d\d UTC$")
        results = report["results"]
        both, floats = ["bf16", "int8"], ["bf16"]
        self.assertEqual([(r["what"], r["dtype"]) for r in results],
                         [(w, d) for w, ds, n in [("prompt", both, 1), ("generate", both, 1), ("batch", both, 4), ("train", floats, 1)]
                          for d in ds for _ in range(n)])
        self.assertEqual([r["batch"] for r in results if r["what"] == "batch"], 2 * [1, 4, 16, 64])
        for result in results:
            with self.subTest(json.dumps(result)):
                self.assertTrue(result["shape"].startswith("tiny"))
                self.assertEqual(result["kernels"], machine["isa"])
                self.assertGreaterEqual(result["batch"], 1)
                self.assertGreaterEqual(result["tokens"], 1)
                self.assertGreater(result["tokens_per_s"], 0)
                self.assertGreater(result["peak_rss_bytes"], 1 << 20)
                self.assertGreater(result["peak_fraction"], 0)

    def test_one_part_and_one_thread_can_be_asked_for(self):
        report = self.json_of("bench", "--quick", "--json", "--only", "train", "--threads", "1")
        self.assertEqual(report["machine"]["threads"], 1)
        self.assertEqual([r["what"] for r in report["results"]], ["train"])

    def test_parts_and_dtypes_can_be_listed_with_commas_or_again_and_again(self):
        report = self.json_of("bench", "--quick", "--json", "--only", "prompt,train", "--only", "train_hybrid,lora", "--dtype", "fp32,int8",
                              "--dtype", "int4")
        self.assertEqual([(r["what"], r["dtype"]) for r in report["results"]],
                         [("prompt", "fp32"), ("prompt", "int8"), ("prompt", "int4"), ("train", "fp32"), ("train_hybrid", "fp32"), ("lora", "fp32"), ("lora", "int8"), ("lora", "int4")])

    def test_products_are_measured_per_instruction_set(self):
        results = self.json_of("bench", "--quick", "--json", "--only", "product")["results"]
        self.assertEqual({r["dtype"] for r in results}, {"fp32", "bf16", "int8", "int4"})
        for result in results:
            self.assertIn(result["kernels"], ["scalar", "avx2", "avx512", "amx", "onednn"])
            self.assertEqual(result["peak"], "reads" if result["tokens"] == 1 else "products")
        text = self.succeeds("bench", "--quick", "--only", "product", "--dtype", "fp32")
        self.assertIn("oneDNN", text)
        self.assertIn("tiny 16x64x128", text)

    def test_what_cannot_be_measured_is_refused_before_work_begins(self):
        self.fails(2, ["--dtype", "fp8", "bf16"], "bench", "--dtype", "fp8")
        self.fails(2, ["--only", "brew"], "bench", "--only", "brew")
        self.fails(2, "training", "bench", "--only", "train", "--dtype", "int8")
        self.fails(3, "no/such", "bench", "--save", "/no/such/folder/file.json")
        self.fails(3, "no/such", "bench", "--compare", "/no/such/file.json")

    def test_a_run_is_compared_with_a_saved_one(self):
        measure = ["bench", "--quick", "--only", "prompt", "--dtype", "fp32"]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder)
            saved = path / "saved.json"
            self.assertIn("measured peaks", self.succeeds(*measure, "--save", saved))
            result = json.loads(saved.read_text(encoding="utf-8"))
            self.assertEqual(result, self.json_of("bench", "--saved", saved, "--json"))

            def baseline(times):
                changed = json.loads(json.dumps(result))
                changed["results"][0]["peak_fraction"] *= times
                return program.write(path / "baseline.json", json.dumps(changed))

            # Shares move by themselves: a baseline far below, and one far above.
            compared = self.json_of(*measure, "--json", "--compare", baseline(0.01))
            self.assertGreater(compared["results"][0]["share_ratio"], 1)
            self.assertEqual(compared["regressions"], [])
            done = program.alambic(*measure, "--compare", baseline(100))
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("regression", done.stdout)
            self.assertEqual(len(done.stderr.splitlines()), 1)
            self.assertIn("prompt tiny fp32", done.stderr)
            # Two saved files: the same figures have the ratio 1.
            text = self.succeeds("bench", "--saved", saved, "--compare", saved)
            self.assertIn("1.00 x", text)
            self.assertNotIn("regression", text)

            self.fails(2, "none of these", "bench", "--quick", "--only", "train", "--compare", saved)
            self.fails(2, "--saved", "bench", "--quick", "--saved", saved)
            self.fails(4, "bad.json", *measure, "--compare", program.write(path / "bad.json", "{ no"))
            self.fails(4, ["bad.json", "machine"], *measure, "--compare",
                       program.write(path / "bad.json", '{"date": "", "version": ""}'))
            self.fails(4, "bad.json", "bench", "--saved", program.write(path / "bad.json", "[]"))

    def test_people_get_a_table_with_the_peak_beside_each_line(self):
        text = self.succeeds("bench", "--quick", "--only", "prompt", "--only", "generate", "--dtype", "bf16")
        self.assertIn("measured peaks", text)
        self.assertEqual(sum(" % " in line for line in text.splitlines()), 2)


if __name__ == "__main__":
    program.main()
