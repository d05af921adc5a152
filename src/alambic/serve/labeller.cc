#include "alambic/serve/labeller.h"

#include <algorithm>
#include <numeric>
#include <utility>
#include <variant>

#include "alambic/serve/api_fields.h"

namespace alambic {
namespace {

// What a classifier of this kind cannot do, whatever the route.
void check_wishes(const SamplingRequest& request) {
  if (request.quality) refuse("quality", "this model has one speed only; leave it out");
  if (request.max_tokens && *request.max_tokens < 1) {
    refuse("max_tokens", "got {}; this model answers with one of its labels, which counts as one",
           *request.max_tokens);
  }
}

int64_t count_words(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  int64_t words = 0;
  for (size_t at = text.find_first_not_of(kSpaces); at != std::string_view::npos; ++words)
    at = text.find_first_not_of(kSpaces, std::min(text.find_first_of(kSpaces, at), text.size()));
  return words;
}

}  // namespace

OrderedJson Labeller::meta() const {
  return {{"n_labels", classifier_.labels.size()}, {"max_bytes", classifier_.longest_text}};
}

ChoiceResult Labeller::classify(const SamplingRequest& request, const std::string& text) const {
  const std::vector<double> logs = classifier_.log_probabilities(text);
  std::vector<TokenId> order(logs.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](TokenId a, TokenId b) {
    return logs[static_cast<size_t>(a)] > logs[static_cast<size_t>(b)];
  });
  const auto log_of = [&](TokenId label) { return logs[static_cast<size_t>(label)]; };
  TokenRecord record;
  record.scored = {order[0], log_of(order[0]), {}};
  record.bytes = classifier_.labels[static_cast<size_t>(order[0])];
  const size_t shown = std::min(order.size(), static_cast<size_t>(request.top_logprobs));
  for (size_t i = 0; i < shown; ++i) record.scored.top.push_back({order[i], log_of(order[i])});
  StopFilter filter(request.stop);
  ChoiceResult result;
  result.text = filter.push(record.bytes);
  result.text += filter.finish();
  result.tokens.push_back(std::move(record));
  result.finish = "stop";
  return result;
}

HttpReply Labeller::reply(ApiRoute route, const SamplingRequest& request,
                          const std::vector<std::string>& texts) const {
  check_wishes(request);
  std::vector<ChoiceResult> choices;
  TokenUsage usage;
  for (const std::string& text : texts) {
    if (text.size() > classifier_.longest_text) {
      throw ApiError(400,
                     fmt::format("the prompt has {} bytes; this model reads up to {}", text.size(),
                                 classifier_.longest_text),
                     "", "context_length_exceeded");
    }
    choices.insert(choices.end(), static_cast<size_t>(request.choices), classify(request, text));
    usage.prompt += count_words(text);
  }
  usage.completion = static_cast<int64_t>(choices.size());
  const TokenTexts names{
      [this](TokenId label) { return classifier_.labels[static_cast<size_t>(label)]; },
      [](TokenId) { return std::string(); }};
  const ResponseFormat format(route, names, classifier_.name, request);
  HttpReply answer;
  if (!request.stream) {
    answer.body = dump_json(format.whole(choices, usage));
    return answer;
  }
  // It is all known at once, so the events are one body.
  answer.content_type = kSseType;
  for (size_t i = 0; route == ApiRoute::kChat && i < choices.size(); ++i)
    answer.body += sse_event(format.opening(static_cast<int>(i)));
  for (size_t i = 0; i < choices.size(); ++i) {
    const ChoiceResult end{"", {}, std::exchange(choices[i].finish, "")};
    answer.body += sse_event(format.chunk(static_cast<int>(i), choices[i]));
    answer.body += sse_event(format.chunk(static_cast<int>(i), end));
  }
  if (request.include_usage) answer.body += sse_event(format.usage_chunk(usage));
  answer.body += kSseDone;
  return answer;
}

Answerer::Answer Labeller::complete(CompletionRequest request) {
  if (request.echo) refuse("echo", "a classifier does not continue its prompt; leave it out");
  std::vector<std::string> texts;
  texts.reserve(request.prompts.size());
  for (auto& prompt : request.prompts) {
    auto* text = std::get_if<std::string>(&prompt);
    if (text == nullptr) refuse("prompt", "this model reads texts; it has no token ids");
    texts.push_back(std::move(*text));
  }
  return reply(ApiRoute::kCompletions, request.sampling, texts);
}

Answerer::Answer Labeller::chat(ChatRequest request) {
  if (!request.variables.empty()) {
    refuse("chat_template_kwargs", "this model has no chat template; leave it out");
  }
  const auto last = std::find_if(request.messages.rbegin(), request.messages.rend(),
                                 [](const OrderedJson& m) { return m.at("role") == "user"; });
  if (last == request.messages.rend())
    refuse("messages", "there is none of a user, whose last one this model classifies");
  return reply(ApiRoute::kChat, request.sampling, {last->at("content").get<std::string>()});
}

}  // namespace alambic
