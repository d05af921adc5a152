// The data of a run and the vocabulary made for it.
#include <algorithm>
#include <iterator>
#include <set>

#include "alambic/base/file.h"
#include "alambic/data/readers.h"
#include "alambic/data/split.h"
#include "alambic/data/support_mail.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/run.h"
#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

constexpr int kPuzzles = 20000;      // training puzzles where the recipe sets no limit
constexpr int kSupportMails = 4000;  // training mails where the recipe sets no limit

// `paths`: one, or several with commas between.
std::vector<Example> read(const DataRecipe& data, const std::string& paths,
                          const std::string& target) {
  std::vector<Example> all;
  for (size_t begin = 0; begin <= paths.size();) {
    const size_t end =
        file_exists(paths) ? paths.size() : std::min(paths.find(',', begin), paths.size());
    std::string path = paths.substr(begin, end - begin);
    path.erase(0, path.find_first_not_of(' '));
    std::vector<Example> some = read_examples({.format = data.format,
                                               .path = path,
                                               .target_path = target,
                                               .prompt_field = data.prompt_field,
                                               .completion_field = data.completion_field});
    all.insert(all.end(), std::make_move_iterator(some.begin()),
               std::make_move_iterator(some.end()));
    begin = end + 1;
  }
  return all;
}

void truncate(std::vector<Example>& examples, int limit) {
  if (limit > 0 && examples.size() > static_cast<size_t>(limit))
    examples.resize(static_cast<size_t>(limit));
}

// Rows of `examples` whose prompt (or, without one, whose text) does not occur in `seen`.
std::vector<Example> unseen(std::vector<Example> examples, const std::vector<Example>& seen) {
  const auto key = [](const Example& e) -> const std::string& {
    return e.prompt.empty() ? e.completion : e.prompt;
  };
  std::set<std::string_view> known;
  for (const Example& e : seen) known.insert(key(e));
  std::erase_if(examples, [&](const Example& e) { return known.contains(key(e)); });
  return examples;
}

}  // namespace

RunData load_run_data(const Recipe& recipe) {
  const DataRecipe& d = recipe.data;
  RunData data;
  if (d.source == "support-mail") {
    Splits splits = support_mail_splits(d.limit > 0 ? d.limit : kSupportMails, d.validation,
                                        d.test_limit, d.seed);
    data = {std::move(splits.train), std::move(splits.validation), std::move(splits.test), {}};
  } else if (is_puzzle_source(d.source)) {
    Splits splits = puzzle_splits(d.source, d.puzzle, d.limit > 0 ? d.limit : kPuzzles,
                                  d.validation, d.test_limit, d.seed);
    data = {std::move(splits.train), std::move(splits.validation), std::move(splits.test), {}};
  } else {
    std::vector<Example> all = remove_duplicates(read(d, d.train, d.train_target));
    const auto size = static_cast<double>(all.size());
    SplitOptions split{.validation = std::min(0.2, d.validation / size), .test = 0, .seed = d.seed};
    if (d.test.empty()) split.test = std::min(0.3, d.test_limit / size);
    Splits splits = split_by_prompt(std::move(all), split);
    data = {std::move(splits.train), std::move(splits.validation), std::move(splits.test), {}};
    if (!d.test.empty()) {
      data.test = read(d, d.test, d.test_target);
      data.train = unseen(std::move(data.train), data.test);
    }
    truncate(data.train, d.limit);
    truncate(data.test, d.test_limit);
    truncate(data.validation, d.validation);
  }
  if (!d.prompts.empty()) data.prompts = read_examples({.path = d.prompts});
  for (Example& e : data.prompts) {
    // A row that holds only text is a prompt here.
    if (e.prompt.empty()) std::swap(e.prompt, e.completion);
  }
  if (data.train.empty() || data.test.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[data] {} training and {} test examples; a run needs some of both", data.train.size(),
         data.test.size());
  }
  return data;
}

Tokenizer train_run_tokenizer(const Recipe& recipe, const RunData& data) {
  std::vector<std::string> texts;
  for (const Example& e : data.train) {
    texts.push_back(e.prompt);
    texts.push_back(e.completion);
  }
  BpeTrainOptions options;
  options.vocab_size = recipe.vocabulary;
  options.special_tokens = {kEndToken, kAnswerToken, kMaskToken};
  return train_bpe(texts, options);
}

}  // namespace alambic
