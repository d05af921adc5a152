// Chat templates: from a conversation to the text that a model was trained to see.
//
// A template is Jinja, in the part of the language that published templates use, rendered exactly
// as Python's jinja2 does under the settings of Hugging Face transformers (blocks trimmed, a
// sandbox without mutation, loop controls, tojson without escaping).
//
// Ownership: a ChatTemplate is an immutable handle on a parsed template, cheap to copy. Thread
// safety: usable from several threads at once.
// Errors, naming template and line: kCorruptData for a syntax error, kUnsupported for a construct
// outside the subset, kInvalidArgument for what raise_exception says or for values that do not
// fit, kResourceExhausted for a template that runs, nests or writes without end.
#pragma once

#include <cstddef>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "alambic/base/json.h"

namespace alambic {

namespace jinja {
class Template;
}

struct ChatInput {
  OrderedJson messages = OrderedJson::array();
  OrderedJson tools;  // null for none
  bool add_generation_prompt = false;
  OrderedJson variables = OrderedJson::object();  // bos_token, enable_thinking, date_string …
  std::time_t now = 0;                            // what strftime_now tells; 0: the present
};

// What a template gets under a name of its own; no variable of ChatInput takes their places.
bool is_reserved_chat_variable(std::string_view name);

// The texts of a model's templates. Where one for conversations with tools has a name of its own,
// "tool_use", the other serves the rest.
struct ChatTemplateTexts {
  std::string text;      // "" for none
  std::string tool_use;  // "" where `text` serves these, too
};

// Those of a model directory: chat_template.jinja, else "chat_template" of tokenizer_config.json,
// else of chat_template.json: a text, a list of {name, template} or an object {name: template};
// additional_chat_templates/tool_use.jinja beside any of them.
ChatTemplateTexts read_chat_templates(const std::string& directory);

// The special tokens that a tokenizer_config.json or special_tokens_map.json names, each once:
// strings and descriptions with a "content" under keys that end in "_token", and all of an object
// "extra_special_tokens". What `named` holds already stays.
void read_special_tokens(const Json& config, std::map<std::string, std::string>& named);

struct RenderedChat {
  std::string text;
  // What stands between {% generation %} markers, as [begin, end) bytes of the text, in order.
  std::vector<std::pair<size_t, size_t>> generated;
  // Markers stood within a macro or a block, so that `generated` is not all.
  bool generated_elsewhere = false;
};

class ChatTemplate {
 public:
  // `where` opens error lines.
  static ChatTemplate parse(std::string_view source, std::string_view where);
  // The template of read_chat_templates(), with the special tokens of tokenizer_config.json and
  // special_tokens_map.json as variables. Nothing where there is none.
  static std::optional<ChatTemplate> load(const std::string& directory);
  // As load(), from a tokenizer_config.json or what stands in for it.
  static std::optional<ChatTemplate> from_config(const Json& tokenizer_config,
                                                 std::string_view where);
  // One of the built-in formats of builtin_names().
  static ChatTemplate builtin(std::string_view name);
  // In alphabetical order, for help texts.
  static std::vector<std::string> builtin_names();

  std::string render(const ChatInput& input) const { return render_chat(input).text; }
  RenderedChat render_chat(const ChatInput& input) const;
  // Whether the template marks what the model writes.
  bool marks_generation() const;
  // The text it was parsed from.
  const std::string& source() const;
  // The same, with another template for conversations with tools; "" for none.
  ChatTemplate with_tool_use(std::string_view source) const;
  // The same template with a variable that holds wherever ChatInput does not set it.
  ChatTemplate with_variable(const std::string& name, OrderedJson value) const;

 private:
  struct Parts;
  explicit ChatTemplate(std::shared_ptr<const Parts> parts) : parts_(std::move(parts)) {}
  std::shared_ptr<const Parts> parts_;
};

}  // namespace alambic
