// alambic bench: how fast this machine runs and trains, beside what it could do at most.
#include <fmt/format.h>

#include "alambic/base/file.h"
#include "alambic/base/progress.h"
#include "alambic/base/thread_pool.h"
#include "alambic/cli/bench_measure.h"
#include "alambic/cli/child_process.h"
#include "alambic/cli/model.h"
#include "alambic/cli/output.h"
#include "alambic/cli/verb.h"
#include "alambic/eval/report.h"
#include "alambic/tensor/ceilings.h"

namespace alambic {
namespace {

constexpr const char* kBenchExample =
    "  alambic bench\n"
    "  alambic bench --shape S --only train --json\n"
    "  alambic bench runs/quickstart/student\n"
    "Shapes: S 15M parameters, M 135M, L 333M, tiny; default: S and M.";

struct BenchArguments {
  std::string model, precision = "bf16", weights = "float";
  std::vector<std::string> shapes, only;
  bool quick = false, json = false, part = false;
};

void bind(CLI::App& verb, BenchArguments& o) {
  auto* model = verb.add_option("model", o.model, "Model directory; default: random weights")
                    ->type_name("MODEL");
  verb.add_option("--shape", o.shapes, "Shape of random weights: S, M, L, tiny; may be repeated")
      ->check(CLI::IsMember({"S", "M", "L", "tiny"}))
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->excludes(model);
  verb.add_option(
          "--only", o.only,
          "Measure this alone: prompt, generate, train, train_hybrid, product; may be repeated")
      ->check(CLI::IsMember(bench_parts()))
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb.add_option("--precision", o.precision, "Of the products: fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();
  verb.add_option("--weights", o.weights,
                  "Of random weights: float, or int8 or int4 (prompt and generate)")
      ->check(CLI::IsMember({"float", "int8", "int4"}))
      ->excludes(model)
      ->capture_default_str();
  verb.add_flag("--quick", o.quick,
                "Few repetitions at the tiny shape: a test that it works, no benchmark");
  verb.add_flag("--json", o.json, "One JSON object");
  // How the program calls itself: measurements alone, errors as JSON too.
  verb.add_flag("--part", o.part)->group("");
}

struct Plan {
  BenchShape shape;
  std::vector<std::string> parts;
};

std::vector<Plan> plan_of(const BenchArguments& o) {
  std::vector<BenchShape> shapes;
  if (!o.model.empty()) {
    shapes.push_back(bench_shape_of_model(o.model));
  } else {
    for (const std::string& name : o.shapes) shapes.push_back(bench_shape(name));
  }
  if (shapes.empty() && o.quick) shapes.push_back(bench_shape("tiny"));
  if (shapes.empty()) shapes = {bench_shape("S"), bench_shape("M")};
  std::vector<Plan> plans;
  for (BenchShape& shape : shapes) {
    if (shape.directory.empty()) shape.weights = format_from_name(o.weights);
    Plan plan{std::move(shape), {}};
    for (const std::string& part : o.only.empty() ? bench_parts() : o.only) {
      if (can_measure(part, plan.shape)) plan.parts.push_back(part);
    }
    plans.push_back(std::move(plan));
  }
  return plans;
}

void measure_here(const BenchArguments& o) {
  OrderedJson results = OrderedJson::array();
  try {
    const Precision precision = precision_from_name(o.precision);
    for (const Plan& plan : plan_of(o)) {
      for (const std::string& part : plan.parts) {
        for (const Measurement& m : measure_part(part, plan.shape, precision, o.quick))
          results.push_back(to_json(m));
      }
    }
  } catch (const Error& error) {
    results = {{"error", error.what()}, {"code", static_cast<int>(error.code())}};
  }
  print_json(results);
}

std::vector<Measurement> measure_in_child(const BenchArguments& o, const BenchShape& shape,
                                          const std::string& part) {
  std::vector<std::string> arguments = {
      "bench",       "--part",    "--only",    part,
      "--precision", o.precision, "--threads", std::to_string(thread_count())};
  if (o.quick) arguments.push_back("--quick");
  if (shape.directory.empty()) {
    arguments.insert(arguments.end(), {"--shape", shape.name, "--weights", o.weights});
  } else {
    arguments.insert(arguments.end(), {"--", shape.directory});
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

struct Peak {
  double share;
  const char* of;
};

// Of the ceiling that bounds the work: reading weights where a token needs all of them, products
// elsewhere.
Peak share_of_peak(const Measurement& m, const Ceilings& ceilings) {
  if (m.read_bytes_per_s > 0) return {m.read_bytes_per_s / ceilings.read_bytes_per_s, "reads"};
  const bool integer = m.dtype.starts_with("int");
  const double products = integer             ? ceilings.int8_ops
                          : m.dtype == "bf16" ? ceilings.product_flops
                                              : ceilings.fp32_flops;
  return {m.flops / products, "products"};
}

std::string table(const std::string& machine, const Ceilings& c,
                  const std::vector<Measurement>& results) {
  std::string text = machine + "\n";
  text += fmt::format(
      "measured peaks: bf16 products {:.0f} GFLOP/s, fp32 {:.0f} GFLOP/s, int8 {:.0f} GOP/s, reads "
      "{:.1f} GB/s\n\n",
      c.product_flops / 1e9, c.fp32_flops / 1e9, c.int8_ops / 1e9, c.read_bytes_per_s / 1e9);
  size_t width = 5;
  for (const Measurement& m : results) width = std::max(width, m.shape.size());
  text +=
      fmt::format("{:<13}{:<{}}  {:<6}{:>6}{:>8}{:>12}{:>10}  {:<18}{:>10}\n", "what", "shape",
                  width, "dtype", "batch", "tokens", "tokens/s", "GFLOP/s", "of peak", "memory");
  for (const Measurement& m : results) {
    const Peak peak = share_of_peak(m, c);
    text += fmt::format("{:<13}{:<{}}  {:<6}{:>6}{:>8}{:>12.0f}{:>10.1f}  {:<18}{:>10}\n", m.what,
                        m.shape, width, m.dtype, m.batch, m.tokens, m.tokens_per_s, m.flops / 1e9,
                        fmt::format("{:5.1f} % {}", 100 * peak.share, peak.of),
                        format_bytes(m.peak_rss_bytes));
  }
  return text;
}

void act(const BenchArguments& o, const Invocation&) {
  if (o.part) {
    measure_here(o);
    return;
  }
  const std::vector<Plan> plans = plan_of(o);
  const Ceilings ceilings = measure_ceilings(o.quick ? 10 : 200, true);
  std::vector<Measurement> results;
  int64_t total = 0, done = 0;
  for (const Plan& plan : plans) total += static_cast<int64_t>(plan.parts.size());
  {
    Progress progress("bench", total);
    for (const Plan& plan : plans) {
      for (const std::string& part : plan.parts) {
        progress.update(done, fmt::format("{} {}", plan.shape.name, part));
        for (Measurement& m : measure_in_child(o, plan.shape, part))
          results.push_back(std::move(m));
        progress.update(++done);
      }
    }
  }
  const char* isa = kernels::isa_name(kernels::kernels().isa);
  const std::string cpu = cpu_name();
  if (!o.json) {
    print_result(
        table(fmt::format("{}, {} threads, {}", cpu, thread_count(), isa), ceilings, results));
    return;
  }
  OrderedJson list = OrderedJson::array();
  for (const Measurement& m : results) {
    OrderedJson item = to_json(m);
    const Peak peak = share_of_peak(m, ceilings);
    item["peak_fraction"] = peak.share;
    item["peak"] = peak.of;
    list.push_back(std::move(item));
  }
  print_json(OrderedJson{{"machine",
                          {{"isa", isa},
                           {"threads", thread_count()},
                           {"cpu", cpu},
                           {"bf16_flops", ceilings.product_flops},
                           {"fp32_flops", ceilings.fp32_flops},
                           {"int8_ops", ceilings.int8_ops},
                           {"read_bytes_per_s", ceilings.read_bytes_per_s}}},
                         {"results", list}});
}

}  // namespace

void add_bench(CLI::App& app, Invocation& invocation) {
  add_verb<BenchArguments>(app, invocation, "bench", "Measure this machine and alambic on it",
                           kBenchExample, bind, act);
}

}  // namespace alambic
