#include "alambic/distill/own_texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <numeric>

#include "alambic/base/interrupt.h"
#include "alambic/base/json.h"
#include "alambic/base/progress.h"
#include "alambic/base/say.h"
#include "alambic/data/signal_store.h"
#include "alambic/decode/decode.h"
#include "alambic/decode/prompting.h"

namespace alambic {
namespace {

constexpr size_t kTextsAtOnce = 64;   // stored in one durable step
constexpr size_t kBeginning = 16;     // tokens that a text without a prompt is continued from
constexpr uint64_t kStream = 0x07e5;  // apart from the streams of training

std::vector<size_t> shuffled_indices(size_t count, uint64_t seed) {
  std::vector<size_t> order(count);
  std::iota(order.begin(), order.end(), size_t{0});
  Rng(seed, kStream).shuffle(order);
  return order;
}

// A begin-of-text token alone is no prompt: every text would be the same one.
bool answers(const Sequence& text) { return text.prompt_tokens > 1; }

SignalHeader own_header(const Tokenizer& tokenizer, const OwnTextOptions& o) {
  SignalHeader header;
  header.teacher_id = "the student itself";
  header.tokenizer_hash = tokenizer.hash();
  header.vocab_size = tokenizer.vocab_size();
  header.seed = o.seed;
  header.weights = o.model_checksum;
  header.sampling = dump_json(OrderedJson{{"prompts", o.prompts},
                                          {"temperature", o.temperature},
                                          {"max_new_tokens", o.max_new_tokens},
                                          {"max_tokens", o.max_tokens}});
  return header;
}

}  // namespace

std::span<const TokenId> text_beginning(const Sequence& text) {
  if (answers(text)) return std::span(text.tokens).first(static_cast<size_t>(text.prompt_tokens));
  return std::span(text.tokens).first(std::clamp<size_t>(text.tokens.size() / 2, 1, kBeginning));
}

std::vector<Sequence> write_own_texts(const LanguageModel& model, const Tokenizer& tokenizer,
                                      std::span<const Sequence> data, const OwnTextOptions& o,
                                      const std::string& path) {
  SignalStore store = SignalStore::create_or_resume(path, own_header(tokenizer, o));
  std::vector<size_t> order = shuffled_indices(data.size(), o.seed);
  order.resize(std::min(order.size(), static_cast<size_t>(o.prompts)));
  GenerateOptions generate;
  generate.max_tokens = o.max_new_tokens;
  generate.temperature = o.temperature;
  generate.seed = o.seed;
  const TokenId end = end_token(tokenizer);
  generate.stop = stop_tokens(tokenizer, model.config());
  generate.vocabulary = tokenizer.vocab_size();
  Progress progress("own texts", static_cast<int64_t>(order.size()));
  for (size_t first = 0; first < order.size(); first += kTextsAtOnce) {
    throw_if_interrupted("own texts", "run the same command with --resume to go on");
    const size_t last = std::min(order.size(), first + kTextsAtOnce);
    std::vector<Prompt> prompts;
    std::vector<int64_t> indices;
    for (size_t i = first; i < last; ++i) {
      const auto index = static_cast<int64_t>(order[i]);
      const auto beginning = text_beginning(data[order[i]]);
      if (store.contains(index, 0)) continue;
      prompts.push_back({{beginning.begin(), beginning.end()}, static_cast<uint64_t>(order[i])});
      indices.push_back(index);
    }
    const std::vector<Generation> texts =
        generate_all(DecodeMode::kAutoregressive, model, prompts, generate,
                     {.batch = static_cast<int>(kTextsAtOnce), .progress = ""});
    std::vector<SignalRow> rows;
    rows.reserve(texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      SignalRow row;
      row.example = indices[i];
      row.prompt = tokenizer.decode(prompts[i].tokens);
      row.text = tokenizer.decode(texts[i].tokens);
      row.tokens = prompts[i].tokens;
      row.prompt_tokens = static_cast<int>(prompts[i].tokens.size());
      row.tokens.insert(row.tokens.end(), texts[i].tokens.begin(), texts[i].tokens.end());
      if (texts[i].stopped) row.tokens.push_back(end);
      row.time = std::time(nullptr);
      rows.push_back(std::move(row));
    }
    store.append(rows);
    progress.update(static_cast<int64_t>(last));
  }
  std::vector<Sequence> own;
  int64_t empty = 0, too_long = 0, unfinished = 0;
  store.for_each([&](const SignalRow& row) {
    const auto size = static_cast<int>(row.tokens.size());
    const auto example = static_cast<size_t>(row.example);
    if (size <= row.prompt_tokens || example >= data.size()) {
      ++empty;
      return;
    }
    if (size > o.max_tokens) {
      ++too_long;
      return;
    }
    if (answers(data[example]) && row.tokens.back() != end) {
      ++unfinished;
      return;
    }
    own.push_back({.tokens = row.tokens,
                   .prompt_tokens = row.prompt_tokens,
                   .signals = {},
                   .learned = {},
                   .own = true});
  });
  if (empty + too_long + unfinished > 0) {
    say("own texts: {} are learned from; left out: {} that did not end, {} longer than {} "
        "tokens, {} empty\n",
        own.size(), unfinished, too_long, o.max_tokens, empty);
  }
  return own;
}

std::vector<Sequence> mixed_with(std::vector<Sequence> own, std::span<const Sequence> data,
                                 double share, uint64_t seed) {
  if (own.empty()) return {data.begin(), data.end()};
  const double wanted = static_cast<double>(own.size()) * share / (1 - share);
  const std::vector<size_t> order = shuffled_indices(data.size(), seed + 1);
  const auto count = std::min(order.size(), static_cast<size_t>(std::llround(wanted)));
  own.reserve(own.size() + count);
  for (size_t i = 0; i < count; ++i) own.push_back(data[order[i]]);
  return own;
}

}  // namespace alambic
