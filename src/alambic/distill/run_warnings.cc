// What a run warns of before it works: labels, test sets and sizes that promise less than they
// seem.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "alambic/base/printable.h"
#include "alambic/base/say.h"
#include "alambic/distill/labels.h"
#include "alambic/distill/run_parts.h"
#include "alambic/eval/report.h"
#include "alambic/eval/task.h"
#include "alambic/models/model_files.h"

namespace alambic {
namespace {

void warn_of_labels(const RunData& data, std::vector<std::string>& lines) {
  std::map<std::string, int64_t> rows;
  std::set<std::string> learned;
  for (const Example& e : data.train) {
    ++rows[e.completion];
    learned.insert(e.completion);
  }
  for (const std::vector<Example>* part : {&data.validation, &data.test}) {
    for (const Example& e : *part) ++rows[e.completion];
  }
  std::vector<std::string> once;
  for (const auto& [label, count] : rows) {
    if (count == 1) once.push_back(label);
  }
  if (rows.size() == 1) {
    lines.push_back(
        fmt::format("warning: [data] every row has the label {}: there is nothing to "
                    "tell apart",
                    first_labels(std::vector{rows.begin()->first})));
  }
  if (!once.empty()) {
    lines.push_back(fmt::format(
        "warning: [data] {} of {} {} only once ({}): such a label is learned or tested, never both",
        once.size(), counted(static_cast<long long>(rows.size()), "label"),
        once.size() == 1 ? "occurs" : "occur", first_labels(once)));
  }
  std::set<std::string> unknown;
  int64_t lost = 0;
  for (const Example& e : data.test) {
    if (learned.contains(e.completion)) continue;
    unknown.insert(e.completion);
    ++lost;
  }
  if (lost > 0) {
    lines.push_back(fmt::format(
        "warning: [data] {} of the test set {} a label that no training row has ({}): every model "
        "answers {} wrongly",
        counted(lost, "row"), lost == 1 ? "has" : "have",
        first_labels(std::vector(unknown.begin(), unknown.end())), lost == 1 ? "it" : "them"));
  }
}

void warn_of_test(const Recipe& recipe, const RunData& data, std::vector<std::string>& lines) {
  constexpr size_t kFew = 20;
  if (data.test.size() >= kFew) return;
  const auto n = static_cast<double>(data.test.size());
  // Of a share around one half: 1.96 standard errors.
  const double half = 100 * 1.96 * 0.5 / std::sqrt(n);
  const bool share = traits(task_from_name(recipe.task)).fraction;
  lines.push_back(fmt::format(
      "warning: [data] the test set has {}: {}; want more in data.test, or a larger "
      "data.test_limit",
      counted(static_cast<long long>(data.test.size()), "row"),
      share ? fmt::format("the 95 % interval of a score around 50 % will be ±{:.0f} points", half)
            : std::string("the 95 % interval of a score will be too wide to tell models apart")));
}

void warn_of_size(const Recipe& recipe, const RunTokenizers& tokenizers,
                  std::vector<std::string>& lines) {
  if (recipe.has_endpoint()) return;
  const int64_t teacher = recipe.teacher.model.empty()
                              ? model_config(recipe.teacher, tokenizers.teacher.vocab_size(),
                                             rotary_positions(recipe.data.max_tokens), "teacher")
                                    .parameters()
                              : read_model_config(recipe.teacher.model).parameters();
  const int64_t student = recipe.student.model.empty()
                              ? student_config(recipe, tokenizers.student.vocab_size()).parameters()
                              : read_model_config(recipe.student.model).parameters();
  if (student <= teacher) return;
  lines.push_back(fmt::format(
      "warning: [student] has {} parameters and its teacher {}: a student is the smaller one where "
      "it is to be faster than its teacher",
      format_count(student), format_count(teacher)));
}

}  // namespace

std::vector<std::string> say_warnings(const Recipe& recipe, const RunData& data,
                                      const RunTokenizers& tokenizers) {
  std::vector<std::string> lines;
  if (recipe.task == "accuracy") warn_of_labels(data, lines);
  warn_of_test(recipe, data, lines);
  warn_of_size(recipe, tokenizers, lines);
  for (const std::string& line : lines) say("{}\n", line);
  return lines;
}

}  // namespace alambic
