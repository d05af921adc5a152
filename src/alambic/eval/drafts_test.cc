#include "alambic/eval/drafts.h"

#include <gtest/gtest.h>

namespace alambic {
namespace {

TEST(Drafts, SumsByDistanceAndLeavesOutWhatWasNeverJudged) {
  std::vector<DraftCount> sum;
  add_drafts(sum, {{4, 3}});
  add_drafts(sum, {{4, 4}, {2, 1}, {0, 0}});
  EXPECT_EQ(dump_json(drafts_json(sum)), R"([{"distance":1,"judged":8,"accepted":7,"share":0.875},)"
                                         R"({"distance":2,"judged":2,"accepted":1,"share":0.5}])");
  EXPECT_EQ(drafts_in_words(sum), "0.88 0.50");
}

}  // namespace
}  // namespace alambic
