// What a teacher of one vocabulary says, in a student's own: where a token of either ends at the
// same byte, probabilities are merged; anywhere else the student learns the text alone (the idea of
// ULD, arXiv 2402.12030, and of GOLD's merged spans).
//
// At a byte where both begin a token:
//   - an alternative of the teacher speaks for the student's token that its bytes begin with;
//   - where the student's next token is several of the teacher's, its probability is the product of
//     theirs, and what the first of them had beyond that goes to the tail;
//   - end of text speaks for end of text, and what nobody of the student's stands for is tail.
// Where the student stands inside a token of the teacher, nothing is said.
//
// Ownership: values. Thread safety: one object, one thread.
#pragma once

#include <optional>
#include <unordered_map>

#include "alambic/decode/encoding.h"
#include "alambic/distill/byte_match.h"
#include "alambic/models/hf_directory.h"
#include "alambic/train/objective.h"

namespace alambic {

class ByteAlignment {
 public:
  ByteAlignment(Tokenizer teacher, const Tokenizer& student);

  // The row as the student reads it: its own prompt, text and end. `encoder`: the student's.
  // Nothing if that is longer than `max_tokens`.
  std::optional<Sequence> sequence(const SignalRow& row, const Encoder& encoder, int max_tokens);
  // Gives a sequence in the student's tokens, whose answer is the row's text, and its end where it
  // `ends`, the signals of the row.
  void add_signals(const SignalRow& row, bool ends, Sequence& sequence);
  // Of all tokens after prompts so far, those that got a signal, in [0, 1].
  double share() const;

 private:
  std::optional<TokenId> first_token(TokenId teachers);
  std::optional<TokenSignal> signal_at(const SignalRow& row, size_t teachers, size_t last,
                                       TokenId own);

  Tokenizer teacher_;
  ByteVocabulary student_;
  std::unordered_map<TokenId, std::optional<TokenId>> first_tokens_;
  int64_t tokens_ = 0, signals_ = 0;
};

}  // namespace alambic
