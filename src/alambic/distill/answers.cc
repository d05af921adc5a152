#include "alambic/distill/answers.h"

#include "alambic/base/trimmed.h"

#include <fmt/format.h>

#include <iterator>
#include <numeric>

namespace alambic {

JudgedAnswer judge_answer(std::string_view written, bool cut) {
  ReasonedText parts = without_reasoning(written);
  JudgedAnswer judged{AnswerKind::kGood, std::move(parts.text), std::move(parts.reasoning),
                      parts.thought};
  if (parts.open || (judged.thought && judged.text.empty())) {
    judged.kind = AnswerKind::kReasoning;
  } else if (cut) {
    judged.kind = AnswerKind::kCut;
  } else if (trimmed(judged.text).empty()) {
    judged.kind = AnswerKind::kEmpty;
  }
  return judged;
}

std::string with_reasoning(std::string_view reasoning, std::string_view text) {
  if (reasoning.empty()) return std::string(text);
  return fmt::format("<think>\n{}\n</think>\n\n{}", reasoning, text);
}

namespace {

std::string one_kind(AnswerKind kind, int64_t count, const AnswerLimits* limits) {
  const auto cut = [&](std::string_view what, int limit, const char* name) {
    return limits == nullptr ? fmt::format("{} {}", count, what)
                             : fmt::format("{} {} {} tokens (raise {})", count, what, limit, name);
  };
  switch (kind) {
    case AnswerKind::kGood:
      return fmt::format("{} {}", count, count == 1 ? "answer" : "answers");
    case AnswerKind::kEmpty:
      return fmt::format("{} empty", count);
    case AnswerKind::kCut:
      return limits == nullptr ? fmt::format("{} cut off", count)
                               : cut("cut off at", limits->max_new_tokens, limits->new_tokens_name);
    case AnswerKind::kCircles:
      return fmt::format("{} in circles", count);
    case AnswerKind::kFiltered:
      return fmt::format("{} filtered", count);
    case AnswerKind::kToolCalls:
      return fmt::format("{} tool {} without an answer", count, count == 1 ? "call" : "calls");
    case AnswerKind::kReasoning:
      return fmt::format("{} reasoning alone", count);
    case AnswerKind::kTooLong:
      return limits == nullptr ? fmt::format("{} too long", count)
                               : cut("longer than", limits->max_tokens, limits->tokens_name);
    case AnswerKind::kRefused:
      return fmt::format("{} refused", count);
    case AnswerKind::kNotValid:
      return fmt::format("{} not valid", count);
    case AnswerKind::kNoTemplate:
      return fmt::format("{} not asked: several turns and the model has no chat template", count);
    case AnswerKind::kNoPrompt:
      return fmt::format("{} not asked: no prompt", count);
    case AnswerKind::kOutside:
      return fmt::format("{} outside the labels", count);
  }
  return {};
}

}  // namespace

namespace {

// In the order of telling.
constexpr AnswerKind kOfNoUse[] = {
    AnswerKind::kCut,       AnswerKind::kCircles,    AnswerKind::kEmpty,    AnswerKind::kFiltered,
    AnswerKind::kToolCalls, AnswerKind::kReasoning,  AnswerKind::kTooLong,  AnswerKind::kRefused,
    AnswerKind::kNotValid,  AnswerKind::kNoTemplate, AnswerKind::kNoPrompt, AnswerKind::kOutside};
static_assert(std::size(kOfNoUse) + 1 == kAnswerKinds);

}  // namespace

int64_t AnswerTally::all() const {
  return std::accumulate(counts_.begin(), counts_.end(), int64_t{0});
}

std::string AnswerTally::left_out_in_words() const {
  std::string words;
  for (const AnswerKind kind : kOfNoUse) {
    if (count(kind) > 0)
      words += (words.empty() ? "" : ", ") + one_kind(kind, count(kind), nullptr);
  }
  return words;
}

std::string AnswerTally::in_words(const AnswerLimits& limits, std::string_view asked) const {
  std::string words = fmt::format("{} {}: {}", all(), asked,
                                  one_kind(AnswerKind::kGood, count(AnswerKind::kGood), nullptr));
  for (const AnswerKind kind : kOfNoUse) {
    if (count(kind) > 0) words += ", " + one_kind(kind, count(kind), &limits);
  }
  return words;
}

std::string AnswerTally::cause(const AnswerLimits& limits) const {
  AnswerKind most = kOfNoUse[0];
  for (const AnswerKind kind : kOfNoUse) {
    if (count(kind) > count(most)) most = kind;
  }
  if (count(most) == 0) return {};
  switch (most) {
    case AnswerKind::kEmpty:
      return "the teacher has nothing to say to such prompts: is it asked as it wants to be asked "
             "(chat template, system message)?";
    case AnswerKind::kCut:
      return fmt::format(
          "{} = {} is too small for what the teacher writes, or it does not know "
          "where to end (a model without a chat template)",
          limits.new_tokens_name, limits.max_new_tokens);
    case AnswerKind::kCircles:
      return "the teacher loses the thread: is it asked as it wants to be asked (chat template, "
             "system message), and does it know this job? signals.text_temperature above 0 may "
             "help";
    case AnswerKind::kFiltered:
      return "the provider's filter stands in front of these prompts";
    case AnswerKind::kToolCalls:
      return "the teacher calls the tools of these rows instead of answering: leave \"tools\" out "
             "of them";
    case AnswerKind::kReasoning:
      return fmt::format(
          "the teacher thinks longer than {} = {} allows: raise it, or ask it not to "
          "think",
          limits.new_tokens_name, limits.max_new_tokens);
    case AnswerKind::kTooLong:
      return fmt::format("{} = {} is too small for these prompts and answers", limits.tokens_name,
                         limits.max_tokens);
    case AnswerKind::kRefused:
      return "the endpoint does not take these prompts";
    case AnswerKind::kNotValid:
      return "their template refuses these rows";
    case AnswerKind::kNoTemplate:
      return "conversations want a teacher with a chat template: name one with chat_template";
    case AnswerKind::kNoPrompt:
      return "these rows hold no prompt: name its field";
    case AnswerKind::kOutside:
      return "the teacher does not keep to the labels that it is told: ask a stronger one, or tell "
             "them in words of your own, with {labels} where they stand (the system message)";
    case AnswerKind::kGood:
      break;
  }
  return {};
}

std::string AnswerTally::warning(const AnswerLimits& limits) const {
  constexpr int64_t kTenth = 10;
  if (left_out() * kTenth <= all()) return {};
  constexpr double kPercent = 100;
  return fmt::format("{:.0f} % are left out; most likely {}",
                     kPercent * static_cast<double>(left_out()) / static_cast<double>(all()),
                     cause(limits));
}

}  // namespace alambic
