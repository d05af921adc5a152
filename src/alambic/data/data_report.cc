#include "alambic/data/data_report.h"

#include <fmt/format.h>

namespace alambic {
namespace {

constexpr size_t kShownPlaces = 3;

const char* plural(int64_t count) { return count == 1 ? "" : "s"; }

std::vector<std::string> contamination_lines(const Contamination& c, const char* part) {
  if (c.found == 0) return {};
  return {
      fmt::format("contamination: {} of {} {} prompt{} occur{} in the training data, in {} row{}; "
                  "{} share{} half of one or more and {} taken out",
                  c.found, c.prompts, part, plural(c.prompts), c.found == 1 ? "s" : "",
                  c.rows_overlapping, plural(c.rows_overlapping), c.rows_removed,
                  c.rows_removed == 1 ? "s" : "", c.rows_removed == 1 ? "is" : "are")};
}

Json to_json(const Contamination& c) {
  return {{"prompts", c.prompts},
          {"found", c.found},
          {"rows_overlapping", c.rows_overlapping},
          {"rows_removed", c.rows_removed}};
}

Contamination contamination_from_json(const Json& json, const char* key, std::string_view where) {
  if (!json.contains(key)) return {};
  const Json& c = json.at(key);
  return {optional<int64_t>(c, "prompts", 0, where), optional<int64_t>(c, "found", 0, where),
          optional<int64_t>(c, "rows_overlapping", 0, where),
          optional<int64_t>(c, "rows_removed", 0, where)};
}

}  // namespace

void LeftOutCounts::add(const LeftOut& row) {
  Entry& entry = entries_[index(row.reason)];
  ++entry.rows;
  if (entry.first.size() >= kShownPlaces) return;
  entry.first.push_back(row.detail.empty() ? row.where
                                           : fmt::format("{} ({})", row.where, row.detail));
}

void LeftOutCounts::add(std::span<const LeftOut> rows) {
  for (const LeftOut& row : rows) add(row);
}

int64_t LeftOutCounts::total() const {
  int64_t rows = 0;
  for (const Entry& entry : entries_) rows += entry.rows;
  return rows;
}

std::vector<std::string> LeftOutCounts::in_words() const {
  std::vector<std::string> lines;
  for (size_t i = 0; i < kReasons; ++i) {
    const Entry& entry = entries_[i];
    if (entry.rows == 0) continue;
    const bool more = static_cast<int64_t>(entry.first.size()) < entry.rows;
    lines.push_back(fmt::format("{} {}: {}{}", entry.rows,
                                reason_name(static_cast<LeftOut::Reason>(i)),
                                fmt::join(entry.first, ", "), more ? ", …" : ""));
  }
  return lines;
}

Json LeftOutCounts::to_json() const {
  Json json = Json::object();
  for (size_t i = 0; i < kReasons; ++i) {
    if (entries_[i].rows == 0) continue;
    json[reason_name(static_cast<LeftOut::Reason>(i))] = {{"rows", entries_[i].rows},
                                                          {"first", entries_[i].first}};
  }
  return json;
}

LeftOutCounts LeftOutCounts::from_json(const Json& json, std::string_view where) {
  LeftOutCounts counts;
  for (size_t i = 0; i < kReasons; ++i) {
    const char* name = reason_name(static_cast<LeftOut::Reason>(i));
    if (!json.is_object() || !json.contains(name)) continue;
    const Json& entry = json.at(name);
    counts.entries_[i].rows = require<int64_t>(entry, "rows", where);
    counts.entries_[i].first = optional<std::vector<std::string>>(entry, "first", {}, where);
  }
  return counts;
}

Json to_json(const DataReport& r) {
  if (!r.known()) return nullptr;
  return {
      {"read", r.read},
      {"train", r.train},
      {"prompts", r.prompts},
      {"teacher_rows", r.teacher_rows},
      {"validation", r.validation},
      {"test", r.test},
      {"beyond_limit", r.beyond_limit},
      {"left_out", r.left_out.to_json()},
      {"test_left_out", r.test_left_out.to_json()},
      {"contamination", {{"test", to_json(r.in_test)}, {"validation", to_json(r.in_validation)}}}};
}

DataReport data_report_from_json(const Json& json, std::string_view where) {
  DataReport r;
  if (json.is_null()) return r;
  r.read = optional<int64_t>(json, "read", 0, where);
  r.train = optional<int64_t>(json, "train", 0, where);
  r.prompts = optional<int64_t>(json, "prompts", 0, where);
  r.teacher_rows = optional<int64_t>(json, "teacher_rows", 0, where);
  r.validation = optional<int64_t>(json, "validation", 0, where);
  r.test = optional<int64_t>(json, "test", 0, where);
  r.beyond_limit = optional<int64_t>(json, "beyond_limit", 0, where);
  const auto counts = [&](const char* key) {
    return json.contains(key) ? LeftOutCounts::from_json(json.at(key), where) : LeftOutCounts();
  };
  r.left_out = counts("left_out");
  r.test_left_out = counts("test_left_out");
  if (json.contains("contamination")) {
    const Json& c = json.at("contamination");
    r.in_test = contamination_from_json(c, "test", where);
    r.in_validation = contamination_from_json(c, "validation", where);
  }
  return r;
}

std::vector<std::string> in_words(const DataReport& r) {
  std::vector<std::string> lines;
  if (!r.known()) return lines;
  std::string sum = fmt::format("data: {} row{} to learn from", r.train, plural(r.train));
  if (r.prompts > 0) {
    sum += fmt::format(", {} prompt{} for the teacher to answer", r.prompts, plural(r.prompts));
  }
  if (r.teacher_rows > 0) {
    sum += fmt::format(", {} row{} that only the teacher sees", r.teacher_rows,
                       plural(r.teacher_rows));
  }
  lines.push_back(sum + fmt::format(", {} for validation, {} to test on", r.validation, r.test));
  for (const std::string& line : r.left_out.in_words()) lines.push_back("left out: " + line);
  for (const std::string& line : r.test_left_out.in_words()) {
    lines.push_back("left out of the test: " + line);
  }
  if (r.beyond_limit > 0) {
    lines.push_back(
        fmt::format("not used: {} row{} beyond data.limit, data.validation or "
                    "data.test_limit",
                    r.beyond_limit, plural(r.beyond_limit)));
  }
  for (auto& line : contamination_lines(r.in_test, "test")) lines.push_back(std::move(line));
  for (auto& line : contamination_lines(r.in_validation, "validation")) {
    lines.push_back(std::move(line));
  }
  return lines;
}

}  // namespace alambic
