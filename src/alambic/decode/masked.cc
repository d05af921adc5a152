#include "alambic/decode/masked.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"
#include "alambic/base/interrupt.h"
#include "alambic/base/progress.h"
#include "alambic/decode/head_rows.h"
#include "alambic/decode/sampler.h"
#include "alambic/decode/session.h"

namespace alambic {
namespace {

// In nats, of what the sampler can write.
double guess_entropy(std::span<const float> logits, const Sampler& sampler) {
  double top = -HUGE_VAL;
  const auto each = [&](const auto& visit) {
    for (TokenId id = 0; id < sampler.vocabulary(); ++id) {
      if (sampler.writable(id)) visit(double{logits[static_cast<size_t>(id)]});
    }
  };
  each([&](double x) { top = std::max(top, x); });
  double sum = 0, mean = 0;
  each([&](double x) {
    const double weight = std::exp(x - top);
    sum += weight;
    mean += weight * (x - top);
  });
  return std::log(sum) - mean / sum;
}

// One text in the making.
class Canvas {
 public:
  Canvas(const ModelConfig& config, const Prompt& prompt, const GenerateOptions& options,
         const TokenSink& sink)
      : options_(options),
        sink_(sink),
        mask_(config.mask),
        shifted_(config.shifted_rows),
        sampler_(config, options, prompt.stream),
        tokens_(prompt.tokens),
        rounds_left_(options.remask_steps) {
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (tokens_[i] == mask_) places_.push_back(i);
    }
    form_ = !places_.empty();
    validate_prompt(config, prompt, form_ ? 0 : 1);
    if (places_.size() == tokens_.size()) {
      fail(ErrorCode::kInvalidArgument,
           "[decode] the prompt is {} masks and nothing else; want something to fill them in by",
           tokens_.size());
    }
    if (!form_) {
      const int room = config.max_positions - static_cast<int>(tokens_.size());
      begin_ = tokens_.size();
      tokens_.resize(begin_ + static_cast<size_t>(std::min(options.max_tokens, room)), mask_);
      places_.reserve(tokens_.size() - begin_);
      for (size_t i = begin_; i < tokens_.size(); ++i) places_.push_back(i);
    }
    sureness_.resize(tokens_.size());
    end_ = tokens_.size();
    if (places_.empty()) done_ = true;
    start_block();
  }

  bool done() const { return done_; }
  std::span<const TokenId> tokens() const { return tokens_; }
  Sampler& sampler() { return sampler_; }

  // The rows, within the canvas, that speak of the masks to be resolved now.
  std::span<const int64_t> rows() {
    rows_.clear();
    masked_.clear();
    for (size_t i = block_begin_; i < block_end_; ++i) {
      const size_t place = places_[i];
      if (tokens_[place] != mask_) continue;
      masked_.push_back(place);
      rows_.push_back(static_cast<int64_t>(shifted_ && place > 0 ? place - 1 : place));
    }
    return rows_;
  }

  // Writes what the head says of those rows, the first of which is row `first` there.
  void advance(const HeadRows& head, int64_t first) {
    ++result_.forwards;
    result_.rows += static_cast<int64_t>(tokens_.size());
    write(guesses(head, first));
    if (resolved()) next();
    report();
  }
  void add_seconds(double seconds) { result_.seconds += seconds; }

  Generation finish() {
    if (!cut_) {
      result_.tokens.assign(tokens_.begin() + static_cast<std::ptrdiff_t>(begin_),
                            tokens_.begin() + static_cast<std::ptrdiff_t>(end_));
    }
    for (const size_t place : places_) {
      if (tokens_[place] == mask_) continue;
      ++result_.decided;
      result_.log_probability += sureness_[place];
    }
    return std::move(result_);
  }

 private:
  size_t block_length() const {
    return options_.block > 0 ? static_cast<size_t>(options_.block) : places_.size();
  }
  bool is_stop(TokenId token) const {
    return !form_ &&
           std::find(options_.stop.begin(), options_.stop.end(), token) != options_.stop.end();
  }

  void start_block() {
    const size_t length = std::max<size_t>(1, block_length());
    block_end_ = std::min(places_.size(), block_begin_ + length);
    const auto blocks = static_cast<int64_t>((places_.size() + length - 1) / length);
    const auto block = static_cast<int64_t>(block_begin_ / length);
    // Even shares of all steps.
    steps_left_ = blocks == 0 ? 0
                              : static_cast<int>(options_.steps * (block + 1) / blocks -
                                                 options_.steps * block / blocks);
  }

  std::vector<Guess> guesses(const HeadRows& head, int64_t first) {
    // The one place where the text may end: everything before it is written.
    const size_t leftmost = masked_.front();
    std::vector<Guess> list;
    list.reserve(masked_.size());
    for (size_t i = 0; i < masked_.size(); ++i) {
      const size_t place = masked_[i];
      const int64_t row = first + static_cast<int64_t>(i);
      const auto position = static_cast<int64_t>(place - begin_);
      const Choice choice = head.choose(sampler_, row, position, {}, round_);
      if (place != leftmost && is_stop(choice.token)) continue;
      Guess guess{place, choice.token, choice.log_probability};
      if (options_.reveal.rule == RevealRule::kEntropy)
        guess.entropy = guess_entropy(head.logits(row), sampler_);
      list.push_back(guess);
    }
    return list;
  }

  void write(std::vector<Guess> list) {
    RevealOptions rule = options_.reveal;
    if (options_.steps > 0 && round_ == 0) {
      const int steps = std::max(1, steps_left_--);
      rule.rule = RevealRule::kCount;
      rule.count = (static_cast<int>(masked_.size()) + steps - 1) / steps;
    }
    const size_t shown = reveal(list, rule);
    for (size_t i = 0; i < shown; ++i) {
      tokens_[list[i].place] = list[i].token;
      sureness_[list[i].place] = list[i].log_probability;
    }
    if (const auto& guess =
            *std::min_element(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(shown),
                              [](const Guess& a, const Guess& b) { return a.place < b.place; });
        is_stop(guess.token))
      end_at(guess.place);
  }

  // What stands behind the end is what training put there: more of the end.
  void end_at(size_t place) {
    end_ = place;
    result_.stopped = true;
    std::fill(tokens_.begin() + static_cast<std::ptrdiff_t>(place), tokens_.end(), tokens_[place]);
    places_.erase(std::upper_bound(places_.begin(), places_.end(), place), places_.end());
    block_end_ = std::min(block_end_, places_.size());
  }

  bool resolved() const {
    return std::none_of(places_.begin() + static_cast<std::ptrdiff_t>(block_begin_),
                        places_.begin() + static_cast<std::ptrdiff_t>(block_end_),
                        [&](size_t place) { return tokens_[place] == mask_; });
  }

  void next() {
    if (block_end_ < places_.size()) {
      block_begin_ = block_end_;
      start_block();
      return;
    }
    if (rounds_left_ == 0) {
      done_ = true;
      return;
    }
    mask_again();
    --rounds_left_;
    ++round_;
  }

  void mask_again() {
    std::vector<size_t> unsure = places_;
    if (result_.stopped) unsure.pop_back();
    const size_t share = unsure.size() * static_cast<size_t>(rounds_left_) /
                         (4 * static_cast<size_t>(options_.remask_steps));
    const size_t count = std::min(unsure.size(), std::max<size_t>(1, share));
    std::stable_sort(unsure.begin(), unsure.end(),
                     [&](size_t a, size_t b) { return sureness_[a] < sureness_[b]; });
    for (size_t i = 0; i < count; ++i) tokens_[unsure[i]] = mask_;
    block_begin_ = 0;
    block_end_ = places_.size();
    if (count == 0) done_ = true;  // the text ended before its first token
  }

  // Up to here nothing changes any more.
  size_t settled_end() const {
    if (done_) return end_;
    if (options_.remask_steps > 0) return begin_;
    for (const size_t place : places_) {
      if (tokens_[place] == mask_) return place;
    }
    return end_;
  }

  void report() {
    const size_t settled = settled_end();
    const std::span<const TokenId> all(tokens_);
    if (options_.watch != nullptr && *options_.watch) {
      (*options_.watch)({all.subspan(begin_, settled - begin_),
                         all.subspan(settled, end_ - settled), result_.forwards});
    }
    if (!sink_) return;
    while (sent_ < settled - begin_) {
      if (sink_(tokens_[begin_ + sent_++])) continue;
      result_.tokens.assign(tokens_.begin() + static_cast<std::ptrdiff_t>(begin_),
                            tokens_.begin() + static_cast<std::ptrdiff_t>(begin_ + sent_));
      done_ = cut_ = true;
      return;
    }
  }

  const GenerateOptions& options_;
  const TokenSink& sink_;
  const TokenId mask_;
  const bool shifted_;
  Sampler sampler_;
  std::vector<TokenId> tokens_;
  std::vector<size_t> places_;    // that were masks at the start, ascending, up to the end
  std::vector<double> sureness_;  // log-probability of each written token, when it was written
  size_t begin_ = 0, end_ = 0;    // of the text within the canvas
  size_t block_begin_ = 0, block_end_ = 0;  // within places_
  int steps_left_ = 0, rounds_left_;
  uint64_t round_ = 0;  // of re-masking: what is rewritten must be able to change
  size_t sent_ = 0;
  bool form_ = false, done_ = false, cut_ = false;
  std::vector<size_t> masked_;  // places of rows_
  std::vector<int64_t> rows_;
  Generation result_;
};

// One forward over several canvases.
void advance_canvases(const LanguageModel& model, std::span<const std::unique_ptr<Canvas>> canvases,
                      const GenerateOptions& options) {
  const Stopwatch watch;
  Forward forward{{}, options.precision};
  std::vector<TokenId> tokens;
  std::vector<int64_t> rows;
  for (const auto& canvas : canvases) {
    const auto begin = static_cast<int64_t>(tokens.size());
    const auto text = canvas->tokens();
    tokens.insert(tokens.end(), text.begin(), text.end());
    forward.groups.push_back(
        {.rows = static_cast<int>(text.size()), .position = 0, .causal = false});
    for (const int64_t row : canvas->rows()) rows.push_back(begin + row);
  }
  const Tensor spoken = gather_rows(model.hidden(tokens, forward), rows);
  HeadRows head;
  if (options.reveal.rule == RevealRule::kEntropy) {
    head.read_logits(model, spoken, options.precision);
  } else {
    head.read(model, spoken, canvases.front()->sampler());
  }
  int64_t first = 0;
  for (const auto& canvas : canvases) {
    const auto count = static_cast<int64_t>(canvas->rows().size());
    canvas->advance(head, first);
    first += count;
  }
  for (const auto& canvas : canvases)
    canvas->add_seconds(watch.seconds() / static_cast<double>(canvases.size()));
}

void validate_masked(const GenerateOptions& options) {
  validate_options(options);
  if (options.constraint != nullptr) {
    fail(
        ErrorCode::kUnsupported,
        "[decode] diffusion cannot write from a closed set, and this model cannot write otherwise");
  }
}

}  // namespace

Generation MaskedDecoder::generate(const Prompt& prompt, const GenerateOptions& options,
                                   const TokenSink& sink) const {
  validate_masked(options);
  const NoGrad no_grad;
  const auto canvas = std::make_unique<Canvas>(model_.config(), prompt, options, sink);
  while (!canvas->done()) advance_canvases(model_, {&canvas, 1}, options);
  return canvas->finish();
}

std::vector<Generation> MaskedDecoder::generate_all(std::span<const Prompt> prompts,
                                                    const GenerateOptions& options,
                                                    const BatchOptions& batch) const {
  validate_masked(options);
  const NoGrad no_grad;
  const TokenSink nobody;
  std::unique_ptr<Progress> progress;
  if (!batch.progress.empty())
    progress = std::make_unique<Progress>(batch.progress, static_cast<int64_t>(prompts.size()));
  std::vector<Generation> results(prompts.size());
  std::vector<std::unique_ptr<Canvas>> running;
  std::vector<size_t> owners;  // beside running
  size_t next = 0, rows = 0, finished = 0;
  while (finished < prompts.size()) {
    throw_if_interrupted("decode", "run the same command again (a run goes on with --resume)");
    while (next < prompts.size() &&
           running.size() < static_cast<size_t>(std::max(1, batch.batch)) &&
           (running.empty() || rows < static_cast<size_t>(kForwardRows))) {
      running.push_back(std::make_unique<Canvas>(model_.config(), prompts[next], options, nobody));
      owners.push_back(next++);
      rows += running.back()->tokens().size();
    }
    if (std::none_of(running.begin(), running.end(), [](const auto& c) { return c->done(); }))
      advance_canvases(model_, running, options);
    for (size_t i = running.size(); i-- > 0;) {
      if (!running[i]->done()) continue;
      rows -= running[i]->tokens().size();
      results[owners[i]] = running[i]->finish();
      running.erase(running.begin() + static_cast<std::ptrdiff_t>(i));
      owners.erase(owners.begin() + static_cast<std::ptrdiff_t>(i));
      ++finished;
    }
    if (progress) progress->update(static_cast<int64_t>(finished));
  }
  return results;
}

}  // namespace alambic
