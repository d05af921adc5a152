"""The command line itself: help, version, and one clear line for what cannot be carried out."""

import program  # first: it skips where the interpreter lacks what the others need
import pathlib
import subprocess
import tempfile

from program import Dialogue, alambic, write

VERBS = ["generate", "eval", "teach", "train", "distill", "quantize", "bench", "inspect"]


class Help(Dialogue):
    def test_every_verb_explains_itself_with_an_example(self):
        for verb in VERBS:
            with self.subTest(verb):
                text = self.succeeds(verb, "--help")
                self.assertIn("Example", text)
                self.assertIn("alambic " + verb, text)

    def test_the_program_lists_its_verbs(self):
        text = self.succeeds("--help")
        for verb in VERBS:
            self.assertIn(verb, text)

    def test_no_verb_is_answered_with_help_and_a_status(self):
        done = alambic()
        self.assertEqual(done.returncode, 2)
        self.assertIn("generate", done.stderr)

    def test_version_names_the_instruction_set_and_the_compiler(self):
        text = self.succeeds("--version")
        self.assertRegex(text, r"^alambic \d+\.\d+\.\d+\n")
        self.assertIn("instruction set: ", text)
        self.assertIn("compiler: ", text)

    def test_a_forced_instruction_set_is_used_or_refused(self):
        self.assertIn("instruction set: scalar", self.succeeds("--version", env={"ALAMBIC_ISA": "scalar"}))
        self.fails(2, ["ALAMBIC_ISA", "sse9"], "--version", env={"ALAMBIC_ISA": "sse9"})


class Refusals(Dialogue):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def test_an_unknown_verb_is_named(self):
        self.fails(2, ["brew", "generate"], "brew")

    def test_an_unknown_option_is_named(self):
        self.fails(2, "--colour", "generate", "--colour")

    def test_a_missing_argument_is_named(self):
        self.fails(2, "model", "generate", "--prompt", "x")

    def test_a_prompt_and_a_file_of_prompts_exclude_each_other(self):
        self.fails(2, "--prompt", "generate", "m", "--prompt", "x", "--prompts", "y")

    def test_a_value_that_is_no_number_is_named(self):
        self.fails(2, "--max-tokens", "generate", "m", "--prompt", "x", "--max-tokens", "many")

    def test_no_threads_are_refused(self):
        self.fails(2, "--threads", "inspect", "m", "--threads", "0")

    def test_a_missing_model_is_named(self):
        for command in (["generate", "no/model", "--prompt", "x"], ["bench", "no/model"], ["inspect", "no/model"]):
            self.fails(3, "no/model", *command)

    def test_a_missing_recipe_is_named(self):
        self.fails(3, "no.toml", "distill", "no.toml")

    def test_distilling_nothing_says_what_is_wanted(self):
        self.fails(2, "RECIPE.toml", "distill")

    def test_an_unknown_recipe_key_is_named_with_a_suggestion(self):
        recipe = write(self.path / "r.toml", "[student]\ndims = 8\n")
        self.fails(2, ["student.dims", "r.toml"], "distill", recipe)

    def test_a_recipe_value_of_the_wrong_type_is_named(self):
        recipe = write(self.path / "r.toml", "[student]\ndim = \"wide\"\n")
        self.fails(2, ["student.dim", "string"], "distill", recipe)

    def test_a_recipe_that_is_no_toml_names_the_line(self):
        recipe = write(self.path / "r.toml", "task = \"exact\"\n[student\n")
        self.fails(2, "r.toml:2", "distill", recipe)

    def test_a_setting_overrides_a_recipe_and_is_checked(self):
        self.assertIn("dim = 24", self.succeeds("distill", "--print-recipe", "--set", "student.dim=24"))
        self.fails(2, "student.width", "distill", "--print-recipe", "--set", "student.width=24")

    def test_the_printed_recipe_is_a_recipe(self):
        text = self.succeeds("distill", "--print-recipe")
        recipe = write(self.path / "r.toml", text)
        self.assertEqual(self.succeeds("distill", "--print-recipe", recipe), text)

    def test_a_name_that_leaves_the_run_folder_is_refused(self):
        recipe = write(self.path / "r.toml", "name = \"../elsewhere\"\n")
        self.fails(2, "../elsewhere", "distill", recipe)

    def test_a_full_disk_under_standard_output_is_one_line(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([program.PROGRAM, "--version"], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
        self.assertEqual(done.returncode, 5)
        self.assertIn("standard output", done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1)

    def test_a_reader_that_leaves_early_is_no_crash(self):
        with subprocess.Popen([program.PROGRAM, "distill", "--print-recipe"], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as child:
            child.stdout.close()
            self.assertEqual(child.wait(60), 0)
            self.assertEqual(child.stderr.read(), b"")


if __name__ == "__main__":
    program.main()
