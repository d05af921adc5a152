#include "alambic/eval/drafts.h"

#include <fmt/format.h>

#include <algorithm>

namespace alambic {
namespace {

double accepted_share(const DraftCount& d) {
  return static_cast<double>(d.accepted) / static_cast<double>(d.judged);
}

}  // namespace

void add_drafts(std::vector<DraftCount>& sum, const std::vector<DraftCount>& drafts) {
  sum.resize(std::max(sum.size(), drafts.size()));
  for (size_t i = 0; i < drafts.size(); ++i) {
    sum[i].judged += drafts[i].judged;
    sum[i].accepted += drafts[i].accepted;
  }
}

std::vector<double> acceptance_of(const std::vector<DraftCount>& drafts) {
  std::vector<double> shares;
  shares.reserve(drafts.size());
  for (const DraftCount& d : drafts) {
    if (d.judged > 0) shares.push_back(accepted_share(d));
  }
  return shares;
}

OrderedJson drafts_json(const std::vector<DraftCount>& drafts) {
  OrderedJson list = OrderedJson::array();
  for (size_t i = 0; i < drafts.size(); ++i) {
    if (drafts[i].judged == 0) continue;
    list.push_back({{"distance", i + 1},
                    {"judged", drafts[i].judged},
                    {"accepted", drafts[i].accepted},
                    {"share", accepted_share(drafts[i])}});
  }
  return list;
}

std::string drafts_in_words(const std::vector<DraftCount>& drafts) {
  std::string text;
  for (const DraftCount& d : drafts) {
    if (d.judged > 0) text += fmt::format("{}{:.2f}", text.empty() ? "" : " ", accepted_share(d));
  }
  return text;
}

}  // namespace alambic
