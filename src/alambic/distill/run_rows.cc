// What a run is trained on stays the same when it goes on.
#include <fmt/format.h>

#include "alambic/base/file.h"
#include "alambic/base/sha256.h"
#include "alambic/distill/run_parts.h"

namespace alambic {
namespace {

// Of everything in the rows that training or the teacher reads, in order.
std::string checksum(const RunData& data) {
  std::string all;
  for (const std::vector<Example>* rows : {&data.train, &data.prompts, &data.teacher_rows}) {
    for (const Example& e : *rows)
      all += dump_json(OrderedJson{e.prompt, e.completion, e.messages, e.tools}) + "\n";
    all += "\n";
  }
  return sha256_of(all);
}

}  // namespace

void keep_training_rows(const RunData& data, const RunOptions& options) {
  const std::string path = options.directory + "/training_rows.json";
  const Json now = {{"rows", data.train.size()}, {"sha256", checksum(data)}};
  if (options.resume && file_exists(path)) {
    const Json before = read_json_file(path);
    if (before == now) return;
    fail(ErrorCode::kInvalidArgument,
         "[data] the training rows are no longer those that {} was begun with ({} rows then, {} "
         "now): a data file changed, or data.test and data.test_limit hold other rows out of "
         "them; go on with the old ones, or start in another --run-dir",
         options.directory, before.is_object() ? before.value("rows", Json()).dump() : "other",
         data.train.size());
  }
  write_file_atomic(path, dump_json(now) + "\n");
}

}  // namespace alambic
