// The state of one thread's rows, in one piece of memory that the kernels cut up.
#include "columns.hpp"

#include <type_traits>

namespace xent {
namespace {

template <class CT>
const TileKernels<CT>& tiles_of(const Kernels& set) {
  if constexpr (std::is_same_v<CT, float>) return set.f;
  else return set.d;
}

}  // namespace

template <class CT>
Columns<CT>::Columns(const Kernels& set, const Targets& targets, std::vector<int64_t> rows, int64_t classes)
    : kernels_(tiles_of<CT>(set)),
      targets_(targets),
      index_(std::move(rows)),
      classes_(classes),
      live_(static_cast<int64_t>(index_.size())),
      filled_((live_ + kernels_.lanes - 1) / kernels_.lanes * kernels_.lanes),
      state_(kernels_.state_bytes(filled_) / sizeof(double) + 1) {
  kernels_.begin(state_.data(), filled_, targets_, index_.data(), live_, filled_);
}

template <class CT>
const CT* Columns<CT>::soft(int64_t ldz, int64_t first, int64_t classes, std::vector<CT>& q, int64_t* bad_row) const {
  if (targets_.kind != Target::soft) return nullptr;
  q.resize(classes * ldz);  // it lies as z does
  kernels_.soft(targets_, index_.data(), live_, first, classes, q.data(), ldz, classes_, filled_, bad_row);
  return q.data();
}

template <class CT>
Totals Columns<CT>::scan(CT* z, int64_t ldz, int64_t first, int64_t classes, CT* peak) {
  std::vector<CT> q;
  Totals totals;
  const CT* soft_targets = soft(ldz, first, classes, q, &totals.bad_row);
  kernels_.scan(state_.data(), filled_, targets_, z, ldz, first, classes, filled_, soft_targets, peak);
  return totals;
}

template <class CT>
Totals Columns<CT>::finish() {
  Totals totals;
  kernels_.finish(state_.data(), filled_, targets_, filled_, totals.tally);
  return totals;
}

template <class CT>
void Columns<CT>::residual(CT* z, int64_t ldz, int64_t first, int64_t classes, const CT* peak) const {
  std::vector<CT> q;
  int64_t bad_row = -1;  // scan sets it
  const CT* soft_targets = soft(ldz, first, classes, q, &bad_row);
  kernels_.residual(state_.data(), filled_, targets_, z, ldz, first, classes, filled_, soft_targets, peak);
}

template <class CT>
void Columns<CT>::save(double* out) const {
  kernels_.save(state_.data(), filled_, targets_, live_, out);
}
template <class CT>
void Columns<CT>::restore(const double* in) {
  kernels_.restore(state_.data(), filled_, targets_, live_, filled_, in);
}

template class Columns<float>;
template class Columns<double>;

}  // namespace xent
