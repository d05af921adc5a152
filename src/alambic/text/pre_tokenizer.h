// The "pre_tokenizer" of a tokenizer file: how text is cut into the pieces that no token crosses.
// Ownership: an immutable value, cheap to copy. Thread safety: usable from several threads at once.
// Errors: kUnsupported naming the construct.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"

namespace alambic {

// A stretch of text on its way through the cutters. `opens_text` marks the piece that holds the
// beginning of what the caller gave to encode.
struct Piece {
  std::string_view text;
  bool opens_text;
};

using PieceSink = std::function<void(const Piece&)>;

class PreTokenizer {
 public:
  // Null JSON leaves every text whole.
  static PreTokenizer from_json(const Json& value, std::string_view where);

  // True if pieces are raw bytes to be read in the byte-level alphabet. The translation itself is
  // left to the model, which is faster and lets broken UTF-8 through.
  bool byte_level() const { return byte_level_; }
  // Calls `sink` with every non-empty piece in order; a piece lives until the sink returns.
  void split(const Piece& whole, const PieceSink& sink) const;

  // One cutter.
  class Step;

 private:
  void add(const Json& value, std::string_view where);
  void run(size_t step, const Piece& piece, const PieceSink& sink) const;

  std::vector<std::shared_ptr<const Step>> steps_;
  bool byte_level_ = false;
};

}  // namespace alambic
