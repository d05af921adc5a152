// The data of a run and the vocabulary made for it.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <iterator>
#include <limits>
#include <set>
#include <unordered_map>

#include "alambic/base/file.h"
#include "alambic/base/printable.h"
#include "alambic/base/say.h"
#include "alambic/data/readers.h"
#include "alambic/data/split.h"
#include "alambic/data/support_mail.h"
#include "alambic/data/trained_on.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/run.h"
#include "alambic/text/chat_template.h"
#include "alambic/text/train_bpe.h"

namespace alambic {
namespace {

constexpr int kPuzzles = 20000;      // training puzzles where the recipe sets no limit
constexpr int kSupportMails = 4000;  // training mails where the recipe sets no limit

// `paths`: one, or several with commas between.
std::vector<std::string> paths_in(const std::string& paths) {
  if (file_exists(paths)) return {paths};
  std::vector<std::string> all;
  for (size_t begin = 0; begin <= paths.size();) {
    const size_t end = std::min(paths.find(',', begin), paths.size());
    std::string path = paths.substr(begin, end - begin);
    path.erase(0, path.find_first_not_of(' '));
    all.push_back(std::move(path));
    begin = end + 1;
  }
  return all;
}

std::vector<Example> read(const DataRecipe& data, const std::string& paths,
                          const std::string& target, std::vector<LeftOut>& left_out) {
  std::vector<Example> all;
  for (const std::string& path : paths_in(paths)) {
    std::vector<Example> some = read_examples({.format = data.format,
                                               .path = path,
                                               .target_path = target,
                                               .prompt_field = data.prompt_field,
                                               .completion_field = data.completion_field,
                                               .encoding = data.encoding},
                                              &left_out);
    all.insert(all.end(), std::make_move_iterator(some.begin()),
               std::make_move_iterator(some.end()));
  }
  return all;
}

// What a row asks, to compare.
std::string asked(const Example& e) {
  return e.messages.is_null() ? e.prompt : dump_json(e.messages);
}

int64_t truncate(std::vector<Example>& examples, int limit) {
  if (limit <= 0 || examples.size() <= static_cast<size_t>(limit)) return 0;
  const auto beyond = static_cast<int64_t>(examples.size()) - limit;
  examples.resize(static_cast<size_t>(limit));
  return beyond;
}

// Takes the last `count` rows out of `rows`.
std::vector<Example> take_last(std::vector<Example>& rows, int count) {
  const auto first = rows.end() - count;
  std::vector<Example> last(std::make_move_iterator(first), std::make_move_iterator(rows.end()));
  rows.erase(first, rows.end());
  return last;
}

// Moves what `rows` holds beyond `limit` to `to`.
void give_back(std::vector<Example>& rows, int limit, std::vector<Example>& to) {
  const auto kept = std::min(rows.size(), static_cast<size_t>(std::max(0, limit)));
  const auto beyond = rows.begin() + static_cast<std::ptrdiff_t>(kept);
  to.insert(to.end(), std::make_move_iterator(beyond), std::make_move_iterator(rows.end()));
  rows.erase(beyond, rows.end());
}

// A large part of few rows, which their owner may want to learn from.
void say_held_out(const DataRecipe& d, const RunData& data) {
  constexpr double kMuch = 0.25;
  const size_t held_out = data.validation.size() + (d.test.empty() ? data.test.size() : 0);
  const size_t all = data.train.size() + held_out;
  if (static_cast<double>(held_out) <= kMuch * static_cast<double>(all)) return;
  say("note: of {} rows with answers {} are held out, to validate and to test; name data.test, or "
      "lower data.validation and data.test_limit, to learn from more\n",
      all, held_out);
}

// Texts without a question cannot be answered.
void check_asks(const Recipe& recipe, const RunData& data) {
  const auto asks = [](const Example& e) { return !e.prompt.empty() || !e.messages.is_null(); };
  if (recipe.task == "perplexity" || std::any_of(data.test.begin(), data.test.end(), asks)) return;
  fail(ErrorCode::kInvalidArgument,
       "[data] task = \"{}\" asks questions, and the test rows are texts without any; want rows of "
       "a prompt and a completion, or task = \"perplexity\"",
       recipe.task);
}

// Rows that nobody answers, taken out of `examples`.
std::vector<Example> take_unanswered(std::vector<Example>& examples) {
  const auto unanswered = std::stable_partition(
      examples.begin(), examples.end(), [](const Example& e) { return !e.completion.empty(); });
  std::vector<Example> prompts(std::make_move_iterator(unanswered),
                               std::make_move_iterator(examples.end()));
  examples.erase(unanswered, examples.end());
  return prompts;
}

void no_answers(const std::vector<Example>& rows, std::vector<LeftOut>& left_out) {
  for (const Example& row : rows) {
    left_out.push_back({LeftOut::Reason::kNoAnswer, place_of(row),
                        row.messages.is_null() ? "" : "no assistant turn"});
  }
}

RunData files_data(const DataRecipe& d, Unanswered unanswered) {
  RunData data;
  std::vector<LeftOut> left_out;
  std::vector<Example> all = read(d, d.train, d.train_target, left_out);
  data.report.read = static_cast<int64_t>(all.size() + left_out.size());
  all = remove_duplicates(std::move(all), left_out);
  std::vector<Example> prompts = take_unanswered(all);
  if (unanswered == Unanswered::kTeacherAnswers) {
    data.prompts = std::move(prompts);
  } else {
    no_answers(prompts, left_out);
  }
  const double size = std::max<double>(1, static_cast<double>(all.size()));
  SplitOptions split{.validation = std::min(0.2, d.validation / size), .test = 0, .seed = d.seed};
  if (d.test.empty()) split.test = std::min(0.3, d.test_limit / size);
  // A small share of a handful of rows may be none at all.
  constexpr size_t kHandful = 200;
  constexpr double kWider = 0.05, kWidest = 0.7;
  const std::vector<Example> few = all.size() < kHandful ? all : std::vector<Example>();
  Splits splits = split_by_prompt(std::move(all), split);
  while (splits.test.empty() && few.size() > 1 && split.test > 0 && split.test < kWidest) {
    split.test += kWider;
    splits = split_by_prompt(few, split);
  }
  // What a share holds beyond its limit is learned from.
  give_back(splits.validation, d.validation, splits.train);
  if (d.test.empty()) give_back(splits.test, d.test_limit, splits.train);
  data.train = std::move(splits.train);
  data.validation = std::move(splits.validation);
  data.test = std::move(splits.test);
  if (!d.test.empty()) {
    std::vector<LeftOut> unused;
    data.test = read(d, d.test, d.test_target, unused);
    no_answers(take_unanswered(data.test), unused);
    data.report.test_left_out.add(unused);
  }
  data.report.left_out.add(left_out);
  return data;
}

// Prompts of the recipe's own, once each, and none that the owner has answered already.
void add_prompts(const DataRecipe& d, RunData& data) {
  std::vector<LeftOut> left_out;
  std::vector<Example> more;
  for (const std::string& path : paths_in(d.prompts)) {
    std::vector<Example> some = read_examples({.path = path,
                                               .prompt_field = d.prompt_field,
                                               .encoding = d.encoding,
                                               .prompts_only = true},
                                              &left_out);
    more.insert(more.end(), std::make_move_iterator(some.begin()),
                std::make_move_iterator(some.end()));
  }
  data.report.read += static_cast<int64_t>(more.size() + left_out.size());
  int64_t answered = 0;
  for (Example& e : more) {
    // A row that holds only text is a prompt here.
    if (e.prompt.empty()) std::swap(e.prompt, e.completion);
    answered += e.completion.empty() ? 0 : 1;
  }
  if (answered > 0) {
    say("note: {} of the rows of data.prompts have answers, which are not used, since the teacher "
        "answers them; rows with answers belong in data.train\n",
        answered);
  }
  std::unordered_map<std::string, std::string> seen;  // where
  for (const std::vector<Example>* rows : {&data.train, &data.prompts}) {
    for (const Example& e : *rows) seen.try_emplace(asked(e), place_of(e));
  }
  std::erase_if(more, [&](const Example& e) {
    const auto [first, fresh] = seen.try_emplace(asked(e), place_of(e));
    if (!fresh)
      left_out.push_back({LeftOut::Reason::kDuplicate, place_of(e), "of " + first->second});
    return !fresh;
  });
  data.report.left_out.add(left_out);
  data.prompts.insert(data.prompts.end(), std::make_move_iterator(more.begin()),
                      std::make_move_iterator(more.end()));
}

// What the test or validation set asks is not learned from, neither as a row nor as a prompt.
void keep_apart(RunData& data) {
  std::vector<LeftOut> left_out;
  HeldOutPrompts test(data.test);
  test.take_out(data.train, left_out);
  test.take_out(data.prompts, left_out);
  test.take_out(data.validation, left_out);
  HeldOutPrompts validation(data.validation);
  validation.take_out(data.train, left_out);
  validation.take_out(data.prompts, left_out);
  data.report.left_out.add(left_out);
  data.report.in_test = test.found();
  data.report.in_validation = validation.found();
}

// The student's control and the test need rows with answers, whoever answers the prompts.
[[noreturn]] void fail_without_rows(const RunData& data) {
  std::string why;
  for (const std::string& line : data.report.left_out.in_words()) why += "; " + line;
  if (!data.prompts.empty()) {
    why += fmt::format(
        "; {} {} only a prompt: want rows with an answer, too, in data.train (the control learns "
        "from them, and the test compares with them); prompts alone go into data.prompts",
        counted(static_cast<long long>(data.prompts.size()), "row"),
        data.prompts.size() == 1 ? "is" : "are");
  }
  fail(ErrorCode::kInvalidArgument, "[data] nothing to learn from: rows read: {}{}",
       data.report.read, why);
}

// The rows of `examples` that are named, which it then holds no more.
std::vector<Example> take_out(std::vector<Example>& examples, std::span<const LeftOut> named) {
  std::set<std::string_view> places;
  for (const LeftOut& row : named) places.insert(row.where);
  const auto out =
      std::stable_partition(examples.begin(), examples.end(),
                            [&places](const Example& e) { return !places.contains(place_of(e)); });
  std::vector<Example> taken(std::make_move_iterator(out), std::make_move_iterator(examples.end()));
  examples.erase(out, examples.end());
  return taken;
}

void count(RunData& data) {
  data.report.train = static_cast<int64_t>(data.train.size());
  data.report.prompts = static_cast<int64_t>(data.prompts.size());
  data.report.teacher_rows = static_cast<int64_t>(data.teacher_rows.size());
  data.report.validation = static_cast<int64_t>(data.validation.size());
  data.report.test = static_cast<int64_t>(data.test.size());
}

}  // namespace

RunData load_run_data(const Recipe& recipe, Unanswered unanswered) {
  const DataRecipe& d = recipe.data;
  RunData data;
  const int labelled = d.limit > 0                  ? d.limit
                       : d.source == "support-mail" ? kSupportMails
                                                    : kPuzzles;
  // Labelled ones, those without labels and those of the teacher are one draw of different rows.
  const int64_t rows = int64_t{labelled} + d.unlabelled + recipe.teacher_rows;
  if (rows > std::numeric_limits<int>::max()) {
    fail(ErrorCode::kInvalidArgument,
         "[data] limit + unlabelled + teacher.rows = {}; want at most {}", rows,
         std::numeric_limits<int>::max());
  }
  const auto made = [&](Splits splits) {
    data.teacher_rows = take_last(splits.train, recipe.teacher_rows);
    data.prompts = take_last(splits.train, d.unlabelled);
    for (Example& prompt : data.prompts) prompt.completion.clear();
    data.train = std::move(splits.train);
    data.validation = std::move(splits.validation);
    data.test = std::move(splits.test);
    data.report.read = static_cast<int64_t>(data.train.size() + data.prompts.size());
  };
  const bool files = d.source == "files";
  if (d.source == "support-mail") {
    made(support_mail_splits(static_cast<int>(rows), d.validation, d.test_limit, d.seed));
  } else if (!files) {
    made(puzzle_splits(d.source, d.puzzle, static_cast<int>(rows), d.validation, d.test_limit,
                       d.seed));
  } else {
    data = files_data(d, unanswered);
  }
  if (!d.prompts.empty()) add_prompts(d, data);
  // What is generated never repeats itself by its own rules, though it is much alike.
  if (files) {
    keep_apart(data);
    data.report.beyond_limit = truncate(data.train, d.limit) + truncate(data.test, d.test_limit) +
                               truncate(data.validation, d.validation);
  }
  count(data);
  if (files) say_held_out(d, data);
  if (data.train.empty()) fail_without_rows(data);
  if (!data.test.empty()) check_asks(recipe, data);
  if (data.test.empty()) {
    std::string why;
    for (const std::string& line : data.report.test_left_out.in_words()) why += "; " + line;
    fail(ErrorCode::kInvalidArgument,
         "[data] {} training and 0 test examples; a run needs some of both{}", data.train.size(),
         why);
  }
  return data;
}

std::vector<Example> leave_out(RunData& data, std::span<const LeftOut> train,
                               std::span<const LeftOut> validation) {
  std::vector<Example> taken = take_out(data.train, train);
  take_out(data.validation, validation);
  data.report.left_out.add(train);
  data.report.left_out.add(validation);
  count(data);
  if (data.train.empty()) fail_without_rows(data);
  return taken;
}

void say_data(const RunData& data) {
  for (const std::string& line : in_words(data.report)) say("{}\n", line);
  std::fflush(stderr);
}

void note_training_data(const Recipe& recipe, const RunData& data, const std::string& directory) {
  std::vector<std::string> files;
  if (recipe.data.source == "files") files = paths_in(recipe.data.train);
  if (!recipe.data.prompts.empty()) files.push_back(recipe.data.prompts);
  std::vector<Example> learned = data.train;
  learned.insert(learned.end(), data.prompts.begin(), data.prompts.end());
  save_trained_on(directory, files, learned);
}

namespace {

// The marks <|so|> in a template, and Gemma's.
std::vector<std::string> marks_in(std::string_view text) {
  std::vector<std::string> marks;
  for (size_t at = text.find("<|"); at != std::string_view::npos; at = text.find("<|", at + 2)) {
    const size_t end = text.find_first_not_of("abcdefghijklmnopqrstuvwxyz_", at + 2);
    if (end == at + 2 || end == std::string_view::npos || !text.substr(end).starts_with("|>"))
      continue;
    std::string mark(text.substr(at, end + 2 - at));
    if (std::find(marks.begin(), marks.end(), mark) == marks.end())
      marks.push_back(std::move(mark));
  }
  for (const char* mark : {"<start_of_turn>", "<end_of_turn>"}) {
    if (text.find(mark) != std::string_view::npos) marks.emplace_back(mark);
  }
  return marks;
}

// What a built-in template marks turns with is a token, not letters to be spelled out. The mark
// that ends a turn ends the text.
std::vector<std::string> special_tokens(const Recipe& recipe) {
  std::vector<std::string> tokens = {kEndToken, kAnswerToken, kMaskToken};
  const std::string& name = recipe.data.chat_template;
  if (name.empty() || name == "none" || name == "model") return tokens;
  for (std::string& mark : marks_in(ChatTemplate::builtin(name).source())) {
    if (mark == "<|im_end|>" || mark == "<|eot_id|>" || mark == "<|end|>" ||
        mark == "<end_of_turn>") {
      tokens[0] = std::move(mark);
    } else if (std::find(tokens.begin(), tokens.end(), mark) == tokens.end()) {
      tokens.push_back(std::move(mark));
    }
  }
  return tokens;
}

}  // namespace

Tokenizer train_run_tokenizer(const Recipe& recipe, const RunData& data) {
  std::vector<std::string> texts;
  for (const Example& e : data.train) {
    texts.push_back(e.prompt);
    texts.push_back(e.completion);
  }
  for (const Example& e : data.prompts) texts.push_back(e.prompt);
  BpeTrainOptions options;
  options.vocab_size = recipe.vocabulary;
  options.special_tokens = special_tokens(recipe);
  return train_bpe(texts, options);
}

}  // namespace alambic
