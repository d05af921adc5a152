// The rewriting steps of normalizers that are more than a call of a Unicode library.
// Text is a byte string; bytes that are not UTF-8 stay. Ownership: plain functions. Thread safety:
// stateless. Errors: none.
#pragma once

#include <string>
#include <string_view>

namespace alambic {

struct BertNormalizerOptions {
  bool clean_text = true;            // no control characters, every white space is a space
  bool handle_chinese_chars = true;  // spaces around ideographs
  bool strip_accents = true;
  bool lowercase = true;
};
std::string bert_normalize(std::string_view text, const BertNormalizerOptions& options);

// Drops combining marks; composed characters stay.
std::string strip_accents(std::string_view text);
// What SentencePiece's "nmt" rules do: no control characters, odd white space is a space.
std::string nmt_normalize(std::string_view text);
// Drops white space at the ends.
std::string strip_white_space(std::string_view text, bool left, bool right);

}  // namespace alambic
