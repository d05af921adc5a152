// What a model is measured on: prompts, references, a decoder, a scorer. One function for the
// report and for `alambic eval`. Thread safety: plain functions that use all cores; the model must
// be frozen for inference.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "alambic/data/example.h"
#include "alambic/data/left_out.h"
#include "alambic/decode/decode.h"
#include "alambic/decode/prompting.h"
#include "alambic/eval/interval.h"

namespace alambic {

enum class Task { kBleu, kAccuracy, kExact, kSlots, kRouge, kPerplexity, kSolved };

// "bleu", "accuracy", "exact", "slots", "rouge", "perplexity", "solved"; kInvalidArgument for any
// other name.
Task task_from_name(std::string_view name);

struct TaskTraits {
  const char* name;    // as above
  const char* metric;  // for people: "BLEU", "slot F1"
  bool fraction;       // in [0, 1], shown as per cent
  bool lower_is_better;
};
const TaskTraits& traits(Task task);

struct TaskOptions {
  DecodeMode mode = DecodeMode::kAutoregressive;
  // How to write; the task itself sees to stop tokens, vocabulary and closed sets.
  GenerateOptions generate = {.max_tokens = 160};
  int batch = 32;        // prompts per forward; 1 measures the speed that a single user sees
  std::string progress;  // label of the progress line; empty: none
};

struct TaskResult {
  Score score;
  Evidence evidence;                 // for paired comparisons
  std::vector<std::string> answers;  // none for perplexity
  int64_t tokens = 0, forwards = 0;
  std::vector<DraftCount> drafts;  // by distance, where the mode drafts
  double seconds = 0;
  // Rows that cannot be read, in order. Where answers are scored, each has an empty one; for
  // perplexity they are left out.
  std::vector<LeftOut> unread;
  int64_t long_texts = 0, windows = 0;  // perplexity: texts beyond the positions, and their windows
  double tokens_per_s() const { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }
  double tokens_per_forward() const {
    return forwards > 0 ? static_cast<double>(tokens) / static_cast<double>(forwards) : 0;
  }
};

// Decodes every prompt and scores the answers against the completions; of a conversation, the last
// answer. For perplexity, scores what training would learn. Texts are read as in training
// (decode/encoding.h). Where the card lists labels and the task is accuracy, the answer is decoded
// from that closed set. A row whose prompt leaves no room for an answer, whose labels do not fit or
// which the template refuses is answered by nothing, and so wrong; it is listed in `unread`.
//
// For perplexity, a text of more tokens than the model has positions is read in windows of that
// many, each half of them further than the one before: of a window counts what the last one did not
// hold, so that every token but those of the first window has at least half the positions before
// it.
TaskResult run_task(Task task, const LanguageModel& model, const Tokenizer& tokenizer,
                    const ModelCard& card, std::span<const Example> examples,
                    const TaskOptions& options);

// Scores answers that somebody else gave (a baseline). <think> blocks in front of an answer or a
// reference do not count; an unclosed one is no answer.
Evidence score_answers(Task task, std::span<const std::string> answers,
                       std::span<const Example> examples);

// Share of the reference completions' tokens at which both models would write the same next token.
// Both must use `tokenizer`'s ids.
Score agreement(const LanguageModel& a, const LanguageModel& b, const Tokenizer& tokenizer,
                const ModelCard& card, std::span<const Example> examples, Precision precision);

}  // namespace alambic
