"""Checkpoints whose settings and tensors do not say the same: what wins is said."""

import program  # first: it skips where the interpreter lacks what the others need
import json
import pathlib
import tempfile

import tiny_models
from program import Dialogue


class Checkpoints(Dialogue):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)

    def written(self, model):
        """Ids and what is said on standard error."""
        done = program.alambic(
            "generate", model, "--prompt", "Hello", "--max-tokens", 6, "--json", "--threads", 1
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)["tokens"], done.stderr

    def refused(self, mentions, model):
        for verb in (["generate", model, "--prompt", "x"], ["inspect", model]):
            done = program.alambic(*verb)
            self.assertNotEqual(done.returncode, 0, verb)
            for mention in mentions:
                self.assertIn(mention, done.stderr)

    def model(self, name, **settings):
        return tiny_models.write_model(self.path / name, **settings)


class Heads(Checkpoints):
    def test_a_head_of_its_own_wins_over_the_flag_and_is_exported_so(self):
        right, _ = self.written(self.model("untied"))
        tied = self.model("tied", tie_word_embeddings=True)
        shards = tiny_models.write_shards(self.path / "shards", tie_word_embeddings=True)
        for model in (tied, shards):
            tokens, said = self.written(model)
            self.assertEqual(tokens, right)
            self.assertEqual(said.count("lm_head.weight"), 1, said)
            self.assertTrue(
                any(
                    "lm_head" in line
                    for line in self.json_of("inspect", model, "--json")["unusual"]
                )
            )
        self.succeeds("export", tied, "--to", "hf", "--type", "f32", self.path / "hf")
        self.assertIn(
            "lm_head.weight", tiny_models.read_header(self.path / "hf" / "model.safetensors")
        )
        self.assertIs(
            json.loads((self.path / "hf" / "config.json").read_text())["tie_word_embeddings"], False
        )
        self.succeeds("export", tied, "--to", "gguf", "--type", "f32", self.path / "m.gguf")
        self.succeeds(
            "quantize", tied, "--weights", "int8", "--out", self.path / "int8", "--threads", 1
        )
        self.assertIs(
            json.loads((self.path / "int8" / "config.json").read_text())["tie_word_embeddings"],
            False,
        )
        for copy in ("hf", "m.gguf"):
            tokens, said = self.written(self.path / copy)
            self.assertEqual((tokens, said), (right, ""))

    def test_a_head_that_nobody_stored_is_not_made_up(self):
        tensors = tiny_models.weights(tiny_models.config(), head=False)
        tiny_models.write_model(self.path / "m", tensors)
        self.fails(
            4,
            ["lm_head.weight", "tie_word_embeddings"],
            "generate",
            self.path / "m",
            "--prompt",
            "x",
        )
        tiny_models.write_model(self.path / "m", tensors, tie_word_embeddings=True)
        self.assertEqual(self.written(self.path / "m")[1], "")


class Rotary(Checkpoints):
    def test_settings_are_read_where_newer_files_have_them_and_exported(self):
        scaled = {"rope_type": "linear", "rope_theta": 750000.0, "factor": 2.0}
        for name, parameters in (
            ("flat", scaled),
            ("kinds", {"full_attention": scaled, "sliding_attention": scaled}),
        ):
            model = self.model(name, rope_parameters=parameters)
            self.assertEqual(
                self.json_of("inspect", model, "--json")["model"]["rope_theta"], 750000
            )
            self.succeeds(
                "export", model, "--to", "hf", "--type", "f32", self.path / (name + "-hf")
            )
            back = json.loads((self.path / (name + "-hf") / "config.json").read_text())
            self.assertEqual(back["rope_theta"], 750000)
            self.assertEqual(back["rope_scaling"]["factor"], 2)

    def test_what_is_not_understood_is_refused_by_name(self):
        low, high = {"rope_type": "default", "rope_theta": 10000.0}, {
            "rope_type": "default",
            "rope_theta": 1e6,
        }
        for i, (settings, mentions) in enumerate(
            (
                (
                    {"rope_parameters": {"full_attention": high, "sliding_attention": low}},
                    ["sliding_attention"],
                ),
                ({"rope_parameters": {"full_attention": {"rope_type": "whirl"}}}, ["whirl"]),
                ({"rope_parameters": {"rope_type": "whirl", "rope_theta": 1e6}}, ["whirl"]),
                ({"rope_scaling": {"type": "linear", "factor": 2.0, "wobble": 3}}, ["wobble"]),
            )
        ):
            self.refused(mentions, self.model(f"m{i}", **settings))

    def test_numbers_that_are_none_matter_only_where_they_are_used(self):
        model = self.model("m", time_limits=[0.0, float("inf")], note=float("nan"))
        self.assertIn("Infinity", (model / "config.json").read_text())
        self.written(model)
        self.refused(["rope_theta"], self.model("theta", rope_theta=float("inf")))
        self.refused(["rms_norm_eps"], self.model("eps", rms_norm_eps=float("nan")))


class Windows(Checkpoints):
    def test_they_are_exported_with_the_whole_context(self):
        model = self.model("m", model_type="mistral", sliding_window=16)
        out = self.path / "m.gguf"
        done = program.alambic("export", model, "--to", "gguf", "--type", "f32", out)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("16 positions", done.stderr)
        back = self.json_of("inspect", out, "--json")
        self.assertEqual(back["model"]["positions"], 128)
        self.assertTrue(any("window of 16" in line for line in back["unusual"]), back["unusual"])

    def test_lists_of_layers_must_fit(self):
        full, slides = "full_attention", "sliding_attention"
        qwen = {
            "model_type": "qwen3",
            "head_dim": 4,
            "use_sliding_window": True,
            "sliding_window": 16,
        }
        self.refused(
            ["layer_types", "3", "2"], self.model("long", **qwen, layer_types=[full, full, slides])
        )
        self.refused(
            ["spiral"], self.model("other", **qwen, layer_types=[full, "spiral_attention"])
        )


class Tensors(Checkpoints):
    def with_extra(self, name, *extra, **settings):
        settings = tiny_models.config(**settings)
        tensors = tiny_models.weights(settings)
        for tensor in extra:
            tensors[tensor] = tiny_models.floats(tensor, settings["hidden_size"])
        return tiny_models.write_model(self.path / name, tensors, **settings)

    def test_those_that_would_change_the_result_are_refused_by_name(self):
        for i, tensor in enumerate(
            (
                "model.layers.1.self_attn.q_proj.bias",
                "model.layers.0.self_attn.q_norm.weight",
                "model.layers.2.input_layernorm.weight",
            )
        ):
            self.refused([tensor], self.with_extra(f"m{i}", tensor))

    def test_others_are_named_and_old_buffers_are_not(self):
        right, _ = self.written(self.model("plain"))
        tokens, said = self.written(
            self.with_extra(
                "more",
                "score.weight",
                "value_head.bias",
                "model.layers.0.self_attn.rotary_emb.inv_freq",
            )
        )
        self.assertEqual(tokens, right)
        self.assertIn("2 tensors", said)
        self.assertIn("score.weight", said)
        self.assertEqual(
            self.written(self.with_extra("old", "model.layers.0.self_attn.rotary_emb.inv_freq"))[1],
            "",
        )

    def test_one_file_beside_an_index_of_others_is_used_and_that_is_said(self):
        model = self.model("m")
        (model / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": {"model.norm.weight": "other-00001-of-00001.safetensors"}})
        )
        self.assertIn("other-00001-of-00001.safetensors", self.written(model)[1])
        (model / "model.safetensors").unlink()
        self.refused(["other-00001-of-00001.safetensors"], model)


if __name__ == "__main__":
    program.main()
