// One request that the engine works on, from its first token to the last byte of its answer.
//
// Ownership: an Exchange looks at the engine, and shares its tasks with it. Thread safety: the
// engine thread calls the sink alone; everything else is for one thread, apart from cancel().
// Errors: what goes wrong under way ends the exchange as an error answer or, in a stream, an error
// event.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "alambic/serve/api_error.h"
#include "alambic/serve/api_request.h"
#include "alambic/serve/api_response.h"
#include "alambic/serve/engine.h"

namespace alambic {

struct HttpReply {
  int status = 200;
  std::string body, content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers;
};

HttpReply error_reply(const ApiError& error);

// What became certain of one choice, in the order it did.
struct ChoiceUpdate {
  int choice = 0;
  ChoiceResult part;      // finish is set in the last one
  int64_t generated = 0;  // tokens, in the last one
  std::string failure;    // what went wrong, in place of all else
};

// One choice: an engine task that turns tokens into updates.
class ChoiceTask final : public EngineTask {
 public:
  struct Text {
    std::vector<std::string> stops;
    std::vector<TokenId> before;  // tokens whose text the answer continues; see ChoiceWriter
    std::string echo;             // text to begin with
    size_t first_echoed = 0;      // number of the first prompt token that belongs to it
  };
  using Sink = std::function<void(ChoiceUpdate)>;

  ChoiceTask(int choice, const Tokenizer& tokenizer, Text text);
  void set_sink(Sink sink) { sink_ = std::move(sink); }

  void on_prompt(std::vector<ScoredToken> tokens) override;
  bool on_token(ScoredToken token) override;
  void on_end(bool stopped) override;
  void on_failure(const std::string& message) override;

 private:
  void send(AnswerPiece piece);

  int choice_;
  Tokenizer tokenizer_;
  ChoiceWriter writer_;
  std::string echo_;  // what of it is still to be sent
  size_t first_echoed_;
  int64_t generated_ = 0;
  Sink sink_;
};

class Exchange {
 public:
  Exchange(Engine& engine, ApiRoute route, const SamplingRequest& request, ResponseFormat format,
           std::vector<std::shared_ptr<ChoiceTask>> tasks, int64_t prompt_tokens);
  Exchange(const Exchange&) = delete;
  Exchange& operator=(const Exchange&) = delete;
  ~Exchange() { cancel(); }

  bool stream() const { return stream_; }
  // Hands the work to the engine. False: it is overloaded. `sink` is called on the engine thread.
  bool start(const ChoiceTask::Sink& sink);
  // Nobody waits for the rest.
  void cancel();

  // In this order: opening_events(); for every update events() or, where nothing is streamed,
  // take(); then, once finished(), closing_events() or reply().
  std::string opening_events() const;
  std::string events(const ChoiceUpdate& update);
  std::string closing_events() const;
  void take(ChoiceUpdate update);
  HttpReply reply() const;
  bool finished() const { return running_ == 0 || !failure_.empty(); }

 private:
  void count(const ChoiceUpdate& update);

  Engine& engine_;
  ApiRoute route_;
  bool stream_, include_usage_;
  ResponseFormat format_;
  std::vector<std::shared_ptr<ChoiceTask>> tasks_;
  std::vector<ChoiceResult> results_;
  TokenUsage usage_;
  size_t running_;
  std::string failure_;
};

}  // namespace alambic
