// On-policy distillation in a run: what the student is asked, and who marks what it writes.
#include <fmt/format.h>

#include <filesystem>
#include <set>

#include "alambic/base/file.h"
#include "alambic/base/say.h"
#include "alambic/data/signal_store.h"
#include "alambic/distill/asking.h"
#include "alambic/distill/endpoint_probe.h"
#include "alambic/distill/endpoint_teacher.h"
#include "alambic/distill/own_texts.h"
#include "alambic/distill/run_parts.h"

namespace alambic {
namespace {

// The prompts of a run, each once.
class PromptList {
 public:
  PromptList(const Tokenizer& student, const ModelCard& card) : encoder_(student, card) {}

  void add(const Sequence& text) {
    const std::span<const TokenId> tokens = text_beginning(text);
    keep({{tokens.begin(), tokens.end()}, {}});
  }
  // `read`: the teacher reads the example itself.
  void add(const Example& example, bool read) {
    Example asked = example;
    asked.prompt = prompt_to_ask(example);
    if (asked.prompt.empty()) return;
    if (!example.messages.is_null()) {
      // The answer that is to be written, as whoever encodes it looks for it.
      asked.messages = messages_to_ask(example);
      asked.messages.push_back(OrderedJson{{"role", "assistant"}, {"content", ""}});
    }
    asked.completion.clear();
    try {
      keep({encode_question(encoder_, example), read ? asked : Example()});
    } catch (const Error&) {
      return;  // of its template: such rows are counted where they are learned
    }
  }
  std::vector<OnPolicyPrompt> take() { return std::move(prompts_); }

 private:
  void keep(OnPolicyPrompt prompt) {
    if (seen_.insert(prompt.tokens).second) prompts_.push_back(std::move(prompt));
  }

  Encoder encoder_;
  std::set<std::vector<TokenId>> seen_;
  std::vector<OnPolicyPrompt> prompts_;
};

Spending spent_in(const std::string& store) {
  return file_exists(store) ? SignalStore::open(store).spent() : Spending();
}

EndpointOptions scoring_options(const Recipe& recipe, const ModelCard& card) {
  return endpoint_options(recipe, card, SignalKind::kTopK);
}

}  // namespace

void check_on_policy_teacher(const Recipe& recipe) {
  if (recipe.on_policy.share == 0) return;
  if (is_bidirectional(recipe)) {
    fail(ErrorCode::kUnsupported,
         "[objective] on_policy is of students that write from left to right, and {} is "
         "bidirectional; set objective.on_policy = 0",
         recipe.student.model);
  }
  if (recipe.has_endpoint()) {
    const EndpointOptions options = scoring_options(recipe, {});
    validate_endpoint_options(options);
    HttpClient client({.timeout_seconds = options.timeout_seconds, .key = options.key});
    Spending spent;
    probe_endpoint(client, options,
                   {.texts = false,
                    .scores = true,
                    .instead = "an endpoint that does, or objective.on_policy = 0"},
                   spent);
    return;
  }
  if (!recipe.teacher.model.empty() && !read_model_config(recipe.teacher.model).causal) {
    fail(ErrorCode::kUnsupported,
         "[objective] on_policy wants a teacher's next-token probabilities, and {} is a diffusion "
         "model; set objective.on_policy = 0",
         recipe.teacher.model);
  }
}

OnPolicyTask on_policy_task(const Recipe& recipe, const RunData& data, const RunModel& teacher,
                            const RunTokenizers& tokenizers, const ModelCard& card,
                            std::span<const Sequence> sequences, const RunOptions& options) {
  OnPolicyTask task;
  const bool read = recipe.has_endpoint() || !tokenizers.same;
  PromptList prompts(tokenizers.student, card);
  int64_t conversations = 0;
  const auto add = [&](const std::vector<Example>& examples) {
    for (const Example& e : examples) {
      if (recipe.has_endpoint() && !e.messages.is_null()) {
        ++conversations;
      } else {
        prompts.add(e, read);
      }
    }
  };
  if (read) {
    add(data.train);
  } else {
    for (const Sequence& s : sequences) prompts.add(s);
  }
  add(data.prompts);
  if (conversations > 0) {
    say("on-policy: {} conversations are not asked: an endpoint scores one answer to one prompt\n",
        conversations);
  }
  task.prompts = prompts.take();
  const double temperature = recipe.objective.temperature;
  if (!recipe.has_endpoint()) {
    task.marker = tokenizers.same ? make_marker(*teacher.model, tokenizers.student, temperature)
                                  : make_marker(*teacher.model, tokenizers.teacher, teacher.card,
                                                tokenizers.student, temperature);
    return task;
  }
  EndpointOptions ask = scoring_options(recipe, teacher.card);
  // One cap for all that a run asks.
  for (const char* store : {"/signals.sqlite", "/answers.sqlite"}) {
    const Spending before = spent_in(options.directory + store);
    if (ask.max_total_tokens > 0)
      ask.max_total_tokens = std::max<int64_t>(1, ask.max_total_tokens - before.tokens());
    if (ask.max_cost > 0) ask.max_cost = std::max(1e-9, ask.max_cost - before.money);
  }
  task.marker = make_marker(ask, tokenizers.teacher, teacher.card, tokenizers.student);
  return task;
}

}  // namespace alambic
