#include "alambic/serve/service.h"

#include <algorithm>
#include <charconv>
#include <random>

#include "alambic/base/json.h"
#include "alambic/decode/quality.h"

namespace alambic {
namespace {

constexpr const char* kCompletionsPath = "/v1/completions";
constexpr const char* kChatPath = "/v1/chat/completions";
constexpr const char* kModelsPath = "/v1/models";
constexpr const char* kReading = "GET, HEAD";

HttpReply json_reply(const OrderedJson& body) {
  HttpReply reply;
  reply.body = dump_json(body);
  return reply;
}

// "[::1]:8080" -> "[::1]", "localhost:80" -> "localhost"
std::string_view without_port(std::string_view host) {
  const size_t colon = host.rfind(':');
  const bool port =
      colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos;
  return port ? host.substr(0, colon) : host;
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

// In time that does not depend on where they differ.
bool same_secret(std::string_view a, std::string_view b) {
  unsigned difference = a.size() == b.size() ? 0U : 1U;
  for (size_t i = 0; i < a.size(); ++i) {
    const char other = b.empty() ? '\0' : b[i % b.size()];
    difference |= static_cast<unsigned char>(a[i]) ^ static_cast<unsigned char>(other);
  }
  return difference == 0;
}

uint64_t fresh_seed() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32U) | device();
}

std::shared_ptr<const TokenTrie> label_set(const Tokenizer& tokenizer, const ModelCard& card) {
  if (card.labels.empty()) return nullptr;
  std::vector<std::vector<TokenId>> members;
  const Encoder encoder(tokenizer, card);
  for (const std::string& label : card.labels) {
    members.push_back(encoder.choice({.prompt = "?"}, label));
  }
  return std::make_shared<const TokenTrie>(std::move(members));
}

// "my%20model" -> "my model"
std::string unescaped(std::string_view path) {
  std::string text;
  for (size_t i = 0; i < path.size(); ++i) {
    unsigned byte = 0;
    const std::string_view digits = path.substr(i + 1, 2);
    const bool escape =
        path[i] == '%' && digits.size() == 2 &&
        std::from_chars(digits.data(), digits.data() + 2, byte, 16).ptr == digits.data() + 2;
    text += escape ? static_cast<char>(byte) : path[i];
    if (escape) i += 2;
  }
  return text;
}

// A known path, in a way that it is not for.
HttpReply wrong_method(const HttpRequest& request, const char* allowed) {
  HttpReply reply = error_reply(
      ApiError(405, fmt::format("{} {}: want {}", request.method, request.target, allowed)));
  reply.headers.emplace_back("Allow", allowed);
  return reply;
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

// Whether a page from `origin` came from `host`; a proxy may have taken TLS away in between.
bool same_place(std::string_view origin, std::string_view host) {
  for (const auto& [scheme, port] : {std::pair{"http://", ":80"}, std::pair{"https://", ":443"}}) {
    if (!origin.starts_with(scheme)) continue;
    origin.remove_prefix(std::string_view(scheme).size());
    for (std::string_view* name : {&origin, &host}) {
      if (name->ends_with(port)) name->remove_suffix(std::string_view(port).size());
    }
    return !host.empty() && origin == host;
  }
  return false;
}

// A page in a browser can send a form without asking anybody, but no JSON.
void check_body_kind(const HttpRequest& request) {
  const std::string_view kind = request.content_type;
  const std::string type = lower(trimmed(kind.substr(0, kind.find(';'))));
  if (type != "application/json") {
    throw ApiError(415, "Content-Type: want application/json");
  }
  if (!request.content_encoding.empty() && lower(request.content_encoding) != "identity") {
    throw ApiError(415, "Content-Encoding: this server takes plain bodies only");
  }
}

}  // namespace

Service::Service(ServedModel model, std::string api_key)
    : model_(std::move(model)),
      api_key_(std::move(api_key)),
      prompts_(model_.tokenizer, model_.card, model_.chat),
      labels_(label_set(model_.tokenizer, model_.card)),
      engine_(*model_.model) {}

// Against pages that reach a local server under a name of their own (DNS rebinding) or from
// another origin. With a key, which no such page has, any name will do.
void Service::check_origin(const HttpRequest& request) const {
  if (api_key_.empty()) {
    const std::string host = lower(without_port(request.host));
    if (host != "localhost" && host != "127.0.0.1" && host != "[::1]") {
      throw ApiError(403, "Host: this server answers to localhost, 127.0.0.1 and [::1] only");
    }
  }
  const std::string origin = lower(request.origin);
  if (!origin.empty() && !same_place(origin, lower(request.host)) &&
      !same_place(origin, lower(request.forwarded_host))) {
    throw ApiError(403, "Origin: this server answers no other site's pages");
  }
}

void Service::check_key(const HttpRequest& request) const {
  constexpr std::string_view kScheme = "bearer ";
  if (api_key_.empty()) return;
  const std::string_view given = request.authorization;
  const bool bearer = lower(given.substr(0, kScheme.size())) == kScheme;
  if (bearer && same_secret(given.substr(kScheme.size()), api_key_)) return;
  throw ApiError(401, "Authorization: want the server's API key as a bearer token", "",
                 "invalid_api_key");
}

void Service::check_model(const std::string& name) const {
  if (name.empty() || name == model_.name) return;
  throw ApiError(404, fmt::format("model: this server has \"{}\" only", model_.name), "model",
                 "model_not_found");
}

OrderedJson Service::model_entry() const {
  return {{"id", model_.name},
          {"object", "model"},
          {"created", 0},
          {"owned_by", "alambic"},
          {"meta", {{"n_ctx", model_.context}, {"n_vocab", model_.tokenizer.vocab_size()}}}};
}

std::string_view Service::path_of(const HttpRequest& request) {
  return std::string_view(request.target).substr(0, request.target.find('?'));
}

std::variant<HttpReply, ApiRoute> Service::route(const HttpRequest& request) const {
  const std::string_view path = path_of(request);
  const bool get = request.method == "GET";
  const std::string model_prefix = std::string(kModelsPath) + "/";
  try {
    check_origin(request);
    if (path == kHealthPath) {
      return get ? json_reply({{"status", "ok"}}) : wrong_method(request, kReading);
    }
    check_key(request);
    if (path == kModelsPath) {
      if (!get) return wrong_method(request, kReading);
      return json_reply({{"object", "list"}, {"data", OrderedJson::array({model_entry()})}});
    }
    if (path.starts_with(model_prefix)) {
      if (!get) return wrong_method(request, kReading);
      check_model(unescaped(path.substr(model_prefix.size())));
      return json_reply(model_entry());
    }
    if (path != kCompletionsPath && path != kChatPath) {
      throw ApiError(404,
                     "this server has /health, /v1/models, /v1/completions and "
                     "/v1/chat/completions");
    }
    if (request.method != "POST") return wrong_method(request, "POST");
    check_body_kind(request);
    return path == kChatPath ? ApiRoute::kChat : ApiRoute::kCompletions;
  } catch (const ApiError& error) {
    return error_reply(error);
  }
}

Service::Answer Service::prepare(ApiRoute route, const std::string& body) const {
  try {
    return route == ApiRoute::kChat ? chat(body) : complete(body);
  } catch (const ApiError& error) {
    return error_reply(error);
  } catch (const Error& error) {
    return error_reply(api_error_of(error));
  }
}

Service::Answer Service::handle(const HttpRequest& request) const {
  auto routed = route(request);
  if (auto* reply = std::get_if<HttpReply>(&routed)) return std::move(*reply);
  return prepare(std::get<ApiRoute>(routed), request.body);
}

void Service::check_length(size_t prompt_tokens) const {
  if (prompt_tokens < static_cast<size_t>(model_.context)) return;
  throw ApiError(400,
                 fmt::format("the prompt has {} tokens; this server has room for {} of prompt and "
                             "answer",
                             prompt_tokens, model_.context),
                 "", "context_length_exceeded");
}

void Service::check_bytes(size_t prompt_bytes) const {
  if (prompt_bytes <= prompts_.longest_text(model_.context)) return;
  throw ApiError(400,
                 fmt::format("the prompt has {} bytes, which are more than {} tokens; this server "
                             "has room for {} of prompt and answer",
                             prompt_bytes, model_.context, model_.context),
                 "", "context_length_exceeded");
}

void Service::prepare(const SamplingRequest& request, size_t prompt_tokens,
                      EngineTask& task) const {
  GenerateOptions& options = task.options;
  const int room = model_.context - static_cast<int>(prompt_tokens);
  options.max_tokens = std::min(request.max_tokens.value_or(room), room);
  options.temperature = request.temperature;
  options.top_k = request.top_k;
  options.top_p = request.top_p;
  options.seed = request.seed.value_or(0);
  options.stop = model_.stop;
  options.vocabulary = model_.tokenizer.vocab_size();
  options.precision = model_.precision;
  options.block = model_.card.block;
  task.top = request.top_logprobs;
  task.mode = model_.mode;
  if (!request.quality) return;
  if (model_.card.dial.empty()) {
    throw ApiError(400,
                   "quality: this model's settings were not measured; alambic calibrate does that",
                   "quality");
  }
  task.mode = apply(choose_quality(model_.card.dial, *request.quality), options);
  if (task.mode == DecodeMode::kDiffusion && request.logprobs) {
    throw ApiError(400,
                   "logprobs: a text of this quality is not written token by token and has none; "
                   "want quality 1",
                   "logprobs");
  }
}

void Service::keep_to_labels(const SamplingRequest& request, size_t prompt_tokens,
                             EngineTask& task) const {
  if (labels_ == nullptr) return;
  const auto longest = static_cast<int>(labels_->longest());
  check_length(prompt_tokens + labels_->longest() - 1);
  if (request.max_tokens && !request.default_tokens && *request.max_tokens < longest) {
    throw ApiError(400,
                   fmt::format("max_tokens: got {}; this model answers with one of its labels, "
                               "which have up to {} tokens",
                               *request.max_tokens, longest),
                   "max_tokens");
  }
  task.labels = labels_;
  task.options.constraint = labels_.get();
  task.options.max_tokens = std::max(task.options.max_tokens, longest);
  // Blocks of masks know no closed set.
  if (task.mode == DecodeMode::kDiffusion) task.mode = DecodeMode::kAutoregressive;
}

std::shared_ptr<Exchange> Service::complete(const std::string& body) const {
  constexpr size_t kSeam = 4;  // tokens that decide about a space between prompt and answer
  CompletionRequest request = parse_completion_request(body);
  SamplingRequest& sampling = request.sampling;
  check_model(sampling.model);
  if (request.prompts.size() * static_cast<size_t>(sampling.choices) > engine_.options().queue) {
    throw ApiError(400,
                   fmt::format("n: {} prompts with {} choices each; this server takes {} at once",
                               request.prompts.size(), sampling.choices, engine_.options().queue),
                   "n");
  }
  if (!sampling.seed) sampling.seed = fresh_seed();
  std::vector<std::shared_ptr<ChoiceTask>> tasks;
  int64_t prompt_tokens = 0;
  for (size_t i = 0; i < request.prompts.size(); ++i) {
    const auto* text = std::get_if<std::string>(&request.prompts[i]);
    if (text != nullptr) check_bytes(text->size());
    const std::vector<TokenId> tokens =
        text == nullptr ? std::get<std::vector<TokenId>>(request.prompts[i])
                        : (request.echo ? prompts_.from_text(*text) : prompts_.from_prompt(*text));
    check_length(tokens.size());
    for (const TokenId token : tokens) {
      if (token >= model_.model->config().vocab_size) {
        throw ApiError(400, fmt::format("prompt: there is no token {}", token), "prompt");
      }
    }
    prompt_tokens += static_cast<int64_t>(tokens.size());
    ChoiceTask::Text around;
    around.stops = sampling.stop;
    around.before.assign(tokens.end() - static_cast<std::ptrdiff_t>(std::min(kSeam, tokens.size())),
                         tokens.end());
    if (request.echo) {
      around.echo = text != nullptr ? *text : model_.tokenizer.decode(tokens, false);
      if (text != nullptr) around.first_echoed = prompts_.prefix_tokens(*text);
    }
    for (int k = 0; k < sampling.choices; ++k) {
      const int number = static_cast<int>(tasks.size());
      auto task = std::make_shared<ChoiceTask>(number, model_.tokenizer, around);
      task->prompt = {tokens, static_cast<uint64_t>(k)};  // as if the prompt came alone
      prepare(sampling, tokens.size(), *task);
      const bool scores_alone = request.echo && task->options.max_tokens == 0;
      if (!scores_alone) keep_to_labels(sampling, tokens.size(), *task);
      task->score_prompt = request.echo && sampling.logprobs;
      tasks.push_back(std::move(task));
    }
  }
  return std::make_shared<Exchange>(
      ApiRoute::kCompletions, sampling,
      ResponseFormat(ApiRoute::kCompletions, model_.tokenizer, model_.name, sampling),
      std::move(tasks), prompt_tokens);
}

std::shared_ptr<Exchange> Service::chat(const std::string& body) const {
  ChatRequest request = parse_chat_request(body);
  SamplingRequest& sampling = request.sampling;
  check_model(sampling.model);
  if (!sampling.seed) sampling.seed = fresh_seed();
  size_t bytes = 0;
  for (size_t i = 0; i < request.messages.size(); ++i) {
    const OrderedJson& message = request.messages[i];
    if (!model_.chat && (message.contains("tool_calls") || message["role"] == "tool")) {
      const std::string where = fmt::format("messages[{}]", i);
      throw ApiError(400,
                     where + ": this model has no chat template, and so no way to read tool calls",
                     where);
    }
    bytes += message.at("content").get_ref<const std::string&>().size();
  }
  check_bytes(bytes);
  const std::vector<TokenId> tokens = prompts_.from_messages(request.messages, request.variables);
  check_length(tokens.size());
  std::vector<std::shared_ptr<ChoiceTask>> tasks;
  for (int k = 0; k < sampling.choices; ++k) {
    auto task = std::make_shared<ChoiceTask>(k, model_.tokenizer,
                                             ChoiceTask::Text{sampling.stop, {}, "", 0});
    task->prompt = {tokens, static_cast<uint64_t>(k)};
    prepare(sampling, tokens.size(), *task);
    keep_to_labels(sampling, tokens.size(), *task);
    tasks.push_back(std::move(task));
  }
  return std::make_shared<Exchange>(
      ApiRoute::kChat, sampling,
      ResponseFormat(ApiRoute::kChat, model_.tokenizer, model_.name, sampling), std::move(tasks),
      static_cast<int64_t>(tokens.size()));
}

}  // namespace alambic
