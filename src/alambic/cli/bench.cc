// alambic bench: how fast this machine runs and trains, beside what it could do at most.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "alambic/base/file.h"
#include "alambic/base/progress.h"
#include "alambic/base/thread_pool.h"
#include "alambic/cli/bench_compare.h"
#include "alambic/cli/bench_measure.h"
#include "alambic/cli/bench_products.h"
#include "alambic/cli/bench_result.h"
#include "alambic/cli/bench_table.h"
#include "alambic/cli/child_process.h"
#include "alambic/cli/onednn_peer.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"

namespace alambic {
namespace {

constexpr const char* kBenchExample =
    "  alambic bench\n"
    "  alambic bench --shape S --only train --json\n"
    "  alambic bench runs/quickstart/student --dtype bf16,int4\n"
    "  alambic bench --shape S --save before.json\n"
    "  alambic bench --shape S --compare before.json\n"
    "Shapes: S 15M parameters, M 135M, L 494M, tiny, GPT-J (6B, lora alone); default: S and M.\n"
    "Parts: prompt (512 tokens), generate (128), batch (1, 4, 16 and 64 streams), train; and on\n"
    "demand train_hybrid, lora (adapters beside a frozen base) and product (every instruction\n"
    "set of this CPU, beside oneDNN).\n"
    "The default takes about 6 minutes on two cores.\n"
    "--compare ends with status 1 where any share of the ceiling is below 0.8 of the baseline's,\n"
    "twice in a row. Other programs that compute at the same time make every figure worthless.";

struct BenchArguments {
  std::string model, save, compare, saved;
  std::vector<std::string> shapes, only, dtypes;
  bool quick = false, json = false, part = false;
};

CLI::Option* add_list(CLI::App& verb, const char* name, std::vector<std::string>& values,
                      const std::vector<std::string>& allowed, const char* description) {
  return verb.add_option(name, values, description)
      ->delimiter(',')
      ->check(CLI::IsMember(allowed))
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void bind(CLI::App& verb, BenchArguments& o) {
  auto* model = verb.add_option("model", o.model, "Model directory; default: random weights")
                    ->type_name("MODEL");
  auto* shape = add_list(verb, "--shape", o.shapes, {"S", "M", "L", "GPT-J", "tiny"},
                         "Shape of random weights: S, M, L, tiny; several: with commas")
                    ->excludes(model);
  auto* only = add_list(
      verb, "--only", o.only, bench_parts(),
      "Measure these parts: prompt, generate, batch, rows, train, train_hybrid, lora, product");
  auto* dtype = add_list(verb, "--dtype", o.dtypes, bench_dtypes(),
                         "Measure in these: fp32, bf16, int8, int4; default: bf16, and int8 for "
                         "prompt, generate and batch; all for product");
  auto* quick = verb.add_flag(
      "--quick", o.quick, "Few repetitions at the tiny shape: a test that it works, no benchmark");
  verb.add_flag("--json", o.json, "One JSON object");
  auto* save = verb.add_option("--save", o.save, "Write the result, as --json has it, to this file")
                   ->type_name("FILE");
  verb.add_option("--compare", o.compare,
                  "Show ratios to a saved result; status 1 where a share of the ceiling fell below "
                  "0.8 of its own")
      ->type_name("FILE");
  auto* saved = verb.add_option("--saved", o.saved, "Take this saved result instead of measuring")
                    ->type_name("FILE");
  for (CLI::Option* measuring : {model, shape, only, dtype, quick, save})
    saved->excludes(measuring);
  // How the program calls itself: measurements alone, errors as JSON too.
  verb.add_flag("--part", o.part)->group("");
}

// What one process measures.
struct BenchTask {
  BenchShape shape;
  std::string part, dtype;
};

std::vector<BenchShape> shapes_of(const BenchArguments& o) {
  if (!o.model.empty()) return {bench_shape_of_model(o.model)};
  std::vector<BenchShape> shapes;
  for (const std::string& name : o.shapes) shapes.push_back(bench_shape(name));
  if (shapes.empty() && o.quick) return {bench_shape("tiny")};
  if (shapes.empty()) return {bench_shape("S"), bench_shape("M")};
  return shapes;
}

std::vector<std::string> dtypes_of(const BenchArguments& o, const BenchShape& shape,
                                   std::string_view part) {
  if (shape.stored) {
    const std::string stored(format_name(*shape.stored));
    for (const std::string& wanted : o.dtypes) {
      if (wanted != stored)
        fail(ErrorCode::kInvalidArgument, "[--dtype] {} holds {} weights; got {}, leave it out",
             shape.directory, stored, wanted);
    }
    return {stored};
  }
  if (!o.dtypes.empty()) return o.dtypes;
  if (part == "product") return bench_dtypes();
  if (part == "train" || part == "train_hybrid") return {"bf16"};
  if (part == "lora") return {"int4"};
  return {"bf16", "int8"};
}

std::vector<BenchTask> tasks_of(const BenchArguments& o) {
  const std::vector<std::string> by_default = {"prompt", "generate", "batch", "train"};
  std::vector<BenchTask> tasks;
  for (const BenchShape& shape : shapes_of(o)) {
    for (const std::string& part : o.only.empty() ? by_default : o.only) {
      for (const std::string& dtype : dtypes_of(o, shape, part)) {
        if (can_measure(part, shape, dtype)) tasks.push_back({shape, part, dtype});
      }
    }
  }
  if (tasks.empty()) {
    fail(ErrorCode::kInvalidArgument,
         "[bench] nothing to measure: training wants weights in fp32 or bf16, train_hybrid a model "
         "with a mask token too");
  }
  return tasks;
}

void measure_here(const BenchArguments& o) {
  OrderedJson results = OrderedJson::array();
  try {
    for (const BenchTask& task : tasks_of(o)) {
      for (const Measurement& m : measure_part(task.part, task.shape, task.dtype, o.quick))
        results.push_back(to_json(m));
    }
  } catch (const Error& error) {
    results = {{"error", error.what()}, {"code", static_cast<int>(error.code())}};
  }
  print_json(results);
}

std::vector<Measurement> measure_in_child(const BenchTask& task, bool quick) {
  std::vector<std::string> arguments = {
      "bench",   "--part",   "--only",    task.part,
      "--dtype", task.dtype, "--threads", std::to_string(thread_count())};
  if (quick) arguments.push_back("--quick");
  if (task.shape.directory.empty()) {
    arguments.insert(arguments.end(), {"--shape", task.shape.name});
  } else {
    arguments.insert(arguments.end(), {"--", task.shape.directory});
  }
  constexpr const char* kWhere = "measuring process";
  const Json answer = parse_json(run_self(arguments), kWhere);
  if (answer.is_object()) {
    throw Error(static_cast<ErrorCode>(require<int>(answer, "code", kWhere)),
                require<std::string>(answer, "error", kWhere));
  }
  std::vector<Measurement> measurements;
  for (const Json& item : answer) measurements.push_back(measurement_from_json(item, kWhere));
  return measurements;
}

std::string cpu_name() {
  constexpr std::string_view kKey = "model name";
  if (!file_exists("/proc/cpuinfo")) return "unknown";
  const std::string text = read_file("/proc/cpuinfo");
  for (const std::string_view line : split_lines(text)) {
    const size_t colon = line.find(": ");
    if (line.starts_with(kKey) && colon != std::string_view::npos)
      return std::string(line.substr(colon + 2));
  }
  return "unknown";
}

BenchResult measured(const std::vector<BenchTask>& tasks, bool quick) {
  const kernels::Isa in_use = kernels::kernels().isa;
  const bool products = std::any_of(tasks.begin(), tasks.end(),
                                    [](const BenchTask& task) { return task.part == "product"; });
  const std::vector<kernels::Isa> isas =
      products ? measured_isas() : std::vector<kernels::Isa>{in_use};
  const CeilingsOfTables before = measure_ceilings_of(isas, quick);
  std::vector<Measurement> measurements;
  {
    Progress progress("bench", static_cast<int64_t>(tasks.size()));
    int64_t done = 0;
    for (const BenchTask& task : tasks) {
      progress.update(done, fmt::format("{} {} {}", task.shape.name, task.part, task.dtype));
      for (Measurement& m : measure_in_child(task, quick)) measurements.push_back(std::move(m));
      progress.update(++done);
    }
  }
  const CeilingsOfTables after = measure_ceilings_of(isas, quick);
  const CeilingsOfTables ceilings = higher_of(before, after);
  BenchResult result;
  result.date = fmt::format("{:%Y-%m-%d %H:%M} UTC", fmt::gmtime(std::time(nullptr)));
  result.version = ALAMBIC_VERSION;
  result.cpu = cpu_name();
  result.isa = kernels::isa_name(in_use);
  result.threads = thread_count();
  result.ceilings = ceilings.at(result.isa);
  result.ceilings_differ = largest_difference(before, after);
  for (Measurement& m : measurements) {
    const auto own = ceilings.find(m.kernels);
    result.figures.push_back(
        figure_of(std::move(m), own == ceilings.end() ? result.ceilings : own->second));
  }
  return result;
}

bool measures(const BenchTask& task, const Measurement& m) {
  return m.what == task.part && m.dtype == task.dtype &&
         (m.shape == task.shape.name || m.shape.starts_with(task.shape.name + " "));
}

// A disturbed minute looks like a regression, so what seems to have fallen is measured once more
// before it counts.
BenchResult measured_beside(const BenchResult* baseline, const BenchArguments& o) {
  const std::vector<BenchTask> tasks = tasks_of(o);
  BenchResult result = measured(tasks, o.quick);
  if (baseline == nullptr) return result;
  std::vector<BenchTask> again;
  for (const BenchTask& task : tasks) {
    if (std::any_of(result.figures.begin(), result.figures.end(), [&](const BenchFigure& figure) {
          return measures(task, figure.measurement) && regressed(*baseline, figure);
        })) {
      again.push_back(task);
    }
  }
  return again.empty() ? result : better_of(result, measured(again, o.quick));
}

BenchResult load_bench_result(const std::string& path) {
  return bench_result_from_json(read_json_file(path), path);
}

// The result, and beside each figure its ratios to the baseline.
OrderedJson compared_json(const BenchResult& result, const BenchResult& baseline) {
  OrderedJson json = to_json(result);
  for (size_t i = 0; i < result.figures.size(); ++i) {
    const std::optional<Ratios> ratios = ratios_to(baseline, result.figures[i]);
    if (!ratios) continue;
    json["results"][i]["share_ratio"] = ratios->share;
    json["results"][i]["tokens_per_s_ratio"] = ratios->tokens_per_s;
  }
  json["compared_with"] = {{"date", baseline.date},
                           {"version", baseline.version},
                           {"cpu", baseline.cpu},
                           {"threads", baseline.threads},
                           {"isa", baseline.isa}};
  json["regressions"] = regressions(baseline, result);
  return json;
}

void show(const BenchArguments& o, const BenchResult& result, const BenchResult* baseline) {
  if (o.json) {
    print_json(baseline == nullptr ? to_json(result) : compared_json(result, *baseline));
    return;
  }
  print_result(bench_table(result, baseline));
  const auto is_product = [](const std::string& part) { return part == "product"; };
  if (std::any_of(o.only.begin(), o.only.end(), is_product) && !onednn_found())
    print_result("oneDNN is not installed here: apt install libdnnl2 puts it beside\n");
}

void act(const BenchArguments& o, const Invocation&) {
  if (o.part) {
    measure_here(o);
    return;
  }
  // Files that cannot be read or written are errors before minutes of work, not after.
  std::optional<BenchResult> baseline;
  if (!o.compare.empty()) baseline = load_bench_result(o.compare);
  if (!o.save.empty()) AtomicFile writable(o.save);
  const BenchResult result = o.saved.empty() ? measured_beside(baseline ? &*baseline : nullptr, o)
                                             : load_bench_result(o.saved);
  if (!o.save.empty()) write_file_atomic(o.save, dump_json(to_json(result), 1) + "\n");
  if (baseline && !comparable(*baseline, result)) {
    fail(ErrorCode::kInvalidArgument,
         "[{}] has none of these measurements; want a result of the same shapes, parts and dtypes",
         o.compare);
  }
  show(o, result, baseline ? &*baseline : nullptr);
  if (!baseline) return;
  const std::vector<std::string> fallen = regressions(*baseline, result);
  // No Error: those have statuses of their own, and nothing went wrong here. Status 1.
  if (!fallen.empty()) {
    throw std::runtime_error(
        fmt::format("[{}] share of the ceiling below {} of the baseline's: {}{}", o.compare,
                    kRegression, fmt::join(fallen, ", "),
                    result.ceilings_differ > kBusy ? "; the machine was busy, run it again" : ""));
  }
}

}  // namespace

void add_bench(CLI::App& app, Invocation& invocation) {
  add_verb<BenchArguments>(app, invocation, "bench", "Measure this machine and alambic on it",
                           kBenchExample, bind, act);
}

}  // namespace alambic
