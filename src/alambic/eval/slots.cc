#include "alambic/eval/slots.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "alambic/base/error.h"
#include "alambic/base/json.h"
#include "alambic/eval/score.h"

namespace alambic {
namespace {

constexpr const char* kIntent = "intent";

using Leaf = std::pair<std::string, std::string>;  // path, value

struct Answer {
  std::optional<std::string> intent;
  std::vector<Leaf> slots;  // sorted
};

// The object that opens `text`, closing brace included; empty where there is none.
std::string_view leading_object(std::string_view text) {
  const size_t start = text.find_first_not_of(" \t\r\n");
  if (start == std::string_view::npos || text[start] != '{') return {};
  int depth = 0;
  bool in_string = false;
  for (size_t i = start; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      ++depth;
    } else if ((c == '}' || c == ']') && --depth == 0) {
      return text.substr(start, i + 1 - start);
    }
  }
  return {};
}

// The first letter keeps "1" the string apart from 1 the number.
std::string leaf_value(const Json& value) {
  if (value.is_string()) return 's' + normalise_whitespace(value.get_ref<const std::string&>());
  if (value.is_number()) {
    const double number = value.get<double>();
    // Whole floating-point numbers compare equal to integers; larger integers keep every digit.
    if (value.is_number_float() && std::trunc(number) == number && std::abs(number) < 1e15) {
      return 'n' + std::to_string(static_cast<int64_t>(number));
    }
    return 'n' + dump_json(value);
  }
  return 'o' + dump_json(value);
}

// Depth is bounded by the parser. Empty objects and lists have no leaves.
void collect_leaves(const Json& value, const std::string& path, std::vector<Leaf>& leaves) {
  if (value.is_object()) {
    for (const auto& [key, child] : value.items()) {
      // A slash or tilde inside a key is escaped as in a JSON pointer, so that paths stay distinct.
      std::string step;
      for (const char c : key) step += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
      collect_leaves(child, fmt::format("{}/{}", path, step), leaves);
    }
  } else if (value.is_array()) {
    for (const Json& child : value) collect_leaves(child, path + "/-", leaves);
  } else {
    leaves.emplace_back(path, leaf_value(value));
  }
}

std::optional<Answer> parse_answer(std::string_view text) {
  const std::string_view object = leading_object(text);
  if (object.empty()) return std::nullopt;
  Answer answer;
  try {
    Json json = parse_json(object, "answer");
    const auto intent = json.find(kIntent);
    if (intent != json.end()) {
      std::vector<Leaf> leaves;
      collect_leaves(*intent, "", leaves);
      std::string joined;
      for (const auto& [path, value] : leaves) joined += fmt::format("{}\n{}\n", path, value);
      answer.intent = joined;
      json.erase(intent);
    }
    collect_leaves(json, "", answer.slots);
  } catch (const Error&) {
    return std::nullopt;  // a model may write anything: what does not parse scores zero
  }
  std::sort(answer.slots.begin(), answer.slots.end());
  return answer;
}

int64_t common_leaves(const std::vector<Leaf>& a, const std::vector<Leaf>& b) {
  int64_t count = 0;
  for (size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    if (a[i] == b[j]) {
      ++count, ++i, ++j;
    } else if (a[i] < b[j]) {
      ++i;
    } else {
      ++j;
    }
  }
  return count;
}

// Totals: leaves in common, leaves of hypotheses, leaves of references.
double f1_of_totals(std::span<const double> totals) {
  const double leaves = totals[1] + totals[2];
  return leaves == 0 ? 1 : 2 * totals[0] / leaves;
}

}  // namespace

SlotEvidence slot_evidence(std::span<const std::string> hypotheses,
                           std::span<const std::string> references) {
  require_same_count("slots", hypotheses.size(), references.size());
  SlotEvidence evidence;
  evidence.f1 = {3, {}, f1_of_totals};
  std::vector<double> intents, exact;
  for (size_t i = 0; i < hypotheses.size(); ++i) {
    const std::optional<Answer> want = parse_answer(references[i]);
    if (!want) {
      fail(ErrorCode::kCorruptData, "[slots] reference {} is no JSON object; got \"{}\"", i + 1,
           references[i].substr(0, 60));
    }
    const std::optional<Answer> got = parse_answer(hypotheses[i]);
    if (!got) ++evidence.unparsable;
    const Answer& answer = got ? *got : Answer{};
    evidence.f1.rows.push_back(static_cast<double>(common_leaves(answer.slots, want->slots)));
    evidence.f1.rows.push_back(static_cast<double>(answer.slots.size()));
    evidence.f1.rows.push_back(static_cast<double>(want->slots.size()));
    const bool same_intent = got && answer.intent == want->intent;
    if (want->intent) intents.push_back(same_intent ? 1 : 0);
    exact.push_back(same_intent && answer.slots == want->slots ? 1 : 0);
  }
  evidence.intent = mean_evidence(intents);
  evidence.exact = mean_evidence(exact);
  return evidence;
}

SlotScore slot_f1(std::span<const std::string> hypotheses,
                  std::span<const std::string> references) {
  const SlotEvidence evidence = slot_evidence(hypotheses, references);
  SlotScore score;
  score.f1 = score_of(evidence.f1);
  score.exact = score_of(evidence.exact);
  if (evidence.intent.examples() > 0) score.intent = score_of(evidence.intent);
  double common = 0, got = 0, want = 0;
  for (size_t i = 0; i < evidence.f1.rows.size(); i += 3) {
    common += evidence.f1.rows[i];
    got += evidence.f1.rows[i + 1];
    want += evidence.f1.rows[i + 2];
  }
  score.precision = got > 0 ? common / got : 1;
  score.recall = want > 0 ? common / want : 1;
  score.unparsable = evidence.unparsable;
  return score;
}

}  // namespace alambic
