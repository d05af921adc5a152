#include "alambic/cli/data_options.h"

namespace alambic {

void add_data_options(CLI::App& verb, DataSource& source) {
  verb.add_option("--data", source.path,
                  "File of examples: .jsonl, .json, .csv, .txt, a parallel or SNIPS text")
      ->required()
      ->type_name("FILE");
  verb.add_option("--target", source.target_path, "The other side of parallel text")
      ->type_name("FILE");
  verb.add_option("--format", source.format, "Form of the data")
      ->check(CLI::IsMember({"auto", "jsonl", "json", "csv", "parallel", "snips", "text", "alpaca",
                             "sharegpt", "messages", "pairs"}))
      ->capture_default_str();
  verb.add_option("--prompt-field", source.prompt_field,
                  "Field or column of the prompt; default: the usual names")
      ->type_name("NAME");
  verb.add_option("--completion-field", source.completion_field, "Field or column of the answer")
      ->type_name("NAME");
  verb.add_option("--limit", source.limit, "Use the first so many examples; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
}

}  // namespace alambic
