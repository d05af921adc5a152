// The directory of a run, or of a model that is trained alone: what may stand there before, where
// the work is done, and what remains of it when it stops.
//
// In a new directory the work is done in place. With `overwrite` it is done in NAME.partial
// (base/workplace.h), which takes the place of NAME when all is written; until then what stood
// there stays as it was. `resume` finds either. A directory that holds anything else is refused.
// Thread safety: one thread.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "alambic/base/workplace.h"
#include "alambic/distill/run.h"

namespace alambic {

struct DirectoryKind {
  const char* what;    // "run" or "model", for people
  const char* record;  // the file that says by which recipe it was made
  // How two records differ in what is trained, for people; "" where they do not.
  std::string (*difference)(const std::string& stored, const std::string& wanted,
                            const std::string& path);
  // Entries that are none of this kind's.
  std::vector<std::string> (*strangers)(const std::string& directory);
};

// A run of this recipe: `record` is the recipe in full.
extern const DirectoryKind kRunDirectory;
// A model trained alone: `record` is made by training_record().
extern const DirectoryKind kTrainingDirectory;
std::string training_record(const Recipe& recipe, const std::string& signals);

// Whether the work could be done and go there, before any of it is begun: kInvalidArgument.
void check_directory(const DirectoryKind& kind, const std::string& record,
                     const RunOptions& options);
// kInvalidArgument where the recipe, or `more` that is read, lies in the directory that overwriting
// would replace.
void check_nothing_read_there(const Recipe& recipe, const std::string& more,
                              const RunOptions& options);

// Calls `work` with the options of a run in the directory where it is to be done. What it throws is
// passed on, with what remains where.
void in_directory(const DirectoryKind& kind, const std::string& record, const RunOptions& options,
                  const std::function<void(const RunOptions& inside)>& work);

}  // namespace alambic
