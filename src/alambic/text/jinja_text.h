// What Python's str methods do, on UTF-8: positions and lengths count characters, case and white
// space are Unicode's. Text must be valid UTF-8. Thread safety: stateless. Errors: none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace alambic::jinja {

// str.isspace of one character: White_Space and the four information separators.
bool is_python_space(char32_t code);

// Characters, and the byte where character `index` begins (the size from the end on).
size_t count_characters(std::string_view text);
size_t byte_of_character(std::string_view text, size_t index);

enum class Side { kLeft, kRight, kBoth };
// Without `characters`: white space.
std::string_view strip(std::string_view text, std::optional<std::string_view> characters,
                       Side side);

// At most `limit` cuts, counted from the left or the right; a negative limit is none. Without a
// separator: at runs of white space, with no empty pieces. A separator must not be empty.
std::vector<std::string_view> split_text(std::string_view text,
                                         std::optional<std::string_view> separator, int64_t limit,
                                         Side from);
std::vector<std::string_view> split_text_lines(std::string_view text, bool keep_ends);
// At most `limit` replacements; an empty `from` stands before every character and at the end.
std::string replace_text(std::string_view text, std::string_view from, std::string_view to,
                         int64_t limit, size_t max_bytes);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string swap_case(std::string_view text);
std::string capitalize(std::string_view text);   // str.capitalize
std::string title_words(std::string_view text);  // str.title

// The characters that mean something in HTML, as entities.
std::string escape_html(std::string_view text);

// str.isalpha and its kin; all want at least one character.
enum class CharacterTest { kAlpha, kDigit, kDecimal, kNumeric, kAlnum, kSpace, kAscii };
bool all_characters(std::string_view text, CharacterTest test);
bool has_case(std::string_view text, bool upper);  // str.isupper, str.islower
bool is_identifier(std::string_view text);

// A sequence of `length` cut as Python's slices cut: the first position, how many, and the stride.
struct SliceRange {
  int64_t start, count, step;
};
SliceRange slice_range(size_t length, std::optional<int64_t> start, std::optional<int64_t> stop,
                       int64_t step);
std::string slice_text(std::string_view text, const SliceRange& range);

}  // namespace alambic::jinja
