#include "alambic/data/field_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <vector>

namespace alambic {
namespace {

constexpr std::string_view kPromptWords[] = {
    "input",     "inputs",   "query",     "user",    "request",    "problem",     "human",
    "utterance", "instruct", "questions", "prompts", "user_input", "prompt_text", "question_text"};
constexpr std::string_view kCompletionWords[] = {
    "target",      "targets",     "tgt",         "gold",         "ideal",
    "expected",    "solution",    "reply",       "result",       "assistant",
    "translation", "summary",     "chosen",      "gpt",          "answers",
    "outputs",     "responses",   "completions", "labels",       "expected_output",
    "answer_text", "output_text", "target_text", "final_answer", "ground_truth",
    "bot"};
// Fields that other readers give a meaning.
constexpr std::string_view kOther[] = {"id",       "input",         "tools",    "system",
                                       "messages", "conversations", "instances"};

std::string lowered(std::string_view name) {
  std::string out;
  for (const char c : name) {
    if (c == ' ' || c == '-') {
      out += '_';
    } else {
      out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return out;
}

// Insertions, deletions, replacements and swaps of neighbours that lead from one to the other.
size_t edits(std::string_view a, std::string_view b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
  for (size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      d[i][j] = std::min(
          {d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
  }
  return d[a.size()][b.size()];
}

bool among(std::string_view name, std::span<const char* const> names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_known(std::string_view name) {
  return among(name, kPromptNames) || among(name, kCompletionNames) || among(name, kTextNames);
}

bool mistyped(const std::string& name, std::span<const char* const> known) {
  constexpr size_t kLongest = 40, kShort = 6;
  if (name.size() > kLongest) return false;
  return std::any_of(known.begin(), known.end(), [&](std::string_view right) {
    return edits(name, right) <= (right.size() <= kShort ? 1U : 2U);
  });
}

}  // namespace

std::string likely_field(std::span<const std::string> fields, Part part) {
  const bool prompt = part == Part::kPrompt;
  const std::span<const char* const> known = prompt
                                                 ? std::span<const char* const>(kPromptNames)
                                                 : std::span<const char* const>(kCompletionNames);
  const std::span<const std::string_view> words =
      prompt ? std::span<const std::string_view>(kPromptWords)
             : std::span<const std::string_view>(kCompletionWords);
  const auto first = [&](const auto& fits) -> std::string {
    const auto found = std::find_if(fields.begin(), fields.end(), [&](const std::string& field) {
      return !is_known(field) && fits(lowered(field));
    });
    return found == fields.end() ? "" : *found;
  };
  if (auto found = first([&](const std::string& name) { return among(name, known); });
      !found.empty()) {
    return found;
  }
  if (auto found = first([&](const std::string& name) {
        return std::find(words.begin(), words.end(), name) != words.end();
      });
      !found.empty()) {
    return found;
  }
  return first([&](const std::string& name) {
    return std::find(std::begin(kOther), std::end(kOther), name) == std::end(kOther) &&
           mistyped(name, known);
  });
}

std::string field_advice(Part part, std::string_view found) {
  const bool prompt = part == Part::kPrompt;
  return fmt::format("no \"{0}\"; found \"{1}\": set data.{0}_field = \"{1}\", or --{0}-field",
                     prompt ? "prompt" : "completion", found);
}

}  // namespace alambic
