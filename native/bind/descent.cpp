// Coordinate descent: typed arrays in, shapes checked, the GIL released, no logic.
#include "bind.hpp"

#include <vector>

namespace xent {
namespace {

void require_offsets(const DenseVector<const int64_t>& start, int64_t end, const char* what) {
  require(start.shape(0) >= 1 && start.data()[0] == 0 && start.data()[start.shape(0) - 1] == end, what);
  for (size_t i = 1; i < start.shape(0); ++i) require(start.data()[i] >= start.data()[i - 1], what);
}

// The groups of a penalty: members of group g are member[group_start[g]] … member[group_start[g + 1] − 1].
template <class T>
int descend(DenseVector<const int64_t> start, DenseVector<const T> block, DenseMatrix<const double> psi,
            DenseMatrix<const double> dual, DenseMatrix<const double> penalty, DenseVector<const double> gradient,
            DenseVector<double> w, Maybe<DenseVector<const int64_t>> group_start, Maybe<DenseVector<const int64_t>> member,
            double tolerance, int most, const std::string& isa) {
  const auto size = static_cast<int64_t>(w.shape(0)), rank = static_cast<int64_t>(psi.shape(1));
  require_offsets(start, size, "start must lead from 0 to w's length");
  int64_t numbers = 0;
  for (size_t k = 1; k < start.shape(0); ++k) {
    const int64_t width = start.data()[k] - start.data()[k - 1];
    numbers += width * width;
  }
  require_length(block, numbers, "a block of squares of what start says");
  require(rank % 8 == 0, "psi must have a multiple of 8 columns");
  require_shape(psi, size, rank, "psi must have a row a coordinate");
  require_shape(dual, size, rank, "dual must be of psi's shape");
  require_shape(penalty, 4, size, "penalty must be (4, size): l2, l1, lower, upper");
  require_length(gradient, size, "gradient must be of w's length");
  require(group_start.has_value() == member.has_value(), "groups are starts and members");
  const Quadratic<T> model{size,       static_cast<int64_t>(start.shape(0)) - 1, rank, start.data(), block.data(), psi.data(),
                           dual.data()};
  const double* p = penalty.data();
  Separable separable{p, p + size, p + 2 * size, p + 3 * size};
  if (group_start && member) {
    require_length(*member, size, "every coordinate must be in a group");
    require_offsets(*group_start, size, "group_start must lead from 0 to the members' number");
    for (int64_t i = 0; i < size; ++i) require(member->data()[i] >= 0 && member->data()[i] < size, "a member is no coordinate");
    separable.groups = static_cast<int64_t>(group_start->shape(0)) - 1;
    separable.group_start = group_start->data();
    separable.member = member->data();
  }
  const auto& set = kernels(isa);
  const DescentKernels<T>* kernel;
  if constexpr (sizeof(T) == 4) kernel = &set.descent_f;
  else kernel = &set.descent_d;
  nb::gil_scoped_release release;
  std::vector<double> memory(kernel->bytes(model) / 8 + 1);
  return kernel->run(memory.data(), model, separable, gradient.data(), w.data(), tolerance, most);
}

template <class T> void define_descend(nb::module_& m, const char* name) {
  m.def(name, &descend<T>, "start"_a.noconvert(), "block"_a.noconvert(), "psi"_a.noconvert(), "dual"_a.noconvert(),
        "penalty"_a.noconvert(), "gradient"_a.noconvert(), "w"_a.noconvert(), "group_start"_a.noconvert().none(),
        "member"_a.noconvert().none(), "tolerance"_a, "most"_a, "isa"_a);
}

}  // namespace

void define_descent(nb::module_& m) {
  define_descend<float>(m, "descend_f");
  define_descend<double>(m, "descend_d");
}

}  // namespace xent
