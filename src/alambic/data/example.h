// One row of training or evaluation data: what is asked and what is to be answered.
#pragma once

#include <string>

#include "alambic/base/json.h"

namespace alambic {

struct Example {
  std::string prompt;      // empty for plain text
  std::string completion;  // empty where only prompts are known
  std::string id;  // names the row in reports: its own "id", else its line or row number from 1
  // A row that is a conversation: its turns as a chat template takes them, null for any other row.
  // Then `completion` is the last answer and `prompt` the text of what comes before it.
  OrderedJson messages;
  OrderedJson tools;       // the functions that the conversation may call, null for none
  bool last_only = false;  // of the conversation's answers, the last one alone is to be learned
  std::string where;  // file and line it was read from, as errors name them; "" for made-up rows

  // What is said, wherever it was read.
  bool operator==(const Example& other) const {
    return prompt == other.prompt && completion == other.completion && id == other.id &&
           messages == other.messages && tools == other.tools && last_only == other.last_only;
  }
};

}  // namespace alambic
