// How wide to draft: the layout that settles most tokens a second, from the measured cost of rows
// and the running acceptance. Layouts are one family with two numbers:
//   drafts    k, verified in one step behind the settled token
//   outcomes  m, of the k + 1 ways in which they can come out, how many get a group of k + 1 masks
//             of their own that drafts for the case
// m = k + 1 is TiDAR's quadratic layout (arXiv 2511.08923): every step verifies. m = 1 is the fused
// one of I-DLM (arXiv 2604.11035), which bets on all drafts standing. m = 0 drafts and verifies in
// turn. k = 0 is plain `ar`. Where an outcome has no group, the next step has nothing to verify: it
// settles one token and drafts. Thread safety: pure functions.
#pragma once

#include <span>

#include "alambic/decode/acceptance.h"
#include "alambic/decode/row_cost.h"

namespace alambic {

struct DraftPlan {
  int drafts = 0, outcomes = 0;
  double tokens_per_second = 0;  // expected of each of the sessions

  // Rows of a step that verifies `tried` drafts, and of one that has none.
  static int64_t rows(int tried, int groups, int next) {
    return 1 + tried + int64_t{groups} * (next + 1);
  }
};

struct PlanBounds {
  int drafts;         // at most
  int outcomes = -1;  // this many (at most drafts + 1); -1: as many as pay
  bool masks = true;  // drafts want rows of masks; else they come from elsewhere at no cost
  int sessions = 1;   // that share each forward
};

// The best plan; `ar` where nothing beats it.
DraftPlan best_plan(const RowCost& cost, const Acceptance& acceptance, const PlanBounds& bounds);
// Of drafts that exist: how many to verify, when another row must bring more than it costs.
int worth_verifying(std::span<const Draft> drafts, const DraftPlan& plan, const RowCost& cost,
                    const Acceptance& acceptance, const PlanBounds& bounds);
// Of the drafts.size() + 1 outcomes, the `count` most probable, ascending.
std::vector<int> likely_outcomes(std::span<const Draft> drafts, const Acceptance& acceptance,
                                 int count);

}  // namespace alambic
