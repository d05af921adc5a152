#include "alambic/serve/service.h"

#include <algorithm>
#include <charconv>

#include "alambic/base/json.h"
#include "alambic/base/trimmed.h"

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

Service::Service(std::unique_ptr<Answerer> answerer, std::string api_key)
    : answerer_(std::move(answerer)), api_key_(std::move(api_key)) {}

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
  if (name.empty() || name == answerer_->name()) return;
  throw ApiError(404, fmt::format("model: this server has \"{}\" only", answerer_->name()), "model",
                 "model_not_found");
}

OrderedJson Service::model_entry() const {
  return {{"id", answerer_->name()},
          {"object", "model"},
          {"created", 0},
          {"owned_by", "alambic"},
          {"meta", answerer_->meta()}};
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
    if (route == ApiRoute::kChat) {
      ChatRequest request = parse_chat_request(body);
      check_model(request.sampling.model);
      return answerer_->chat(std::move(request));
    }
    CompletionRequest request = parse_completion_request(body);
    check_model(request.sampling.model);
    return answerer_->complete(std::move(request));
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

}  // namespace alambic
