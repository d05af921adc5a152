// UTF-8 and the few Unicode questions that tokenizers ask. Text is a byte string that is usually,
// but not necessarily, UTF-8: every function defines what happens to bytes that are not. Thread
// safety: stateless. Errors: none are thrown except by normalize_unicode for lack of memory.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace alambic {

// One step of a decoder. Where `valid` is false, `length` covers the longest prefix that could have
// become a character (at least one byte), which is what a single U+FFFD stands for.
struct Utf8Step {
  char32_t code;
  uint8_t length;
  bool valid;
};

Utf8Step decode_utf8(std::string_view text, size_t at);
void append_utf8(std::string& out, char32_t code);
// Bytes before the first one that is not UTF-8.
size_t valid_utf8_prefix(std::string_view text);
// The same text with U+FFFD for every ill-formed sequence.
std::string to_valid_utf8(std::string_view text);
// Length of the unfinished character at the end of `text`, 0 if it ends on a boundary or in a
// broken one.
size_t incomplete_utf8_suffix(std::string_view text);

bool is_white_space(char32_t code);  // property White_Space
bool is_numeric(char32_t code);      // categories Nd, Nl, No
bool is_punctuation(char32_t code);  // ASCII's, and categories P
bool is_word(char32_t code);         // what \w means to the patterns of tokenizer files

// Character by character, with no regard to context; broken bytes stay.
std::string lowercase(std::string_view text);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
// Broken bytes stay and separate what stands on either side.
std::string normalize_unicode(std::string_view text, NormalForm form);

// The byte-level alphabet: each of the 256 bytes has one printable character. Bytes that are
// printable in Latin-1 stand for themselves, the others take the characters from U+0100 up, in
// order.
char32_t byte_to_char(uint8_t byte);
// The byte that `code` stands for, or -1.
int char_to_byte(char32_t code);
std::string bytes_to_chars(std::string_view bytes);

}  // namespace alambic
