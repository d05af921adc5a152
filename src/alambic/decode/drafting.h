// Steps of generations that draft: one forward verifies the drafts of the step before, settles what
// stands and the token behind it, and makes new drafts. The text is that of `ar`, greedy or
// sampled, whatever is drafted; only the number of forwards differs.
//
// Rows of a session in a forward, walked as groups, never as a mask matrix:
//   group 0     [pending | drafts], causal, with the cache; the row before a draft decides whether
//               it stands
//   group 1 …   masks that see the cache and group 0 up to draft j, for the case that j drafts
//               stand: the first mask stands where a causal row decides, the others are the next
//               drafts. draft_plan.h says how many, and for which cases.
// Drafts from prompt lookup want no masks: their steps have group 0 alone.
//
// Ownership: looks at the model, sessions and costs. One object, one thread. Errors: those of the
// model and of Session::append().
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "alambic/decode/acceptance.h"
#include "alambic/decode/draft_plan.h"
#include "alambic/decode/head_rows.h"
#include "alambic/decode/prompt_lookup.h"
#include "alambic/decode/session.h"

namespace alambic {

enum class DraftSource { kMasks, kLookup };

// While plain steps are faster, one session tries drafts after so many of them, each time twice as
// many.
struct Patience {
  int steps = 0;
  int limit = 16;
};

// A generation in progress, and what is known about drafting for it.
struct DraftingSession {
  DraftingSession(const LanguageModel& model, const Prompt& prompt, const GenerateOptions& options,
                  const TokenSink& sink)
      : session(model, prompt, options, sink) {}

  Session session;
  Acceptance acceptance;
  std::vector<Draft> drafts;  // of what follows the pending token
  PromptLookup lookup;        // of the prompt and what was settled
  size_t looked_up = 0;       // settled tokens that it knows
  DraftPlan plan;             // the last one that was made
  int plan_age = 0;           // steps since
  int planned_for = 0;        // sessions in the forward; 0: no plan was made
  bool news = false;          // drafts were judged since
};

class DraftingStep {
 public:
  DraftingStep(const LanguageModel& model, DraftSource source, RowCost& cost, Patience patience)
      : model_(model), source_(source), cost_(cost), patience_(patience) {}

  // Sessions must not be done, and share one precision.
  void run(std::span<const std::unique_ptr<DraftingSession>> sessions);
  Patience patience() const { return patience_; }

 private:
  // What a session asks of this forward.
  struct Part {
    DraftPlan plan;
    int sure = 0, tried = 0;
    std::vector<int> outcomes;   // that have a group, ascending
    std::vector<int64_t> first;  // row of each such group
    std::vector<int> masks;      // rows of each such group
    int64_t begin = 0, rows = 0;
    int accepted = 0, drafted = 0;
  };

  DraftPlan plan(DraftingSession& running, int sessions);
  void look_up(DraftingSession& running) const;
  void add_rows(DraftingSession& running, int sessions, Part& part);
  void verify(DraftingSession& running, Part& part, int64_t head_row);
  void draft(std::span<const std::unique_ptr<DraftingSession>> sessions, const Tensor& hidden);
  void read_head(std::span<const std::unique_ptr<DraftingSession>> sessions, const Tensor& rows);
  void show(const DraftingSession& running);

  const LanguageModel& model_;
  DraftSource source_;
  RowCost& cost_;
  Patience patience_;
  bool probes_ = false, drafted_ = false;  // in this step
  Forward forward_;
  std::vector<TokenId> tokens_;
  std::vector<int64_t> index_;
  std::vector<Part> parts_;
  HeadRows head_;
};

}  // namespace alambic
