// An autoregressive model becomes a hybrid student: it gets a MASK token, learns to draft and to
// diffuse, and its causal half learns from its own frozen copy, so that it stays what it was
// (recipes with student.init = "adapt").
//
// Errors: kUnsupported for models that cannot take a MASK token (quantised, adapters,
// bidirectional, GGUF files); kInvalidArgument for tokenizers and recipes that do not fit the
// model.
#pragma once

#include <string>
#include <vector>

#include "alambic/base/json.h"
#include "alambic/decode/decode.h"
#include "alambic/distill/recipe.h"
#include "alambic/distill/run.h"
#include "alambic/eval/interval.h"

namespace alambic {

// Of held-out texts: how well the causal half predicts them, and how far its drafts get when it
// goes on with them.
struct HybridFigures {
  Score perplexity;
  double tokens_per_forward = 1;  // of speculative decoding
  std::vector<DraftCount> drafts;
};

struct AdaptationReport {
  int64_t parameters = 0;
  int texts = 0, continued = 0;  // perplexity is of so many texts, drafts are of so many
  HybridFigures before, after;   // before: the model with a MASK token that means nothing yet
};

// Trains into options.directory, which then holds the model, held_out.jsonl and adaptation.json.
AdaptationReport run_adaptation(const Recipe& recipe, const RunOptions& options);

OrderedJson to_json(const AdaptationReport& report);
std::string in_words(const AdaptationReport& report);

}  // namespace alambic
