// The run that ties it together: data, teacher, signals, student, control, evaluation, report.
//
// A run is a directory: recipe.toml (resolved), teacher/ student/ control/ (model directories, with
// checkpoint and metrics.jsonl while and after they train; a polished one also unpolished/ and
// own_texts.sqlite), baseline/ where a linear classifier does as well, signals.sqlite, report.json,
// report.html. Every phase leaves its result there
// before the next begins, so that a run killed at any instant goes on with `resume`, to the same
// result. All that a recipe names is looked at before anything is written; run_directory.h says
// what may stand in the directory, and where an overwriting run works.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "alambic/data/data_report.h"
#include "alambic/data/example.h"
#include "alambic/distill/recipe.h"
#include "alambic/eval/report.h"
#include "alambic/text/tokenizer.h"

namespace alambic {

struct RunOptions {
  std::string directory;
  bool resume = false;      // go on in a directory that holds a run of the same recipe
  bool overwrite = false;   // start anew, and replace what the directory holds when all is done
  std::string destination;  // where it will lie; set by in_directory()
  std::vector<std::string> arms =
      {};               // to train beside control and student; empty: all that differ
  std::string command;  // as typed, for the report
  std::string program;  // how the user called alambic, for the command that tries the student
};

// Does what the recipe says and returns the report it has written. Progress goes to standard error.
RunReport run_distillation(const Recipe& recipe, const RunOptions& options);

struct RunData {
  std::vector<Example> train, validation, test;
  std::vector<Example> prompts;       // prompts for the teacher alone
  std::vector<Example> teacher_rows;  // what a teacher that the run makes learns; empty: train
  DataReport report;                  // what became of every row
};
// What happens to training rows without an answer.
enum class Unanswered { kLeftOut, kTeacherAnswers };
// The recipe's data, split. Every path is checked here. Rows that teach nothing and rows that the
// test or validation set holds are left out, counted in `report`; kInvalidArgument, with the
// reasons, where nothing to learn from stays.
RunData load_run_data(const Recipe& recipe, Unanswered unanswered = Unanswered::kLeftOut);
// Takes out of data.train and data.validation what `encode_examples` found not to fit, counts it,
// and returns the training rows. kInvalidArgument where nothing stays to learn from.
std::vector<Example> leave_out(RunData& data, std::span<const LeftOut> train,
                               std::span<const LeftOut> validation);
// Prints what became of the rows, on standard error.
void say_data(const RunData& data);
// Notes beside a finished model what it was trained on: trained_on.h.
void note_training_data(const Recipe& recipe, const RunData& data, const std::string& directory);

// A vocabulary for the data and the prompts without answers, with the special tokens that alambic's
// students use.
Tokenizer train_run_tokenizer(const Recipe& recipe, const RunData& data);

// Trains one model on the data without a teacher (the recipe's [student] and [student.train]; alpha
// is taken as 0), or on the rows of a signal store where `signals` names one. Writes a model
// directory to options.directory. Returns what became of the data.
DataReport run_training(const Recipe& recipe, const std::string& signals,
                        const RunOptions& options);

}  // namespace alambic
