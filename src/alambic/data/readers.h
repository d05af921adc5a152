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
// nothing else, and the prompt of a row that has only a completion beside it. Numbers and booleans
// are taken as they are written. A key that occurs twice is an error.
std::vector<Example> parse_jsonl(std::string_view text, std::string_view where,
                                 const FieldNames& names = {});
std::vector<Example> read_jsonl(const std::string& path, const FieldNames& names = {});

// A JSON list of strings or of the objects that read_jsonl takes.
std::vector<Example> read_text_json(const std::string& path, const FieldNames& names = {});

// A header row, then rows with as many fields. Without names: `messages` or `conversations` holds
// turns as JSON (beside `tools`, `system`); else the usual ones of parse_jsonl, else the first
// column is the prompt and the second the completion.
std::vector<Example> parse_csv(std::string_view text, std::string_view where,
                               const std::string& prompt_column,
                               const std::string& completion_column);
std::vector<Example> read_csv(const std::string& path, const std::string& prompt_column,
                              const std::string& completion_column);

// Two files whose lines belong together. Pairs with an empty side are left out.
std::vector<Example> read_parallel(const std::string& source_path, const std::string& target_path);

// Utterances with slots: PREFIX.seq.in, PREFIX.seq.out (B-/I-/O tags) and PREFIX.label. The
// completion is
// {"intent":"PlayMusic","slots":{"artist":"westbam"}}, slots in order of appearance, a repeated
// slot as a list.
std::vector<Example> read_snips(const std::string& prefix);

// Every line that is not blank is one completion without a prompt.
std::vector<Example> read_text_lines(const std::string& path);

struct DataSource {
  // "auto" or "jsonl", "json", "csv", "parallel", "snips", "text". Auto: parallel if there is a
  // target, snips if PATH.seq.in exists, else by the extension (less .gz): .jsonl .ndjson .json
  // .csv .txt. Or the form that each JSON row must have: "alpaca", "sharegpt", "messages", "pairs",
  // in a file that its extension describes.
  std::string format = "auto";
  std::string path;
  std::string target_path;  // parallel only
  std::string prompt_field, completion_field;
  int64_t limit = 0;  // the first so many examples; 0 for all
};

// The one entry for recipes and commands. A source without a single example is an error.
std::vector<Example> read_examples(const DataSource& source);

// Rows with `id`, `prompt` and `completion`, atomically.
void write_jsonl(const std::string& path, std::span<const Example> examples);

}  // namespace alambic
