// Any bytes as a chat template over a conversation with tools, and, where the bytes hold a NUL, the
// part behind it as the messages: a text or an Error, in bounded time and memory.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "alambic/base/error.h"
#include "alambic/text/chat_template.h"

namespace {

alambic::ChatInput usual_input() {
  alambic::ChatInput input;
  input.messages = alambic::OrderedJson::parse(R"([
      {"role": "system", "content": "Be é brief."}, {"role": "user", "content": " Hi \n"},
      {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "function",
        "function": {"name": "f", "arguments": {"a": [1, 2.5, null, true]}}}]},
      {"role": "tool", "tool_call_id": "c", "content": "3"},
      {"role": "user", "content": [{"type": "text", "text": "x"}]}])");
  input.tools = alambic::OrderedJson::parse(
      R"([{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}])");
  input.add_generation_prompt = true;
  input.variables = {{"bos_token", "<s>"}, {"eos_token", "</s>"}, {"enable_thinking", false}};
  input.now = 1700000000;
  return input;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const alambic::ChatInput usual = usual_input();
  try {
    const size_t split = text.find('\0');
    alambic::ChatInput input = usual;
    if (split != std::string_view::npos) {
      const alambic::Json messages = alambic::parse_json(text.substr(split + 1), "fuzz");
      input.messages = alambic::OrderedJson::parse(messages.dump());
    }
    alambic::ChatTemplate::parse(text.substr(0, split), "fuzz").render_chat(input);
  } catch (const alambic::Error&) {  // the only way out that a user may meet
  }
  return 0;
}
