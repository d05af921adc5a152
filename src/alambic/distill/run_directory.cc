#include "alambic/distill/run_directory.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <string_view>

#include "alambic/base/file.h"
#include "alambic/base/json.h"
#include "alambic/models/strangers.h"
#include "alambic/train/fingerprint.h"

namespace alambic {
namespace {

namespace fs = std::filesystem;

// What a run leaves in its directory, beside its models.
constexpr std::string_view kProducts[] = {
    "training_rows.json", "tokenizer.json", "signals.sqlite",     "signals.sqlite-wal",
    "signals.sqlite-shm", "answers.sqlite", "answers.sqlite-wal", "answers.sqlite-shm",
    "report.json",        "report.html",    "recipe.toml",        "partial.txt"};
constexpr std::string_view kModels[] = {"teacher", "student",   "control", "start",
                                        "texts",   "on_policy", "baseline"};

template <size_t N>
bool among(const std::string_view (&names)[N], const std::string& name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

std::vector<std::string> not_of_a_run(const std::string& directory) {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    const bool inner = entry.is_directory(error);
    if (inner && among(kModels, name)) {
      for (const std::string& stranger : not_of_a_model(entry.path().string()))
        found.push_back(fmt::format("{}/{}", name, stranger));
    } else if (inner || !(among(kProducts, name) || is_temporary_name(name))) {
      found.push_back(inner ? name + "/" : name);
    }
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::string run_difference(const std::string& stored, const std::string& wanted,
                           const std::string& path) {
  return first_setting_difference(recipe_substance(parse_recipe(stored, path, {})),
                                  recipe_substance(parse_recipe(wanted, path, {})));
}

std::string training_difference(const std::string& stored, const std::string& wanted,
                                const std::string& path) {
  const Json a = parse_json(stored, path), b = parse_json(wanted, path);
  const auto text = [&](const Json& json, const char* key) {
    const auto it = json.is_object() ? json.find(key) : json.end();
    if (!json.is_object() || it == json.end() || !it->is_string()) {
      fail(ErrorCode::kCorruptData, "[{}] is no record of a training", path);
    }
    return it->get<std::string>();
  };
  if (text(a, "signals") != text(b, "signals")) {
    return fmt::format("--signals was \"{}\", now \"{}\"", text(a, "signals"), text(b, "signals"));
  }
  return run_difference(text(a, "recipe"), text(b, "recipe"), path);
}

std::string in_words(const std::vector<std::string>& names) {
  constexpr size_t kNamed = 3;
  std::string text = fmt::format(
      "{}",
      fmt::join(names.begin(),
                names.begin() + static_cast<std::ptrdiff_t>(std::min(kNamed, names.size())), ", "));
  if (names.size() > kNamed) text += fmt::format(" and {} more", names.size() - kNamed);
  return text;
}

// Who would be replaced, or worked in, must be of this kind.
void check_kind(const DirectoryKind& kind, const std::string& name) {
  std::error_code error;
  if (!fs::is_directory(name, error)) {
    fail(ErrorCode::kInvalidArgument, "[{}] is a file; want a directory for the {}", name,
         kind.what);
  }
  const std::vector<std::string> strangers = kind.strangers(name);
  if (strangers.empty()) return;
  fail(ErrorCode::kInvalidArgument,
       "[{}] holds what is no {}'s: {}; nothing was touched: move it away, or name another "
       "directory",
       name, kind.what, in_words(strangers));
}

enum class Place { kInPlace, kBesideAnew, kBesideGoOn };

Place place_for(const DirectoryKind& kind, const std::string& record, const RunOptions& options,
                const std::string& name) {
  const auto path_in = [&](const std::string& directory) { return directory + "/" + kind.record; };
  const auto is_same = [&](const std::string& directory) {
    const std::string path = path_in(directory);
    return file_exists(path) && kind.difference(read_file(path), record, path).empty();
  };
  const bool taken = is_taken(name);
  const bool begun = Workplace::is_begun(name);
  if (options.resume) {
    const std::string beside = Workplace::path_for(name);
    if (begun && is_same(beside)) {
      if (taken) check_kind(kind, name);
      return Place::kBesideGoOn;
    }
    if (!taken || is_same(name)) return Place::kInPlace;
    if (!file_exists(path_in(name))) {
      check_kind(kind, name);
      fail(ErrorCode::kInvalidArgument,
           "[{}] holds a {} that this command did not begin (it has no {}); start anew with "
           "--overwrite, or name another directory",
           name, kind.what, kind.record);
    }
    const std::string stored = path_in(name);
    fail(
        ErrorCode::kInvalidArgument,
        "[{}] was run with another recipe: {}, and what is trained depends on it; use that one, or "
        "another directory (what is only measured may change: [eval], data.test)",
        stored, kind.difference(read_file(stored), record, stored));
  }
  if (!taken) return Place::kInPlace;
  check_kind(kind, name);
  if (options.overwrite) return Place::kBesideAnew;
  fail(ErrorCode::kInvalidArgument,
       "[{}] holds a {} already; go on with --resume or start anew with --overwrite", name,
       kind.what);
}

// What is worth going on with: anything beyond what a run writes before it works.
bool is_bare(const std::string& directory, const char* record) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename().string();
    if (name != record && name != "tokenizer.json" && name != "held_out.jsonl" &&
        name != "training_rows.json" && name != "partial.txt" && !is_temporary_name(name))
      return false;
  }
  return !error;
}

// Files that a killed program had half written; whoever goes on writes them anew.
void clear_temporaries(const std::string& directory) {
  std::error_code error;
  std::vector<fs::path> left;
  for (const auto& entry : fs::recursive_directory_iterator(directory, error)) {
    if (entry.is_regular_file(error) && is_temporary_name(entry.path().filename().string()))
      left.push_back(entry.path());
  }
  for (const fs::path& path : left) fs::remove(path, error);
}

}  // namespace

const DirectoryKind kRunDirectory = {"run", "recipe.toml", run_difference, not_of_a_run};
const DirectoryKind kTrainingDirectory = {"model", "training.json", training_difference,
                                          not_of_a_model};

std::string training_record(const Recipe& recipe, const std::string& signals) {
  return dump_json(OrderedJson{{"made by", "alambic train"},
                               {"signals", signals},
                               {"recipe", recipe_to_toml(recipe)}},
                   2) +
         "\n";
}

void check_directory(const DirectoryKind& kind, const std::string& record,
                     const RunOptions& options) {
  place_for(kind, record, options, settled_name(options.directory));
}

void check_nothing_read_there(const Recipe& recipe, const std::string& more,
                              const RunOptions& options) {
  if (!options.overwrite) return;
  std::error_code error;
  const fs::path place = fs::weakly_canonical(options.directory, error);
  const std::string* const read[] = {&recipe.teacher.model, &recipe.teacher.tokenizer,
                                     &recipe.student.model, &recipe.student.tokenizer,
                                     &recipe.data.train,    &recipe.data.train_target,
                                     &recipe.data.test,     &recipe.data.test_target,
                                     &recipe.data.prompts,  &more};
  for (const std::string* path : read) {
    if (path->empty() || !file_exists(*path)) continue;
    const fs::path real = fs::weakly_canonical(*path, error);
    if (std::mismatch(place.begin(), place.end(), real.begin(), real.end()).first == place.end()) {
      fail(ErrorCode::kInvalidArgument,
           "[{}] is read, and lies in {}, which --overwrite replaces; name another directory",
           *path, options.directory);
    }
  }
}

void in_directory(const DirectoryKind& kind, const std::string& record, const RunOptions& options,
                  const std::function<void(const RunOptions& inside)>& work) {
  const std::string name = settled_name(options.directory);
  settle_swap(name);
  const Place where = place_for(kind, record, options, name);
  std::optional<Workplace> beside;
  RunOptions inside = options;
  inside.directory = name;
  inside.destination = options.directory;
  if (where != Place::kInPlace) {
    beside.emplace(name,
                   where == Place::kBesideAnew ? Workplace::Begin::kAnew : Workplace::Begin::kGoOn);
    inside.directory = beside->path();
  }
  const bool made = !file_exists(inside.directory);
  try {
    make_directories(inside.directory);
    clear_temporaries(inside.directory);
    write_file_atomic(inside.directory + "/" + kind.record, record);
    work(inside);
    if (beside) {
      if (is_taken(name)) check_kind(kind, name);  // it may have got company meanwhile
      beside->publish();
    }
  } catch (const Error& error) {
    std::error_code ignored;
    const bool bare = is_bare(inside.directory, kind.record);
    if (bare && (made || beside)) fs::remove_all(inside.directory, ignored);
    if (!beside) throw;
    throw Error(error.code(),
                bare ? fmt::format("{}; {} is as it was", error.what(), name)
                     : fmt::format("{}; {} is as it was, and what is done lies in {}: --resume "
                                   "goes on with it, in place of --overwrite",
                                   error.what(), name, beside->path()));
  }
}

}  // namespace alambic
