// The "normalizer" of a tokenizer file: what is done to text before it is cut.
// Ownership: an immutable value, cheap to copy. Thread safety: usable from several threads at once.
// Errors: kUnsupported naming the construct; kResourceExhausted where a text grows without measure.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/text/added_tokens.h"

namespace alambic {

class Normalizer {
 public:
  // Null JSON is the normalizer that changes nothing. `kept`: what no character map changes.
  static Normalizer from_json(const Json& value, std::string_view where,
                              const AddedTokenFinder& kept = {});

  bool empty() const { return steps_.empty(); }
  std::string normalize(std::string_view text) const;

 private:
  void add(const Json& value, std::string_view where, const AddedTokenFinder& kept);

  std::vector<std::function<std::string(std::string_view)>> steps_;
};

}  // namespace alambic
