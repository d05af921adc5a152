#include <algorithm>
#include <limits>

#include "alambic/decode/decode.h"
#include "alambic/decode/session.h"

namespace alambic {
namespace {

// The rows that decide every token of a trie but the first ones: one row for each node that has
// children, and the root needs none. A group is a causal chain that follows first children; other
// children open groups of their own, which see the beginning of the chain they leave.
struct TrieRows {
  Forward forward;
  std::vector<TokenId> tokens;
  std::vector<int> nodes;  // beside tokens; a node comes after its parent
};

TrieRows trie_rows(const TokenTrie& trie, KvCache& cache) {
  struct Branch {
    int node;
    TokenId token;
    int depth;  // tokens above it
    std::vector<Sight> sees;
  };
  TrieRows rows;
  std::vector<Branch> open;
  // Opens all but the first of the children that have children themselves, and returns that one.
  const auto fork = [&](int node, int depth, const std::vector<Sight>& sees) {
    Branch first{TokenTrie::kNone, 0, depth, {}};
    for (const TokenId token : trie.next(node)) {
      const int child = trie.child(node, token);
      if (trie.leaf(child)) continue;
      if (first.node == TokenTrie::kNone) {
        first = {child, token, depth, sees};
      } else {
        open.push_back({child, token, depth, sees});
      }
    }
    return first;
  };
  Branch branch = fork(TokenTrie::kRoot, 0, {});
  while (branch.node != TokenTrie::kNone) {
    const auto group = static_cast<int>(rows.forward.groups.size());
    // Each group stages its keys over the last one's; none is ever committed.
    rows.forward.groups.push_back({0, cache.length() + branch.depth, true, branch.sees, &cache});
    int length = 0;
    for (Branch at = branch; at.node != TokenTrie::kNone;) {
      rows.tokens.push_back(at.token);
      rows.nodes.push_back(at.node);
      ++length;
      std::vector<Sight> sees = branch.sees;
      sees.push_back({group, length});
      at = fork(at.node, branch.depth + length, sees);
    }
    rows.forward.groups.back().rows = length;
    branch = {TokenTrie::kNone, 0, 0, {}};
    if (!open.empty()) {
      branch = std::move(open.back());
      open.pop_back();
    }
  }
  return rows;
}

std::vector<double> score_trie(const LanguageModel& model, Session& session, const TokenTrie& trie,
                               std::span<const float> prompt_logits) {
  std::vector<double> scores(trie.members().size(), -std::numeric_limits<double>::infinity());
  TrieRows rows = trie_rows(trie, session.cache);
  rows.forward.precision = session.options().precision;
  std::vector<double> node_scores(trie.nodes());
  const auto spread = [&](int node, std::span<const float> logits) {
    const auto next = trie.next(node);
    const std::vector<double> edges = session.sampler().log_probabilities(logits, next);
    for (size_t i = 0; i < next.size(); ++i) {
      const int child = trie.child(node, next[i]);
      const double score = node_scores[static_cast<size_t>(node)] + edges[i];
      node_scores[static_cast<size_t>(child)] = score;
      if (trie.member(child) != TokenTrie::kNone)
        scores[static_cast<size_t>(trie.member(child))] = score;
    }
  };
  spread(TokenTrie::kRoot, prompt_logits);
  if (rows.tokens.empty()) return scores;
  const Tensor hidden = model.hidden(rows.tokens, rows.forward);
  constexpr int64_t kHeadRows = 64;  // logits of a large vocabulary are wide
  for (int64_t first = 0; first < hidden.rows(); first += kHeadRows) {
    const int64_t count = std::min(kHeadRows, hidden.rows() - first);
    const Tensor logits = logits_of(model, hidden, first, count, session.options().precision);
    for (int64_t i = 0; i < count; ++i)
      spread(rows.nodes[static_cast<size_t>(first + i)], row_of(logits, i));
  }
  return scores;
}

}  // namespace

std::vector<double> score_choices(const LanguageModel& model, const Prompt& prompt,
                                  const TokenTrie& choices, Precision precision, int vocabulary) {
  const NoGrad no_grad;
  GenerateOptions options;
  options.max_tokens = std::numeric_limits<int>::max();
  options.precision = precision;
  options.vocabulary = vocabulary;
  const TokenSink no_sink;
  Session session(model, prompt, options, no_sink);
  validate_choices(choices, model.config(), session.sampler().vocabulary(), session.remaining());

  prefill(model, session, kForwardRows);
  const auto rows = static_cast<int>(session.pending.size());
  const Forward forward{{{rows, session.cache.length(), true, {}, &session.cache}}, precision};
  const Tensor hidden = model.hidden(session.pending, forward);
  session.cache.commit(rows);
  const Tensor prompt_logits = logits_of(model, hidden, rows - 1, 1, precision);

  // Large sets go in runs, so that a forward stays small; beginnings are then shared within a run.
  std::vector<double> scores;
  for (size_t first = 0; first < choices.members().size();) {
    std::vector<std::vector<TokenId>> run;
    for (size_t tokens = 0; first < choices.members().size(); ++first) {
      const std::vector<TokenId>& member = choices.members()[first];
      if (!run.empty() && tokens + member.size() > kForwardRows) break;
      tokens += member.size();
      run.push_back(member);
    }
    const std::vector<double> part =
        score_trie(model, session, TokenTrie(std::move(run)), row_of(prompt_logits, 0));
    scores.insert(scores.end(), part.begin(), part.end());
  }
  return scores;
}

}  // namespace alambic
