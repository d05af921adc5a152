#include "alambic/decode/ragged_batch.h"

#include <algorithm>

#include "alambic/autograd/ops.h"

namespace alambic {

size_t shared_prefix(std::span<const Prompt> prompts) {
  constexpr size_t kWorthwhile = 8;
  if (prompts.size() < 2) return 0;
  const std::vector<TokenId>& first = prompts.front().tokens;
  size_t shared = first.size();
  for (const Prompt& prompt : prompts) {
    const auto end =
        prompt.tokens.begin() + static_cast<std::ptrdiff_t>(std::min(shared, prompt.tokens.size()));
    const auto differs = std::mismatch(prompt.tokens.begin(), end, first.begin()).first;
    shared = static_cast<size_t>(differs - prompt.tokens.begin());
    if (shared == prompt.tokens.size() && shared > 0) --shared;
  }
  return shared >= kWorthwhile ? shared : 0;
}

KvCache read_prefix(const LanguageModel& model, std::span<const TokenId> tokens,
                    Precision precision) {
  const NoGrad no_grad;
  KvCache cache = make_cache(model.config(), precision);
  while (!tokens.empty()) {
    const auto rows = static_cast<int>(std::min<size_t>(tokens.size(), kForwardRows));
    model.hidden(tokens.first(static_cast<size_t>(rows)),
                 {{{rows, cache.length(), true, {}, &cache}}, precision});
    cache.commit(rows);
    tokens = tokens.subspan(static_cast<size_t>(rows));
  }
  return cache;
}

}  // namespace alambic
