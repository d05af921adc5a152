#include "alambic/cli/onednn_peer.h"

#include <dlfcn.h>
#include <dnnl.h>

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "alambic/base/error.h"
#include "alambic/base/thread_pool.h"

namespace alambic {
namespace {

// The functions of the library, under the names and types of its header.
struct OnednnLibrary {
  decltype(&::dnnl_engine_create) engine_create;
  decltype(&::dnnl_stream_create) stream_create;
  decltype(&::dnnl_stream_wait) stream_wait;
  decltype(&::dnnl_memory_desc_init_by_tag) memory_desc_init_by_tag;
  decltype(&::dnnl_memory_create) memory_create;
  decltype(&::dnnl_memory_destroy) memory_destroy;
  decltype(&::dnnl_memory_get_data_handle) memory_get_data_handle;
  decltype(&::dnnl_matmul_desc_init) matmul_desc_init;
  decltype(&::dnnl_reorder_primitive_desc_create) reorder_primitive_desc_create;
  decltype(&::dnnl_primitive_desc_create) primitive_desc_create;
  decltype(&::dnnl_primitive_desc_destroy) primitive_desc_destroy;
  decltype(&::dnnl_primitive_desc_query) primitive_desc_query;
  decltype(&::dnnl_primitive_desc_query_md) primitive_desc_query_md;
  decltype(&::dnnl_primitive_create) primitive_create;
  decltype(&::dnnl_primitive_destroy) primitive_destroy;
  decltype(&::dnnl_primitive_execute) primitive_execute;
  void (*set_threads)(int);  // OpenMP's, which Debian builds the library with
  dnnl_engine_t engine;
  dnnl_stream_t stream;
};

template <class Function>
bool resolve(void* handle, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(handle, name));
  return function != nullptr;
}

bool load_onednn(OnednnLibrary& l) {
#ifdef __SANITIZE_ADDRESS__
  return false;  // the leak checker crashes on the threads of the library's OpenMP
#endif
  void* h = ::dlopen("libdnnl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (h == nullptr) return false;
  return resolve(h, "dnnl_engine_create", l.engine_create) &&
         resolve(h, "dnnl_stream_create", l.stream_create) &&
         resolve(h, "dnnl_stream_wait", l.stream_wait) &&
         resolve(h, "dnnl_memory_desc_init_by_tag", l.memory_desc_init_by_tag) &&
         resolve(h, "dnnl_memory_create", l.memory_create) &&
         resolve(h, "dnnl_memory_destroy", l.memory_destroy) &&
         resolve(h, "dnnl_memory_get_data_handle", l.memory_get_data_handle) &&
         resolve(h, "dnnl_matmul_desc_init", l.matmul_desc_init) &&
         resolve(h, "dnnl_reorder_primitive_desc_create", l.reorder_primitive_desc_create) &&
         resolve(h, "dnnl_primitive_desc_create", l.primitive_desc_create) &&
         resolve(h, "dnnl_primitive_desc_destroy", l.primitive_desc_destroy) &&
         resolve(h, "dnnl_primitive_desc_query", l.primitive_desc_query) &&
         resolve(h, "dnnl_primitive_desc_query_md", l.primitive_desc_query_md) &&
         resolve(h, "dnnl_primitive_create", l.primitive_create) &&
         resolve(h, "dnnl_primitive_destroy", l.primitive_destroy) &&
         resolve(h, "dnnl_primitive_execute", l.primitive_execute) &&
         resolve(h, "omp_set_num_threads", l.set_threads) &&
         l.engine_create(&l.engine, dnnl_cpu, 0) == dnnl_success &&
         l.stream_create(&l.stream, l.engine, dnnl_stream_default_flags) == dnnl_success;
}

// Null where it is missing. Loaded once and kept, as are its engine and stream.
const OnednnLibrary* onednn() {
  static OnednnLibrary library{};
  static const bool loaded = load_onednn(library);
  return loaded ? &library : nullptr;
}

void expect(dnnl_status_t status, const char* what) {
  if (status != dnnl_success)
    fail(ErrorCode::kUnsupported, "[oneDNN] {} failed with status {}", what,
         static_cast<int>(status));
}

using PrimitiveDesc = std::unique_ptr<dnnl_primitive_desc, dnnl_status_t (*)(dnnl_primitive_desc*)>;
using Primitive = std::unique_ptr<dnnl_primitive, dnnl_status_t (*)(dnnl_primitive*)>;
using Memory = std::unique_ptr<dnnl_memory, dnnl_status_t (*)(dnnl_memory*)>;

dnnl_memory_desc_t desc_of(int rows, int cols, dnnl_data_type_t type, dnnl_format_tag_t tag) {
  dnnl_memory_desc_t desc;
  const dnnl_dims_t dims = {rows, cols};
  expect(onednn()->memory_desc_init_by_tag(&desc, 2, dims, type, tag), "describing a matrix");
  return desc;
}

Memory memory_of(const dnnl_memory_desc_t& desc, void* handle) {
  dnnl_memory_t memory = nullptr;
  expect(onednn()->memory_create(&memory, &desc, onednn()->engine, handle), "making a matrix");
  return {memory, onednn()->memory_destroy};
}

Primitive primitive_of(dnnl_primitive_desc* desc) {
  dnnl_primitive_t primitive = nullptr;
  expect(onednn()->primitive_create(&primitive, desc), "making a primitive");
  return {primitive, onednn()->primitive_destroy};
}

void execute(dnnl_primitive* primitive, const std::vector<dnnl_exec_arg_t>& arguments) {
  const OnednnLibrary& l = *onednn();
  expect(l.primitive_execute(primitive, l.stream, static_cast<int>(arguments.size()),
                             arguments.data()),
         "running a primitive");
  expect(l.stream_wait(l.stream), "running a primitive");
}

// `values` in another type and layout.
Memory reordered(const float* values, const dnnl_memory_desc_t& from,
                 const dnnl_memory_desc_t& to) {
  const OnednnLibrary& l = *onednn();
  const Memory source = memory_of(from, const_cast<float*>(values));
  Memory target = memory_of(to, DNNL_MEMORY_ALLOCATE);
  dnnl_primitive_desc_t raw = nullptr;
  expect(l.reorder_primitive_desc_create(&raw, &from, l.engine, &to, l.engine, nullptr),
         "describing a copy");
  const PrimitiveDesc desc(raw, l.primitive_desc_destroy);
  execute(primitive_of(desc.get()).get(),
          {{DNNL_ARG_FROM, source.get()}, {DNNL_ARG_TO, target.get()}});
  return target;
}

bool is_reference_code(dnnl_primitive_desc* desc) {
  const char* name = nullptr;
  expect(
      onednn()->primitive_desc_query(desc, dnnl_query_impl_info_str, 0, static_cast<void*>(&name)),
      "asking for a name");
  return std::string_view(name).starts_with("ref");
}

}  // namespace

struct OnednnProduct::Impl {
  Primitive matmul;
  Memory x, c;
  std::vector<Memory> weights;
};

bool onednn_found() { return onednn() != nullptr; }

std::unique_ptr<OnednnProduct> OnednnProduct::make(OnednnType type, int m, int k, int n,
                                                   const float* x, const float* w, size_t copies) {
  const OnednnLibrary* l = onednn();
  if (l == nullptr) return nullptr;
  l->set_threads(thread_count());
  struct Types {
    dnnl_data_type_t x, w, c;
  };
  const Types types = type == OnednnType::kF32    ? Types{dnnl_f32, dnnl_f32, dnnl_f32}
                      : type == OnednnType::kBf16 ? Types{dnnl_bf16, dnnl_bf16, dnnl_f32}
                                                  : Types{dnnl_u8, dnnl_s8, dnnl_s32};
  const dnnl_memory_desc_t x_desc = desc_of(m, k, types.x, dnnl_ab);
  const dnnl_memory_desc_t w_desc = desc_of(k, n, types.w, dnnl_format_tag_any);
  const dnnl_memory_desc_t c_desc = desc_of(m, n, types.c, dnnl_ab);
  dnnl_matmul_desc_t matmul;
  expect(l->matmul_desc_init(&matmul, &x_desc, &w_desc, nullptr, &c_desc), "describing a product");
  dnnl_primitive_desc_t raw = nullptr;
  if (l->primitive_desc_create(&raw, &matmul, nullptr, l->engine, nullptr) != dnnl_success)
    return nullptr;
  const PrimitiveDesc desc(raw, l->primitive_desc_destroy);
  if (is_reference_code(desc.get())) return nullptr;
  auto impl = std::make_unique<Impl>(Impl{primitive_of(desc.get()),
                                          reordered(x, desc_of(m, k, dnnl_f32, dnnl_ab), x_desc),
                                          memory_of(c_desc, DNNL_MEMORY_ALLOCATE),
                                          {}});
  // Without a tag of its own, w[n, k] by rows is the transposed [k, n].
  const dnnl_memory_desc_t given = desc_of(k, n, dnnl_f32, dnnl_ba);
  const dnnl_memory_desc_t wanted =
      *l->primitive_desc_query_md(desc.get(), dnnl_query_weights_md, 0);
  for (size_t i = 0; i < copies; ++i) impl->weights.push_back(reordered(w, given, wanted));
  return std::unique_ptr<OnednnProduct>(new OnednnProduct(std::move(impl)));
}

OnednnProduct::OnednnProduct(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
OnednnProduct::~OnednnProduct() = default;

void OnednnProduct::multiply(size_t copy) {
  execute(impl_->matmul.get(), {{DNNL_ARG_SRC, impl_->x.get()},
                                {DNNL_ARG_WEIGHTS, impl_->weights[copy].get()},
                                {DNNL_ARG_DST, impl_->c.get()}});
}

const void* OnednnProduct::output() const {
  void* data = nullptr;
  expect(onednn()->memory_get_data_handle(impl_->c.get(), &data), "looking at the result");
  return data;
}

}  // namespace alambic
