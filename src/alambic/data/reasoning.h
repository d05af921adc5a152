// What a model thought before it answered, and the answer itself: "<think>…</think>" blocks.
//
// Thread safety: pure functions. Errors: none.
#pragma once

#include <string>
#include <string_view>

namespace alambic {

struct ReasonedText {
  std::string text;       // without reasoning and the white space around it
  std::string reasoning;  // of whole blocks, joined by blank lines
  bool thought = false;   // whether there was any block, an unclosed one too
  bool open = false;      // the last block is not closed: there is no answer
};

// What stands before a "</think>" that nothing opened is reasoning, too, because a template may
// have written the opening mark. A text without any block stays as it is.
ReasonedText without_reasoning(std::string_view written);
// How a prompt ends that opens a block itself.
inline constexpr std::string_view kOpenBlock = "<think>";
// What is written behind such a prompt: the rest of the block, and the answer.
std::string in_opened_block(std::string_view reasoning, std::string_view text);
// The answer that such a text gives: "" where its last block is not closed.
std::string final_answer(std::string_view written);

}  // namespace alambic
