#include "alambic/distill/hybrid_layout.h"

#include <algorithm>
#include <cmath>

namespace alambic {
namespace {

class LayoutBuilder {
 public:
  LayoutBuilder(const HybridOptions& options, TokenId mask, const Batch& batch, Rng& rng)
      : options_(options), mask_(mask), batch_(batch), rng_(rng) {}

  HybridLayout build() {
    for (const Sequence* s : batch_) {
      const int size = static_cast<int>(s->tokens.size());
      const int clean = add_clean(*s, size);
      if (options_.draft_weight > 0) add_blocks(*s, size, clean);
    }
    return std::move(layout_);
  }

 private:
  // Returns the clean group's index, or -1 if no clean row is needed.
  int add_clean(const Sequence& s, int size) {
    // Without an AR loss, rows that no block sees are not computed.
    const int rows = options_.ar_weight > 0 || options_.block > 0 ? size : s.prompt_tokens;
    clean_begin_ = rows > 0 ? static_cast<int64_t>(layout_.tokens.size()) : -1;
    clean_rows_ = rows;
    if (rows == 0) return -1;
    layout_.tokens.insert(layout_.tokens.end(), s.tokens.begin(), s.tokens.begin() + rows);
    layout_.groups.push_back({.rows = rows, .position = 0});
    const double weight = options_.ar_weight * (s.own ? options_.own.hold : 1);
    if (weight > 0) {
      for (int i = std::max(1, s.prompt_tokens); i < size; ++i) {
        if (!s.learns(i)) continue;
        layout_.scored.push_back(
            {clean_begin_ + i - 1, &s, i, static_cast<float>(weight), RowKind::kClean, true});
      }
    }
    return static_cast<int>(layout_.groups.size()) - 1;
  }

  int block_length() {
    const int shortest = std::min(std::max(1, options_.block_min), options_.block);
    if (shortest == options_.block) return options_.block;
    return shortest + static_cast<int>(rng_.below(static_cast<uint64_t>(options_.block) -
                                                  static_cast<uint64_t>(shortest) + 1));
  }

  void add_blocks(const Sequence& s, int size, int clean) {
    if (s.prompt_tokens >= size) return;
    const int length = options_.block > 0 ? block_length() : size - s.prompt_tokens;
    const int first = options_.block > 0
                          ? 1 + static_cast<int>(rng_.below(static_cast<uint64_t>(length)))
                          : length;
    for (int begin = s.prompt_tokens; begin < size;) {
      const int wanted = begin == s.prompt_tokens ? first : length;
      const int rows = std::min(wanted, size - begin);
      if (rng_.uniform() < options_.suffix_share) {
        add_draft(s, begin, rows);
      } else {
        add_diffusion(s, begin, rows);
      }
      RowGroup group{.rows = rows, .position = begin, .causal = false};
      if (begin > 0 && clean >= 0) group.sees.push_back({clean, begin});
      layout_.groups.push_back(std::move(group));
      begin += rows;
    }
  }

  void add_row(const Sequence& s, int token, TokenId shown, float weight, RowKind kind,
               bool teachable) {
    const auto row = static_cast<int64_t>(layout_.tokens.size());
    layout_.tokens.push_back(shown);
    if (weight == 0 || !s.learns(token)) return;
    const int64_t causal = token > 0 && token - 1 < clean_rows_ ? clean_begin_ + token - 1 : -1;
    layout_.scored.push_back({row, &s, token, weight, kind, teachable, causal});
  }

  void add_draft(const Sequence& s, int begin, int length) {
    // Half of them all masks, the state in which a draft starts.
    const auto first =
        rng_.uniform() < 0.5 ? 0 : static_cast<int>(rng_.below(static_cast<uint64_t>(length)));
    for (int i = 0; i < length; ++i) {
      const bool masked = i >= first;
      const double decay =
          options_.draft_decay > 0 ? std::exp(-(i - first) / options_.draft_decay) : 1;
      add_row(s, begin + i,
              masked ? mask_ : s.tokens[static_cast<size_t>(begin) + static_cast<size_t>(i)],
              masked ? static_cast<float>(options_.draft_weight * decay) : 0.0F, RowKind::kDraft,
              true);
    }
  }

  void add_diffusion(const Sequence& s, int begin, int length) {
    const double ratio = options_.mask_floor + (1 - options_.mask_floor) * rng_.uniform();
    std::vector<bool> masked(static_cast<size_t>(length));
    for (auto&& m : masked) m = rng_.uniform() < ratio;
    if (std::find(masked.begin(), masked.end(), true) == masked.end())
      masked[rng_.below(static_cast<uint64_t>(length))] = true;
    const int open_from =
        length - static_cast<int>(std::find(masked.rbegin(), masked.rend(), false) -
                                  masked.rbegin());  // from here on everything is masked
    std::vector<TokenId> shown(s.tokens.begin() + begin, s.tokens.begin() + begin + length);
    bool edited = false;
    for (size_t i = 0; options_.edit_share > 0 && i < shown.size(); ++i) {
      if (masked[i] || rng_.uniform() >= options_.edit_share) continue;
      const TokenId other = token_of_batch();
      edited = edited || other != shown[i];
      shown[i] = other;
    }
    const auto plain = static_cast<float>(options_.draft_weight);
    for (int i = 0; i < length; ++i) {
      const auto at = static_cast<size_t>(i);
      if (masked[at]) {
        add_row(s, begin + i, mask_, plain / static_cast<float>(ratio), RowKind::kMasked,
                i >= open_from && !edited);
      } else {
        // The right tokens are scored too: else every visible token would be a wrong one.
        add_row(s, begin + i, shown[at], options_.edit_share > 0 ? plain : 0.0F, RowKind::kEdited,
                false);
      }
    }
  }

  // A token drawn from the answers of the batch.
  TokenId token_of_batch() {
    const Sequence& s = *batch_[rng_.below(batch_.size())];
    const auto from = static_cast<size_t>(s.prompt_tokens) < s.tokens.size()
                          ? static_cast<size_t>(s.prompt_tokens)
                          : size_t{0};
    return s.tokens[from + rng_.below(s.tokens.size() - from)];
  }

  const HybridOptions& options_;
  TokenId mask_;
  const Batch& batch_;
  Rng& rng_;
  HybridLayout layout_;
  int64_t clean_begin_ = -1;  // of the text in hand
  int clean_rows_ = 0;
};

}  // namespace

HybridLayout hybrid_layout(const HybridOptions& options, TokenId mask, const Batch& batch,
                           Rng& rng) {
  return LayoutBuilder(options, mask, batch, rng).build();
}

}  // namespace alambic
