#include "alambic/serve/writer.h"

#include <algorithm>
#include <random>

#include "alambic/decode/quality.h"

namespace alambic {
namespace {

uint64_t fresh_seed() {
  std::random_device device;
  return (static_cast<uint64_t>(device()) << 32U) | device();
}

std::shared_ptr<const TokenTrie> served_labels(const Tokenizer& tokenizer, const ModelCard& card) {
  if (card.labels.empty()) return nullptr;
  std::vector<std::vector<TokenId>> members;
  const Encoder encoder(tokenizer, card);
  for (const std::string& label : card.labels) {
    members.push_back(encoder.choice({.prompt = "?"}, label));
  }
  return std::make_shared<const TokenTrie>(std::move(members));
}

}  // namespace

Writer::Writer(ServedModel model)
    : model_(std::move(model)),
      prompts_(model_.tokenizer, model_.card, model_.chat),
      labels_(served_labels(model_.tokenizer, model_.card)),
      engine_(*model_.model) {}

OrderedJson Writer::meta() const {
  return {{"n_ctx", model_.context}, {"n_vocab", model_.tokenizer.vocab_size()}};
}

void Writer::check_length(size_t prompt_tokens) const {
  if (prompt_tokens < static_cast<size_t>(model_.context)) return;
  throw ApiError(400,
                 fmt::format("the prompt has {} tokens; this server has room for {} of prompt and "
                             "answer",
                             prompt_tokens, model_.context),
                 "", "context_length_exceeded");
}

void Writer::check_bytes(size_t prompt_bytes) const {
  if (prompt_bytes <= prompts_.longest_text(model_.context)) return;
  throw ApiError(400,
                 fmt::format("the prompt has {} bytes, which are more than {} tokens; this server "
                             "has room for {} of prompt and answer",
                             prompt_bytes, model_.context, model_.context),
                 "", "context_length_exceeded");
}

void Writer::prepare(const SamplingRequest& request, size_t prompt_tokens, EngineTask& task) const {
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

void Writer::keep_to_labels(const SamplingRequest& request, size_t prompt_tokens,
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

Answerer::Answer Writer::complete(CompletionRequest request) {
  constexpr size_t kSeam = 4;  // tokens that decide about a space between prompt and answer
  SamplingRequest& sampling = request.sampling;
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
      engine_, ApiRoute::kCompletions, sampling,
      ResponseFormat(ApiRoute::kCompletions, token_texts(model_.tokenizer), model_.name, sampling),
      std::move(tasks), prompt_tokens);
}

Answerer::Answer Writer::chat(ChatRequest request) {
  SamplingRequest& sampling = request.sampling;
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
      engine_, ApiRoute::kChat, sampling,
      ResponseFormat(ApiRoute::kChat, token_texts(model_.tokenizer), model_.name, sampling),
      std::move(tasks), static_cast<int64_t>(tokens.size()));
}

}  // namespace alambic
