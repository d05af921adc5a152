#include "alambic/cli/model_notes.h"

#include <set>

#include "alambic/base/file.h"
#include "alambic/cli/output.h"
#include "alambic/models/model_files.h"

namespace alambic {

void remark_on_model(const std::string& path) {
  static std::set<std::string> said;  // a command may open a model several times
  if (!file_exists(path)) return;
  for (const std::string& note : model_notes(path)) {
    if (said.insert(note).second) print_remark("note: " + note);
  }
}

}  // namespace alambic
