// What a run says before it begins: what is trained on what, and for about how long.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "alambic/base/progress.h"
#include "alambic/base/say.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/run_parts.h"
#include "alambic/eval/report.h"
#include "alambic/tensor/ceilings.h"

namespace alambic {
namespace {

// Of the measured peak that a teacher reaches while it reads prompts and while it writes in
// batches, from runs with teachers of 1M to 135M weights.
constexpr double kReadingShare = 0.5, kWritingShare = 0.15;

std::string start_in_words(const Recipe& recipe) {
  if (!recipe.student.model.empty()) return "starts from " + recipe.student.model;
  return recipe.student.init == "teacher" ? "starts from weights of the teacher"
                                          : "starts from random weights";
}

std::string heard_in_words(Heard heard) {
  if (heard.texts && heard.probabilities) return "answers and its probabilities";
  return heard.texts ? "answers" : "probabilities";
}

// How many texts the teacher writes.
int64_t texts_to_write(const Recipe& recipe, const RunData& data) {
  const size_t rows =
      data.prompts.size() + (recipe.signals.texts == "gold" ? 0 : data.train.size());
  return static_cast<int64_t>(rows) * recipe.signals.samples;
}

// As people plan: steps of 5 seconds, of 30 from two minutes on, of 5 minutes from half an hour on.
double rounded(double seconds) {
  const double step = seconds < 120 ? 5 : seconds < 1800 ? 30 : 300;
  return std::ceil(seconds / step) * step;
}

int64_t weights_of(const Recipe& recipe, bool teacher, int vocabulary) {
  const ModelRecipe& m = teacher ? recipe.teacher : recipe.student;
  if (!m.model.empty()) return read_model_config(m.model).parameters();
  return teacher ? model_config(m, vocabulary, rotary_positions(recipe.data.max_tokens), "teacher")
                       .parameters()
                 : student_config(recipe, vocabulary).parameters();
}

}  // namespace

void say_plan(const Recipe& recipe, const RunData& data, const RunTokenizers& tokenizers,
              const RunPlan& plan) {
  const bool endpoint = recipe.has_endpoint();
  if (!endpoint && recipe.teacher.model.empty() && recipe.data.source == "files") {
    say("note: no teacher is named, so this run makes one from your own rows; it knows nothing "
        "that "
        "they do not say, and measured it brings nothing: name one with teacher.model or "
        "teacher.endpoint, or tune a model plainly with alambic train\n");
  }
  if (data.prompts.empty() && recipe.task != "perplexity") {
    say("note: there is no prompt without an answer, so the teacher speaks about rows that are "
        "answered already, which brings little (docs/results.md): {}\n",
        recipe.data.prompts.empty() ? "name some in data.prompts"
                                    : "none is left of those in data.prompts");
  }
  for (const std::string& line : plan.not_trained) say("plan: {}\n", line);
  const int64_t weights = weights_of(recipe, false, tokenizers.student.vocab_size());
  const int64_t texts = texts_to_write(recipe, data);
  say("plan: the student ({} weights) {} and learns the teacher's {}{}\n", format_count(weights),
      start_in_words(recipe), heard_in_words(plan.heard),
      recipe.signals.texts == "teacher" ? "" : ", beside the rows that have answers");
  std::vector<std::string> names;
  names.reserve(plan.arms.size());
  for (const Arm arm : plan.arms) names.emplace_back(name_of(arm));
  // A text of the teacher is taken to be as long as the owner's.
  const auto rows = static_cast<double>(std::max<size_t>(1, plan.gold.sequences.size()));
  const double length = static_cast<double>(token_count(plan.gold.sequences)) / rows;
  const auto learned =
      static_cast<int64_t>(recipe.signals.texts == "teacher" ? 0 : plan.gold.sequences.size()) +
      texts;
  const TrainRecipe& t = recipe.student_train;
  const double tokens = t.steps > 0 ? static_cast<double>(t.steps) * t.tokens_per_step
                                    : static_cast<double>(learned) * length * t.epochs;
  const std::string kept =
      t.validations > 0 && !data.validation.empty()
          ? fmt::format(", and keeps the best of {} checkpoints by validation", t.validations)
          : "";
  say("plan: {} trainings, compared: {}; each reads at most {} tokens{}\n", names.size(),
      fmt::join(names, ", "), format_count(static_cast<int64_t>(tokens)), kept);
  const double speed = training_speed(plan.job, recipe, plan.gold, tokenizers.student);
  std::vector<std::string> parts;
  double all = 0;
  const auto add = [&](const std::string& what, double seconds) {
    parts.push_back(fmt::format("{} {}", what, format_duration(rounded(seconds))));
    all += rounded(seconds);
  };
  const int64_t teachers = endpoint ? 0 : weights_of(recipe, true, tokenizers.teacher.vocab_size());
  if (plan.teacher_tokens > 0) {
    // A teacher has more weights than the student, and a bigger model is no less efficient.
    add("the teacher", static_cast<double>(plan.teacher_tokens) / speed *
                           static_cast<double>(teachers) / static_cast<double>(weights));
  }
  if (!endpoint && texts > 0) {
    double answers = 0;
    for (const Sequence& s : plan.gold.sequences) answers += s.learned_tokens();
    answers /= rows;
    const double work = (length - answers) / kReadingShare + answers / kWritingShare;
    add(fmt::format("its answers to {} prompts", format_count(texts)),
        static_cast<double>(texts) * work * 2 * static_cast<double>(teachers) /
            machine_ceilings().product_flops);
  }
  add("trainings", static_cast<double>(names.size()) * tokens / speed);
  say("plan: about {} on this machine ({}{}); measuring comes after\n", format_duration(all),
      fmt::join(parts, ", "),
      endpoint && texts > 0
          ? fmt::format("; how fast the endpoint answers {} prompts, nobody knows", texts)
          : "");
}

}  // namespace alambic
