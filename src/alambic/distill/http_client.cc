#include "alambic/distill/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "alambic/base/error.h"

namespace alambic {
namespace {

constexpr size_t kMaxHeaderBytes = 64 << 10;

// What no second attempt can mend.
bool is_hopeless(CURLcode code) {
  return code == CURLE_URL_MALFORMAT || code == CURLE_UNSUPPORTED_PROTOCOL ||
         code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
}

// A server may quote the key it was shown; it must not get into a log or a store that way.
void hide(const std::string& key, std::string& text) {
  if (key.empty()) return;
  for (size_t at = 0; (at = text.find(key, at)) != std::string::npos; at += key.size()) {
    text.replace(at, key.size(), key.size(), '*');
  }
}

void start_curl() {
  static std::once_flag once;
  static CURLcode code = CURLE_OK;
  std::call_once(once, [] { code = curl_global_init(CURL_GLOBAL_DEFAULT); });
  if (code != CURLE_OK) fail(ErrorCode::kUnsupported, "[endpoint] libcurl cannot start");
}

}  // namespace

class HttpClient::Impl {
 public:
  explicit Impl(HttpClientOptions options) : options_(std::move(options)) {
    start_curl();
    multi_.reset(curl_multi_init());
    curl_slist* list = curl_slist_append(nullptr, "Content-Type: application/json");
    list = curl_slist_append(list, "Accept: application/json");
    list = curl_slist_append(list, "Expect:");  // no round trip before a long prompt
    if (!options_.key.empty()) {
      list = curl_slist_append(list, fmt::format("Authorization: Bearer {}", options_.key).c_str());
    }
    headers_.reset(list);
    if (!multi_ || !headers_) fail(ErrorCode::kUnsupported, "[endpoint] libcurl cannot start");
  }

  ~Impl() {
    for (const auto& [handle, transfer] : transfers_)
      curl_multi_remove_handle(multi_.get(), handle);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  int64_t start(const HttpCall& call) {
    auto transfer = std::make_unique<Transfer>();
    transfer->handle.reset(curl_easy_init());
    if (!transfer->handle) fail(ErrorCode::kUnsupported, "[endpoint] libcurl cannot start");
    transfer->request = call.body;
    transfer->max_body = options_.max_body;
    transfer->answer.call = ++calls_;
    CURL* handle = transfer->handle.get();
    curl_easy_setopt(handle, CURLOPT_URL, call.url.c_str());
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "alambic/" ALAMBIC_VERSION);
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers_.get());
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS,
                     static_cast<long>(options_.timeout_seconds * 1000));
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, transfer.get());
    curl_easy_setopt(handle, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(handle, CURLOPT_HEADERDATA, transfer.get());
    if (!call.body.empty()) {
      curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE_LARGE,
                       static_cast<curl_off_t>(transfer->request.size()));
      curl_easy_setopt(handle, CURLOPT_POSTFIELDS, transfer->request.c_str());
    }
    curl_multi_add_handle(multi_.get(), handle);
    transfers_.emplace(handle, std::move(transfer));
    return calls_;
  }

  size_t running() const { return transfers_.size(); }

  std::vector<HttpAnswer> wait(double seconds) {
    int active = 0;
    curl_multi_perform(multi_.get(), &active);
    std::vector<HttpAnswer> answers = collect();
    if (!answers.empty()) return answers;
    const int milliseconds = static_cast<int>(std::clamp(seconds, 0.0, 3600.0) * 1000);
    curl_multi_poll(multi_.get(), nullptr, 0, milliseconds, nullptr);
    curl_multi_perform(multi_.get(), &active);
    return collect();
  }

 private:
  struct FreeEasy {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  };
  struct FreeMulti {
    void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
  };
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };

  struct Transfer {
    std::unique_ptr<CURL, FreeEasy> handle;
    std::string request;
    HttpAnswer answer;
    size_t max_body = 0, header_bytes = 0;
    bool too_long = false;
  };

  static size_t take_body(char* data, size_t, size_t count, void* user) {
    auto& transfer = *static_cast<Transfer*>(user);
    if (transfer.answer.body.size() + count > transfer.max_body) {
      transfer.too_long = true;
      return 0;
    }
    transfer.answer.body.append(data, count);
    return count;
  }

  static size_t take_header(char*, size_t, size_t count, void* user) {
    auto& transfer = *static_cast<Transfer*>(user);
    transfer.header_bytes += count;
    if (transfer.header_bytes <= kMaxHeaderBytes) return count;
    transfer.too_long = true;
    return 0;
  }

  std::vector<HttpAnswer> collect() {
    std::vector<HttpAnswer> answers;
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi_.get(), &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      CURL* handle = message->easy_handle;
      const CURLcode code = message->data.result;
      const auto at = transfers_.find(handle);
      if (at == transfers_.end()) continue;
      HttpAnswer answer = std::move(at->second->answer);
      long status = 0;
      curl_off_t after = 0;
      curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &status);
      curl_easy_getinfo(handle, CURLINFO_RETRY_AFTER, &after);
      answer.status = static_cast<int>(status);
      answer.retry_after = static_cast<double>(after);
      if (at->second->too_long) {
        answer.failure = fmt::format("the answer is longer than {} bytes", options_.max_body);
      } else if (code != CURLE_OK) {
        answer.failure = curl_easy_strerror(code);
        answer.hopeless = is_hopeless(code);
      }
      hide(options_.key, answer.body);
      curl_multi_remove_handle(multi_.get(), handle);
      transfers_.erase(at);
      answers.push_back(std::move(answer));
    }
    return answers;
  }

  HttpClientOptions options_;
  std::unique_ptr<CURLM, FreeMulti> multi_;
  std::unique_ptr<curl_slist, FreeList> headers_;
  std::map<CURL*, std::unique_ptr<Transfer>> transfers_;
  int64_t calls_ = 0;
};

HttpClient::HttpClient(HttpClientOptions options)
    : impl_(std::make_unique<Impl>(std::move(options))) {}
HttpClient::~HttpClient() = default;
int64_t HttpClient::start(const HttpCall& call) { return impl_->start(call); }
size_t HttpClient::running() const { return impl_->running(); }
std::vector<HttpAnswer> HttpClient::wait(double seconds) { return impl_->wait(seconds); }

}  // namespace alambic
