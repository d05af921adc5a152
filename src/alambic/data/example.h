// One row of training or evaluation data: what is asked and what is to be answered.
#pragma once

#include <string>

namespace alambic {

struct Example {
  std::string prompt;      // empty for plain text
  std::string completion;  // empty where only prompts are known
  std::string id;  // names the row in reports: its own "id", else its line or row number from 1

  bool operator==(const Example&) const = default;
};

}  // namespace alambic
