// One forward over many generations in progress, each at its own place in its own text: what
// batched decoding and a server have in common. A session that ends makes room for the next one at
// once, and what one writes does not depend on what runs beside it.
//
// Ownership: looks at model and sessions. One object, one thread. Errors: those of the model and of
// Session::append(); the sessions of a forward that threw cannot go on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "alambic/decode/head_rows.h"
#include "alambic/decode/session.h"
#include "alambic/models/language_model.h"

namespace alambic {

class RaggedStep {
 public:
  // Called with the number of a session, the logits that its next token was chosen from (empty
  // where nobody wants them), and the choice, before it is settled.
  using Observer = std::function<void(size_t session, std::span<const float> logits, Choice)>;

  // Sessions must not be done and share one precision. Each reads a piece of what is pending, and
  // those that have read it all settle a token. Those beyond the row budget of a forward wait,
  // which changes nothing that they write.
  void run(const LanguageModel& model, std::span<const std::unique_ptr<Session>> sessions,
           const Observer& observer = {}, bool observes_logits = false);

 private:
  // Kept from step to step: a step of running sessions allocates nothing.
  Forward forward_;
  std::vector<TokenId> tokens_;
  std::vector<int64_t> last_rows_;
  HeadRows head_;
};

}  // namespace alambic
