#include "alambic/decode/prompting.h"

namespace alambic {

TokenId end_token(const Tokenizer& tokenizer) {
  if (const auto eos = tokenizer.eos()) return *eos;
  fail(ErrorCode::kInvalidArgument,
       "[tokenizer] has no end-of-text token; want one such as <|endoftext|>");
}

std::vector<TokenId> encode_prompt(const Tokenizer& tokenizer, const ModelCard& card,
                                   const std::string& prompt) {
  std::vector<TokenId> tokens = tokenizer.encode(apply_template(card, prompt));
  if (tokens.empty()) tokens.push_back(tokenizer.bos().value_or(end_token(tokenizer)));
  return tokens;
}

}  // namespace alambic
