// Learning a byte-pair vocabulary from texts.
// Deterministic: the same texts and options give the same tokenizer, whatever the machine; equally
// frequent pairs go by the ids of their parts, lower first. Thread safety: stateless. Errors:
// kInvalidArgument for options that contradict each other.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "alambic/text/tokenizer.h"

namespace alambic {

struct BpeTrainOptions {
  int vocab_size = 8192;                    // at most; few texts may hold fewer pairs
  std::vector<std::string> special_tokens;  // take the first ids, and are cut out of the texts
  int min_frequency = 2;                    // rarer pairs are not merged
  bool byte_fallback = false;  // characters and <0x..> tokens instead of the byte-level alphabet
  bool split_digits = true;  // one token for each digit, so that numbers can be copied and computed
};

// Special tokens, then the alphabet, then the merges, best first. Byte-level vocabularies cut text
// with the GPT-2 pattern and return every byte string unchanged; those with byte_fallback, which
// gain "<unk>" if it is not among the special tokens, cut before spaces and turn U+2581, their mark
// for a space, into one.
Tokenizer train_bpe(std::span<const std::string> texts, const BpeTrainOptions& options);

}  // namespace alambic
