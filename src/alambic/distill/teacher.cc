#include "alambic/distill/teacher.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <limits>
#include <map>
#include <numeric>

#include "alambic/base/interrupt.h"
#include "alambic/base/printable.h"
#include "alambic/base/progress.h"
#include "alambic/decode/decode.h"
#include "alambic/distill/asking.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/vocabularies.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

class StoreSink final : public SignalSink {
 public:
  StoreSink(SignalStore& store, Gathered& gathered, size_t wanted, size_t missing)
      : store_(store),
        gathered_(gathered),
        spent_(store.spent()),
        progress_("teacher", static_cast<int64_t>(wanted)),
        done_(static_cast<int64_t>(wanted - missing)) {
    progress_.update(done_, gathered_.tally.left_out_in_words());
  }
  void store(std::vector<SignalRow> rows, std::vector<VainQuestion> unanswered, bool settled,
             const Spending& spent) override {
    done_ += static_cast<int64_t>(rows.size() + unanswered.size());
    for (SignalRow& row : rows) row.time = std::time(nullptr);
    const std::span<const VainQuestion> kept =
        settled ? unanswered : std::span<const VainQuestion>();
    // A teacher that costs nothing leaves no account.
    if (kept.empty() && spent == spent_) {
      store_.append(rows);
    } else {
      store_.append(rows, kept, spent);
      spent_ = spent;
    }
    gathered_.tally.add(AnswerKind::kGood, static_cast<int64_t>(rows.size()));
    for (const VainQuestion& one : unanswered) gathered_.tally.add(one.kind);
    progress_.update(done_, gathered_.tally.left_out_in_words());
  }
  void remark(std::string line) override { gathered_.lines.push_back(std::move(line)); }
  Spending spent() const override { return spent_; }
  void note_revision(const std::string& revision) override { store_.set_revision(revision); }

 private:
  SignalStore& store_;
  Gathered& gathered_;
  Spending spent_;
  Progress progress_;
  int64_t done_;
};

constexpr double kTemperatureAnew = 0.7;

// All that was written, with the block that the prompt opened.
std::string with_opening(const Tokenizer& tokenizer, std::span<const TokenId> prompt,
                         std::span<const TokenId> written) {
  const std::string text = tokenizer.decode(written);
  return opens_block(tokenizer, prompt) ? std::string(kOpenBlock) + text : text;
}

}  // namespace

std::string thoughts_dropped_in_words(int64_t count) {
  return fmt::format(
      "{} answers are stored without their reasoning (teacher.reasoning = "
      "\"keep\" keeps it)",
      count);
}

LocalTeacher::LocalTeacher(const LanguageModel& model, Tokenizer tokenizer, ModelCard card,
                           std::string id, const LocalTeacherOptions& options)
    : model_(model),
      tokenizer_(std::move(tokenizer)),
      card_(std::move(card)),
      id_(std::move(id)),
      options_(options),
      encoder_(tokenizer_, card_),
      told_sets_(encoder_, options_.labels),
      plain_sets_(encoder_, options_.labels) {
  if (!options_.labels.empty()) labels_.emplace(options_.labels);
  if (!model_.config().causal && options_.kind != SignalKind::kText) {
    fail(ErrorCode::kUnsupported,
         "[signals] {} is a diffusion model: its probabilities are not those of a next token; want "
         "its texts alone (signals.kind = \"text\")",
         id_);
  }
}

Capabilities LocalTeacher::capabilities() const {
  const bool speaks = model_.config().causal;
  return {true, speaks, speaks, true};
}

struct LocalTeacher::Batch {
  explicit Batch(size_t size)
      : rows(size), kinds(size, AnswerKind::kGood), asked(size), learned(size), sets(size) {}

  // All beside the requests; rows without tokens are of no use.
  std::vector<SignalRow> rows;
  std::vector<AnswerKind> kinds;
  std::vector<std::vector<TokenId>> asked;  // what the teacher reads before the answer
  std::vector<std::vector<bool>> learned;   // the tokens behind the prompt that are an answer's
  std::vector<const TokenTrie*> sets;       // that the answer comes from; null: it is any text
  std::string first_fault;                  // of what is not valid

  void not_valid(size_t i, const std::string& where, std::string_view why) {
    kinds[i] = AnswerKind::kNotValid;
    if (first_fault.empty()) first_fault = fmt::format("{}: {}", where, why);
  }
};

// What is asked for one request.
struct LocalTeacher::Question {
  size_t request;
  Prompt told;                 // what the teacher reads
  std::vector<TokenId> plain;  // what a student reads
  size_t told_set = 0, plain_set = 0;
};

bool LocalTeacher::closed() const {
  return labels_ && model_.config().causal && !options_.keep_reasoning;
}

void LocalTeacher::annotate(std::span<const SignalRequest> requests, SignalSink& sink) {
  constexpr size_t kBatch = 64;
  thoughts_dropped_ = 0;
  written_anew_ = 0;
  outside_ = {};
  std::string first_fault;
  while (!requests.empty()) {
    throw_if_interrupted("signals",
                         "what is gathered is stored; run the same command with --resume to go on");
    const size_t count = std::min(requests.size(), kBatch);
    Batch made = batch(requests.first(count));
    std::vector<SignalRow> rows;
    std::vector<VainQuestion> unanswered;
    for (size_t i = 0; i < count; ++i) {
      SignalRow& row = made.rows[i];
      if (made.kinds[i] == AnswerKind::kGood) {
        rows.push_back(std::move(row));
      } else {
        unanswered.push_back({row.example, row.sample, std::move(row.prompt), made.kinds[i]});
      }
    }
    if (first_fault.empty()) first_fault = std::move(made.first_fault);
    sink.store(std::move(rows), std::move(unanswered), false, sink.spent());
    requests = requests.subspan(count);
  }
  if (written_anew_ > 0) {
    sink.remark(fmt::format("{} ran on without an end and {} written anew with a temperature of {}",
                            counted(written_anew_, "answer"), written_anew_ == 1 ? "was" : "were",
                            kTemperatureAnew));
  }
  if (!outside_.empty()) sink.remark(outside_.in_words());
  if (!first_fault.empty()) sink.remark("the first that is not valid: " + first_fault);
  if (thoughts_dropped_ > 0) sink.remark(thoughts_dropped_in_words(thoughts_dropped_));
}

LocalTeacher::Batch LocalTeacher::batch(std::span<const SignalRequest> requests) {
  Batch made(requests.size());
  for (size_t i = 0; i < requests.size(); ++i) {
    SignalRow& row = made.rows[i];
    row.example = requests[i].example;
    row.sample = requests[i].sample;
    row.prompt =
        requests[i].write_text ? prompt_to_ask(*requests[i].data) : requests[i].data->prompt;
    if (!requests[i].write_text) given_text(requests[i], made, i);
  }
  write_texts(requests, made);
  if (options_.kind != SignalKind::kText) {
    const TokenSignalOptions options{.kind = options_.kind,
                                     .count = options_.count,
                                     .temperature = options_.temperature,
                                     .seed = options_.seed,
                                     .precision = options_.precision};
    add_token_signals(model_, tokenizer_, options, made.rows,
                      {made.learned, made.asked, made.sets});
  }
  return made;
}

// A text of the data, to be commented on.
void LocalTeacher::given_text(const SignalRequest& request, Batch& made, size_t i) {
  SignalRow& row = made.rows[i];
  const Example& example = *request.data;
  row.text = example.completion;
  auto encoded = encode_sequences(encoder_, example, options_.max_tokens);
  if (encoded.sequences.empty()) {
    if (!encoded.left_out || encoded.left_out->reason == LeftOut::Reason::kTooLong) {
      made.kinds[i] = AnswerKind::kTooLong;
    } else {
      made.not_valid(i, encoded.left_out->where,
                     encoded.left_out->detail.empty() ? reason_name(encoded.left_out->reason)
                                                      : encoded.left_out->detail);
    }
    return;
  }
  Sequence& s = encoded.sequences.back();
  row.tokens = std::move(s.tokens);
  row.prompt_tokens = s.prompt_tokens;
  const std::span<const TokenId> answer =
      std::span(row.tokens).subspan(static_cast<size_t>(row.prompt_tokens));
  made.learned[i] = std::move(s.learned);
  made.asked[i].assign(row.tokens.begin(), row.tokens.begin() + row.prompt_tokens);
  // Between several answers nothing can be told beside the question.
  if (has_several_answers(made.learned[i])) return;
  if (!options_.telling.empty()) {
    const Example with = told(example, options_.telling, !card_.chat_template.empty());
    auto again = encode_sequences(encoder_, with, model_.config().max_positions);
    const bool same =
        again.sequences.size() == 1 &&
        std::ranges::equal(std::span(again.sequences[0].tokens)
                               .subspan(static_cast<size_t>(again.sequences[0].prompt_tokens)),
                           answer);
    // Where the answer is other tokens behind what it is told, it is asked without.
    if (same) {
      made.asked[i] = std::move(again.sequences[0].tokens);
      made.asked[i].resize(static_cast<size_t>(again.sequences[0].prompt_tokens));
    }
  }
  if (!closed()) return;
  try {
    const std::vector<TokenId> plain = encode_question(encoder_, example);
    made.sets[i] = &plain_sets_.set(plain_sets_.index_of(to_be_answered(example), plain));
  } catch (const Error& error) {
    made.not_valid(i, place_of(example), error.what());
    row.tokens.clear();
  }
}

std::optional<LocalTeacher::Question> LocalTeacher::question(const SignalRequest& request,
                                                             Batch& made, size_t i) {
  const bool chat = !card_.chat_template.empty();
  if (const auto reason = cannot_ask(*request.data, {chat, !card_.task.empty()})) {
    made.kinds[i] = *reason;
    return std::nullopt;
  }
  Question asked{i, {}, {}};
  // One stream per (example, sample): a resumed gathering writes the same texts.
  asked.told.stream =
      static_cast<uint64_t>(request.example) * 4096 + static_cast<uint64_t>(request.sample);
  size_t longest = 0;
  try {
    const Example with = told(*request.data, options_.telling, chat);
    asked.plain = encode_question(encoder_, *request.data);
    asked.told.tokens = options_.telling.empty() ? asked.plain : encode_question(encoder_, with);
    if (closed()) {
      asked.plain_set = plain_sets_.index_of(to_be_answered(*request.data), asked.plain);
      asked.told_set = told_sets_.index_of(to_be_answered(with), asked.told.tokens);
      longest = told_sets_.set(asked.told_set).longest();
    }
  } catch (const Error& error) {
    made.not_valid(i, place_of(*request.data), error.what());
    return std::nullopt;
  }
  if (static_cast<int>(asked.plain.size()) >= options_.max_tokens ||
      asked.told.tokens.size() + longest >= static_cast<size_t>(model_.config().max_positions)) {
    made.kinds[i] = AnswerKind::kTooLong;
    return std::nullopt;
  }
  return asked;
}

void LocalTeacher::write_texts(std::span<const SignalRequest> requests, Batch& made) {
  // By the set that the answer comes from; prompts that open a block of reasoning want none.
  constexpr size_t kFree = SIZE_MAX;
  std::map<size_t, std::vector<Question>> wanted;
  for (size_t i = 0; i < requests.size(); ++i) {
    if (!requests[i].write_text) continue;
    auto asked = question(requests[i], made, i);
    if (!asked) continue;
    const bool free = !closed() || opens_block(tokenizer_, asked->told.tokens);
    wanted[free ? kFree : asked->told_set].push_back(*std::move(asked));
  }
  GenerateOptions options;
  options.block = card_.block;
  options.temperature = options_.text_temperature;
  options.seed = options_.seed;
  options.stop = stop_tokens(tokenizer_, model_.config());
  options.vocabulary = tokenizer_.vocab_size();
  options.precision = options_.precision;
  for (const auto& [set, questions] : wanted) {
    options.max_tokens = card_.canvas > 0 ? std::min(card_.canvas, options_.max_new_tokens)
                                          : options_.max_new_tokens;
    options.constraint = set == kFree ? nullptr : &told_sets_.set(set);
    if (options.constraint != nullptr)
      options.max_tokens = static_cast<int>(options.constraint->longest()) + 1;
    std::vector<Prompt> prompts;
    for (const Question& asked : questions) prompts.push_back(asked.told);
    std::vector<Generation> texts = generate_all(natural_mode(model_.config()), model_, prompts,
                                                 options, {.batch = 64, .progress = ""});
    if (options.constraint == nullptr) write_anew(prompts, options, texts);
    for (size_t j = 0; j < questions.size(); ++j) {
      if (options.constraint != nullptr) {
        take_label(questions[j], texts[j], made);
      } else {
        take_text(questions[j], texts[j], made);
      }
    }
  }
}

// The most probable text of a small model often finds no end: such a one is written anew with a
// temperature, which brought an answer to each of 50 plain questions where 10 had none. One that
// still thinks wants a higher limit instead.
void LocalTeacher::write_anew(std::span<const Prompt> prompts, GenerateOptions options,
                              std::vector<Generation>& texts) {
  constexpr int kTries = 2;
  if (options.temperature > 0 || options_.keep_cut || !model_.config().causal) return;
  options.temperature = kTemperatureAnew;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    ++options.seed;
    std::vector<size_t> endless;
    std::vector<Prompt> again;
    for (size_t i = 0; i < texts.size(); ++i) {
      if (texts[i].stopped) continue;
      if (without_reasoning(with_opening(tokenizer_, prompts[i].tokens, texts[i].tokens)).open)
        continue;
      endless.push_back(i);
      again.push_back(prompts[i]);
    }
    if (endless.empty()) return;
    std::vector<Generation> fresh = generate_all(DecodeMode::kAutoregressive, model_, again,
                                                 options, {.batch = 64, .progress = ""});
    for (size_t j = 0; j < endless.size(); ++j) {
      if (!fresh[j].stopped) continue;
      texts[endless[j]] = std::move(fresh[j]);
      ++written_anew_;
    }
  }
}

// A label that was written as one of the closed set.
void LocalTeacher::take_label(const Question& asked, const Generation& text, Batch& made) {
  SignalRow& row = made.rows[asked.request];
  const size_t label = told_sets_.label_of(asked.told_set, text.tokens);
  if (label == options_.labels.size()) {
    made.kinds[asked.request] = AnswerKind::kOutside;
    outside_.add(tokenizer_.decode(text.tokens));
    return;
  }
  row.text = options_.labels[label];
  const TokenTrie& plain = plain_sets_.set(asked.plain_set);
  store_answer(asked, plain.members()[label], /*ended=*/true, made);
  made.sets[asked.request] = &plain;
}

void LocalTeacher::take_text(const Question& asked, const Generation& text, Batch& made) {
  SignalRow& row = made.rows[asked.request];
  AnswerKind& kind = made.kinds[asked.request];
  // What stands on a canvas is all that there is.
  const bool cut = !text.stopped && model_.config().causal;
  const std::string whole = with_opening(tokenizer_, asked.told.tokens, text.tokens);
  const JudgedAnswer judged = judge_answer(whole, cut);
  kind = judged.kind == AnswerKind::kCut && options_.keep_cut ? AnswerKind::kGood : judged.kind;
  if (text.in_circles) kind = AnswerKind::kCircles;
  if (kind != AnswerKind::kGood) return;
  std::string answer = judged.text;
  if (labels_) {
    const auto meant = labels_->meant(answer);
    if (!meant) {
      kind = AnswerKind::kOutside;
      outside_.add(answer);
      return;
    }
    answer = options_.labels[*meant];
  }
  const bool dropped = judged.thought && !options_.keep_reasoning;
  if (dropped) ++thoughts_dropped_;
  // As it was written, token by token, where nothing of it is changed.
  if (!dropped && answer == judged.text) {
    row.text = whole;
    store_answer(asked, text.tokens, text.stopped, made);
    return;
  }
  const std::string reasoning = options_.keep_reasoning ? judged.reasoning : "";
  row.text = with_reasoning(reasoning, answer);
  const std::string written =
      opens_block(tokenizer_, asked.plain) ? in_opened_block(reasoning, answer) : row.text;
  store_answer(asked, tokenizer_.encode(written, {.special_prefix = false, .parse_special = false}),
               text.stopped, made);
}

// The row of a question as a student reads it.
void LocalTeacher::store_answer(const Question& asked, std::span<const TokenId> answer, bool ended,
                                Batch& made) {
  SignalRow& row = made.rows[asked.request];
  std::vector<TokenId> tokens = asked.plain;
  tokens.insert(tokens.end(), answer.begin(), answer.end());
  if (ended) tokens.push_back(end_token(tokenizer_));
  if (static_cast<int>(tokens.size()) > options_.max_tokens) {
    made.kinds[asked.request] = AnswerKind::kTooLong;
    return;
  }
  row.tokens = std::move(tokens);
  row.prompt_tokens = static_cast<int>(asked.plain.size());
  made.asked[asked.request] = asked.told.tokens;
}

Gathered gather_signals(Teacher& teacher, std::span<const SignalRequest> requests,
                        SignalStore& store, const AnswerLimits& limits) {
  Gathered gathered;
  std::vector<SignalRequest> missing;
  bool writes = false, given = false;
  for (const SignalRequest& r : requests) {
    (r.write_text ? writes : given) = true;
    if (const auto outcome = store.outcome(r.example, r.sample)) {
      gathered.tally.add(*outcome);
    } else {
      missing.push_back(r);
    }
  }
  {
    StoreSink sink(store, gathered, requests.size(), missing.size());
    if (!missing.empty()) teacher.annotate(missing, sink);
  }
  const AnswerTally& tally = gathered.tally;
  gathered.sum =
      tally.in_words(limits, writes && given ? "asked and given" : (writes ? "asked" : "given"));
  const bool answered = std::any_of(requests.begin(), requests.end(), [&](const SignalRequest& r) {
    return r.write_text && store.contains(r.example, r.sample);
  });
  gathered.unheard = writes && !answered && store.header().kind == SignalKind::kText;
  std::vector<std::string> lines;
  if (tally.left_out() > 0) lines.push_back(gathered.sum);
  if (std::string warning = tally.warning(limits); !warning.empty())
    lines.push_back("warning: " + std::move(warning));
  gathered.lines.insert(gathered.lines.begin(), lines.begin(), lines.end());
  return gathered;
}

void Gathered::require_rows(const AnswerLimits& limits) const {
  if (tally.count(AnswerKind::kGood) > 0 && !unheard) return;
  std::string line = "[signals] there is not one answer to learn from: " + sum;
  if (const std::string cause = tally.cause(limits); !cause.empty()) line += "; " + cause;
  fail(ErrorCode::kInvalidArgument, "{}", line);
}

}  // namespace alambic
