#include "alambic/cli/model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "alambic/base/file.h"
#include "alambic/cli/model_notes.h"
#include "alambic/decode/encoding.h"
#include "alambic/decode/prompting.h"

namespace alambic {

namespace {

OpenModel with_tokenizer(LoadedModel loaded, const std::string& directory) {
  remark_on_model(directory);
  OpenModel open{std::move(loaded), Tokenizer::load(directory)};
  if (open.tokenizer.vocab_size() > open.model().config().vocab_size) {
    fail(ErrorCode::kCorruptData, "[{}] the tokenizer has {} tokens; the model was made for {}",
         directory, open.tokenizer.vocab_size(), open.model().config().vocab_size);
  }
  return open;
}

}  // namespace

OpenModel open_model(const std::string& directory, Precision precision) {
  return with_tokenizer(load_for_inference(directory, precision), directory);
}

OpenModel open_model_in_floats(const std::string& directory) {
  return with_tokenizer(load_model(directory), directory);
}

void write_tokenizer(const Tokenizer& tokenizer, const std::string& from, const std::string& to) {
  make_directories(to);
  if (!file_exists(from + "/tokenizer.json")) return tokenizer.save(to);
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                           "chat_template.jinja"}) {
    const std::string path = from + "/" + name;
    if (file_exists(path)) write_file_atomic(to + "/" + name, read_file(path));
  }
}

Precision precision_from_name(const std::string& name, const std::string& directory) {
  if (name.empty()) return stored_format(directory) ? Precision::kBf16 : Precision::kFp32;
  if (name == "fp32") return Precision::kFp32;
  if (name == "bf16") return Precision::kBf16;
  fail(ErrorCode::kInvalidArgument, "[--precision] got \"{}\"; want fp32 or bf16", name);
}

void add_chat_template_option(CLI::App& verb, std::string& name) {
  verb.add_option("--chat-template", name,
                  fmt::format("Format of conversations: model (its own; the default), none, {}, or "
                              "a file",
                              fmt::join(ChatTemplate::builtin_names(), ", ")))
      ->type_name("NAME");
}

void use_chat_template(const std::string& name, const std::string& model, ModelCard& card) {
  if (name.empty()) {
    use_default_chat_template(model, card);
    return;
  }
  if (name == "none") {
    card.chat_template = card.tool_use_template = "";
    return;
  }
  if (name != "model") {
    const bool file = file_exists(name);
    const ChatTemplate chat =
        file ? ChatTemplate::parse(read_file(name), name) : ChatTemplate::builtin(name);
    card.chat_template = chat.source();
    card.tool_use_template.clear();
    return;
  }
  use_own_chat_template(model, card);
  if (card.chat_template.empty()) {
    fail(ErrorCode::kInvalidArgument, "[{}] has no chat template; name one with --chat-template",
         model);
  }
}

TokenTrie label_set(const OpenModel& model) {
  std::vector<std::vector<TokenId>> members;
  const Encoder encoder(model.tokenizer, model.card());
  for (const std::string& label : model.card().labels)
    members.push_back(encoder.choice({.prompt = "?"}, label));
  return TokenTrie(std::move(members));
}

}  // namespace alambic
