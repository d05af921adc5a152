"""alambic bench --quick: every figure is there, is a number, and is of its own run."""

import program  # first: it skips where the interpreter lacks what the others need
import json

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
        self.assertEqual({r["what"] for r in results}, {"prompt", "generate", "train", "train_hybrid", "product"})
        for result in results:
            with self.subTest(json.dumps(result)):
                self.assertTrue(result["shape"].startswith("tiny"))
                self.assertIn(result["dtype"], ["bf16", "fp32"])
                self.assertGreaterEqual(result["batch"], 1)
                self.assertGreaterEqual(result["tokens"], 1)
                self.assertGreater(result["tokens_per_s"], 0)
                self.assertGreater(result["peak_rss_bytes"], 1 << 20)
                self.assertGreater(result["peak_fraction"], 0)

    def test_one_part_and_one_thread_can_be_asked_for(self):
        report = self.json_of("bench", "--quick", "--json", "--only", "train", "--threads", "1")
        self.assertEqual(report["machine"]["threads"], 1)
        self.assertEqual([r["what"] for r in report["results"]], ["train"])

    def test_quantised_weights_are_measured_where_they_serve(self):
        for weights in ("int8", "int4"):
            report = self.json_of("bench", "--quick", "--json", "--weights", weights)
            self.assertEqual({(r["what"], r["dtype"]) for r in report["results"]},
                             {("prompt", weights), ("generate", weights)})

    def test_people_get_a_table_with_the_peak_beside_each_line(self):
        text = self.succeeds("bench", "--quick", "--only", "prompt", "--only", "generate")
        self.assertIn("measured peaks", text)
        self.assertEqual(sum(" % " in line for line in text.splitlines()), 2)


if __name__ == "__main__":
    program.main()
