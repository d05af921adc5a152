#include "alambic/decode/causal_step.h"

#include <algorithm>

#include "alambic/autograd/ops.h"
#include "alambic/base/error.h"
#include "alambic/base/progress.h"

namespace alambic {
namespace {

constexpr int kMaxDrafts = 31;   // more has not been seen to pay
constexpr int kProbeDrafts = 3;  // of a step that asks whether drafting pays by now
constexpr int kMaxPatience = 1024;
constexpr int kPlanSteps = 8;
constexpr int kPlainSamples = 2;  // of each measurement of plain steps

}  // namespace

CausalSession::CausalSession(const LanguageModel& model, const Prompt& prompt,
                             const GenerateOptions& options, const TokenSink& sink,
                             DraftSource drafts_from)
    : session(model, prompt, options, sink), source(drafts_from) {
  if (source == DraftSource::kMasks && options.block == 0) {
    fail(ErrorCode::kUnsupported,
         "[decode] this model was not trained to draft; use ar or lookup, or adapt it with alambic "
         "train --adapt");
  }
  if (source == DraftSource::kLookup) lookup.append(prompt.tokens);
}

DraftPlan CausalStep::plan(CausalSession& running, int sessions) {
  if (running.source == DraftSource::kNone) return {};
  const GenerateOptions& options = running.session.options();
  const bool masks = running.source == DraftSource::kMasks;
  const int longest = masks ? std::min(options.block - 1, kMaxDrafts) : kMaxDrafts;
  if (options.drafts >= 0) {
    const int drafts = std::min(options.drafts, longest);
    const int outcomes = options.outcomes >= 0 ? options.outcomes : drafts + 1;
    return {drafts, masks ? std::min(outcomes, drafts + 1) : 0};
  }
  if (renews_ || !cost_.knows(sessions)) return {};  // the rate to beat
  // A plan takes about as long as a row of a tiny model: it is kept while nothing new is known.
  const bool due = running.plan.drafts == 0 || running.plan_age >= kPlanSteps;
  if (running.planned_for != sessions || (running.news && due)) {
    running.plan =
        best_plan(cost_, running.acceptance, {longest, options.outcomes, masks, sessions});
    running.planned_for = sessions;
    running.plan_age = 0;
    running.news = false;
  }
  ++running.plan_age;
  DraftPlan plan = running.plan;
  if (plan.drafts > 0) {
    drafted_ = true;
  } else if (probes_) {
    probes_ = false;
    patience_ = {0, std::min(2 * patience_.limit, kMaxPatience), 0};
    plan.drafts = std::min(kProbeDrafts, longest);
  }
  return plan;
}

void CausalStep::look_up(CausalSession& running) const {
  const std::span<const TokenId> settled = running.session.tokens();
  running.lookup.append(settled.subspan(running.looked_up));
  running.looked_up = settled.size();
  const PromptLookup::Match match = running.lookup.find(kMaxDrafts);
  running.drafts.clear();
  for (const TokenId token : match.tokens) {
    if (running.session.is_stop(token)) break;
    running.drafts.push_back({token, 2 * match.length - 1});
  }
}

void CausalStep::add_rows(CausalSession& running, int sessions, Part& part) {
  Session& session = running.session;
  const GenerateOptions& options = session.options();
  const bool masks = running.source == DraftSource::kMasks;
  part.begin = static_cast<int64_t>(tokens_.size());
  part.sure = static_cast<int>(std::min<size_t>(
      session.pending.size(), static_cast<size_t>(std::min(budget_, running.piece))));
  budget_ -= part.sure;
  part.settles = static_cast<size_t>(part.sure) == session.pending.size();
  part.plan = part.settles ? plan(running, sessions) : DraftPlan{};
  part.tried = part.drafted = 0;
  part.rows = 0;
  part.outcomes.clear();
  part.first.clear();
  part.masks.clear();
  if (part.sure == 0) return;
  std::vector<Draft>& drafts = running.drafts;
  if (part.settles) {
    if (running.source == DraftSource::kLookup) look_up(running);
    // A step settles one token beyond its drafts. What a probe left is verified whatever is
    // planned.
    drafts.resize(std::min(drafts.size(), static_cast<size_t>(session.remaining() - 1)));
    if (!masks && part.plan.drafts < static_cast<int>(drafts.size())) {
      drafts.resize(static_cast<size_t>(part.plan.drafts));
    }
    part.tried = static_cast<int>(drafts.size());
    if (options.drafts < 0 && part.plan.tokens_per_second > 0 && part.plan.drafts > 0) {
      part.tried = worth_verifying(drafts, part.plan, cost_, running.acceptance,
                                   {part.plan.drafts, options.outcomes, masks, sessions});
    }
  }
  const std::span<const Draft> tried = std::span(drafts).first(static_cast<size_t>(part.tried));
  tokens_.insert(tokens_.end(), session.pending.begin(), session.pending.begin() + part.sure);
  for (const Draft& draft : tried) tokens_.push_back(draft.token);
  const int start = session.cache.length();
  const auto causal = static_cast<int>(forward_.groups.size());
  forward_.groups.push_back({part.sure + part.tried, start, true, {}, &session.cache});
  if (masks && part.plan.drafts > 0) add_masks(running, tried, causal, start, part);
  part.rows = static_cast<int64_t>(tokens_.size()) - part.begin;
  session.count_forward(part.rows);
}

void CausalStep::add_masks(const CausalSession& running, std::span<const Draft> tried, int causal,
                           int start, Part& part) {
  // Without drafts there is one outcome only.
  const int groups = tried.empty() ? 1 : part.plan.outcomes;
  for (const int outcome : likely_outcomes(tried, running.acceptance, groups)) {
    // Of what remains then, the causal row decides one and the step after this one settles one
    // beyond its drafts.
    const int next = std::min(part.plan.drafts, running.session.remaining() - 2 - outcome);
    if (next < 1) continue;
    const int seen = part.sure + outcome;
    part.outcomes.push_back(outcome);
    part.first.push_back(static_cast<int64_t>(tokens_.size()));
    part.masks.push_back(next + 1);
    forward_.groups.push_back({next + 1,
                               start + seen,
                               false,
                               {{causal, seen}},
                               forward_.groups[static_cast<size_t>(causal)].cache});
    tokens_.insert(tokens_.end(), static_cast<size_t>(next) + 1, model_.config().mask);
  }
}

void CausalStep::read_head(std::span<const std::unique_ptr<CausalSession>> sessions,
                           const Tensor& rows, bool logits) {
  const auto drawing = std::find_if(sessions.begin(), sessions.end(), [](const auto& s) {
    return !s->session.sampler().wants_summaries();
  });
  if (logits || drawing != sessions.end()) {
    head_.read_logits(model_, rows, forward_.precision);
  } else {
    head_.read(model_, rows, sessions.front()->session.sampler());
  }
}

void CausalStep::verify(size_t number, CausalSession& running, Part& part, int64_t head_row,
                        const Observer& observer) {
  Session& session = running.session;
  session.pending.clear();
  part.accepted = 0;
  bool stood = true;
  while (stood && !session.done()) {
    const int64_t row = head_row + part.accepted;
    const Choice choice = session.choose(head_, row);
    if (observer) observer(number, head_.logits(row), choice);
    session.append(choice);
    stood = part.accepted < part.tried &&
            choice.token == running.drafts[static_cast<size_t>(part.accepted)].token;
    if (stood) ++part.accepted;
  }
  // What stands behind the end was not judged.
  const int judged = stood ? part.accepted : std::min(part.tried, part.accepted + 1);
  session.count_drafts(judged, part.accepted);
  const bool all = judged == part.tried;  // else the text ended, or what follows was not reached
  running.acceptance.observe(
      std::span(running.drafts).first(all ? running.drafts.size() : static_cast<size_t>(judged)),
      judged, part.accepted);
  running.news = running.news || judged > 0;
  if (session.done()) return;
  session.cache.commit(part.sure + part.accepted);
  session.pending = {session.tokens().back()};  // the drafts that stood are in the cache
}

void CausalStep::draft(std::span<const std::unique_ptr<CausalSession>> sessions,
                       const Tensor& hidden) {
  index_.clear();
  for (size_t i = 0; i < sessions.size(); ++i) {
    sessions[i]->drafts.clear();
    Part& part = parts_[i];
    const auto group = std::find(part.outcomes.begin(), part.outcomes.end(), part.accepted);
    if (sessions[i]->session.done() || group == part.outcomes.end()) continue;
    const auto g = static_cast<size_t>(group - part.outcomes.begin());
    part.drafted = part.masks[g] - 1;
    for (int row = 1; row <= part.drafted; ++row) index_.push_back(part.first[g] + row);
  }
  if (index_.empty()) return;
  read_head(sessions, gather_rows(hidden, index_), false);
  int64_t head_row = 0;
  for (size_t i = 0; i < sessions.size(); ++i) {
    for (const Choice& choice : sessions[i]->session.draft(head_, head_row, parts_[i].drafted)) {
      sessions[i]->drafts.push_back({choice.token, sureness_of(choice.log_probability)});
    }
    head_row += parts_[i].drafted;
  }
}

void CausalStep::run(std::span<const std::unique_ptr<CausalSession>> sessions,
                     const Observer& observer, bool observes_logits) {
  const NoGrad no_grad;
  const Stopwatch watch;
  forward_.precision = sessions.front()->session.options().precision;
  forward_.groups.clear();
  tokens_.clear();
  parts_.resize(sessions.size());
  budget_ = kForwardRows;
  probes_ = patience_.steps >= patience_.limit;
  drafted_ = false;
  renews_ = patience_.drafted >= Patience::kRenewal;
  bool steady = true;  // no prompt is read
  bool plain = true;   // nothing is verified or drafted
  const auto taking_part =
      std::count_if(sessions.begin(), sessions.end(), [](const auto& s) { return s->piece > 0; });
  for (size_t i = 0; i < sessions.size(); ++i) {
    const size_t pending = sessions[i]->session.pending.size();
    add_rows(*sessions[i], static_cast<int>(taking_part), parts_[i]);
    steady = steady && (pending == 1 || parts_[i].sure == 0);
    plain = plain && parts_[i].rows == parts_[i].sure;
  }
  const auto rows = static_cast<int64_t>(tokens_.size());
  const Tensor hidden = model_.hidden(tokens_, forward_);
  index_.clear();
  for (const Part& part : parts_) {
    if (!part.settles) continue;
    for (int row = 0; row <= part.tried; ++row) index_.push_back(part.begin + part.sure - 1 + row);
  }
  if (!index_.empty()) read_head(sessions, gather_rows(hidden, index_), observes_logits);
  int64_t head_row = 0;
  for (size_t i = 0; i < sessions.size(); ++i) {
    Part& part = parts_[i];
    if (part.settles) {
      verify(i, *sessions[i], part, head_row, observer);
      head_row += part.tried + 1;
    } else if (part.sure > 0) {
      Session& session = sessions[i]->session;
      session.cache.commit(part.sure);
      session.pending.erase(session.pending.begin(), session.pending.begin() + part.sure);
    }
  }
  draft(sessions, hidden);
  if (drafted_) {
    patience_ = {.drafted = patience_.drafted + 1};
  } else {
    ++patience_.steps;
    // The first step of a renewal still verifies what was drafted before. One that meets prompts
    // measures nothing, but ends: where prompts never cease, drafts would.
    if (renews_ && plain && ++patience_.drafted == Patience::kRenewal + kPlainSamples)
      patience_.drafted = 0;
  }
  const double seconds = watch.seconds();
  if (steady) {
    cost_.observe(rows, seconds);
  } else {
    cost_.suppose(rows, seconds);
  }
  for (size_t i = 0; i < sessions.size(); ++i) {
    sessions[i]->session.add_seconds(seconds * static_cast<double>(parts_[i].rows) /
                                     static_cast<double>(rows));
    show(*sessions[i]);
  }
}

void CausalStep::show(const CausalSession& running) {
  const GenerateOptions& options = running.session.options();
  if (options.watch == nullptr) return;
  tokens_.clear();
  for (const Draft& draft : running.drafts) tokens_.push_back(draft.token);
  (*options.watch)({running.session.tokens(), tokens_, running.session.forwards()});
}

}  // namespace alambic
