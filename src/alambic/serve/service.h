// What the server answers, without a network: checks a request, turns it into work for the engine,
// and words the answer. A classifier answers with one of its labels on both routes. A prompt of
// /v1/completions goes into the template of the model's card, where there is one; token ids and
// prompts to be echoed are read as they stand, and continued by anything.
//
// Routes: GET /health, GET /v1/models, GET /v1/models/{id}, POST /v1/completions,
// POST /v1/chat/completions. Ownership: looks at the model, which must outlive it; an Exchange
// keeps what it needs. Thread safety: from any thread. Errors: none escape; each becomes an HTTP
// answer with an error object.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "alambic/decode/decode.h"
#include "alambic/models/hf_directory.h"
#include "alambic/serve/api_error.h"
#include "alambic/serve/api_request.h"
#include "alambic/serve/exchange.h"
#include "alambic/serve/prompt_maker.h"

namespace alambic {

struct HttpRequest {
  std::string method, target;
  std::string host, origin;
  std::string forwarded_host;  // the name that clients know, where a proxy stands before the server
  std::string authorization, content_type, content_encoding;
  std::string body;
};

inline constexpr std::string_view kHealthPath = "/health";

struct ServedModel {
  const LanguageModel* model = nullptr;
  Tokenizer tokenizer;
  ModelCard card;
  std::optional<ChatTemplate> chat;  // nothing: see PromptMaker
  std::string name;
  std::vector<TokenId> stop;  // end-of-text tokens
  Precision precision = Precision::kFp32;
  int context = 0;  // prompt and answer in tokens; at most the positions that the model has
  // Where a request names no quality; not diffusion.
  DecodeMode mode = DecodeMode::kAutoregressive;
};

class Service {
 public:
  // `api_key`: what clients must show on every route but /health; empty: none.
  Service(ServedModel model, std::string api_key);

  using Answer = std::variant<HttpReply, std::shared_ptr<Exchange>>;

  // What can be said before the body has come: an answer, or where the body is to go.
  std::variant<HttpReply, ApiRoute> route(const HttpRequest& request) const;
  // Templates and tokenizers are at work here: it may take a while.
  Answer prepare(ApiRoute route, const std::string& body) const;
  // Both.
  Answer handle(const HttpRequest& request) const;
  Engine& engine() { return engine_; }

  // A target without its query.
  static std::string_view path_of(const HttpRequest& request);

 private:
  void check_origin(const HttpRequest& request) const;
  void check_key(const HttpRequest& request) const;
  void check_model(const std::string& name) const;
  OrderedJson model_entry() const;
  std::shared_ptr<Exchange> complete(const std::string& body) const;
  std::shared_ptr<Exchange> chat(const std::string& body) const;
  // How to write, with room behind so many tokens.
  void prepare(const SamplingRequest& request, size_t prompt_tokens, EngineTask& task) const;
  // One of the model's labels and nothing else, where it has labels.
  void keep_to_labels(const SamplingRequest& request, size_t prompt_tokens, EngineTask& task) const;
  void check_length(size_t prompt_tokens) const;
  void check_bytes(size_t prompt_bytes) const;

  ServedModel model_;
  std::string api_key_;
  PromptMaker prompts_;
  std::shared_ptr<const TokenTrie> labels_;  // null: it is no classifier
  Engine engine_;
};

}  // namespace alambic
