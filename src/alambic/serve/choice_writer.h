// From the tokens of one answer to text that may be shown: whole characters, nothing behind a stop
// string, nothing that may still turn out to be the beginning of one. The pieces joined are the
// answer, so a streamed answer and one that is not are the same bytes.
//
// Ownership: values. Thread safety: one object, one thread. Nothing here throws.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/serve/engine.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

class StopFilter {
 public:
  explicit StopFilter(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  // Takes the next piece of a text and returns what of it is certain. Nothing comes behind a stop
  // string.
  std::string push(std::string_view text);
  // What was held back; call once, at the end of the text.
  std::string finish();
  bool stopped() const { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

// A token as a client sees it.
struct TokenRecord {
  ScoredToken scored;
  std::string bytes;   // what it adds to the text; "" for a special token
  int64_t offset = 0;  // of its first character in the text, in characters
};

struct AnswerPiece {
  std::string text;
  std::vector<TokenRecord> tokens;  // those that begin in this text
};

class ChoiceWriter {
 public:
  // `before`: the last tokens in front of the text where it continues them, which decides about a
  // space at the seam. `offset`: characters in front of it.
  ChoiceWriter(Tokenizer tokenizer, std::vector<std::string> stops, std::span<const TokenId> before,
               int64_t offset = 0);

  AnswerPiece push(ScoredToken token);
  AnswerPiece finish();
  // By a stop string.
  bool stopped() const { return filter_.stopped(); }

 private:
  struct Waiting {
    TokenRecord record;
    size_t start;  // byte of the text
  };
  AnswerPiece release(std::string text, bool all);

  Tokenizer tokenizer_;
  StreamDecoder decoder_;
  StopFilter filter_;
  std::deque<Waiting> waiting_;
  bool first_;                          // no token has given text yet, not even in front
  size_t produced_ = 0, released_ = 0;  // bytes
  int64_t characters_;
};

// The records of a text that was there before: tokens from `first` on, `scores` without the one
// for token 0 (a token without a score gets none). Offsets count from the first record.
std::vector<TokenRecord> records_of(const Tokenizer& tokenizer, std::span<const TokenId> tokens,
                                    size_t first, std::vector<ScoredToken> scores);

int64_t count_characters(std::string_view utf8);

}  // namespace alambic
