"""The peers of the benchmark: other people's way of doing the same work, each as its own documentation recommends."""
