#include <algorithm>
#include <cmath>

#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"
#include "alambic/base/progress.h"
#include "alambic/decode/decoders.h"
#include "alambic/decode/session.h"

namespace alambic {
namespace {

// Blocks are written one after another behind an exact cache. The life of a block:
//   1. reveal   an all-to-all forward over the block; masks become tokens by the reveal rule, and
//               written tokens that the model would now replace are replaced; again until no mask
//               is left
//   2. judge    one causal forward over the finished block, fused with the first reveal forward of
//               the next block. It gives the exact keys and values, and p(x_i | x_<i) for every
//               token of the block
//   3. refine   the first token that the causal model finds improbable becomes the one that it
//               prefers, the others are masked again, and 1. follows; else commit
// A text between a prompt and a suffix is one block that ends with the beginning of the suffix; the
// causal model, which does not see the suffix, has no say there.
class BlockWriter {
 public:
  BlockWriter(const LanguageModel& model, Session& session)
      : model_(model), session_(session), options_(session.options()), mask_(model.config().mask) {}

  void run() {
    prefill(model_, session_, kForwardRows);
    block_ = masks(session_.remaining());
    const View first = forward(session_.pending, block_);
    commit(session_.pending, first);
    View view = first;
    while (true) {
      write_block(view);
      const Judgement judgement = settle_block();
      for (const Choice& choice : judgement.choices) {
        session_.append(choice);
        if (session_.done()) return;
      }
      commit(judgement.clean, judgement.view);
      block_ = judgement.next;
      edits_.clear();
      view = judgement.view;
    }
  }

  void fill_gap() {
    prefill(model_, session_, kForwardRows);
    gap_ = static_cast<size_t>(session_.remaining());
    block_ = masks(session_.remaining());
    const size_t seen =
        std::min(options_.suffix.size(), static_cast<size_t>(options_.block) - gap_);
    block_.insert(block_.end(), options_.suffix.begin(),
                  options_.suffix.begin() + static_cast<std::ptrdiff_t>(seen));
    const View first = forward(session_.pending, block_);
    commit(session_.pending, first);
    write_block(first);
    block_.resize(gap_);
    for (const Choice& choice : judge().choices) session_.append(choice);
  }

 private:
  // What one forward says: hidden rows of the clean tokens, then those of the masked block.
  struct View {
    Tensor hidden;
    int64_t clean = 0;
  };
  struct Judgement {
    std::vector<TokenId> clean, next;  // rows of the forward: this block, the masks of the next one
    View view;
    std::vector<Choice>
        choices;  // the tokens of the block up to a stop, with their causal log-probability
    std::vector<size_t> weak;  // improbable ones, ascending
    TokenId correction = -1;   // what the causal model writes at the first of them
  };

  std::vector<TokenId> masks(int room) const {
    return std::vector<TokenId>(static_cast<size_t>(std::clamp(room, 0, options_.block)), mask_);
  }

  // Tokens of the block that matter: up to the first stop token. What stands behind it will be cut
  // off.
  size_t length() const {
    if (gap_ > 0) return gap_;
    size_t n = 0;
    while (n < block_.size() && !session_.is_stop(block_[n])) ++n;
    return std::min(n + 1, block_.size());
  }

  View forward(std::span<const TokenId> clean, std::span<const TokenId> block) {
    session_.require_reader();
    const auto clean_rows = static_cast<int>(clean.size());
    const auto block_rows = static_cast<int>(block.size());
    const int start = session_.cache.length();
    Forward forward{{}, options_.precision};
    std::vector<TokenId> tokens(clean.begin(), clean.end());
    tokens.insert(tokens.end(), block.begin(), block.end());
    if (clean_rows > 0) forward.groups.push_back({clean_rows, start, true, {}, &session_.cache});
    if (block_rows > 0) {
      std::vector<Sight> sees;
      if (clean_rows > 0) sees.push_back({0, clean_rows});
      forward.groups.push_back(
          {block_rows, start + clean_rows, false, std::move(sees), &session_.cache});
    }
    session_.count_forward(clean_rows + block_rows);
    return {model_.hidden(tokens, forward), clean_rows};
  }

  void show() const {
    if (options_.watch == nullptr) return;
    (*options_.watch)({session_.tokens(), std::span(block_).first(length()), session_.forwards()});
  }

  // Keeps the keys and values of the clean rows, and the causal row that decides the first token of
  // the next block.
  void commit(std::span<const TokenId> clean, const View& view) {
    const auto rows = static_cast<int>(clean.size());
    session_.cache.commit(rows);
    before_ = logits_of(model_, view.hidden, rows - 1, 1, options_.precision);
    session_.pending.clear();
  }

  // Step 1, from a forward over the block as it is now.
  void write_block(View view) {
    while (true) {
      reveal(view);
      if (!unwritten()) return;
      view = forward({}, block_);
    }
  }

  bool unwritten() const {
    const auto end = block_.begin() + static_cast<std::ptrdiff_t>(length());
    return std::find(block_.begin(), end, mask_) != end;
  }

  // Only the rows that can change something go through the head.
  void reveal(const View& view) {
    places_.clear();
    rows_.clear();
    const bool edits = options_.edit > 0;
    edits_.resize(block_.size());
    for (size_t i = 0, n = length(); i < n; ++i) {
      const bool open = block_[i] == mask_ || (edits && i > settled_ && edits_[i] < kMaxEdits);
      if (!open || (i == 0 && gap_ == 0)) continue;
      places_.push_back(i);
      rows_.push_back(view.clean + static_cast<int64_t>(i));
    }
    // The causal row before the block decides its first token as exactly as `ar` does.
    const bool exact = gap_ == 0 && block_[0] == mask_;
    if (exact) {
      block_[0] =
          session_.sampler().choose(row_of(before_, 0), session_.position(), {}, round_).token;
    }
    if (places_.empty()) return show();
    Sampler& sampler = session_.sampler();
    const Tensor rows = gather_rows(view.hidden, rows_);
    if (options_.reveal.rule == RevealRule::kEntropy) {
      head_.read_logits(model_, rows, options_.precision);
    } else {
      head_.read(model_, rows, sampler);
    }
    guesses_.clear();
    for (size_t row = 0; row < places_.size(); ++row) {
      const size_t i = places_[row];
      const auto head_row = static_cast<int64_t>(row);
      const int64_t position = session_.position() + static_cast<int64_t>(i);
      const Choice choice = head_.choose(sampler, head_row, position, {}, round_);
      if (block_[i] != mask_) {
        if (choice.token == block_[i] || std::exp(choice.log_probability) < options_.edit) continue;
        block_[i] = choice.token;
        ++edits_[i];
        continue;
      }
      const double entropy = options_.reveal.rule == RevealRule::kEntropy
                                 ? sampler.entropy(head_.logits(head_row))
                                 : 0;
      guesses_.push_back({i, choice.token, choice.log_probability, entropy});
    }
    size_t shown = alambic::reveal(guesses_, options_.reveal);
    // The rules show the surest mask even where none is sure; here something was shown already.
    if (exact && shown == 1 && !sure(guesses_.front())) shown = 0;
    for (size_t g = 0; g < shown; ++g) block_[guesses_[g].place] = guesses_[g].token;
    show();
  }

  bool sure(const Guess& guess) const {
    switch (options_.reveal.rule) {
      case RevealRule::kThreshold:
        return std::exp(guess.log_probability) >= options_.reveal.threshold;
      case RevealRule::kEntropy:
        return guess.entropy <= options_.reveal.entropy_bound;
      case RevealRule::kCount:
        return options_.reveal.count > 1;
    }
    return false;
  }

  // Steps 2 and 3. A verdict to the right of the first weak token rests on a context that is about
  // to change; it may be wrong either way, and the next round, which reads the block from left to
  // right again, is what corrects it. When rounds run out, the last writing stands.
  Judgement settle_block() {
    settled_ = 0;
    Judgement judgement = judge();
    for (int round = 0; round < options_.max_refinements && !judgement.weak.empty(); ++round) {
      for (const size_t i : judgement.weak) block_[i] = mask_;
      settled_ = judgement.weak.front();
      block_[settled_] = judgement.correction;
      ++round_;
      if (unwritten()) write_block(forward({}, block_));
      judgement = judge();
    }
    return judgement;
  }

  Judgement judge() {
    Judgement result;
    const size_t n = length();
    const bool last =
        gap_ > 0 || session_.is_stop(block_[n - 1]) || static_cast<int>(n) == session_.remaining();
    // The row of the very last token would decide nothing.
    result.clean.assign(block_.begin(),
                        block_.begin() + static_cast<std::ptrdiff_t>(last ? n - 1 : n));
    if (!last) result.next = masks(session_.remaining() - static_cast<int>(n));
    Tensor logits;
    if (!result.clean.empty()) {
      result.view = forward(result.clean, result.next);
      if (n > 1)
        logits = logits_of(model_, result.view.hidden, 0, static_cast<int64_t>(n) - 1,
                           options_.precision);
    }
    for (size_t i = 0; i < n; ++i) {
      const auto row = i == 0 ? row_of(before_, 0) : row_of(logits, static_cast<int64_t>(i) - 1);
      const Sampler::Verdict verdict = session_.sampler().judge(row, block_[i]);
      result.choices.push_back({block_[i], verdict.log_probability});
      if (gap_ > 0 || i <= settled_ ||
          verdict.log_probability >= verdict.best + std::log(options_.remask))
        continue;
      if (result.weak.empty()) {
        result.correction =
            session_.sampler().choose(row, session_.position() + static_cast<int64_t>(i)).token;
      }
      result.weak.push_back(i);
    }
    return result;
  }

  // A token that was replaced so often stays: two that each want the other changed would go on.
  static constexpr int kMaxEdits = 2;

  const LanguageModel& model_;
  Session& session_;
  const GenerateOptions& options_;
  const TokenId mask_;
  std::vector<TokenId> block_;
  std::vector<int> edits_;  // of each token of the block
  size_t gap_ = 0;          // tokens between prompt and suffix, where there is one
  std::vector<size_t> places_;
  std::vector<int64_t> rows_;
  std::vector<Guess> guesses_;
  Tensor before_;       // [1, vocab]
  HeadRows head_;       // of masks
  size_t settled_ = 0;  // up to here the block holds what the causal model would write
  uint64_t round_ =
      0;  // rewritings so far: a sampled token that was refused must be able to change
};

}  // namespace

Generation DiffusionDecoder::generate(const Prompt& prompt, const GenerateOptions& options,
                                      const TokenSink& sink) const {
  if (options.block == 0) {
    fail(ErrorCode::kUnsupported,
         "[decode] this model was not trained for diffusion; use ar or lookup, or adapt it with "
         "alambic "
         "train --adapt");
  }
  if (options.constraint != nullptr) {
    fail(ErrorCode::kUnsupported,
         "[decode] diffusion cannot write from a closed set; want ar or speculative");
  }
  const NoGrad no_grad;
  const Stopwatch watch;
  GenerateOptions in_gap = options;
  if (!options.suffix.empty()) in_gap.stop.clear();  // the text goes on behind it
  Session session(model_, prompt, in_gap, sink);
  if (!options.suffix.empty()) {
    const int most = options.block - 1;
    if (session.remaining() > most) {
      fail(ErrorCode::kInvalidArgument,
           "[decode] {} tokens before a suffix; this model sees what follows within a block, so "
           "want at most {}",
           session.remaining(), most);
    }
    if (!session.done()) BlockWriter(model_, session).fill_gap();
  } else if (!session.done()) {
    BlockWriter(model_, session).run();
  }
  session.add_seconds(watch.seconds());
  return session.finish();
}

}  // namespace alambic
