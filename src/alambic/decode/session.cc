#include "alambic/decode/session.h"

#include <algorithm>
#include <cmath>

#include "alambic/base/error.h"

namespace alambic {
namespace {

void validate_tokens(const ModelConfig& config, std::span<const TokenId> tokens, const char* what) {
  for (const TokenId token : tokens) {
    if (token < 0 || token >= config.vocab_size) {
      fail(ErrorCode::kInvalidArgument,
           "[decode] the {} holds token {}; this model has ids 0 to {}", what, token,
           config.vocab_size - 1);
    }
  }
}

}  // namespace

void validate_prompt(const ModelConfig& config, const Prompt& prompt, int room) {
  if (prompt.tokens.empty()) {
    fail(ErrorCode::kInvalidArgument, "[decode] the prompt has no tokens; want at least one");
  }
  validate_tokens(config, prompt.tokens, "prompt");
  if (prompt.tokens.size() + static_cast<size_t>(room) >
      static_cast<size_t>(config.max_positions)) {
    fail(ErrorCode::kInvalidArgument, "[decode] the prompt has {} tokens; this model reads {} {}",
         prompt.tokens.size(), room > 0 ? "fewer than" : "at most", config.max_positions);
  }
}

void validate_options(const GenerateOptions& o) {
  const auto want = [](bool ok, const char* name, double got, const char* range) {
    if (!ok) fail(ErrorCode::kInvalidArgument, "[decode] {}; got {}, want {}", name, got, range);
  };
  want(o.max_tokens >= 0, "max_tokens", o.max_tokens, "0 or more");
  want(o.temperature == 0 || (o.temperature >= 1e-3 && o.temperature <= 100), "temperature",
       o.temperature, "0 or 0.001 to 100");
  want(o.top_k >= 0, "top_k", o.top_k, "0 or more");
  want(o.top_p > 0 && o.top_p <= 1, "top_p", o.top_p, "more than 0, at most 1");
  want(o.vocabulary >= 0, "vocabulary", o.vocabulary, "0 or more");
  want(o.block >= 0 && o.block <= 4096, "block", o.block, "0 to 4096");
  want(o.drafts >= -1, "drafts", o.drafts, "-1 or more");
  want(o.outcomes >= -1, "outcomes", o.outcomes, "-1 or more");
  want(o.reveal.threshold >= 0, "threshold", o.reveal.threshold, "0 or more");
  want(o.reveal.entropy_bound >= 0, "entropy_bound", o.reveal.entropy_bound, "0 or more");
  want(o.reveal.count >= 1, "reveal_count", o.reveal.count, "1 or more");
  want(o.edit >= 0 && o.edit <= 1, "edit", o.edit, "0 to 1");
  want(o.remask >= 0 && o.remask <= 1, "remask", o.remask, "0 to 1");
  want(o.max_refinements >= 0, "max_refinements", o.max_refinements, "0 or more");
  want(o.steps >= 0 && o.steps <= 1 << 20, "steps", o.steps, "0 to 1048576");
  want(o.remask_steps >= 0 && o.remask_steps <= 1 << 20, "remask_steps", o.remask_steps,
       "0 to 1048576");
}

void validate_choices(const TokenTrie& trie, const ModelConfig& config, int vocabulary, int room) {
  if (trie.longest() > static_cast<size_t>(room)) {
    fail(ErrorCode::kInvalidArgument, "[decode] a choice has {} tokens; there is room for {}",
         trie.longest(), room);
  }
  for (const std::vector<TokenId>& member : trie.members()) {
    for (const TokenId token : member) {
      if (token >= vocabulary || token == config.mask) {
        fail(ErrorCode::kInvalidArgument,
             "[decode] a choice holds token {}, which this model cannot write", token);
      }
    }
  }
}

Session::Session(const LanguageModel& model, const Prompt& prompt, const GenerateOptions& options,
                 const TokenSink& sink)
    : cache(make_cache(model.config(), options.precision)),
      pending(prompt.tokens),
      options_(options),
      sink_(sink),
      sampler_(model.config(), options, prompt.stream) {
  const ModelConfig& config = model.config();
  validate_options(options);
  validate_prompt(config, prompt, 1);
  validate_tokens(config, options.suffix, "suffix");
  limit_ =
      std::min(options.max_tokens, config.max_positions - static_cast<int>(prompt.tokens.size()));
  if (options.constraint != nullptr) {
    validate_choices(*options.constraint, config, sampler_.vocabulary(), limit_);
    if (options.constraint->has_prefix_member() &&
        std::none_of(options.stop.begin(), options.stop.end(),
                     [&](TokenId t) { return sampler_.writable(t); })) {
      fail(ErrorCode::kInvalidArgument,
           "[decode] one choice is the beginning of another; want a stop token that can end it");
    }
  }
  constexpr int kReserved = 4096;  // more is grown into
  result_.tokens.reserve(static_cast<size_t>(std::clamp(limit_, 0, kReserved)));
  cache.expect(static_cast<int>(prompt.tokens.size()) + limit_);
  done_ = limit_ == 0;
}

void Session::adopt(const KvCache& prefix) {
  ALAMBIC_CHECK(cache.length() == 0 && static_cast<size_t>(prefix.length()) < pending.size());
  cache.copy_from(prefix, prefix.length());
  pending.erase(pending.begin(), pending.begin() + prefix.length());
}

bool Session::is_stop(TokenId token) const {
  return std::find(options_.stop.begin(), options_.stop.end(), token) != options_.stop.end();
}

std::vector<TokenId> Session::allowed(int node) const {
  if (options_.constraint == nullptr) return {};
  const auto next = options_.constraint->next(node);
  std::vector<TokenId> ids(next.begin(), next.end());
  if (options_.constraint->member(node) != TokenTrie::kNone) {
    for (const TokenId token : options_.stop) {
      if (sampler_.writable(token)) ids.push_back(token);
    }
    std::sort(ids.begin(), ids.end());
    ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  }
  return ids;
}

Choice Session::choose(const HeadRows& rows, int64_t row) {
  return rows.choose(sampler_, row, position(), allowed(node_));
}

void Session::append(const Choice& choice) {
  result_.log_probability += choice.log_probability;
  ++result_.decided;
  bool complete = false;
  if (options_.constraint != nullptr) {
    node_ = options_.constraint->child(node_, choice.token);
    complete = node_ != TokenTrie::kNone && options_.constraint->leaf(node_);
  }
  const bool ends =
      options_.constraint != nullptr ? node_ == TokenTrie::kNone : is_stop(choice.token);
  result_.stopped = ends || complete;
  done_ = result_.stopped;
  if (ends) return;
  result_.tokens.push_back(choice.token);
  pending.push_back(choice.token);
  // Without a stop token a text has no end but its limit.
  if (options_.constraint == nullptr && !options_.stop.empty()) {
    result_.in_circles = circles_.closed_by(result_.tokens);
    done_ = result_.in_circles;
  }
  if (sink_ && !sink_(choice.token)) done_ = true;
  if (remaining() == 0) done_ = true;
}

std::vector<Choice> Session::draft(const HeadRows& rows, int64_t first, int64_t count) {
  std::vector<Choice> drafts;
  int node = node_;
  for (int64_t i = 0; i < count; ++i) {
    const Choice choice = rows.choose(sampler_, first + i, position() + i, allowed(node));
    if (options_.constraint == nullptr) {
      if (is_stop(choice.token)) break;
    } else {
      node = options_.constraint->child(node, choice.token);
      if (node == TokenTrie::kNone || options_.constraint->leaf(node)) break;
    }
    drafts.push_back(choice);
  }
  return drafts;
}

void Session::require_reader() const {
  if (options_.abandoned != nullptr && *options_.abandoned) {
    fail(ErrorCode::kInterrupted, "[decode] nobody waits for this text any more");
  }
}

void Session::count_forward(int64_t rows) {
  ++result_.forwards;
  result_.rows += rows;
}

void Session::count_drafts(int judged, int accepted) {
  const auto n = static_cast<size_t>(judged);
  if (result_.drafts.size() < n) result_.drafts.resize(n);
  for (size_t i = 0; i < n; ++i) {
    ++result_.drafts[i].judged;
    if (i < static_cast<size_t>(accepted)) ++result_.drafts[i].accepted;
  }
}

void prefill(const LanguageModel& model, Session& session, size_t keep) {
  constexpr size_t kAbandonedRows = 128;  // at most, before it is noticed
  const NoGrad no_grad;
  const size_t piece = session.options().abandoned != nullptr ? kAbandonedRows : kForwardRows;
  const size_t rest = std::min(keep, piece);
  while (session.pending.size() > rest) {
    session.require_reader();
    const auto rows = static_cast<int>(std::min(session.pending.size() - rest, piece));
    const Forward forward{{{rows, session.cache.length(), true, {}, &session.cache}},
                          session.options().precision};
    model.hidden(std::span(session.pending).first(static_cast<size_t>(rows)), forward);
    session.cache.commit(rows);
    session.pending.erase(session.pending.begin(), session.pending.begin() + rows);
    session.count_forward(rows);
  }
}

Tensor logits_of(const LanguageModel& model, const Tensor& hidden, int64_t first, int64_t rows,
                 Precision precision) {
  return model.logits(rows_from(hidden, first, rows), precision);
}

}  // namespace alambic
