// Answers by writing: checks a request, turns it into work for the engine, and words the answer. A
// model with labels answers with one of them on both routes. A prompt of /v1/completions goes into
// the template of the model's card, where there is one; token ids and prompts to be echoed are read
// as they stand, and continued by anything.
//
// Ownership: looks at the model, which must outlive it; an Exchange keeps what it needs but the
// engine, which is the Writer's. Thread safety and errors: answerer.h.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "alambic/decode/decode.h"
#include "alambic/models/hf_directory.h"
#include "alambic/serve/answerer.h"
#include "alambic/serve/prompt_maker.h"

namespace alambic {

struct ServedModel {
  const LanguageModel* model = nullptr;
  Tokenizer tokenizer;
  ModelCard card;
  std::optional<ChatTemplate> chat;  // nothing: see PromptMaker
  std::string name;
  std::vector<TokenId> stop;  // end-of-text tokens
  Precision precision = Precision::kFp32;
  int context = 0;  // prompt and answer in tokens; at most the positions that the model has
  // Where a request names no quality; not diffusion.
  DecodeMode mode = DecodeMode::kAutoregressive;
};

class Writer final : public Answerer {
 public:
  explicit Writer(ServedModel model);

  const std::string& name() const override { return model_.name; }
  OrderedJson meta() const override;
  Answer complete(CompletionRequest request) override;
  Answer chat(ChatRequest request) override;

 private:
  // How to write, with room behind so many tokens.
  void prepare(const SamplingRequest& request, size_t prompt_tokens, EngineTask& task) const;
  // One of the model's labels and nothing else, where it has labels.
  void keep_to_labels(const SamplingRequest& request, size_t prompt_tokens, EngineTask& task) const;
  void check_length(size_t prompt_tokens) const;
  void check_bytes(size_t prompt_bytes) const;

  ServedModel model_;
  PromptMaker prompts_;
  std::shared_ptr<const TokenTrie> labels_;  // null: it is no classifier
  Engine engine_;
};

}  // namespace alambic
