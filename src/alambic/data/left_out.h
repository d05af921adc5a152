// Rows that nothing is learned from, and why: whoever leaves a row out says so here.
//
// Ownership: value. Thread safety: plain values.
#pragma once

#include <string>

#include "alambic/data/example.h"

namespace alambic {

struct LeftOut {
  enum class Reason {
    kTooLong,      // more tokens than data.max_tokens
    kNoAnswer,     // nothing in it is to be learned
    kEmptyPrompt,  // asks nothing where something must be asked
    kNotValid,     // the template refuses it, or it contradicts the card
    kDuplicate,    // said before, word for word
    kHeldOut,      // the test or validation set asks the same
  };
  Reason reason;
  std::string where;   // file and line, else "row ID"
  std::string detail;  // what exactly, for people; may be ""

  bool operator==(const LeftOut&) const = default;
};

// "too long", "no answer", "empty prompt", "not valid", "duplicate", "held by the test set".
constexpr const char* reason_name(LeftOut::Reason reason) {
  switch (reason) {
    case LeftOut::Reason::kTooLong:
      return "too long";
    case LeftOut::Reason::kNoAnswer:
      return "no answer";
    case LeftOut::Reason::kEmptyPrompt:
      return "empty prompt";
    case LeftOut::Reason::kNotValid:
      return "not valid";
    case LeftOut::Reason::kDuplicate:
      return "duplicate";
    case LeftOut::Reason::kHeldOut:
      return "held by the test set";
  }
  return "";
}

// "FILE:LINE: too long (what exactly)".
inline std::string in_words(const LeftOut& row) {
  std::string text = row.where + ": " + reason_name(row.reason);
  return row.detail.empty() ? text : text + " (" + row.detail + ")";
}

// How a message names the row.
inline std::string place_of(const Example& example) {
  return example.where.empty() ? "row " + example.id : example.where;
}

}  // namespace alambic
