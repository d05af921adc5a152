// A teacher says what it would write: texts, and for each token of a text which tokens it would
// have put there.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "alambic/data/example.h"
#include "alambic/data/signal_store.h"
#include "alambic/decode/closed_sets.h"
#include "alambic/decode/decode.h"
#include "alambic/distill/answers.h"
#include "alambic/distill/asking.h"
#include "alambic/distill/labels.h"
#include "alambic/distill/token_signals.h"
#include "alambic/models/hf_directory.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

struct Capabilities {
  bool texts = true;
  bool draws = false, top_k = false;  // token probabilities, and in which form
  bool given_texts = false;           // of texts that somebody else wrote
};

// What is asked for one (example, sample).
struct SignalRequest {
  int64_t example;
  int sample;
  const Example* data;
  bool write_text;  // the teacher writes the answer; else it comments on data->completion
};

// Where a teacher's rows go as they come.
class SignalSink {
 public:
  SignalSink() = default;
  SignalSink(const SignalSink&) = delete;
  SignalSink& operator=(const SignalSink&) = delete;
  virtual ~SignalSink() = default;
  // Stores rows, in one durable step, with what asking has cost in all. Of `unanswered`, what is
  // `settled` is stored too and never asked again; the rest is only counted.
  virtual void store(std::vector<SignalRow> rows, std::vector<VainQuestion> unanswered,
                     bool settled, const Spending& spent) = 0;
  // A finding for people, for the end of the gathering.
  virtual void remark(std::string line) = 0;
  // What asking had cost when the gathering began.
  virtual Spending spent() const = 0;
  // What the teacher calls its present state, where it says so.
  virtual void note_revision(const std::string& revision) = 0;
};

// Thread safety: one teacher, one thread; it uses all cores itself.
class Teacher {
 public:
  Teacher() = default;
  Teacher(const Teacher&) = delete;
  Teacher& operator=(const Teacher&) = delete;
  virtual ~Teacher() = default;
  virtual Capabilities capabilities() const = 0;
  virtual std::string id() const = 0;
  // One row per request, in any order. What is stored stays stored, whatever is thrown.
  virtual void annotate(std::span<const SignalRequest> requests, SignalSink& sink) = 0;
};

struct LocalTeacherOptions {
  SignalKind kind = SignalKind::kDraws;
  int count = 12;          // draws per token, or k
  double temperature = 1;  // of the probabilities
  // Of the texts; 0: greedy, and what then runs on to the limit is written anew at 0.7.
  double text_temperature = 0;
  int max_new_tokens = 512;
  int max_tokens = 1024;
  bool keep_reasoning = false;           // whole <think> blocks in front of an answer
  bool keep_cut = false;                 // answers that ran into max_new_tokens
  Telling telling = {};                  // what it is told beside each question
  std::vector<std::string> labels = {};  // answers are one of them; empty: any answer
  uint64_t seed = 1;
  Precision precision = Precision::kBf16;
};

// A model directory on this machine. A diffusion model (LLaDA, Dream) gives texts alone:
// kUnsupported for any other kind. Draws depend on (seed, example, sample, position) alone, so a
// gathering that was killed and resumed stores the same signals as one that was not. Through a
// card's chat template it is asked turn by turn; a model without one that somebody else made is
// asked no conversation of several turns. Where there are labels it writes one of them, and what is
// stored of a token is its probability among those that a label can go on with; a model that is
// not asked token by token (a diffusion model, one whose reasoning is kept) writes freely, and what
// means no label is left out. Rows hold the question as a student reads it, whatever the teacher
// was told beside it: their probabilities are those of what it did read. Answers of no use are
// asked for again when it goes on.
class LocalTeacher final : public Teacher {
 public:
  // `model` must be frozen for inference and outlive the teacher.
  LocalTeacher(const LanguageModel& model, Tokenizer tokenizer, ModelCard card, std::string id,
               const LocalTeacherOptions& options);
  Capabilities capabilities() const override;
  std::string id() const override { return id_; }
  void annotate(std::span<const SignalRequest> requests, SignalSink& sink) override;

 private:
  struct Batch;
  struct Question;
  Batch batch(std::span<const SignalRequest> requests);
  void given_text(const SignalRequest& request, Batch& made, size_t i);
  std::optional<Question> question(const SignalRequest& request, Batch& made, size_t i);
  void write_texts(std::span<const SignalRequest> requests, Batch& made);
  void write_anew(std::span<const Prompt> prompts, GenerateOptions options,
                  std::vector<Generation>& texts);
  void take_label(const Question& asked, const Generation& text, Batch& made);
  void take_text(const Question& asked, const Generation& text, Batch& made);
  void store_answer(const Question& asked, std::span<const TokenId> answer, bool ended,
                    Batch& made);
  // Whether it can write nothing but a label.
  bool closed() const;

  const LanguageModel& model_;
  Tokenizer tokenizer_;
  ModelCard card_;
  std::string id_;
  LocalTeacherOptions options_;
  Encoder encoder_;
  std::optional<LabelSet> labels_;
  ClosedSets told_sets_, plain_sets_;  // behind what it is told, and behind what a student reads
  int64_t thoughts_dropped_ = 0, written_anew_ = 0;
  OutsideAnswers outside_;
};

// A finding: of how many answers the reasoning was taken away.
std::string thoughts_dropped_in_words(int64_t count);

// What came of a gathering, what was stored before it included.
struct Gathered {
  AnswerTally tally;
  std::string sum;  // in words
  // Asked for answers it gave none, and the store holds nothing else of it.
  bool unheard = false;
  std::vector<std::string>
      lines;  // for people: the sum where rows are left out, warnings, findings

  // kInvalidArgument, in the words of the sum, where there is not one row of the teacher's.
  void require_rows(const AnswerLimits& limits) const;
};

// Asks `teacher` for every request the store does not have yet, with a progress line; rows are
// durable as they come. Ctrl-C throws kInterrupted and keeps what is stored.
Gathered gather_signals(Teacher& teacher, std::span<const SignalRequest> requests,
                        SignalStore& store, const AnswerLimits& limits);

}  // namespace alambic
