// The closed set of a classifier's answers, as tokens behind each of its prompts: the same labels
// are the same tokens behind prompts that end alike, and each such set is kept once.
//
// Ownership: looks at the encoder and the labels, which must outlive it. Thread safety: one thread
// at a time. Errors: those of Encoder::choice and TokenTrie.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "alambic/data/example.h"
#include "alambic/decode/encoding.h"
#include "alambic/decode/token_trie.h"

namespace alambic {

class ClosedSets {
 public:
  ClosedSets(const Encoder& encoder, std::span<const std::string> labels)
      : encoder_(encoder), labels_(labels) {}

  // The set behind the question of `example`, whose tokens are `prompt`; counts from 0.
  size_t index_of(const Example& example, std::span<const TokenId> prompt);
  // Its members stand in the order of the labels. Stays where it is.
  const TokenTrie& set(size_t index) const { return sets_[index]; }
  // The label of which these are the tokens in that set; labels.size() where it is none.
  size_t label_of(size_t index, std::span<const TokenId> tokens) const;

 private:
  const Encoder& encoder_;
  std::span<const std::string> labels_;
  std::deque<TokenTrie> sets_;
  std::map<std::string, size_t> by_end_;
  std::map<std::vector<std::vector<TokenId>>, size_t> by_members_;
};

}  // namespace alambic
