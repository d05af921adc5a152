#include <algorithm>
#include <cmath>

#include "alambic/base/error.h"
#include "alambic/base/progress.h"
#include "alambic/decode/decoders.h"
#include "alambic/decode/session.h"

namespace alambic {
namespace {

// A step with k drafts has about (k + 1)² rows: more than this never pays.
constexpr int kMaxDrafts = 15;

// How many drafts to make, from a decaying count of how many stood. With each standing with
// probability a, a step settles 1 + a + … + a^k tokens; it costs one forward and kRowCost of one
// for each of its rows.
class Pace {
 public:
  void observe(int drafts, int accepted) {
    if (drafts == 0) return;
    accepted_ = kMemory * accepted_ + accepted;
    tried_ = kMemory * tried_ +
             std::min(accepted + 1, drafts);  // those after a wrong one were not judged
  }
  // At least one where there is room, so that the count stays alive.
  int drafts(int room) const {
    const double rate = accepted_ / tried_;
    int best = std::min(1, room);
    double best_yield = 0, settled = 1, power = 1;
    for (int k = 1; k <= std::min(room, kMaxDrafts); ++k) {
      power *= rate;
      settled += power;
      const double yield = settled / (1 + kRowCost * (k + 1) * (k + 2));
      if (yield > best_yield) {
        best_yield = yield;
        best = k;
      }
    }
    return best;
  }

 private:
  static constexpr double kMemory = 0.9;
  static constexpr double kRowCost = 1.0 / 64;
  double accepted_ = 3, tried_ = 4;  // hopeful, and soon outweighed
};

}  // namespace

Generation SpeculativeDecoder::generate(const Prompt& prompt, const GenerateOptions& options,
                                        const TokenSink& sink) const {
  if (options.block == 0) {
    fail(ErrorCode::kUnsupported, "[decode] block is 0: this model was not trained to draft");
  }
  const NoGrad no_grad;
  const Stopwatch watch;
  const TokenId mask = model_.config().mask;
  Session session(model_, prompt, options, sink);
  if (!session.done()) prefill(model_, session, kForwardRows);
  Pace pace;
  std::vector<TokenId> drafts;
  HeadRows head;
  while (!session.done()) {
    const auto sure = static_cast<int>(session.pending.size());
    const auto tried = static_cast<int>(drafts.size());
    // This step settles at least one token and the next one settles one beyond its drafts.
    const int next = std::max(0, pace.drafts(std::min(options.block - 1, session.remaining() - 2)));
    std::vector<TokenId> tokens = session.pending;
    tokens.insert(tokens.end(), drafts.begin(), drafts.end());
    const int start = session.cache.length();
    Forward forward{{{sure + tried, start, true, {}, &session.cache}}, options.precision};
    for (int accepted = 0; next > 0 && accepted <= tried; ++accepted) {
      const int seen = sure + accepted;
      forward.groups.push_back({next + 1, start + seen, false, {{0, seen}}, &session.cache});
      tokens.insert(tokens.end(), static_cast<size_t>(next) + 1, mask);
    }
    const Tensor hidden = model_.hidden(tokens, forward);
    session.count_forward(static_cast<int64_t>(tokens.size()));

    head.read(model_, rows_from(hidden, sure - 1, tried + 1), session.sampler());
    session.pending.clear();
    int accepted = 0;
    while (true) {
      const Choice choice = session.choose(head, accepted);
      session.append(choice);
      if (session.done() || accepted == tried ||
          choice.token != drafts[static_cast<size_t>(accepted)])
        break;
      ++accepted;
    }
    if (session.done()) {
      session.count_drafts(std::min(tried, accepted), accepted);
      break;
    }
    session.cache.commit(sure + accepted);
    session.pending = {session.pending.back()};  // the drafts that stood are in the cache
    pace.observe(tried, accepted);
    session.count_drafts(tried, accepted);
    drafts.clear();
    if (next > 0) {
      const int64_t first = sure + tried + static_cast<int64_t>(accepted) * (next + 1) + 1;
      head.read(model_, rows_from(hidden, first, next), session.sampler());
      drafts = session.draft(head);
    }
  }
  session.add_seconds(watch.seconds());
  return session.finish();
}

}  // namespace alambic
