#include "alambic/cli/data_options.h"

#include "alambic/cli/output.h"
#include "alambic/data/data_report.h"

namespace alambic {

void add_data_options(CLI::App& verb, DataSource& source) {
  verb.add_option("--data", source.path,
                  "File of examples: .jsonl, .json, .csv, .tsv, .txt, a parallel or SNIPS text")
      ->required()
      ->type_name("FILE");
  verb.add_option("--target", source.target_path, "The other side of parallel text")
      ->type_name("FILE");
  verb.add_option("--format", source.format, "Form of the data")
      ->check(CLI::IsMember({"auto", "jsonl", "json", "csv", "tsv", "parallel", "snips", "text",
                             "alpaca", "sharegpt", "messages", "pairs"}))
      ->capture_default_str();
  verb.add_option("--encoding", source.encoding,
                  "Of the data: utf-8, latin-1, windows-1252, utf-16, utf-16le or utf-16be")
      ->capture_default_str();
  verb.add_option("--prompt-field", source.prompt_field,
                  "Field or column of the prompt; default: the usual names")
      ->type_name("NAME");
  verb.add_option("--completion-field", source.completion_field, "Field or column of the answer")
      ->type_name("NAME");
  verb.add_option("--limit", source.limit, "Use the first so many examples; 0: all")
      ->check(CLI::Range(0, 1 << 30))
      ->capture_default_str();
}

std::vector<Example> read_examples_aloud(const DataSource& source) {
  std::vector<LeftOut> left_out;
  std::vector<Example> examples = read_examples(source, &left_out);
  LeftOutCounts counts;
  counts.add(left_out);
  for (const std::string& line : counts.in_words()) print_remark("left out: " + line);
  return examples;
}

}  // namespace alambic
