// What a teacher says about a text: for each token after the prompt, which tokens it would have
// written there. Plain values; thread safety is the caller's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/base/token.h"

namespace alambic {

enum class SignalKind {
  kText,   // only the text, no probabilities
  kDraws,  // counts of n independent draws from the teacher: an unbiased estimate of its
           // distribution
  kTopK,   // the k largest probabilities and the mass of all the others
};

// What every row of a store has in common; a store holds rows of one header only.
struct SignalHeader {
  int version = 2;
  std::string teacher_id, tokenizer_hash, licence, prompt_template;
  SignalKind kind = SignalKind::kText;
  int draws_or_k = 0;  // 0 for kText
  double temperature = 1.0;
  int vocab_size = 0;
  uint64_t seed = 0;
  // Where a teacher that is no file was asked, with which settings, and what it called itself then.
  // `begun` is a time for people; neither it nor `revision` tells two stores apart, because a
  // provider changes its revision under a run.
  std::string endpoint, sampling, revision, begun;
  // Of a teacher that is a file: SHA-256 of its weights. And what its owner allows, as the recipe
  // says.
  std::string weights, terms;
  // Where the vocabulary of the tokens lay when the store was begun, "" where nobody said; a hint
  // that tells no stores apart: tokenizer_hash decides.
  std::string tokenizer;
  std::string chat_template;  // what prompts went through in the place of prompt_template; or ""

  bool operator==(const SignalHeader&) const = default;
};

// One position. kDraws: probabilities are counts / n, sum 1, tail 0. kTopK: tail = 1 - sum. Empty
// `ids` (tail 0): the teacher was not asked here. Stores return ids in ascending order.
struct TokenSignal {
  std::vector<TokenId> ids;
  std::vector<float> probabilities;
  float tail = 0;

  bool operator==(const TokenSignal&) const = default;
};

// What came of one question. Only what is kGood has a row.
enum class AnswerKind {
  kGood,
  kEmpty,       // nothing, or white space
  kCut,         // written up to the limit of new tokens
  kCircles,     // cut because it said the same over and over
  kFiltered,    // by a filter of the provider, or refused in a field of its own
  kToolCalls,   // calls of tools in the place of an answer
  kReasoning,   // thoughts without an answer behind them
  kTooLong,     // with its prompt longer than a row may be
  kRefused,     // the endpoint did not take the question
  kNotValid,    // its template refuses it, or nothing in it is to be learned
  kNoTemplate,  // not asked: several turns, and the model has no chat template
  kNoPrompt,    // not asked: nothing to answer
  kOutside,     // none of the closed set of labels, or several
};
inline constexpr size_t kAnswerKinds = 13;
// "empty", "cut", "circles", "filtered", "tool_calls", "reasoning", "too_long" …; the reverse
// throws kCorruptData, opening with `where`.
std::string_view answer_kind_name(AnswerKind kind);
AnswerKind answer_kind_from_name(std::string_view name, std::string_view where);

// A question whose answer is of no use.
struct VainQuestion {
  int64_t example = 0;
  int sample = 0;
  std::string prompt;
  AnswerKind kind = AnswerKind::kEmpty;
};

struct SignalRow {
  int64_t example = 0;  // index of the example in the data set
  int sample = 0;       // which of the teacher's texts for this example
  std::string prompt, text;
  std::vector<TokenId> tokens;  // prompt and answer
  int prompt_tokens = 0;
  // One per token after the prompt, or none. In a conversation of several answers, what a user says
  // between them has empty ones.
  std::vector<TokenSignal> signals;
  int64_t time = 0;  // when the teacher spoke, in seconds since 1970

  bool operator==(const SignalRow&) const = default;
};

// What asking has cost so far, answers that were of no use included.
struct Spending {
  int64_t requests = 0, prompt_tokens = 0, completion_tokens = 0;
  double money = 0;

  int64_t tokens() const { return prompt_tokens + completion_tokens; }
  bool operator==(const Spending&) const = default;
};

// "text", "draws", "topk"; the reverse throws kInvalidArgument, opening with `where`.
std::string_view signal_kind_name(SignalKind kind);
SignalKind signal_kind_from_name(std::string_view name, std::string_view where);

// kInvalidArgument where a header makes no sense: vocabulary, draws or temperature out of range.
void validate_signal_header(const SignalHeader& header, std::string_view where);
// The first field in which two headers differ, as "temperature is 1, want 0.7"; empty if there is
// none.
std::string first_difference(const SignalHeader& stored, const SignalHeader& wanted);

// JSON as used inside stores and in the JSONL exchange form. Reading throws kCorruptData naming
// `where`.
OrderedJson signal_header_to_json(const SignalHeader& header);
SignalHeader signal_header_from_json(const Json& value, std::string_view where);
// Draws are written as integer "counts", top-k as "probabilities" and "tail". Bytes of `text` that
// are not UTF-8 (a text cut inside a character) become U+FFFD; `tokens` stay exact.
OrderedJson signal_row_to_json(const SignalRow& row, const SignalHeader& header);
SignalRow signal_row_from_json(const Json& value, const SignalHeader& header,
                               std::string_view where);

}  // namespace alambic
