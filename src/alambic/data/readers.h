// Reads training and evaluation data in the forms that people have it in.
//
// Thread safety: plain functions.
// Errors: kNotFound, kIo, kInvalidArgument for a wish that cannot be met (an unknown format or
// column) and kCorruptData, naming file and line, for a file that breaks its form. Files may be
// gzip.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/data/example.h"
#include "alambic/data/left_out.h"

namespace alambic {

// What the rows of instruction data look like. Any: each row tells by its fields.
enum class RowForm { kAny, kAlpaca, kShareGpt, kMessages, kPairs };

// Which fields or columns hold the example. Empty: the usual names, see parse_jsonl and parse_csv.
struct FieldNames {
  std::string prompt, completion;
  RowForm form = RowForm::kAny;
};

// One JSON object (or string) per line. A row with `messages` or `conversations` is a conversation,
// see conversation.h; one with `instances` is a task of self-instruct, an example for each. Else by
// usual names: the prompt is `prompt`, `instruction` (with `input` below it) or `question`; the
// completion is `completion`, `reference`, `answer`, `label`, `output` or `response`, less an
// <|endoftext|> spelled out at its end. `text` or `story` is the completion of a row that has
// nothing else, and the prompt of a row that has only a completion beside it. Empty, null and
// absent fields are alike. Numbers and booleans are taken as they are written. A key that occurs
// twice is an error.
//
// A row without a completion is a prompt: its completion is "". A completion without a prompt is a
// text of its own where no row of the file has a prompt, and left out (empty prompt) beside rows
// that have one; so is a row with neither (no answer).
std::vector<Example> parse_jsonl(std::string_view text, std::string_view where,
                                 const FieldNames& names = {});
std::vector<Example> read_jsonl(const std::string& path, const FieldNames& names = {});

// A header row, then rows with as many fields, separated as the header is: by commas, semicolons,
// tabs or bars. Without names: `messages` or `conversations` holds turns as JSON (beside `tools`,
// `system`); else the usual ones of parse_jsonl, else, of two columns beside numbers of rows, the
// first is the prompt and the second the completion, unless another name says that it is. Of more
// columns the names must be told.
std::vector<Example> parse_csv(std::string_view text, std::string_view where,
                               const std::string& prompt_column,
                               const std::string& completion_column);

struct DataSource {
  // "auto" or "jsonl", "json" (a list of strings or of the objects that read_jsonl takes), "csv",
  // "tsv", "parallel" (two files whose lines belong together), "snips", "text" (every line that is
  // not blank is a text). Snips are utterances with slots: PREFIX.seq.in, PREFIX.seq.out (B-/I-/O
  // tags) and PREFIX.label; the completion is
  // {"intent":"PlayMusic","slots":{"artist":"westbam"}}, slots in order of appearance, a repeated
  // slot as a list. Auto: parallel if there is a target, snips if PATH.seq.in exists, else by the
  // extension (less .gz): .jsonl .ndjson .json .csv .tsv .txt. Or the form that each JSON row must
  // have: "alpaca", "sharegpt", "messages", "pairs", in a file that its extension describes.
  std::string format = "auto";
  std::string path;
  std::string target_path;  // parallel only
  std::string prompt_field, completion_field;
  int64_t limit = 0;               // the first so many examples; 0 for all
  std::string encoding = "utf-8";  // of all its files, see text_encoding.h
  // Answers are not asked for: a file whose answers seem to stand in a field of another name is no
  // error.
  bool prompts_only = false;
};

// The one entry for recipes and commands. A source without a single example is an error, and so is
// one without answers (or prompts) where a field seems to hold them under a name that is not known:
// the error says what to set. Rows that are left out are added to `left_out`.
std::vector<Example> read_examples(const DataSource& source,
                                   std::vector<LeftOut>* left_out = nullptr);

// Rows with `id`, `prompt` and `completion`, or `text` where there is no prompt; atomically.
void write_jsonl(const std::string& path, std::span<const Example> examples);

}  // namespace alambic
