#include "alambic/data/row_collector.h"

#include <algorithm>

#include "alambic/base/error.h"
#include "alambic/data/field_names.h"
#include "alambic/data/row_fields.h"

namespace alambic {

void RowCollector::add(Example example, Kind kind) {
  if (kind == Kind::kText) {
    texts_ = true;
  } else {
    prompts_ = prompts_ || kind == Kind::kConversation || !is_blank(example.prompt);
    answers_ = answers_ || kind == Kind::kConversation || !is_blank(example.completion);
  }
  examples_.push_back(std::move(example));
  kinds_.push_back(kind);
}

void RowCollector::note_fields(std::string_view place, const std::vector<std::string>& fields) {
  if (noted_++ == 0) first_place_ = place;
  for (const std::string& field : fields) {
    if (std::find(fields_.begin(), fields_.end(), field) == fields_.end()) fields_.push_back(field);
  }
}

void RowCollector::check_fields() const {
  for (const std::string* field : {&prompt_field_, &completion_field_}) {
    if (field->empty() || examples_.empty()) continue;
    fail(ErrorCode::kCorruptData, "[{}] field \"{}\" is missing; the row has {}",
         first_place_.empty() ? where_ : first_place_, *field, names_in(fields_));
  }
}

Rows RowCollector::finish() {
  check_fields();
  Rows rows;
  if (!prompts_ && !texts_) rows.advice = likely_field(fields_, Part::kPrompt);
  if (!rows.advice.empty()) rows.advice = field_advice(Part::kPrompt, rows.advice);
  if (!answers_ && !texts_) {
    const std::string field = likely_field(fields_, Part::kCompletion);
    if (!field.empty()) {
      rows.advice += (rows.advice.empty() ? "" : "; ") + field_advice(Part::kCompletion, field);
    }
  }
  if (!rows.advice.empty()) rows.advice = fmt::format("[{}] {}", first_place_, rows.advice);
  for (size_t i = 0; i < examples_.size(); ++i) {
    Example& example = examples_[i];
    if (is_blank(example.completion)) example.completion.clear();
    const bool asks = !is_blank(example.prompt);
    if (kinds_[i] == Kind::kConversation || asks ||
        (!example.completion.empty() && (kinds_[i] == Kind::kText || !prompts_))) {
      if (!asks) example.prompt.clear();
      rows.examples.push_back(std::move(example));
    } else if (example.completion.empty()) {
      rows.left_out.push_back(
          {LeftOut::Reason::kNoAnswer, place_of(example), "neither a prompt nor a text"});
    } else {
      rows.left_out.push_back({LeftOut::Reason::kEmptyPrompt, place_of(example), ""});
    }
  }
  if (rows.examples.empty() && !rows.left_out.empty()) {
    if (!rows.advice.empty()) throw Error(ErrorCode::kCorruptData, rows.advice);
    fail(ErrorCode::kCorruptData,
         "[{}] holds neither a prompt nor a text; want \"prompt\" and \"completion\", or \"text\", "
         "or name the fields; no other row of the file holds more",
         rows.left_out.front().where);
  }
  return rows;
}

}  // namespace alambic
