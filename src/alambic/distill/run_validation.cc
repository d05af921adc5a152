// What the checkpoints of a run are compared by.
#include <fmt/format.h>

#include <algorithm>

#include "alambic/base/say.h"
#include "alambic/distill/run_parts.h"
#include "alambic/eval/baseline.h"
#include "alambic/eval/task.h"

namespace alambic {
namespace {

// Enough to tell checkpoints apart, few enough to be read ten times a training.
constexpr size_t kScoredRows = 100;

}  // namespace

std::function<double(const LanguageModel& model, const ModelCard& card)> validation_score(
    const Recipe& recipe, const RunData& data, const Tokenizer& tokenizer) {
  const Task task = task_from_name(recipe.task);
  if (task == Task::kPerplexity || is_bidirectional(recipe) || data.validation.empty())
    return nullptr;
  TaskOptions options;
  options.generate.max_tokens = recipe.eval.max_new_tokens;
  return [task, options, &data, &tokenizer](const LanguageModel& model, const ModelCard& card) {
    const auto rows =
        std::span(data.validation).first(std::min(data.validation.size(), kScoredRows));
    return run_task(task, model, tokenizer, card, rows, options).score.value;
  };
}

std::string teacher_in_words(const Recipe& recipe, const RunData& data, const RunModel& teacher,
                             const Tokenizer& tokenizer) {
  const Task task = task_from_name(recipe.task);
  if (task == Task::kPerplexity || data.validation.empty()) return "";
  const auto rows = std::span(data.validation).first(std::min(data.validation.size(), kScoredRows));
  TaskOptions options;
  options.mode = natural_mode(teacher.model->config());
  options.generate.max_tokens = recipe.eval.max_new_tokens;
  options.progress = "the teacher on validation rows";
  const double score =
      run_task(task, *teacher.model, tokenizer, teacher.card, as_asked(teacher, rows), options)
          .score.value;
  std::vector<std::string> completions;
  completions.reserve(data.train.size());
  for (const Example& e : data.train) completions.push_back(e.completion);
  const std::string constant = most_frequent(completions);
  const double knows_nothing =
      score_of(score_answers(task, std::vector<std::string>(rows.size(), constant), rows)).value;
  const auto shown = [&](double value) {
    return traits(task).fraction ? fmt::format("{:.1f} %", 100 * value)
                                 : fmt::format("{:.2f}", value);
  };
  std::string text =
      fmt::format("{} {} on {} validation rows", traits(task).metric, shown(score), rows.size());
  if (score > knows_nothing) return text;
  return "warning: " + text +
         fmt::format(", and always answering the same would give {}: it does not know this job",
                     shown(knows_nothing));
}

}  // namespace alambic
