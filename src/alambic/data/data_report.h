// What became of the rows of a run's data: how many are used for what, and which are not, and why.
//
// Ownership: value. Thread safety: plain values. Errors: data_report_from_json throws kCorruptData.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/data/contamination.h"
#include "alambic/data/left_out.h"

namespace alambic {

// Rows that are left out, by reason, with the places of the first few.
class LeftOutCounts {
 public:
  void add(const LeftOut& row);
  void add(std::span<const LeftOut> rows);
  int64_t total() const;
  int64_t of(LeftOut::Reason reason) const { return entries_[index(reason)].rows; }
  // One line for each reason: "28 too long: d.jsonl:1, d.jsonl:3, d.jsonl:5, …".
  std::vector<std::string> in_words() const;
  // {"too long": {"rows": 28, "first": ["d.jsonl:1", …]}, …}
  Json to_json() const;
  static LeftOutCounts from_json(const Json& json, std::string_view where);

  bool operator==(const LeftOutCounts&) const = default;

 private:
  struct Entry {
    int64_t rows = 0;
    std::vector<std::string> first;
    bool operator==(const Entry&) const = default;
  };
  static constexpr size_t kReasons = 6;
  static size_t index(LeftOut::Reason reason) { return static_cast<size_t>(reason); }
  std::array<Entry, kReasons> entries_;
};

struct DataReport {
  int64_t read = 0;                  // rows of the training file
  int64_t train = 0, prompts = 0;    // rows learned from; prompts that the teacher answers
  int64_t teacher_rows = 0;          // that a teacher made by the run learns, and nobody else sees
  int64_t validation = 0, test = 0;  // rows measured on
  int64_t beyond_limit = 0;          // more than the recipe wants
  LeftOutCounts left_out;            // of all that was read for training
  LeftOutCounts test_left_out;       // of the test file
  Contamination in_test, in_validation;

  bool known() const { return read > 0 || train > 0; }
  bool operator==(const DataReport&) const = default;
};

Json to_json(const DataReport& report);
// Null or absent counts as not known.
DataReport data_report_from_json(const Json& json, std::string_view where);
// Lines for people; the first sums up.
std::vector<std::string> in_words(const DataReport& report);

}  // namespace alambic
