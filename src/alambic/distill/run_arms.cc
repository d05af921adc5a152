// The trainings of a run that are compared, and what their student hears of the teacher.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "alambic/distill/recipe_check.h"
#include "alambic/distill/run_parts.h"

namespace alambic {
namespace {

constexpr double kUsualAlpha = 0.5;

struct ArmName {
  Arm arm;
  const char* name;
};
constexpr std::array<ArmName, 5> kArms{{{Arm::kControl, "control"},
                                        {Arm::kStart, "start"},
                                        {Arm::kTexts, "texts"},
                                        {Arm::kStudent, "student"},
                                        {Arm::kOnPolicy, "on_policy"}}};

bool are_plain_texts(const RunData& data) {
  return std::all_of(data.train.begin(), data.train.end(),
                     [](const Example& e) { return e.prompt.empty() && e.messages.is_null(); });
}

// The form in which probabilities come, where the recipe leaves it open.
std::string usual_kind(const Recipe& recipe, bool same_tokens) {
  const bool wanted = recipe.objective.alpha > 0;  // by name
  if (is_bidirectional(recipe)) return "text";
  if (recipe.has_endpoint()) return wanted ? "topk" : "text";
  // Draws estimate forward KL alone.
  if (same_tokens) return recipe.objective.divergence == Divergence::kForwardKl ? "draws" : "topk";
  return wanted || recipe.signals.align == "bytes" ? "topk" : "text";
}

}  // namespace

const char* name_of(Arm arm) {
  return std::find_if(kArms.begin(), kArms.end(), [&](const ArmName& a) { return a.arm == arm; })
      ->name;
}

std::vector<std::string> arm_names() {
  std::vector<std::string> names;
  names.reserve(kArms.size());
  for (const ArmName& a : kArms) names.emplace_back(a.name);
  return names;
}

double usual_alpha(const Recipe& recipe) {
  return recipe.signals.kind == "text" || is_bidirectional(recipe) ? 0 : kUsualAlpha;
}

Recipe settled(const Recipe& recipe, const RunData& data, bool same_tokens) {
  Recipe r = recipe;
  // Where prompts are answered, the answers carry what a teacher brings (docs/results.md): its
  // probabilities cost a training more and add nothing.
  const bool answered = !data.prompts.empty() && !are_plain_texts(data);
  if (r.signals.kind == "auto") {
    r.signals.kind = answered && r.objective.alpha == kAutoAlpha && r.signals.align.empty()
                         ? "text"
                         : usual_kind(r, same_tokens);
  }
  const bool said_of_tokens =
      r.signals.kind == "topk" || (r.signals.kind == "text" && r.on_policy.share > 0);
  if (said_of_tokens && !same_tokens && r.signals.align.empty()) r.signals.align = "bytes";
  if (r.objective.alpha == kAutoAlpha) r.objective.alpha = usual_alpha(r);
  // Prompts are answered whatever is said of the rows that have answers.
  const bool answers_wanted =
      data.prompts.empty() && r.objective.alpha == 0 && !are_plain_texts(data);
  if (r.signals.texts == "auto") r.signals.texts = answers_wanted ? "both" : "gold";
  check_recipe(r, "recipe");
  if (const Heard h = heard(r, data); h.texts || h.probabilities) return r;
  if (r.signals.kind == "text") {
    fail(ErrorCode::kInvalidArgument,
         "[signals] the student would hear nothing of its teacher: kind = \"text\" gives no "
         "probabilities, and no text that is learned is the teacher's; set signals.texts = "
         "\"both\", or name data.prompts for it to answer (alambic train learns without a "
         "teacher)");
  }
  fail(ErrorCode::kInvalidArgument,
       "[objective] the student would hear nothing of its teacher: alpha = 0, and no text that is "
       "learned is the teacher's; set objective.alpha = {}, or signals.texts = \"both\", or name "
       "data.prompts for it to answer (alambic train learns without a teacher)",
       kUsualAlpha);
}

Heard heard(const Recipe& recipe, const RunData& data) {
  return {recipe.signals.texts != "gold" || !data.prompts.empty(),
          recipe.objective.alpha > 0 && !is_bidirectional(recipe)};
}

std::vector<Arm> arms_of(const Recipe& recipe, Heard heard, std::span<const std::string> wanted) {
  const auto chosen = [&](Arm arm) {
    return wanted.empty() || std::find(wanted.begin(), wanted.end(), name_of(arm)) != wanted.end();
  };
  std::vector<Arm> arms{Arm::kControl};
  // What the control does not begin with: without it, nobody knows what the weights alone bring.
  if (recipe.student.init == "teacher") arms.push_back(Arm::kStart);
  if (heard.texts && heard.probabilities && chosen(Arm::kTexts)) arms.push_back(Arm::kTexts);
  arms.push_back(Arm::kStudent);
  if (recipe.on_policy.share > 0 && chosen(Arm::kOnPolicy)) arms.push_back(Arm::kOnPolicy);
  return arms;
}

std::vector<std::string> not_trained(const Recipe& recipe, std::span<const Arm> arms,
                                     std::span<const std::string> wanted) {
  std::vector<std::string> lines;
  for (const auto& [arm, name] : kArms) {
    const bool trained = std::find(arms.begin(), arms.end(), arm) != arms.end();
    const bool asked = std::find(wanted.begin(), wanted.end(), name) != wanted.end();
    const bool own = arm == Arm::kOnPolicy;
    if (trained || !(asked || (own && recipe.on_policy.share > 0))) continue;
    lines.push_back(fmt::format("{} is not trained: {}", name,
                                own && asked ? "objective.on_policy = 0"
                                : own        ? "--arms does not name it"
                                             : "it would be the same as another training here"));
  }
  return lines;
}

void check_arms(std::span<const std::string> wanted) {
  const std::vector<std::string> names = arm_names();
  for (const std::string& name : wanted) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    fail(ErrorCode::kInvalidArgument, "[--arms] \"{}\"; want some of {}", name,
         fmt::join(names, ", "));
  }
}

}  // namespace alambic
