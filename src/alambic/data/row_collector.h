// Gathers the rows of one file and judges them together when it ends. Private to the readers of
// this room. Thread safety: one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/data/example.h"
#include "alambic/data/left_out.h"

namespace alambic {

struct Rows {
  std::vector<Example> examples;
  std::vector<LeftOut> left_out;
  // Where no row has an answer (or a prompt) and one of its fields seems to be meant: what to set.
  // Opens with the place, as an error line does.
  std::string advice;
};

class RowCollector {
 public:
  enum class Kind { kPair, kText, kConversation };
  // Fields that the caller named: a file without any of them is refused.
  RowCollector(std::string_view where, std::string prompt_field, std::string completion_field)
      : where_(where),
        prompt_field_(std::move(prompt_field)),
        completion_field_(std::move(completion_field)) {}

  void add(Example example, Kind kind);
  // Whether the next row without a prompt or an answer should say what it has, by note_fields.
  bool wants_fields() const { return noted_ < kNoted; }
  void note_fields(std::string_view place, const std::vector<std::string>& fields);
  // That a row had the field which the caller named.
  void saw_prompt_field() { prompt_field_.clear(); }
  void saw_completion_field() { completion_field_.clear(); }
  // Rows without a prompt beside rows that have one, and rows without anything, are left out.
  // kCorruptData where a named field never occurred, and where nothing stays.
  Rows finish();

 private:
  static constexpr int kNoted = 20;
  void check_fields() const;

  std::string where_, prompt_field_, completion_field_;
  std::vector<Example> examples_;
  std::vector<Kind> kinds_;
  bool prompts_ = false, answers_ = false, texts_ = false;  // whether any row has one
  int noted_ = 0;
  std::string first_place_;
  std::vector<std::string> fields_;
};

}  // namespace alambic
