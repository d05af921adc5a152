#include "alambic/distill/encoding.h"

namespace alambic {

std::optional<Sequence> encode_example(const Tokenizer& tokenizer, const ModelCard& card,
                                       const Example& example, int max_tokens) {
  Sequence s;
  s.tokens = encode_prompt(tokenizer, card, example.prompt);
  s.prompt_tokens = static_cast<int>(s.tokens.size());
  const auto answer =
      tokenizer.encode(example.completion, {.special_prefix = false, .parse_special = false});
  s.tokens.insert(s.tokens.end(), answer.begin(), answer.end());
  s.tokens.push_back(end_token(tokenizer));
  if (static_cast<int>(s.tokens.size()) > max_tokens) return std::nullopt;
  return s;
}

std::vector<Sequence> encode_examples(const Tokenizer& tokenizer, const ModelCard& card,
                                      const std::vector<Example>& examples, int max_tokens,
                                      int64_t* left_out) {
  std::vector<Sequence> sequences;
  for (const Example& example : examples) {
    if (auto s = encode_example(tokenizer, card, example, max_tokens))
      sequences.push_back(std::move(*s));
  }
  if (left_out != nullptr) *left_out = static_cast<int64_t>(examples.size() - sequences.size());
  return sequences;
}

}  // namespace alambic
