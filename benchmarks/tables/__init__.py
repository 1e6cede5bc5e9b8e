"""Tables that people have: `xent fit` beside what a careful person would write with scikit-learn."""
