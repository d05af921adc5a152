// One forward over many generations in progress, each at its own place in its own text: what all
// decoders that write from left to right and the server have in common. Sessions that draft have
// the drafts of the step before verified in it, settle what stands and the token behind it, and
// make new drafts; those that do not settle one token. The text is that of `ar`, greedy or sampled,
// whatever is drafted and whatever runs beside it; only the number of forwards differs.
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
// model and of Session::append(); the sessions of a forward that threw cannot go on.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "alambic/decode/acceptance.h"
#include "alambic/decode/draft_plan.h"
#include "alambic/decode/head_rows.h"
#include "alambic/decode/prompt_lookup.h"
#include "alambic/decode/session.h"

namespace alambic {

enum class DraftSource { kNone, kLookup, kMasks };

// While plain steps are faster, one session tries drafts after so many of them, each time twice as
// many. While drafts pay, a few plain steps now and then say anew what they have to beat.
struct Patience {
  static constexpr int kRenewal = 48;  // steps with drafts, then plain ones are measured

  int steps = 0;
  int limit = 16;
  int drafted = 0;  // steps with drafts since plain ones were last measured
};

// A generation in progress, and what is known about drafting for it.
struct CausalSession {
  // kUnsupported where masks should draft and the options know no block.
  CausalSession(const LanguageModel& model, const Prompt& prompt, const GenerateOptions& options,
                const TokenSink& sink, DraftSource source);

  Session session;
  DraftSource source;
  Acceptance acceptance;
  std::vector<Draft> drafts;  // of what follows the pending token
  PromptLookup lookup;        // of the prompt and what was settled
  size_t looked_up = 0;       // settled tokens that it knows
  DraftPlan plan;             // the last one that was made
  int plan_age = 0;           // steps since
  int planned_for = 0;        // sessions in the forward; 0: no plan was made
  bool news = false;          // drafts were judged since
  // Of what is pending, at most so many tokens are read in a step; 0: the session waits.
  int piece = kForwardRows;
};

class CausalStep {
 public:
  // Called with the number of a session, the logits that its next token was chosen from (empty
  // where nobody wants them), and the choice, before it is settled.
  using Observer = std::function<void(size_t session, std::span<const float> logits, Choice)>;

  CausalStep(const LanguageModel& model, RowCost& cost, Patience patience)
      : model_(model), cost_(cost), patience_(patience) {}

  // Sessions must not be done, and share one precision; one at least must not wait. Each reads a
  // piece of what is pending, and those that have read it all settle tokens. Those beyond the row
  // budget of a forward wait. Neither pieces nor waiting change anything that is written.
  void run(std::span<const std::unique_ptr<CausalSession>> sessions, const Observer& observer = {},
           bool observes_logits = false);
  Patience patience() const { return patience_; }

 private:
  // What a session asks of this forward.
  struct Part {
    DraftPlan plan;
    bool settles = false;  // has read all that was pending
    int sure = 0, tried = 0;
    std::vector<int> outcomes;   // that have a group, ascending
    std::vector<int64_t> first;  // row of each such group
    std::vector<int> masks;      // rows of each such group
    int64_t begin = 0, rows = 0;
    int accepted = 0, drafted = 0;
  };

  DraftPlan plan(CausalSession& running, int sessions);
  void look_up(CausalSession& running) const;
  void add_rows(CausalSession& running, int sessions, Part& part);
  void add_masks(const CausalSession& running, std::span<const Draft> tried, int causal, int start,
                 Part& part);
  void verify(size_t number, CausalSession& running, Part& part, int64_t head_row,
              const Observer& observer);
  void draft(std::span<const std::unique_ptr<CausalSession>> sessions, const Tensor& hidden);
  void read_head(std::span<const std::unique_ptr<CausalSession>> sessions, const Tensor& rows,
                 bool logits);
  void show(const CausalSession& running);

  const LanguageModel& model_;
  RowCost& cost_;
  Patience patience_;
  int budget_ = 0;  // rows of prompts that this step can still read
  bool probes_ = false, drafted_ = false, renews_ = false;  // in this step
  Forward forward_;
  std::vector<TokenId> tokens_;
  std::vector<int64_t> index_;
  std::vector<Part> parts_;
  HeadRows head_;
};

}  // namespace alambic
