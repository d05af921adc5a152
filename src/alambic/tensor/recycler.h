// An allocator of single small objects that keeps what is freed for the thread's next one: a
// decoding step makes and drops the same few hundred handles as the step before.
//
// Ownership: what a thread keeps goes back to the system when it ends. Thread safety: an object may
// be freed on another thread than its own.
#pragma once

#include <cstddef>
#include <new>

namespace alambic {

template <class T>
class Recycler {
 public:
  using value_type = T;
  Recycler() = default;
  template <class U>
  explicit Recycler(const Recycler<U>&) {}  // as allocators convert

  T* allocate(size_t count) {
    static_assert(sizeof(T) >= sizeof(Kept));
    List& list = kept();
    if (count != 1 || list.first == nullptr) {
      return static_cast<T*>(::operator new (count * sizeof(T), std::align_val_t{alignof(T)}));
    }
    Kept* block = list.first;
    list.first = block->next;
    return reinterpret_cast<T*>(block);
  }
  void deallocate(T* block, size_t count) {
    List& list = kept();
    if (count != 1 || list.ended) {
      ::operator delete (block, std::align_val_t{alignof(T)});
      return;
    }
    list.first = new (block) Kept{list.first};
  }

  template <class U>
  bool operator==(const Recycler<U>&) const {
    return true;
  }

 private:
  struct Kept {
    Kept* next;
  };
  // Trivially destructible, so that static tensors may still be freed when the thread's objects are
  // gone; Ending gives the blocks back.
  struct List {
    Kept* first;
    bool ended;
  };
  static List& list() {
    static thread_local List instance{nullptr, false};
    return instance;
  }
  struct Ending {
    ~Ending() {
      for (Kept* block = list().first; block != nullptr;) {
        Kept* next = block->next;
        ::operator delete (static_cast<void*>(block), std::align_val_t{alignof(T)});
        block = next;
      }
      list() = {nullptr, true};
    }
  };
  static List& kept() {
    static thread_local Ending ending;
    return list();
  }
};

}  // namespace alambic
