#include "alambic/eval/report_gap.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace alambic {
namespace {

constexpr std::string_view kWeights = "weights";

std::string percent_of_gap(const GapClosed& share) {
  std::string text = fmt::format("{:.0f} %", 100 * *share.value);
  if (share.interval)
    text +=
        fmt::format(" ({:.0f} to {:.0f})", 100 * share.interval->low, 100 * share.interval->high);
  return text;
}

bool is_sure(const GapPart& part) {
  return part.share.value && part.share.interval && part.share.interval->low > 0;
}

bool says(std::string_view source) { return source == "answers" || source == "probabilities"; }

Json finite_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

double finite_from(const Json& value, std::string_view where) {
  if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
  if (!value.is_number()) {
    fail(ErrorCode::kCorruptData, "[{}] key \"gap_parts\" holds {}, want a number", where,
         value.type_name());
  }
  return value.get<double>();
}

}  // namespace

std::string as_sentence(std::string text) {
  if (!text.empty())
    text.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(text.front())));
  return text;
}

std::string agreement_in_words(const RunReport& report) {
  return report.task == "perplexity" ? "same next token as the teacher, of the test tokens"
                                     : "same answer as the teacher, of the test rows";
}

std::string source_in_words(std::string_view source) {
  if (source == kWeights) return "weights taken over from the teacher";
  if (says(source)) return fmt::format("the teacher's {}", source);
  if (source == "on_policy") return "on-policy distillation";
  return "the teacher's answers and probabilities";
}

std::string lead_sentence(const RunReport& report) {
  if (!report.gap.value) {
    return report.gap.reason.empty() ? "" : as_sentence(report.gap.reason + ".");
  }
  const GapPart *best = nullptr, *weights = nullptr;
  for (const GapPart& part : report.gap_parts) {
    if (part.source == kWeights) weights = &part;
    if (!is_sure(part)) continue;
    if (best == nullptr || *part.share.value > *best->share.value) best = &part;
  }
  const std::string said = fmt::format(
      "what the teacher says closes {} of the gap between control "
      "and teacher",
      percent_of_gap(report.gap));
  const std::string taken_over =
      weights == nullptr
          ? ""
          : fmt::format(", and weights taken over from it {}", percent_of_gap(weights->share));
  // A part may be large because the one before it did harm.
  const auto& over = report.student_over_control;
  if (best == nullptr || (over && !(over->interval.low > 0))) {
    return fmt::format("The student does not beat its control beyond the noise: {}{}.", said,
                       taken_over);
  }
  if (best->source == kWeights) {
    return fmt::format(
        "Weights taken over from the teacher carry it ({} of the gap), which is no distillation: "
        "what the teacher says closes {}.",
        percent_of_gap(best->share), percent_of_gap(report.gap));
  }
  const std::string source = as_sentence(source_in_words(best->source));
  const bool one = best->source == "on_policy";
  return fmt::format("{} {} it: {} {} {} of the gap between control and teacher{}.", source,
                     one ? "carries" : "carry", one ? "it" : "they", one ? "closes" : "close",
                     percent_of_gap(best->share), taken_over);
}

Json gap_parts_to_json(const RunReport& report) {
  Json list = Json::array();
  for (const GapPart& part : report.gap_parts) {
    Json item = {{"source", part.source},
                 {"share", part.share.value ? finite_or_null(*part.share.value) : Json(nullptr)},
                 {"interval", nullptr},
                 {"reason", part.share.reason}};
    if (const auto& interval = part.share.interval)
      item["interval"] = {finite_or_null(interval->low), finite_or_null(interval->high)};
    list.push_back(std::move(item));
  }
  return list;
}

std::vector<GapPart> gap_parts_from_json(const Json& list, std::string_view where) {
  std::vector<GapPart> parts;
  for (const Json& item : list) {
    GapPart& part = parts.emplace_back();
    part.source = require<std::string>(item, "source", where);
    part.share.reason = optional<std::string>(item, "reason", "", where);
    const auto share = item.find("share"), interval = item.find("interval");
    if (share != item.end() && !share->is_null()) part.share.value = finite_from(*share, where);
    if (interval == item.end() || interval->is_null()) continue;
    if (!interval->is_array() || interval->size() != 2) {
      fail(ErrorCode::kCorruptData, "[{}] key \"gap_parts\" holds no interval of 2 numbers", where);
    }
    part.share.interval = {finite_from((*interval)[0], where), finite_from((*interval)[1], where)};
  }
  return parts;
}

}  // namespace alambic
