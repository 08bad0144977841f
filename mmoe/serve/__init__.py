"""What is promoted and served: the bundle, its scorer, and the comparison of its precisions."""
