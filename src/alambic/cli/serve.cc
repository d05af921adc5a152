// alambic serve: a model behind the OpenAI API.
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "alambic/base/file.h"
#include "alambic/base/progress.h"
#include "alambic/cli/linear.h"
#include "alambic/cli/model.h"
#include "alambic/cli/model_place.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"
#include "alambic/decode/prompting.h"
#include "alambic/models/what_lies_at.h"
#include "alambic/serve/http_server.h"
#include "alambic/serve/labeller.h"
#include "alambic/serve/writer.h"

namespace alambic {
namespace {

constexpr const char* kServeExample =
    "  alambic serve runs/quickstart/student --port 8080\n"
    "  curl http://127.0.0.1:8080/v1/completions -H 'Content-Type: application/json' -d "
    "'{\"prompt\": \"Hello\"}'\n"
    "Any client of the OpenAI API works with the base URL http://127.0.0.1:8080/v1.";

struct ServeArguments {
  std::string model, name, precision, api_key_env, chat_template, decode = "ar";
  HttpOptions http;
  int context = 0;
  int port = 8080;
  const CLI::App* verb = nullptr;  // for what was typed
};

void bind(CLI::App& verb, ServeArguments& o) {
  o.verb = &verb;
  verb.add_option("model", o.model, "Model directory")->required()->type_name("MODEL");
  verb.add_option("--host", o.http.host, "Address to listen on; all but loopback want a key")
      ->type_name("ADDRESS")
      ->capture_default_str();
  verb.add_option("--port", o.port, "Port to listen on; 0: any that is free")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  verb.add_option("--name", o.name, "Name of the model for clients; default: its directory's")
      ->type_name("NAME");
  verb.add_option("--precision", o.precision, kPrecisionHelp)
      ->check(CLI::IsMember({"fp32", "bf16"}));
  verb.add_option("--decode", o.decode,
                  "How to write: ar; speculative or lookup (the same text in fewer steps). A "
                  "request's own field \"quality\" goes before it")
      ->check(CLI::IsMember({"ar", "lookup", "speculative"}))
      ->capture_default_str();
  verb.add_option("--max-context", o.context,
                  "Tokens of prompt and answer; default: all that the model has")
      ->check(CLI::Range(2, 1 << 24));
  add_chat_template_option(verb, o.chat_template);
  verb.add_option("--api-key-env", o.api_key_env,
                  "Environment variable with the key that clients must show")
      ->type_name("VARIABLE");
}

std::string api_key(const ServeArguments& o) {
  if (o.api_key_env.empty()) {
    if (!is_loopback(o.http.host)) {
      fail(ErrorCode::kInvalidArgument,
           "[--host] {} can be reached from elsewhere; want --api-key-env, or a loopback address",
           o.http.host);
    }
    return "";
  }
  const char* key = std::getenv(o.api_key_env.c_str());
  if (key == nullptr || *key == '\0') {
    fail(ErrorCode::kInvalidArgument, "[--api-key-env] the environment has no {}", o.api_key_env);
  }
  return key;
}

std::optional<ChatTemplate> chat_template(const ServeArguments& o, const OpenModel& open) {
  ModelCard card = open.card();
  use_chat_template(o.chat_template, o.model, card);
  if (card.chat_template.empty()) use_own_chat_template(o.model, card);
  if (card.chat_template.empty()) return std::nullopt;
  return chat_template_of(card, open.tokenizer);
}

std::string directory_name(const std::string& directory) {
  const auto path = std::filesystem::absolute(directory).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

std::string served_name(const ServeArguments& o) {
  return o.name.empty() ? directory_name(o.model) : o.name;
}

void run_server(const ServeArguments& o, std::unique_ptr<Answerer> answerer,
                const std::string& key) {
  Service service(std::move(answerer), key);
  HttpOptions http = o.http;
  http.port = static_cast<uint16_t>(o.port);
  HttpServer server(service, http);
  const bool six = o.http.host.find(':') != std::string::npos;
  print_result(fmt::format("serving {} on http://{}{}{}:{}/v1\n", served_name(o), six ? "[" : "",
                           o.http.host, six ? "]" : "", server.port()));
  server.run();
}

void serve_linear(const ServeArguments& o) {
  const std::string key = api_key(o);
  const LinearClassifier classifier =
      open_linear(*o.verb, o.model, {"--host", "--port", "--name", "--api-key-env"});
  ServedClassifier served{
      .name = served_name(o),
      .labels = classifier.classes(),
      .log_probabilities =
          [&](std::string_view text) { return classifier.log_probabilities(text); },
      .longest_text = TfIdf::kMaxBytes};
  run_server(o, std::make_unique<Labeller>(std::move(served)), key);
}

void act(const ServeArguments& given, const Invocation&) {
  ServeArguments o = given;
  if (is_linear_classifier(o.model)) return serve_linear(o);
  o.model = model_at(o.model);
  const std::string key = api_key(o);
  if (!read_model_config(o.model).causal) {
    fail(ErrorCode::kUnsupported,
         "[{}] a bidirectional diffusion model; a server writes from left to right: want alambic "
         "generate for it",
         o.model);
  }
  const Precision precision = precision_from_name(o.precision, o.model);
  const OpenModel open = [&] {
    const Heartbeat beat("reading the model");
    return open_model(o.model, precision);
  }();
  ServedModel served{.model = &open.model(), .tokenizer = open.tokenizer, .card = open.card()};
  served.name = served_name(o);
  served.chat = chat_template(o, open);
  served.stop = stop_tokens(open.tokenizer, open.model().config());
  served.precision = precision;
  const int positions = open.model().config().max_positions;
  served.mode = decode_mode_from_name(o.decode);
  make_decoder(served.mode, open.model());  // refuses what this model cannot do
  served.context = o.context > 0 ? std::min(o.context, positions) : positions;
  run_server(o, std::make_unique<Writer>(std::move(served)), key);
}

}  // namespace

void add_serve(CLI::App& app, Invocation& invocation) {
  add_verb<ServeArguments>(app, invocation, "serve", "Answer clients of the OpenAI API",
                           kServeExample, bind, act);
}

}  // namespace alambic
