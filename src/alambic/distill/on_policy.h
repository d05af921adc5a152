// On-policy distillation (GKD, arXiv 2306.13649; MiniLLM, arXiv 2306.08543): the student writes, a
// teacher marks every token of what it wrote, and the student learns these marks
// (docs/adr/0020-on-policy.md).
//
// Writing goes round by round: when a round begins the student, as it stands then, answers so many
// prompts at once, and these texts serve for a fixed number of steps. Prompts come in a seeded
// order, all of them before one comes again. A text depends on (seed, round, its number in the
// round) and on the weights of that moment alone. Texts and marks lie in a store, a few at a time,
// before anything is learned from them: a training that was killed goes on with them, to the same
// bits.
//
// Answers that did not end are learned too: the marks say where the student should have stopped.
// Errors: those of the marker; kInvalidArgument where a round has not one mark; kNotFound where a
// round that is gone on with has lost its texts; kInterrupted after Ctrl-C.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "alambic/distill/marker.h"
#include "alambic/models/language_model.h"
#include "alambic/train/trainer.h"

namespace alambic {

struct OnPolicyOptions {
  int texts = 64;   // of a round
  double uses = 2;  // how often a round reads each of them, about
  int max_new_tokens = 128;
  int max_tokens = 512;    // of prompt and answer
  double temperature = 1;  // of what the student writes; 0: greedy
  uint64_t seed = 1;
  Precision precision = Precision::kBf16;  // that the student is frozen for
};

// What the texts of a training have cost so far, and what they were.
struct OnPolicyCost {
  int64_t rounds = 0, texts = 0;
  int64_t cut = 0, empty = 0;  // of the texts: those that did not end, and those of an end alone
  int64_t written = 0;         // tokens that the student wrote, ends included
  int64_t marked = 0;          // of them, those with a mark
  double seconds_writing = 0, seconds_marking = 0;
  MarkingCost marking;
};
// "the student wrote 640 texts …; the teacher read … tokens": for people.
std::string in_words(const OnPolicyCost& cost);
// As a training left it in its directory; nothing where there was none.
std::optional<OnPolicyCost> read_on_policy_cost(const std::string& directory);

// Its files in the directory of a training.
inline constexpr const char* kOnPolicyStore = "on_policy.sqlite";
inline constexpr const char* kOnPolicyCost = "on_policy.json";
// Takes away what a training that somebody gave up has left of them.
void remove_on_policy_files(const std::string& directory);

class OnPolicy {
 public:
  // `prompts` and `marker` must outlive it. Prompts that leave no room for an answer are not asked;
  // kInvalidArgument where none is left.
  OnPolicy(const OnPolicyOptions& options, const std::vector<OnPolicyPrompt>& prompts,
           Marker& marker, const Tokenizer& tokenizer, std::string directory);

  // Steps that a round serves, where a step learns `tokens_per_step` and texts are as long as
  // `data` on the average.
  static int64_t steps_of_round(const OnPolicyOptions& options, std::span<const Sequence> data,
                                int64_t tokens_per_step);
  // The texts of a round, for training: as Rounds::texts has it.
  std::vector<Sequence> round(int64_t number, bool begins, const LanguageModel& model);

 private:
  SignalHeader header(int64_t round) const;
  void write(int64_t number, const LanguageModel& model);
  std::vector<WrittenText> written(std::span<const size_t> indices, int64_t round,
                                   const LanguageModel& model);
  void count(std::span<const WrittenText> texts);

  OnPolicyOptions options_;
  std::vector<const OnPolicyPrompt*> prompts_;
  Marker& marker_;
  Tokenizer tokenizer_;
  std::string directory_;
  OnPolicyCost cost_;
};

}  // namespace alambic
