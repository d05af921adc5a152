#include "alambic/distill/encoding.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <iterator>

#include "alambic/base/error.h"
#include "alambic/base/progress.h"
#include "alambic/base/say.h"

namespace alambic {

namespace {

// Once, however often the examples of a run are encoded.
void say_unended(int64_t rows, size_t all) {
  static std::atomic<bool> said = false;
  if (rows == 0 || said.exchange(true)) return;
  say("note: [data] the chat template writes no token that ends generation behind the "
      "answers of {} "
      "of {} rows: there the last answer alone is ended\n",
      rows, all);
}

}  // namespace

bool has_several_answers(const std::vector<bool>& learned) {
  const auto gap = std::find(learned.begin(), learned.end(), false);
  return std::find(gap, learned.end(), true) != learned.end();
}

bool pad_to_canvas(Sequence& s, int canvas, TokenId end) {
  const size_t size = static_cast<size_t>(s.prompt_tokens) + static_cast<size_t>(canvas);
  if (s.tokens.size() > size) return false;
  if (!s.learned.empty()) s.learned.resize(static_cast<size_t>(canvas), true);
  s.tokens.resize(size, end);
  return true;
}

EncodedExample encode_sequences(const Encoder& encoder, const Example& example, int max_tokens) {
  using Reason = LeftOut::Reason;
  const auto leave_out = [&](Reason reason, std::string detail) {
    return EncodedExample{{}, LeftOut{reason, place_of(example), std::move(detail)}, true};
  };
  std::vector<EncodedText> texts;
  try {
    texts = encoder.encode(example);
  } catch (const Error& error) {
    return leave_out(Reason::kNotValid, error.what());
  }
  EncodedExample result;
  for (EncodedText& text : texts) {
    if (!text.has_answer) continue;
    Sequence s{.tokens = std::move(text.tokens),
               .prompt_tokens = text.prompt_tokens,
               .learned = std::move(text.learned)};
    const int canvas = encoder.card().canvas;
    const size_t answer = s.tokens.size() - static_cast<size_t>(s.prompt_tokens);
    if (canvas > 0 && !pad_to_canvas(s, canvas, end_token(encoder.tokenizer()))) {
      return leave_out(Reason::kTooLong,
                       fmt::format("an answer of {} tokens; there is room for {}", answer, canvas));
    }
    if (static_cast<int>(s.tokens.size()) > max_tokens) {
      return leave_out(Reason::kTooLong,
                       fmt::format("{} tokens; want at most {}", s.tokens.size(), max_tokens));
    }
    result.template_ends = result.template_ends && text.template_ends;
    result.sequences.push_back(std::move(s));
  }
  if (result.sequences.empty()) return leave_out(Reason::kNoAnswer, "");
  return result;
}

std::optional<Sequence> encode_example(const Tokenizer& tokenizer, const ModelCard& card,
                                       const Example& example, int max_tokens) {
  std::vector<Sequence> sequences =
      encode_sequences(Encoder(tokenizer, card), example, max_tokens).sequences;
  if (sequences.empty()) return std::nullopt;
  return std::move(sequences.back());
}

std::vector<Example> one_for_each_text(const Tokenizer& tokenizer, const ModelCard& card,
                                       const std::vector<Example>& examples, int max_tokens,
                                       std::vector<LeftOut>* left_out) {
  const Encoder encoder(tokenizer, card);
  std::vector<Example> all;
  int64_t unended = 0;
  for (const Example& example : examples) {
    const EncodedExample encoded = encode_sequences(encoder, example, max_tokens);
    const size_t count = encoded.sequences.size();
    if (encoded.left_out && left_out != nullptr) left_out->push_back(*encoded.left_out);
    if (!encoded.template_ends) ++unended;
    if (count < 2) {
      all.push_back(example);
      continue;
    }
    for (Example& part : one_for_each_answer(example)) all.push_back(std::move(part));
  }
  say_unended(unended, examples.size());
  return all;
}

std::vector<Sequence> encode_examples(const Tokenizer& tokenizer, const ModelCard& card,
                                      const std::vector<Example>& examples, int max_tokens,
                                      std::vector<LeftOut>* left_out) {
  const Encoder encoder(tokenizer, card);
  std::vector<Sequence> all;
  int64_t unended = 0;
  for (const Example& example : examples) {
    EncodedExample encoded = encode_sequences(encoder, example, max_tokens);
    std::move(encoded.sequences.begin(), encoded.sequences.end(), std::back_inserter(all));
    if (encoded.left_out && left_out != nullptr) left_out->push_back(std::move(*encoded.left_out));
    if (!encoded.template_ends) ++unended;
  }
  say_unended(unended, examples.size());
  return all;
}

}  // namespace alambic
