// Scores of structured answers: JSON objects such as {"intent": "…", "slots": {"city": "…"}}.
//
// An object is read as a bag of leaves (path, value); lists are unordered. The top-level key
// "intent" is scored apart, every other leaf is a slot: micro F1 counts leaves over the whole
// corpus. A hypothesis is the object that starts it (leading white space and everything after its
// closing brace are ignored); one that does not parse has no leaves and matches nothing. Strings
// compare up to white space, numbers by value. Pure functions, safe from any thread. Errors:
// kInvalidArgument where the lists differ in length or are empty; kCorruptData for a reference that
// is no JSON object.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "alambic/eval/interval.h"

namespace alambic {

struct SlotEvidence {
  Evidence f1, exact;
  Evidence intent;         // only the examples whose reference names an intent
  int64_t unparsable = 0;  // hypotheses that are no JSON object
};

struct SlotScore {
  Score f1;      // 1 where neither side has any slot
  Score intent;  // over the references that name one; n = 0 and value 0 where none does
  Score exact;   // every leaf right, intent included, and nothing added
  double precision = 0, recall = 0;
  int64_t unparsable = 0;
};

SlotEvidence slot_evidence(std::span<const std::string> hypotheses,
                           std::span<const std::string> references);
SlotScore slot_f1(std::span<const std::string> hypotheses, std::span<const std::string> references);

}  // namespace alambic
