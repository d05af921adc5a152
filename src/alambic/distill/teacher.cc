#include "alambic/distill/teacher.h"

#include <algorithm>
#include <cmath>
#include <ctime>
#include <limits>
#include <numeric>

#include "alambic/base/interrupt.h"
#include "alambic/base/progress.h"
#include "alambic/decode/decode.h"
#include "alambic/distill/asking.h"
#include "alambic/distill/encoding.h"
#include "alambic/distill/vocabularies.h"
#include "alambic/tensor/product.h"

namespace alambic {
namespace {

// exp((x - max) / temperature), and their sum in double.
double exponentials(std::span<const float> logits, double temperature,
                    std::vector<float>& weights) {
  const auto& kernel = kernels::kernels();
  const auto n = static_cast<int64_t>(logits.size());
  weights.resize(logits.size());
  kernel.exp_sum(logits.data(), kernel.max(logits.data(), n), static_cast<float>(1 / temperature),
                 n, weights.data());
  return std::accumulate(weights.begin(), weights.end(), 0.0);
}

class StoreSink final : public SignalSink {
 public:
  StoreSink(SignalStore& store, Gathered& gathered, size_t wanted, size_t missing)
      : store_(store),
        gathered_(gathered),
        spent_(store.spent()),
        progress_("signals", static_cast<int64_t>(wanted)),
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

std::string opened_by_prompt(const Tokenizer& tokenizer, std::span<const TokenId> prompt) {
  constexpr size_t kLast = 8;
  constexpr std::string_view kOpening = "<think>";
  const std::string end =
      tokenizer.decode(prompt.last(std::min(prompt.size(), kLast)), /*skip_special=*/false);
  return trimmed(end).ends_with(kOpening) ? std::string(kOpening) : std::string();
}

}  // namespace

std::string thoughts_dropped_in_words(int64_t count) {
  return fmt::format(
      "{} answers are stored without their reasoning (teacher.reasoning = "
      "\"keep\" keeps it)",
      count);
}

TokenSignal draw_signal(std::span<const float> logits, double temperature, int draws, Rng& rng) {
  thread_local std::vector<float> weights;
  const double sum = exponentials(logits, temperature, weights);
  std::vector<double> marks(static_cast<size_t>(draws));
  for (double& mark : marks) mark = rng.uniform() * sum;
  std::sort(marks.begin(), marks.end());
  TokenSignal signal;
  double below = 0;
  size_t next = 0;
  for (size_t id = 0; id < weights.size() && next < marks.size(); ++id) {
    below += weights[id];
    int hits = 0;
    while (next < marks.size() && marks[next] < below) ++next, ++hits;
    if (hits == 0) continue;
    signal.ids.push_back(static_cast<TokenId>(id));
    signal.probabilities.push_back(static_cast<float>(hits) / static_cast<float>(draws));
  }
  return signal;
}

TokenSignal top_k_signal(std::span<const float> logits, double temperature, int k, TokenId always) {
  thread_local std::vector<float> weights;
  const double sum = exponentials(logits, temperature, weights);
  std::vector<TokenId> order(weights.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t keep = std::min(order.size(), static_cast<size_t>(k));
  std::partial_sort(order.begin(), order.begin() + static_cast<int64_t>(keep), order.end(),
                    [](TokenId a, TokenId b) {
                      return weights[a] != weights[b] ? weights[a] > weights[b] : a < b;
                    });
  order.resize(keep);
  if (always >= 0 && std::find(order.begin(), order.end(), always) == order.end())
    order.back() = always;
  std::sort(order.begin(), order.end());
  TokenSignal signal;
  double covered = 0;
  for (const TokenId id : order) {
    const double p = weights[id] / sum;
    covered += p;
    signal.ids.push_back(id);
    signal.probabilities.push_back(static_cast<float>(p));
  }
  signal.tail = static_cast<float>(std::max(0.0, 1 - covered));
  return signal;
}

LocalTeacher::LocalTeacher(const LanguageModel& model, Tokenizer tokenizer, ModelCard card,
                           std::string id, const LocalTeacherOptions& options)
    : model_(model),
      tokenizer_(std::move(tokenizer)),
      card_(std::move(card)),
      id_(std::move(id)),
      options_(options) {
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
  std::vector<SignalRow> rows;  // one of each request; those without tokens are of no use
  std::vector<AnswerKind> kinds;
  std::vector<std::vector<bool>> learned;
  std::string first_fault;  // of what is not valid
};

void LocalTeacher::annotate(std::span<const SignalRequest> requests, SignalSink& sink) {
  constexpr size_t kBatch = 64;
  thoughts_dropped_ = 0;
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
  if (!first_fault.empty()) sink.remark("the first that is not valid: " + first_fault);
  if (thoughts_dropped_ > 0) sink.remark(thoughts_dropped_in_words(thoughts_dropped_));
}

LocalTeacher::Batch LocalTeacher::batch(std::span<const SignalRequest> requests) {
  Batch made;
  made.rows.resize(requests.size());
  made.kinds.resize(requests.size(), AnswerKind::kGood);
  made.learned.resize(requests.size());
  const Encoder encoder(tokenizer_, card_);
  for (size_t i = 0; i < requests.size(); ++i) {
    SignalRow& row = made.rows[i];
    row.example = requests[i].example;
    row.sample = requests[i].sample;
    row.prompt =
        requests[i].write_text ? prompt_to_ask(*requests[i].data) : requests[i].data->prompt;
    if (requests[i].write_text) continue;
    row.text = requests[i].data->completion;
    auto encoded = encode_sequences(encoder, *requests[i].data, options_.max_tokens);
    if (encoded.sequences.empty()) {
      const bool long_one =
          !encoded.left_out || encoded.left_out->reason == LeftOut::Reason::kTooLong;
      made.kinds[i] = long_one ? AnswerKind::kTooLong : AnswerKind::kNotValid;
      if (!long_one && made.first_fault.empty()) {
        made.first_fault =
            fmt::format("{}: {}", encoded.left_out->where,
                        encoded.left_out->detail.empty() ? reason_name(encoded.left_out->reason)
                                                         : encoded.left_out->detail);
      }
      continue;
    }
    Sequence& s = encoded.sequences.back();
    row.tokens = std::move(s.tokens);
    row.prompt_tokens = s.prompt_tokens;
    made.learned[i] = std::move(s.learned);
  }
  write_texts(requests, made);
  if (options_.kind != SignalKind::kText)
    add_token_signals(model_, tokenizer_, options_, made.rows, made.learned);
  return made;
}

void LocalTeacher::write_texts(std::span<const SignalRequest> requests, Batch& made) {
  const AskedThrough through{!card_.chat_template.empty(), !card_.task.empty()};
  std::vector<size_t> wanted;
  std::vector<Prompt> prompts;
  const Encoder encoder(tokenizer_, card_);
  for (size_t i = 0; i < requests.size(); ++i) {
    if (!requests[i].write_text) continue;
    if (const auto reason = cannot_ask(*requests[i].data, through)) {
      made.kinds[i] = *reason;
      continue;
    }
    // One stream per (example, sample): a resumed gathering writes the same texts.
    Prompt prompt{{},
                  static_cast<uint64_t>(requests[i].example) * 4096 +
                      static_cast<uint64_t>(requests[i].sample)};
    try {
      prompt.tokens = encode_question(encoder, *requests[i].data);
    } catch (const Error& error) {
      made.kinds[i] = AnswerKind::kNotValid;
      if (made.first_fault.empty())
        made.first_fault = fmt::format("{}: {}", place_of(*requests[i].data), error.what());
      continue;
    }
    if (static_cast<int>(prompt.tokens.size()) >= options_.max_tokens) {
      made.kinds[i] = AnswerKind::kTooLong;
      continue;
    }
    wanted.push_back(i);
    prompts.push_back(std::move(prompt));
  }
  const TokenId end = end_token(tokenizer_);
  GenerateOptions options;
  options.max_tokens =
      card_.canvas > 0 ? std::min(card_.canvas, options_.max_new_tokens) : options_.max_new_tokens;
  options.block = card_.block;
  options.temperature = options_.text_temperature;
  options.seed = options_.seed;
  options.stop = stop_tokens(tokenizer_, model_.config());
  options.vocabulary = tokenizer_.vocab_size();
  options.precision = options_.precision;
  const std::vector<Generation> texts = generate_all(natural_mode(model_.config()), model_, prompts,
                                                     options, {.batch = 64, .progress = ""});
  for (size_t j = 0; j < wanted.size(); ++j) {
    SignalRow& row = made.rows[wanted[j]];
    AnswerKind& kind = made.kinds[wanted[j]];
    std::vector<TokenId> written = texts[j].tokens;
    row.text = tokenizer_.decode(written);
    // What stands on a canvas is all that there is.
    const bool cut = !texts[j].stopped && model_.config().causal;
    const JudgedAnswer judged =
        judge_answer(opened_by_prompt(tokenizer_, prompts[j].tokens) + row.text, cut);
    kind = judged.kind == AnswerKind::kCut && options_.keep_cut ? AnswerKind::kGood : judged.kind;
    if (texts[j].in_circles) kind = AnswerKind::kCircles;
    if (kind != AnswerKind::kGood) continue;
    if (judged.thought && !options_.keep_reasoning) {
      ++thoughts_dropped_;
      row.text = judged.text;
      written = tokenizer_.encode(row.text, {.special_prefix = false, .parse_special = false});
    }
    std::vector<TokenId> tokens = prompts[j].tokens;
    tokens.insert(tokens.end(), written.begin(), written.end());
    if (texts[j].stopped) tokens.push_back(end);
    if (static_cast<int>(tokens.size()) > options_.max_tokens) {
      kind = AnswerKind::kTooLong;
      continue;
    }
    row.tokens = std::move(tokens);
    row.prompt_tokens = static_cast<int>(prompts[j].tokens.size());
  }
}

void add_token_signals(const LanguageModel& model, const Tokenizer& tokenizer,
                       const LocalTeacherOptions& options, std::span<SignalRow> rows,
                       std::span<const std::vector<bool>> learned, OwnTokens own) {
  const NoGrad no_grad;
  std::vector<TokenId> tokens;
  Forward forward{.groups = {}, .precision = options.precision};
  struct Place {
    SignalRow* row;
    int target;
  };
  std::vector<Place> places;
  std::vector<int64_t> index;
  for (size_t i = 0; i < rows.size(); ++i) {
    SignalRow& row = rows[i];
    if (row.tokens.empty()) continue;
    const auto size = static_cast<int>(row.tokens.size());
    row.signals.resize(static_cast<size_t>(size - row.prompt_tokens));
    for (int t = row.prompt_tokens; t < size; ++t) {
      // What a user says later in a conversation is nobody's answer.
      if (!learned.empty() && !learned[i].empty() &&
          !learned[i][static_cast<size_t>(t - row.prompt_tokens)])
        continue;
      index.push_back(static_cast<int64_t>(tokens.size()) + t - 1);
      places.push_back({&row, t});
    }
    tokens.insert(tokens.end(), row.tokens.begin(), row.tokens.end());
    forward.groups.push_back({.rows = size, .position = 0});
  }
  if (places.empty()) return;
  const Tensor hidden = model.hidden(tokens, forward);
  constexpr size_t kRows = 256;  // logits of so many rows at a time
  const int vocab = std::min(model.config().vocab_size, tokenizer.vocab_size());
  // What no token stands for is no alternative, and no text holds MASK.
  std::vector<TokenId> silent = rows_without_token(tokenizer, vocab);
  if (const TokenId mask = model.config().mask; mask >= 0 && mask < vocab) silent.push_back(mask);
  for (size_t first = 0; first < index.size(); first += kRows) {
    const size_t last = std::min(index.size(), first + kRows);
    Tensor logits = model.logits(gather_rows(hidden, std::span(index).subspan(first, last - first)),
                                 options.precision);
    parallel_rows(static_cast<int64_t>(last - first), 4, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const Place& place = places[first + static_cast<size_t>(r)];
        for (const TokenId id : silent) logits.row(r)[id] = -std::numeric_limits<float>::infinity();
        const std::span<const float> row(logits.row(r), static_cast<size_t>(vocab));
        Rng rng = Rng(options.seed, static_cast<uint64_t>(place.row->example))
                      .fork(static_cast<uint64_t>(place.row->sample))
                      .fork(static_cast<uint64_t>(place.target));
        place.row->signals[static_cast<size_t>(place.target - place.row->prompt_tokens)] =
            options.kind == SignalKind::kDraws
                ? draw_signal(row, options.temperature, options.count, rng)
                : top_k_signal(row, options.temperature, options.count,
                               own == OwnTokens::kListed
                                   ? place.row->tokens[static_cast<size_t>(place.target)]
                                   : -1);
      }
    });
  }
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
  std::vector<std::string> lines;
  if (tally.left_out() > 0) lines.push_back(gathered.sum);
  if (std::string warning = tally.warning(limits); !warning.empty())
    lines.push_back("warning: " + std::move(warning));
  gathered.lines.insert(gathered.lines.begin(), lines.begin(), lines.end());
  return gathered;
}

void Gathered::require_rows(const AnswerLimits& limits) const {
  if (tally.count(AnswerKind::kGood) > 0) return;
  std::string line = "[signals] there is not one answer to learn from: " + sum;
  if (const std::string cause = tally.cause(limits); !cause.empty()) line += "; " + cause;
  fail(ErrorCode::kInvalidArgument, "{}", line);
}

}  // namespace alambic
