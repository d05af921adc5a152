"""Files as people have them: encodings, separators, padding, and names that are nearly known."""

import program  # first: it skips where the interpreter lacks what the others need
import gzip
import json
import pathlib
import tempfile

from program import Dialogue, alambic, write
from rows import RECIPE, good, lines


class Files(Dialogue):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = pathlib.Path(folder.name)
        self.test = write(self.path / "test.jsonl", lines(good(4, "Weigh")))

    def train(self, name, content, *more):
        path = self.path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        recipe = write(self.path / "r.toml",
                       RECIPE.replace("TRAIN", str(path)).replace("TEST", str(self.test)))
        return alambic("--threads", 1, "train", recipe, "--out", self.path / "m", "--overwrite",
                       "--json", *more)

    def learns(self, rows, *arguments):
        done = self.train(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout)["data"]["train"], rows)

    def refuses(self, mentions, *arguments):
        done = self.train(*arguments)
        self.assertNotEqual(done.returncode, 0, arguments)
        for mention in mentions:
            self.assertIn(mention, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)

    def test_encodings_have_names_and_are_recognised(self):
        table = "prompt,completion\nÜber allem,Ruhe\nPréface,“so”\nÀ bientôt,fin\n".encode("cp1252")
        self.refuses(["t.csv:2]", 'set data.encoding = "windows-1252"'], "t.csv", table)
        self.learns(3, "t.csv", table, "--set", "data.encoding=windows-1252")
        self.learns(6, "t.jsonl", b"\xef\xbb\xbf" + lines(good(6)).encode())
        wide = lines(good(6)).encode("utf-16")
        self.refuses(['set data.encoding = "utf-16"'], "t.jsonl", wide)
        self.refuses(["ebcdic", "latin-1"], "t.jsonl", wide, "--set", "data.encoding=ebcdic")
        self.test.write_bytes(lines(good(4, "Weigh")).encode("utf-16"))
        self.learns(6, "t.jsonl", wide, "--set", "data.encoding=utf-16")

    def test_byte_orders_are_told_apart(self):
        wide = lines(good(6)).encode("utf-16-be")
        self.refuses(['"utf-16be"'], "t.jsonl", wide, "--set", "data.encoding=utf-16")
        self.refuses(['"utf-16be"'], "t.jsonl", wide, "--set", "data.encoding=utf-16le")

    def test_lines_may_end_on_carriage_returns(self):
        self.learns(6, "t.jsonl", lines(good(6)).replace("\n", "\r"))
        self.learns(2, "t.csv", "prompt,completion\rone,two\rthree,four\r")

    def test_of_more_than_two_unknown_columns_none_is_guessed(self):
        self.learns(2, "t.csv", "texte,avis\nBon accueil,oui\nTrop cher,non\n")
        self.refuses(["texte, avis, canal", "set data.prompt_field"], "t.csv",
                     "texte,avis,canal\nBon accueil,oui,web\nTrop cher,non,web\n")

    def test_two_columns_of_one_name_are_refused(self):
        self.refuses(["t.csv:1]", '"prompt"'], "t.csv", "prompt,completion,prompt\na,b,c\n")

    def test_tables_may_be_separated_as_spreadsheets_do(self):
        for name, mark in [("t.csv", ";"), ("t.csv", "\t"), ("t.csv", "|"), ("t.tsv", "\t")]:
            rows = "".join(f'"Say {n}, please"{mark}{n}\r\n' for n in range(5))
            self.learns(5, name, f"prompt{mark}completion\r\n" + rows)
        self.refuses(["t.csv:3]", "fields"], "t.csv", "prompt;completion\na;b\nc;d;e\n")

    def test_padded_and_joined_gzip_files_are_read_whole(self):
        one, two = (gzip.compress(lines(rows).encode()) for rows in (good(3), good(4, "Sort")))
        self.learns(7, "t.jsonl.gz", one + two + bytes(700))
        self.refuses(["t.jsonl.gz", "damaged"], "t.jsonl.gz", one + b"leftover")

    def test_names_that_are_nearly_known_are_suggested(self):
        for key in ("target", "Completion", "compeltion", "answer_text"):
            rows = lines({"prompt": f"Say {n}", key: str(n)} for n in range(5))
            self.refuses(["t.jsonl:1]", f'found "{key}"', f'data.completion_field = "{key}"'],
                         "t.jsonl", rows)
        write(self.test, lines([{"prompt": "Sing", "answer_text": "la"}]))
        self.learns(5, "t.jsonl", rows, "--set", "data.completion_field=answer_text")
        rows = lines({"promt": f"Say {n}", "completion": str(n)} for n in range(5))
        self.refuses(['data.prompt_field = "promt"'], "t.jsonl", rows)

    def test_broken_lines_are_named_once(self):
        head = lines(good(2))
        for line, mention in [('{"prompt": "half \\ud83d"}', "surrogate"), ("[" * 5000, "deep"),
                              ('{"prompt": "p" "completion": "c"}', "not valid JSON"),
                              ('{"prompt": "a", "prompt": "b"}', "occurs twice")]:
            self.refuses(["t.jsonl:3", mention], "t.jsonl", head + line + "\n")
        self.refuses(["t.jsonl:1]", "several lines"], "t.jsonl", json.dumps(good(3), indent=1))
        self.learns(5, "t.jsonl", "\ufeff" + lines(good(5)).replace("\n", "\r\n\r\n"))

    def test_digits_and_order_go_through(self):
        tools = ('[{"type":"function","function":{"name":"f","z":1,'
                 '"a":{"limit":123456789012345678901}}}]')
        turns = '[{"role":"user","content":"u"},{"role":"assistant","content":"a"}]'
        write(self.test, '{"id":12345678901234567890123,"messages":%s,"tools":%s}\n' %
              (turns, tools))
        self.learns(5, "t.jsonl", lines(good(5)))
        held = (self.path / "m" / "held_out.jsonl").read_text()
        self.assertIn('"12345678901234567890123"', held)
        self.assertIn(tools, held)


if __name__ == "__main__":
    program.main()
