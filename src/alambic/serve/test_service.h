// A small served model for the tests of this room, and a client without a network.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "alambic/base/rng.h"
#include "alambic/models/transformer.h"
#include "alambic/serve/service.h"
#include "alambic/serve/writer.h"
#include "alambic/text/train_bpe.h"

namespace alambic {

inline Tokenizer small_tokenizer() {
  const std::vector<std::string> texts{
      "the quick brown fox jumps over the lazy dog, été \xE2\x82\xAC"};
  BpeTrainOptions options;
  options.vocab_size = 300;
  options.special_tokens = {"<|endoftext|>", "<|answer|>", "<|mask|>"};
  return train_bpe(texts, options);
}

// Random weights: its texts are noise, and exactly reproducible.
inline std::unique_ptr<Transformer> small_model(const Tokenizer& tokenizer) {
  ModelConfig config;
  config.vocab_size = tokenizer.vocab_size();
  config.dim = 32;
  config.layers = 2;
  config.heads = config.kv_heads = 2;
  config.head_dim = 16;
  config.ffn = 48;
  config.max_positions = 256;
  config.tied_head = false;
  config.mask = *tokenizer.find("<|mask|>");
  auto model = std::make_unique<Transformer>(config);
  uint64_t stream = 0;
  model->visit([&](Parameter& p) {
    Rng rng(11, ++stream);
    const bool vector = p.value.shape().size() == 1;
    for (float& w : p.value.values())
      w = static_cast<float>(vector ? 1 + 0.2 * rng.normal() : 0.4 * rng.normal());
  });
  freeze_for_inference(*model, Precision::kFp32);
  return model;
}

struct SmallServer {
  Tokenizer tokenizer = small_tokenizer();
  std::unique_ptr<Transformer> model = small_model(tokenizer);
  Service service;

  explicit SmallServer(std::string key = "", ModelCard card = {})
      : service(std::make_unique<Writer>(served(std::move(card))), std::move(key)) {}

  ServedModel served(ModelCard card) const {
    ServedModel served{.model = model.get(), .tokenizer = tokenizer, .card = std::move(card)};
    served.card.prompt_template = "{prompt}<|answer|>";
    served.name = "small";
    served.stop = {*tokenizer.find("<|endoftext|>")};
    served.context = model->config().max_positions;
    return served;
  }
};

inline HttpRequest post(const std::string& path, const Json& body) {
  return {.method = "POST",
          .target = path,
          .host = "localhost:8080",
          .content_type = "application/json",
          .body = dump_json(body)};
}

// Updates of an exchange, handed from the engine thread to the test's.
class Mailbox {
 public:
  ChoiceTask::Sink sink() {
    return [this](ChoiceUpdate update) {
      const std::lock_guard lock(mutex_);
      updates_.push_back(std::move(update));
      wake_.notify_one();
    };
  }
  ChoiceUpdate next() {
    std::unique_lock lock(mutex_);
    wake_.wait(lock, [&] { return !updates_.empty(); });
    ChoiceUpdate update = std::move(updates_.front());
    updates_.pop_front();
    return update;
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<ChoiceUpdate> updates_;
};

// The whole conversation: status and body, events for a stream.
inline HttpReply answer(Service& service, const HttpRequest& request) {
  auto handled = service.handle(request);
  if (auto* reply = std::get_if<HttpReply>(&handled)) return std::move(*reply);
  const auto exchange = std::get<std::shared_ptr<Exchange>>(handled);
  Mailbox mailbox;
  if (!exchange->start(mailbox.sink())) return {.status = 503};
  HttpReply reply;
  if (exchange->stream()) {
    reply.body = exchange->opening_events();
    while (!exchange->finished()) reply.body += exchange->events(mailbox.next());
    reply.body += exchange->closing_events();
    return reply;
  }
  while (!exchange->finished()) exchange->take(mailbox.next());
  return exchange->reply();
}

inline Json json_answer(Service& service, const HttpRequest& request) {
  return Json::parse(answer(service, request).body);
}

}  // namespace alambic
