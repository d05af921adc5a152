// What the checkpoints of a run are compared by.
#include <algorithm>

#include "alambic/distill/run_parts.h"
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

}  // namespace alambic
