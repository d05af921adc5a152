// Texts that a model in training writes itself, for the last part of its training: on what it will
// be verifying when it decodes, drafts can learn its own causal half (docs/adr/0014-drafts.md).
//
// Texts are stored as they come, and each depends on (seed, index of the prompt) alone: a gathering
// that was killed goes on to the same texts. An answer that did not end is left out: most of them
// go round in circles, and a student that learns them does so more often. Errors: kInvalidArgument
// where a store was written by another model or under other settings; kInterrupted after Ctrl-C,
// with what is stored kept.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "alambic/models/language_model.h"
#include "alambic/text/tokenizer.h"
#include "alambic/train/objective.h"

namespace alambic {

struct OwnTextOptions {
  int prompts = 500;  // drawn from the data
  int max_new_tokens = 128;
  int max_tokens = 512;    // of prompt and answer; longer texts are left out
  double temperature = 0;  // 0: greedy
  uint64_t seed = 1;
  std::string model_checksum;  // of the weights that write, for the store
};

// What a text is continued from: its prompt, or the beginning of a text that has none.
std::span<const TokenId> text_beginning(const Sequence& text);

// `model` must be frozen for inference. The sequences have `own` set.
std::vector<Sequence> write_own_texts(const LanguageModel& model, const Tokenizer& tokenizer,
                                      std::span<const Sequence> data, const OwnTextOptions& options,
                                      const std::string& store);

// `own` with so many texts of `data`, drawn at random, that these are `share` of all; `data` where
// there are none of its own.
std::vector<Sequence> mixed_with(std::vector<Sequence> own, std::span<const Sequence> data,
                                 double share, uint64_t seed);

}  // namespace alambic
