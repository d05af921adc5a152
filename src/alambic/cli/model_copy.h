// A model written in another form. The copy is made beside its final name, opened again, and
// compared with the original; only then does it take the name (base/workplace.h). Whatever goes
// wrong, or Ctrl-C, leaves nothing.
//
// Thread safety: one thread. Errors: kInvalidArgument where the name is taken; kUnsupported where
// the copy does not say what the original says; what reading and writing models throw.
#pragma once

#include <functional>
#include <string>

#include "alambic/base/workplace.h"
#include "alambic/cli/model.h"

namespace alambic {

struct CopyOrder {
  std::string verb;  // for error lines
  std::string out;   // the final name
  Made made = Made::kDirectory;
  double bound = 0;     // of the logits' difference; 0: none at all
  bool rounds = false;  // the form rounds the weights: a copy beyond the bound is written with a
                        // remark; else it is refused
  // Writes the model under the name given; `progress` is told the share done and may throw.
  std::function<void(OpenModel& model, const std::string& path,
                     const std::function<void(double)>& progress)>
      write;
};

struct CopyReport {
  int prompts = 0, tokens = 0;
  double difference = 0;   // root mean square, in units of the logits' own spread
  double same_choice = 0;  // share of places where the most probable token is the same
  int64_t bytes = 0;       // of the weights in the copy
};

CopyReport copy_model(OpenModel model, const CopyOrder& order);

// The floating-point types that a Hugging Face directory may have.
DType float_type_from_name(const std::string& name);
// The narrowest that holds every weight exactly.
DType exact_type(LanguageModel& model);
// Everything a directory needs: tokenizer files as they lie in `from`, or else made from the
// model's tokenizer; then the model.
void write_directory(OpenModel& model, const std::string& from, DType type,
                     const std::string& directory);

OrderedJson to_json(const CopyReport& report);
std::string in_words(const CopyReport& report, const std::string& out, const std::string& type);

}  // namespace alambic
