#include "alambic/distill/marker.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "alambic/base/interrupt.h"
#include "alambic/decode/encoding.h"
#include "alambic/decode/prompting.h"
#include "alambic/distill/asking.h"
#include "alambic/distill/byte_alignment.h"
#include "alambic/distill/endpoint_teacher.h"
#include "alambic/distill/teacher.h"
#include "alambic/distill/vocabularies.h"
#include "alambic/text/unicode.h"

namespace alambic {
namespace {

constexpr int kMarks = 64;             // tokens that a local teacher names for a position
constexpr int64_t kRowsAtOnce = 2048;  // of a teacher's forward, for the memory

TokenSignalOptions marking_options(double temperature) {
  return {.kind = SignalKind::kTopK,
          .count = kMarks,
          .temperature = temperature,
          .precision = Precision::kFp32,
          .list_own = true};
}

// Signals of all rows that have tokens, a few texts to a forward.
void mark_rows(const LanguageModel& teacher, const Tokenizer& tokenizer, double temperature,
               std::span<SignalRow> rows, MarkingCost& cost) {
  const auto flush = [&](std::span<SignalRow> some) {
    throw_if_interrupted("on-policy", "run the same command with --resume to go on");
    add_token_signals(teacher, tokenizer, marking_options(temperature), some);
  };
  size_t first = 0;
  int64_t tokens = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto size = static_cast<int64_t>(rows[i].tokens.size());
    if (tokens > 0 && tokens + size > kRowsAtOnce) {
      flush(rows.subspan(first, i - first));
      first = i;
      tokens = 0;
    }
    tokens += size;
    cost.teacher_tokens += size;
  }
  flush(rows.subspan(first));
}

bool has_room(const SignalRow& row, const LanguageModel& teacher) {
  return static_cast<int>(row.tokens.size()) <= teacher.config().max_positions;
}

// Marks the very tokens that the student wrote.
class SameTokensMarker final : public Marker {
 public:
  SameTokensMarker(const LanguageModel& teacher, const Tokenizer& student, double temperature)
      : teacher_(teacher),
        student_(student),
        has_token_(writable_tokens(student)),
        temperature_(temperature) {}

  int count() const override { return kMarks; }

  void mark(std::span<WrittenText> texts, MarkingCost& cost) override {
    std::vector<SignalRow> rows(texts.size());
    for (size_t i = 0; i < texts.size(); ++i) {
      rows[i].tokens = texts[i].sequence.tokens;
      rows[i].prompt_tokens = texts[i].sequence.prompt_tokens;
      if (!has_room(rows[i], teacher_) || !reads(rows[i])) rows[i].tokens.clear();
    }
    mark_rows(teacher_, student_, temperature_, rows, cost);
    for (size_t i = 0; i < texts.size(); ++i) {
      for (TokenSignal& signal : rows[i].signals) keep_tokens(signal, has_token_);
      texts[i].sequence.signals = std::move(rows[i].signals);
    }
  }

 private:
  // A student may have special tokens that its teacher has no row for.
  bool reads(const SignalRow& row) const {
    return std::all_of(row.tokens.begin(), row.tokens.end(),
                       [&](TokenId id) { return id < teacher_.config().vocab_size; });
  }

  const LanguageModel& teacher_;
  Tokenizer student_;
  std::vector<bool> has_token_;
  double temperature_;
};

class OwnTokensMarker final : public Marker {
 public:
  OwnTokensMarker(const LanguageModel& teacher, const Tokenizer& teachers, const ModelCard& card,
                  const Tokenizer& student, double temperature)
      : teacher_(teacher),
        teachers_(teachers),
        encoder_(teachers, card),
        alignment_(teachers, student),
        temperature_(temperature) {}

  int count() const override { return kMarks; }

  void mark(std::span<WrittenText> texts, MarkingCost& cost) override {
    std::vector<SignalRow> rows;
    rows.reserve(texts.size());
    for (const WrittenText& text : texts) rows.push_back(as_read(text));
    mark_rows(teacher_, teachers_, temperature_, rows, cost);
    for (size_t i = 0; i < texts.size(); ++i)
      alignment_.add_signals(rows[i], texts[i].ended, texts[i].sequence);
  }

 private:
  // Without tokens where the teacher cannot be asked.
  SignalRow as_read(const WrittenText& text) const {
    SignalRow row;
    const Example& example = text.prompt->example;
    row.prompt = example.prompt;
    row.text = text.text;
    try {
      row.tokens = encode_question(encoder_, example);
      row.prompt_tokens = static_cast<int>(row.tokens.size());
      if (!text.text.empty()) {
        const std::vector<TokenId> answer = encoder_.choice(example, text.text);
        row.tokens.insert(row.tokens.end(), answer.begin(), answer.end());
      }
    } catch (const Error&) {  // of its template
      row.tokens.clear();
    }
    if (!row.tokens.empty() && text.ended) row.tokens.push_back(end_token(teachers_));
    if (!has_room(row, teacher_)) row.tokens.clear();
    return row;
  }

  const LanguageModel& teacher_;
  Tokenizer teachers_;
  Encoder encoder_;
  ByteAlignment alignment_;
  double temperature_;
};

// Keeps what a teacher says, and what it costs.
class MarkSink final : public SignalSink {
 public:
  MarkSink(size_t count, Spending& spent) : rows(count), spent_(spent) {}
  void store(std::vector<SignalRow> stored, std::vector<VainQuestion>, bool,
             const Spending& spent) override {
    for (SignalRow& row : stored) {
      const auto index = static_cast<size_t>(row.example);
      rows.at(index) = std::move(row);
    }
    spent_ = spent;
  }
  void remark(std::string line) override { remarks.push_back(std::move(line)); }
  Spending spent() const override { return spent_; }
  void note_revision(const std::string&) override {}

  std::vector<SignalRow> rows;  // one for each text, empty where there is no answer
  std::vector<std::string> remarks;

 private:
  Spending& spent_;
};

class EndpointMarker final : public Marker {
 public:
  EndpointMarker(const EndpointOptions& options, const Tokenizer& teachers, const ModelCard& card,
                 const Tokenizer& student)
      : options_(options), endpoint_(options, teachers, card), alignment_(teachers, student) {}

  int count() const override { return options_.count; }

  void mark(std::span<WrittenText> texts, MarkingCost& cost) override {
    std::vector<Example> examples;
    examples.reserve(texts.size());
    // Nobody can send what is no UTF-8: texts are scored up to there.
    for (const WrittenText& text : texts)
      examples.push_back({.prompt = text.prompt->example.prompt,
                          .completion = text.text.substr(0, valid_utf8_prefix(text.text))});
    std::vector<SignalRequest> requests;
    for (size_t i = 0; i < texts.size(); ++i) {
      // Nothing is known of the end alone.
      if (!examples[i].completion.empty())
        requests.push_back({static_cast<int64_t>(i), 0, &examples[i], false});
    }
    const int64_t before = cost.spent.tokens();
    MarkSink sink(texts.size(), cost.spent);
    endpoint_.annotate(requests, sink);
    cost.teacher_tokens += cost.spent.tokens() - before;
    for (size_t i = 0; i < texts.size(); ++i)
      alignment_.add_signals(sink.rows[i], texts[i].ended, texts[i].sequence);
  }

 private:
  EndpointOptions options_;
  EndpointTeacher endpoint_;
  ByteAlignment alignment_;
};

}  // namespace

std::unique_ptr<Marker> make_marker(const LanguageModel& teacher, const Tokenizer& student,
                                    double temperature) {
  return std::make_unique<SameTokensMarker>(teacher, student, temperature);
}

std::unique_ptr<Marker> make_marker(const LanguageModel& teacher, const Tokenizer& teachers,
                                    const ModelCard& card, const Tokenizer& student,
                                    double temperature) {
  return std::make_unique<OwnTokensMarker>(teacher, teachers, card, student, temperature);
}

std::unique_ptr<Marker> make_marker(const EndpointOptions& options, const Tokenizer& teachers,
                                    const ModelCard& card, const Tokenizer& student) {
  return std::make_unique<EndpointMarker>(options, teachers, card, student);
}

}  // namespace alambic
