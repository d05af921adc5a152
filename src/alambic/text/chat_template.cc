#include "alambic/text/chat_template.h"

#include <algorithm>
#include <filesystem>
#include <iterator>

#include "alambic/base/file.h"
#include "alambic/text/chat_template_builtin.h"
#include "alambic/text/jinja_interpreter.h"
#include "alambic/text/jinja_parser.h"

namespace alambic {
namespace {

constexpr std::string_view kReserved[] = {
    "messages", "tools",       "add_generation_prompt", "chat_template", "continue_final_message",
    "tokenize", "return_dict", "return_tensors"};

// The text of a special token: itself, or what its description says.
const std::string* token_text(const Json& value) {
  if (value.is_string()) return value.get_ptr<const std::string*>();
  const auto content = value.is_object() ? value.find("content") : value.end();
  const bool described = value.is_object() && content != value.end() && content->is_string();
  return described ? content->get_ptr<const std::string*>() : nullptr;
}

// The member "chat_template" of a file.
ChatTemplateTexts texts_of(const Json& config, std::string_view where) {
  ChatTemplateTexts texts;
  const auto found = config.is_object() ? config.find("chat_template") : config.end();
  if (!config.is_object() || found == config.end() || found->is_null()) return texts;
  if (found->is_string()) return {found->get<std::string>(), ""};
  std::map<std::string, std::string> named;
  if (found->is_array()) {
    for (const Json& entry : *found)
      named[require<std::string>(entry, "name", where)] =
          require<std::string>(entry, "template", where);
  } else if (found->is_object()) {
    for (const auto& item : found->items())
      named[item.key()] = require<std::string>(*found, item.key().c_str(), where);
  } else {
    fail(ErrorCode::kCorruptData,
         "[{}] chat_template is a JSON {}; want a text, or named ones in a list or an object",
         where, found->type_name());
  }
  if (!named.contains("default")) {
    fail(ErrorCode::kCorruptData, "[{}] chat_template has none named \"default\"", where);
  }
  return {named["default"], named["tool_use"]};
}

}  // namespace

bool is_reserved_chat_variable(std::string_view name) {
  return std::find(std::begin(kReserved), std::end(kReserved), name) != std::end(kReserved);
}

ChatTemplateTexts read_chat_templates(const std::string& directory) {
  const std::filesystem::path folder(directory);
  const std::string plain = (folder / "chat_template.jinja").string();
  const std::string tools = (folder / "additional_chat_templates" / "tool_use.jinja").string();
  ChatTemplateTexts texts;
  if (file_exists(plain)) texts.text = read_file(plain);
  for (const char* name : {"tokenizer_config.json", "chat_template.json"}) {
    const std::string path = (folder / name).string();
    if (texts.text.empty() && file_exists(path)) texts = texts_of(read_json_file(path), path);
  }
  if (!texts.text.empty() && file_exists(tools)) texts.tool_use = read_file(tools);
  return texts;
}

void read_special_tokens(const Json& config, std::map<std::string, std::string>& named) {
  if (!config.is_object()) return;
  const auto take = [&](const std::string& key, const Json& value) {
    if (const std::string* text = token_text(value)) named.emplace(key, *text);
  };
  for (const auto& item : config.items()) {
    if (item.key().ends_with("_token")) take(item.key(), item.value());
  }
  const auto extra = config.find("extra_special_tokens");
  if (extra == config.end() || !extra->is_object()) return;
  for (const auto& item : extra->items()) take(item.key(), item.value());
}

struct ChatTemplate::Parts {
  std::string where, source;
  std::shared_ptr<const jinja::Template> plain;
  std::string tools_where;
  std::shared_ptr<const jinja::Template> with_tools;  // null: the same
  OrderedJson variables = OrderedJson::object();
};

ChatTemplate ChatTemplate::parse(std::string_view source, std::string_view where) {
  Parts parts;
  parts.where = where;
  parts.source = source;
  parts.plain = jinja::parse_template(source, where);
  return ChatTemplate(std::make_shared<const Parts>(std::move(parts)));
}

std::optional<ChatTemplate> ChatTemplate::from_config(const Json& tokenizer_config,
                                                      std::string_view where) {
  const ChatTemplateTexts texts = texts_of(tokenizer_config, where);
  if (texts.text.empty()) return std::nullopt;
  Parts parts = *parse(texts.text, fmt::format("{}: chat_template", where))
                     .with_tool_use(texts.tool_use)
                     .parts_;
  std::map<std::string, std::string> named;
  read_special_tokens(tokenizer_config, named);
  for (const auto& [name, text] : named) parts.variables[name] = text;
  return ChatTemplate(std::make_shared<const Parts>(std::move(parts)));
}

std::optional<ChatTemplate> ChatTemplate::load(const std::string& directory) {
  const ChatTemplateTexts texts = read_chat_templates(directory);
  if (texts.text.empty()) return std::nullopt;
  std::map<std::string, std::string> named;
  for (const char* name : {"/tokenizer_config.json", "/special_tokens_map.json"}) {
    const std::string path = directory + name;
    if (file_exists(path)) read_special_tokens(read_json_file(path), named);
  }
  ChatTemplate chat =
      parse(texts.text, fmt::format("{}: chat template", directory)).with_tool_use(texts.tool_use);
  for (const auto& [name, text] : named) chat = chat.with_variable(name, text);
  return chat;
}

ChatTemplate ChatTemplate::builtin(std::string_view name) {
  std::string names;
  for (const BuiltinTemplate& candidate : builtin_templates()) {
    if (candidate.name == name) {
      return parse(builtin_source(candidate), fmt::format("chat template {}", name));
    }
    names += names.empty() ? "" : ", ";
    names += candidate.name;
  }
  fail(ErrorCode::kNotFound, "[chat template] no built-in one is called \"{}\"; want {}", name,
       names);
}

std::vector<std::string> ChatTemplate::builtin_names() {
  std::vector<std::string> names;
  for (const BuiltinTemplate& candidate : builtin_templates()) names.emplace_back(candidate.name);
  return names;
}

ChatTemplate ChatTemplate::with_tool_use(std::string_view source) const {
  Parts parts = *parts_;
  parts.tools_where = fmt::format("{} tool_use", parts.where);
  parts.with_tools = source.empty() ? nullptr : jinja::parse_template(source, parts.tools_where);
  return ChatTemplate(std::make_shared<const Parts>(std::move(parts)));
}

ChatTemplate ChatTemplate::with_variable(const std::string& name, OrderedJson value) const {
  Parts parts = *parts_;
  parts.variables[name] = std::move(value);
  return ChatTemplate(std::make_shared<const Parts>(std::move(parts)));
}

bool ChatTemplate::marks_generation() const { return parts_->plain->marks_generation; }

const std::string& ChatTemplate::source() const { return parts_->source; }

RenderedChat ChatTemplate::render_chat(const ChatInput& input) const {
  const bool with_tools = parts_->with_tools && !input.tools.is_null();
  const jinja::Template& tree = with_tools ? *parts_->with_tools : *parts_->plain;
  jinja::Run run(with_tools ? parts_->tools_where : parts_->where,
                 input.now != 0 ? input.now : std::time(nullptr));
  std::vector<jinja::Value> variables;
  variables.reserve(tree.names.size());
  for (const std::string& name : tree.names) {
    if (name == "messages") {
      variables.push_back(jinja::Value::from_json(run, input.messages));
    } else if (name == "tools") {
      variables.push_back(jinja::Value::from_json(run, input.tools));
    } else if (name == "add_generation_prompt") {
      variables.push_back(jinja::Value::boolean(input.add_generation_prompt));
    } else if (input.variables.is_object() && input.variables.contains(name) &&
               !is_reserved_chat_variable(name)) {
      variables.push_back(jinja::Value::from_json(run, input.variables.at(name)));
    } else if (name == "documents") {
      variables.push_back(jinja::Value::none());
    } else if (parts_->variables.contains(name)) {
      variables.push_back(jinja::Value::from_json(run, parts_->variables.at(name)));
    } else {
      variables.emplace_back();
    }
  }
  jinja::Output output = jinja::interpret(run, tree, std::move(variables));
  return {std::move(output.text), std::move(output.generated), output.generated_elsewhere};
}

}  // namespace alambic
