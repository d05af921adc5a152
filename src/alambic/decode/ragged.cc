#include "alambic/decode/ragged.h"

#include <algorithm>

#include "alambic/autograd/ops.h"
#include "alambic/base/progress.h"

namespace alambic {

void RaggedStep::run(const LanguageModel& model, std::span<const std::unique_ptr<Session>> sessions,
                     const Observer& observer, bool observes_logits) {
  const NoGrad no_grad;
  const Stopwatch watch;
  forward_.precision = sessions.front()->options().precision;
  forward_.groups.clear();
  tokens_.clear();
  last_rows_.clear();
  int budget = kForwardRows;
  for (const auto& session : sessions) {
    if (budget == 0) break;
    const auto rows =
        static_cast<int>(std::min<size_t>(session->pending.size(), static_cast<size_t>(budget)));
    budget -= rows;
    forward_.groups.push_back({rows, session->cache.length(), true, {}, &session->cache});
    tokens_.insert(tokens_.end(), session->pending.begin(), session->pending.begin() + rows);
    if (static_cast<size_t>(rows) == session->pending.size()) {
      last_rows_.push_back(static_cast<int64_t>(tokens_.size()) - 1);
    }
  }
  const Tensor hidden = model.hidden(tokens_, forward_);
  // Only the last of the running sessions can be cut short by the budget, so the others' rows come
  // first in the head's.
  if (!last_rows_.empty()) {
    const auto drawing = std::find_if(sessions.begin(), sessions.end(), [](const auto& s) {
      return !s->sampler().wants_summaries();
    });
    const Tensor rows = gather_rows(hidden, last_rows_);
    if (observes_logits || drawing != sessions.end()) {
      head_.read_logits(model, rows, forward_.precision);
    } else {
      head_.read(model, rows, sessions.front()->sampler());
    }
  }
  int64_t next = 0;
  for (size_t i = 0; i < forward_.groups.size(); ++i) {
    Session& session = *sessions[i];
    const int rows = forward_.groups[i].rows;
    session.cache.commit(rows);
    session.count_forward(rows);
    session.pending.erase(session.pending.begin(), session.pending.begin() + rows);
    if (!session.pending.empty()) continue;
    const int64_t row = next++;
    const Choice choice = session.choose(head_, row);
    if (observer) observer(i, head_.logits(row), choice);
    session.append(choice);
  }
  const double seconds = watch.seconds();
  for (size_t i = 0; i < forward_.groups.size(); ++i) {
    sessions[i]->add_seconds(seconds * forward_.groups[i].rows /
                             static_cast<double>(tokens_.size()));
  }
}

}  // namespace alambic
