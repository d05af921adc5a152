// Who marks what a student writes: for each token of its text, what the teacher would have put
// there (on-policy distillation, docs/adr/0020-on-policy.md).
//
// A teacher that reads the student's tokens marks just those that it wrote. One with tokens of its
// own, on this machine or behind an endpoint, reads the text; what it says is laid beside the
// student's tokens byte for byte (byte_alignment.h), and where both do not begin a token at the
// same byte a token stays without a mark. Nobody is asked for what is longer than the teacher
// reads.
//
// Ownership: markers look at models, which must outlive them, and keep copies of the rest. Thread
// safety: one object, one thread; it uses all cores itself. Errors: those of the teacher. What an
// endpoint cannot mark (a refused question) stays without marks.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "alambic/data/example.h"
#include "alambic/data/signal.h"
#include "alambic/distill/endpoint_protocol.h"
#include "alambic/models/hf_directory.h"
#include "alambic/text/tokenizer.h"
#include "alambic/train/objective.h"

namespace alambic {

// What a student is asked, to write an answer of its own.
struct OnPolicyPrompt {
  std::vector<TokenId> tokens;  // as the student reads it
  Example example;              // for a teacher with tokens of its own; else empty
};

// What a student wrote. `sequence` holds the prompt, what was written and, where it `ended`, the
// end-of-text token; its signals are for the marker to fill in.
struct WrittenText {
  const OnPolicyPrompt* prompt = nullptr;
  Sequence sequence;
  std::string text;
  bool ended = false;
};

// What marking has cost.
struct MarkingCost {
  int64_t teacher_tokens = 0;  // read, prompts included
  Spending spent;              // at an endpoint
};

class Marker {
 public:
  Marker() = default;
  Marker(const Marker&) = delete;
  Marker& operator=(const Marker&) = delete;
  virtual ~Marker() = default;
  // At most this many tokens are named for each position.
  virtual int count() const = 0;
  // Fills in the signals of each text, or leaves them empty. Adds to `cost`.
  virtual void mark(std::span<WrittenText> texts, MarkingCost& cost) = 0;
};

// `teacher` is frozen for inference and reads the student's tokens. `temperature`: of its
// probabilities.
std::unique_ptr<Marker> make_marker(const LanguageModel& teacher, const Tokenizer& student,
                                    double temperature);
// A teacher with tokens of its own, asked as its `card` says.
std::unique_ptr<Marker> make_marker(const LanguageModel& teacher, const Tokenizer& teachers,
                                    const ModelCard& card, const Tokenizer& student,
                                    double temperature);
// A teacher behind an endpoint that scores given texts, with options.count alternatives; `teachers`
// is what its words are cut with, where its own tokens agree. options.max_total_tokens and max_cost
// cap what these markings spend.
std::unique_ptr<Marker> make_marker(const EndpointOptions& options, const Tokenizer& teachers,
                                    const ModelCard& card, const Tokenizer& student);

}  // namespace alambic
