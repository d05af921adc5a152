// How the models of a run are asked: their cards.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "alambic/decode/prompting.h"
#include "alambic/distill/labels.h"
#include "alambic/distill/run_parts.h"
#include "alambic/text/chat_template.h"

namespace alambic {
void use_recipe_chat_template(const Recipe& recipe, const std::string& model, ModelCard& card) {
  const std::string& name = recipe.data.chat_template;
  card.chat_template = card.tool_use_template = "";
  if (name == "none") return;
  if (!name.empty() && name != "model") {
    card.chat_template = ChatTemplate::builtin(name).source();
    return;
  }
  if (!model.empty()) {
    ModelCard own;
    read_model_config(model, &own);
    use_default_chat_template(model, own);
    card.chat_template = own.chat_template;
    card.tool_use_template = own.tool_use_template;
  }
  if (card.chat_template.empty() && name == "model") {
    fail(ErrorCode::kInvalidArgument,
         "[data] chat_template = \"model\", and [{}] has none; name one of {}", model,
         fmt::join(ChatTemplate::builtin_names(), ", "));
  }
}

const std::string& asked_model(const Recipe& recipe) {
  return recipe.student.model.empty() && !recipe.has_endpoint() ? recipe.teacher.model
                                                                : recipe.student.model;
}

void use_student_chat_template(const Recipe& recipe, const ModelCard& teacher, bool same_tokens,
                               ModelCard& card) {
  card.chat_template = card.tool_use_template = "";
  if (same_tokens) {
    card.chat_template = teacher.chat_template;
    card.tool_use_template = teacher.tool_use_template;
    return;
  }
  // Another vocabulary does not have the special tokens of the teacher's template.
  const std::string& name = recipe.data.chat_template;
  const bool named = !name.empty() && name != "model";
  if (named || !recipe.student.model.empty())
    use_recipe_chat_template(recipe, recipe.student.model, card);
}

ModelCard run_card(const Recipe& recipe, const RunData& data) {
  ModelCard card;
  card.prompt_template = recipe.data.prompt_template;
  use_recipe_chat_template(recipe, asked_model(recipe), card);
  if (!recipe.student.model.empty()) card.ends = read_model_config(recipe.student.model).eos;
  card.task = recipe.task;
  if (recipe.task == "accuracy") {
    std::set<std::string> labels;
    for (const Example& e : data.train) labels.insert(e.completion);
    if (labels.size() > kMaxLabels) {
      fail(ErrorCode::kInvalidArgument,
           "[data] {} different answers; a classifier wants at most {} labels", labels.size(),
           kMaxLabels);
    }
    card.labels.assign(labels.begin(), labels.end());
  }
  return card;
}

std::vector<Example> as_asked(const RunModel& model, std::span<const Example> examples) {
  std::vector<Example> asked;
  asked.reserve(examples.size());
  for (const Example& example : examples)
    asked.push_back(told(example, model.telling, !model.card.chat_template.empty()));
  return asked;
}

}  // namespace alambic
